//! Verifying tokens.
//!
//! Owns the order of the checks: size, shape, header, signature, and only then the claims (R52).

use std::time::Duration;

use super::signer::{audience, issuer};
use super::{AccessTtl, Claims, Kind, jws, refresh_ttl};
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::json;
use crate::keys::{Keys, Purpose};
use crate::telemetry::events;

/// Verifies tokens of one kind.
pub struct Verifier {
    kind: Kind,
    keys: Keys,
    issuer: String,
    audience: String,
    lifetime: Lifetime,
}

/// How long a token is valid at most, as it is configured now.
enum Lifetime {
    Access(AccessTtl),
    Refresh(Duration),
}

impl Verifier {
    /// Reads `ACCESS_SECRET`, `ISSUER`, `AUDIENCE` and `ACCESS_TTL`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn for_access_tokens(env: &Environment) -> Result<Self> {
        Self::from_env(Kind::Access, Purpose::Access, Lifetime::Access(AccessTtl::from_env(env)?), env)
    }

    /// Reads `REFRESH_SECRET`, `ISSUER`, `AUDIENCE`, `ACCESS_TTL` and `REFRESH_TTL`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn for_refresh_tokens(env: &Environment) -> Result<Self> {
        Self::from_env(Kind::Refresh, Purpose::Refresh, Lifetime::Refresh(refresh_ttl(env)?), env)
    }

    fn from_env(kind: Kind, purpose: Purpose, lifetime: Lifetime, env: &Environment) -> Result<Self> {
        let keys = env.keys(purpose)?;
        events::keys_loaded(&keys);
        Ok(Self { kind, keys, issuer: issuer(env)?, audience: audience(env)?, lifetime })
    }

    /// Returns the accepted issuer, which names this service.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the claims of a token that is valid at `now` and that this service signed with a key that is not
    /// retired.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] for every other token.
    pub fn verify(&self, token: &[u8], now: Timestamp) -> Result<Claims> {
        let claims = self.verify_ignoring_time(token)?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    /// Returns the claims of a token that this service signed. Does not check the times of the token and of its
    /// key. Logout and renewal need the claims of expired tokens.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] for every other token.
    pub fn verify_ignoring_time(&self, token: &[u8]) -> Result<Claims> {
        let keys = self.keys.set();
        let (payload, key) = jws::verified_payload(self.kind, &keys, token)?;
        let mut claims: Claims = json::object(&payload).map_err(|_| Error::NotAuthorized)?;
        claims.check(self.kind, &self.issuer, &self.audience)?;
        claims.key_retires_at = key.retire_at;
        if let Lifetime::Access(ttl) = self.lifetime {
            claims.end_within(ttl.of(key.algorithm()));
        }
        Ok(claims)
    }

    /// Accepts verified claims that are valid at `now`, of a key that is not retired.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if the key is retired, or if the claims are not valid yet, have expired, or have a
    /// lifetime that cannot be configured.
    pub fn check(&self, claims: &Claims, now: Timestamp) -> Result<()> {
        claims.check_key(now)?;
        let lifetime = match self.lifetime {
            Lifetime::Access(ttl) => ttl.longest(),
            Lifetime::Refresh(ttl) => ttl,
        };
        claims.check_time(self.kind, lifetime, now)
    }
}
