//! Verifying tokens.
//!
//! Owns the order of the checks: size, shape, header, signature, and only then the claims (R52).

use std::time::Duration;

use super::keys::Keys;
use super::signer::{audience, issuer};
use super::{Claims, Kind, access_ttl, refresh_ttl};
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::json;

/// Verifies tokens of one kind.
pub struct Verifier {
    kind: Kind,
    keys: Keys,
    issuer: String,
    audience: String,
    lifetime: Duration,
}

impl Verifier {
    /// Reads `ACCESS_SECRET`, `PREVIOUS_ACCESS_SECRET`, `ISSUER`, `AUDIENCE` and `ACCESS_TTL`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn for_access_tokens(env: &Environment) -> Result<Self> {
        Self::from_env(Kind::Access, access_ttl(env)?, env)
    }

    /// Reads `REFRESH_SECRET`, `PREVIOUS_REFRESH_SECRET`, `ISSUER`, `AUDIENCE`, `ACCESS_TTL` and `REFRESH_TTL`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn for_refresh_tokens(env: &Environment) -> Result<Self> {
        Self::from_env(Kind::Refresh, refresh_ttl(env)?, env)
    }

    fn from_env(kind: Kind, lifetime: Duration, env: &Environment) -> Result<Self> {
        let keys = Keys::from_env(kind, env)?;
        keys.log();
        Ok(Self { kind, keys, issuer: issuer(env)?, audience: audience(env)?, lifetime })
    }

    /// Returns the accepted issuer, which names this service.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the claims of a token that this service signed and that is valid at `now`.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] for every other token.
    pub fn verify(&self, token: &[u8], now: Timestamp) -> Result<Claims> {
        let claims = self.verify_ignoring_time(token)?;
        self.check_time(&claims, now)?;
        Ok(claims)
    }

    /// Returns the claims of a token that this service signed. Does not check the times of the token. Logout and
    /// renewal need the claims of expired tokens.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] for every other token.
    pub fn verify_ignoring_time(&self, token: &[u8]) -> Result<Claims> {
        let payload = self.keys.verified_payload(token)?;
        let claims: Claims = json::object(&payload).map_err(|_| Error::NotAuthorized)?;
        claims.check(self.kind, &self.issuer, &self.audience)?;
        Ok(claims)
    }

    /// Accepts verified claims that are valid at `now`.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if they are not valid yet, have expired, or have a lifetime that cannot be configured.
    pub fn check_time(&self, claims: &Claims, now: Timestamp) -> Result<()> {
        claims.check_time(self.kind, self.lifetime, now)
    }
}
