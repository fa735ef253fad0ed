//! The keys of one kind of token.
//!
//! Owns HS256 signatures, key ids, and the only place that touches a signing key. Every property of a key (algorithm,
//! `typ`, `kid`) comes from the configuration and never from a token (R35, R36, R40, R42).

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Claims, Kind, Token};
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::{json, telemetry};

/// The longest accepted token in bytes: what a browser stores in one cookie (R49).
const MAX_TOKEN: usize = 4096;

/// The current key, which signs, and a second key, which only verifies: during a rotation, the old key or the coming
/// one (R56).
pub(super) struct Keys {
    pub(super) current: Key,
    other: Option<Key>,
}

impl Keys {
    /// Reads the keys of a kind: `ACCESS_SECRET` and `PREVIOUS_ACCESS_SECRET`, or `REFRESH_SECRET` and
    /// `PREVIOUS_REFRESH_SECRET`. The current one is required.
    ///
    /// # Errors
    /// [`Error::Setting`] for a secret that is missing, weak or used twice.
    pub(super) fn from_env(kind: Kind, env: &Environment) -> Result<Self> {
        let (current, other) = match kind {
            Kind::Access => ("ACCESS_SECRET", "PREVIOUS_ACCESS_SECRET"),
            Kind::Refresh => ("REFRESH_SECRET", "PREVIOUS_REFRESH_SECRET"),
        };
        let key = |secret: SecretString| Key::new(kind, secret.expose_secret().as_bytes());
        Ok(Self { current: key(env.secret(current)?), other: env.optional_secret(other)?.map(key) })
    }

    /// Logs the keys that are accepted from now on.
    pub(super) fn log(&self) {
        for (is_current, key) in [(true, Some(&self.current)), (false, self.other.as_ref())] {
            if let Some(Key { kind, id, .. }) = key {
                telemetry::events::key_loaded(kind.typ(), id, is_current);
            }
        }
    }

    /// Returns the key with this `kid`, or `None`.
    pub(super) fn by_id(&self, kid: &str) -> Option<&Key> {
        [Some(&self.current), self.other.as_ref()].into_iter().flatten().find(|key| key.id == kid)
    }

    /// Verifies the size, the shape, the header and the signature of a token, and returns its payload (the JSON of the
    /// claims).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] for every other token.
    pub(super) fn verified_payload(&self, token: &[u8]) -> Result<Vec<u8>> {
        let Parts { message, header, payload, signature } = Parts::of(token).ok_or(Error::NotAuthorized)?;
        let header: Header = json::object(&decode(header)?).map_err(|_| Error::NotAuthorized)?;
        let key = self.by_id(&header.kid).ok_or(Error::NotAuthorized)?;
        let typ = header.typ.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        if header.alg != "HS256" || typ != key.kind.typ() {
            return Err(Error::NotAuthorized);
        }
        if key.has_signed(message.as_bytes(), signature) { decode(payload) } else { Err(Error::NotAuthorized) }
    }
}

/// One HS256 key.
pub(super) struct Key {
    kind: Kind,
    pub(super) id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

/// The only accepted header. Unknown names (`crit`, `jwk`, `jku`, `x5u`, `zip`, …) and repeated names are rejected
/// (R39, R41, R47).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

impl Key {
    pub(super) fn new(kind: Kind, secret: &[u8]) -> Self {
        Self {
            kind,
            id: key_id(kind, secret),
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
        }
    }

    /// Signs a token with these claims.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the claims cannot be serialized or the HMAC fails.
    pub(super) fn sign(&self, claims: &Claims) -> Result<Token> {
        let header = format!(r#"{{"alg":"HS256","kid":"{}","typ":"{}"}}"#, self.id, self.kind.typ());
        let payload = serde_json::to_vec(claims).map_err(Error::unexpected)?;
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let text = format!("{message}.{}", self.signature(message.as_bytes())?).into();
        Ok(Token { kind: self.kind, expires_at: claims.exp, text })
    }

    /// Returns the signature of a message in base64url.
    pub(super) fn signature(&self, message: &[u8]) -> Result<String> {
        crypto::sign(message, &self.signing, Algorithm::HS256).map_err(Error::unexpected)
    }

    /// Returns `true` if this is the signature of the message, in base64url. Compares in constant time (R15).
    pub(super) fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        matches!(crypto::verify(signature, message, &self.verifying, Algorithm::HS256), Ok(true))
    }
}

/// The parts of a compact JWS (RFC 7515 §7.1).
struct Parts<'a> {
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Returns the parts, or `None` if the token is too long or not three parts of base64url (R48, R49).
    fn of(token: &'a [u8]) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (message, signature) = std::str::from_utf8(token).ok()?.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let is_base64url = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let is_jws = [header, payload, signature].into_iter().all(is_base64url);
        is_jws.then_some(Self { message, header, payload, signature })
    }
}

/// Decodes base64url. Rejects padding and non-zero trailing bits (R48).
fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::NotAuthorized)
}

/// Returns the `kid` of a secret: 64 bits of a SHA-256 over a label, the kind and the secret. It does not reveal the
/// secret.
pub(super) fn key_id(kind: Kind, secret: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"latchkey key id\0");
    context.update(kind.typ().as_bytes());
    context.update(b"\0");
    context.update(secret);
    URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..8])
}

impl fmt::Debug for Key {
    /// Prints the id only (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}
