//! Signing tokens.
//!
//! Owns which claims a token of each kind has. Only `login` and `userinfo` have a signer.

use super::claims::{MAX_TEXT, generation_id, is_claim_text, json_size};
use super::{AccessTtl, Claims, Generation, Kind, Subject, Token, jws};
use crate::clock::Timestamp;
use crate::config::{Environment, reject};
use crate::error::{Error, Result};
use crate::id::random_128_bits;
use crate::keys::{Keys, Purpose};
use crate::telemetry::events;

/// The largest `roles` claim in bytes of JSON. With it and the longest other claims, both cookies fit into a browser
/// and into a request (R83).
const MAX_ROLES: usize = 1024;

/// Returns `true` if an access token can carry these roles.
#[must_use]
pub fn roles_fit(roles: &[String]) -> bool {
    json_size(roles) <= MAX_ROLES
}

/// Signs tokens of both kinds.
pub struct Signer {
    access: Keys,
    refresh: Keys,
    issuer: String,
    audience: String,
    access_ttl: AccessTtl,
}

impl Signer {
    /// Reads the keys of both kinds of token, `ISSUER`, `AUDIENCE` and `ACCESS_TTL`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        Ok(Self {
            access: env.keys(Purpose::Access)?,
            refresh: env.keys(Purpose::Refresh)?,
            issuer: issuer(env)?,
            audience: audience(env)?,
            access_ttl: AccessTtl::from_env(env)?,
        })
    }

    /// Returns the `kid` of the key that signs new refresh tokens at `now`. The session's record keeps it.
    #[must_use]
    pub fn refresh_kid(&self, now: Timestamp) -> String {
        self.refresh.set().active(now).id.clone()
    }

    /// Signs an access token that is valid from `now` until `ACCESS_TTL` has passed, or until `not_after` if that is
    /// earlier. If the roles are larger than 1 KiB of JSON, leaves them out and logs an event.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the random number generator fails.
    pub fn access(&self, subject: &Subject<'_>, now: Timestamp, not_after: Timestamp) -> Result<Token> {
        let keys = self.access.set();
        let key = keys.active(now);
        let exp = not_after.min(now + self.access_ttl.of(key.algorithm()));
        let fits = roles_fit(subject.roles);
        if !fits {
            events::roles_left_out(subject.user_id, json_size(subject.roles));
        }
        let roles = if fits { subject.roles.to_vec() } else { Vec::new() };
        let claims = Claims { roles, ..self.claims(subject, now, exp, random_128_bits()?) };
        jws::sign(Kind::Access, key, &claims)
    }

    /// Signs the refresh token of one generation. The same arguments and key always give the same token, bit for bit.
    ///
    /// # Errors
    /// [`Error::ConcurrentUpdate`] if this instance does not have the key, because another instance got a new key
    /// first; [`Error::Unexpected`] if the cryptography fails.
    pub fn refresh(&self, subject: &Subject<'_>, generation: &Generation<'_>) -> Result<Token> {
        let unknown_key =
            || Error::ConcurrentUpdate("the session was renewed with a key that this instance does not have".into());
        let keys = self.refresh.set();
        let key = keys.by_id(generation.kid).ok_or_else(unknown_key)?;
        let jti = generation_id(subject.session_id, generation.number);
        let claims = Claims {
            generation: Some(generation.number),
            ..self.claims(subject, generation.issued_at, generation.expires_at, jti)
        };
        jws::sign(Kind::Refresh, key, &claims)
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
            key_retires_at: None,
        }
    }
}

/// Reads the `iss` of every token: `ISSUER`, `latchkey` by default.
pub(super) fn issuer(env: &Environment) -> Result<String> {
    name(env, "ISSUER")
}

/// Reads the `aud` of every token: `AUDIENCE`, `latchkey` by default.
pub(super) fn audience(env: &Environment) -> Result<String> {
    name(env, "AUDIENCE")
}

fn name(env: &Environment, variable: &'static str) -> Result<String> {
    let value = env.or(variable, "latchkey");
    if is_claim_text(&value) {
        return Ok(value);
    }
    reject(variable, format!("must not be blank, and must have at most {MAX_TEXT} bytes as JSON"))
}
