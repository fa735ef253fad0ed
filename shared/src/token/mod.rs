//! Tokens: claims, signing, verifying, and the cookies that carry them.
//!
//! Owns everything about the text of a token. Knows no store: whether the session of a token is still active is decided
//! in `auth`.
//!
//! # Why no JWT crate
//!
//! A signature is one call of `aws-lc-rs`. Reading a token is what needs care. Even with all checks of `Validation`
//! enabled, the decoder of `jsonwebtoken` accepts tokens that the contract forbids. It accepts any `typ`, any `crit`,
//! unknown header names (even repeated ones), empty keys, `iat` in the future, any lifetime, `exp` = 2^64-1 or
//! fractional, and arrays for `iss` and `aud`. If `iat` or `jti` is listed in `required_spec_claims`, it silently
//! ignores that entry. So [`Verifier`] reads header and claims itself, in this order: size, shape, header, signature,
//! claims. `shared/tests/hostile_tokens.rs` has one test for each check, and one that shows what the decoder alone
//! accepts.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::Result;
use crate::keys::Algorithm;

mod claims;
mod cookies;
mod jws;
mod signer;
#[cfg(test)]
mod tests;
mod verifier;

pub use claims::{Claims, Generation, Kind, LEEWAY, MAX_TEXT, Subject, is_claim_text};
pub use cookies::{Cookies, Lifetime, PresentedCookies};
pub use signer::{Signer, roles_fit};
pub use verifier::Verifier;

/// One day.
const DAY: Duration = Duration::from_hours(24);

/// The maximum age of a session. Renewals do not extend it (R71).
pub const MAX_SESSION_AGE: Duration = Duration::from_hours(30 * 24);

/// A signed token.
pub struct Token {
    /// Whether it is an access token or a refresh token.
    pub kind: Kind,
    /// The `exp` of the token.
    pub expires_at: Timestamp,
    text: SecretString,
}

impl Token {
    /// Returns the text of the token.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for Token {
    /// Prints no part of the text (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("kind", &self.kind).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How long access tokens are valid.
#[derive(Clone, Copy, Debug)]
pub struct AccessTtl(Option<Duration>);

impl AccessTtl {
    /// Reads `ACCESS_TTL`, 300 to 86400 seconds. By default, a token is valid for 86400 seconds (1 day) if HS256 signs
    /// it, and for 900 seconds (15 minutes) if `EdDSA` signs it. Other services verify such tokens, and they do not see
    /// a logout.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for any other value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        let longest = Kind::Access.max_lifetime().as_secs();
        let setting = env.optional("ACCESS_TTL").map(|_| env.seconds("ACCESS_TTL", longest, 300..=longest));
        Ok(Self(setting.transpose()?))
    }

    /// Returns how long a token is valid that this algorithm signs.
    #[must_use]
    pub fn of(self, algorithm: Algorithm) -> Duration {
        self.0.unwrap_or(match algorithm {
            Algorithm::Hs256 => DAY,
            Algorithm::EdDsa => Duration::from_mins(15),
        })
    }

    /// Returns how long a token of any algorithm is valid at most.
    #[must_use]
    pub fn longest(self) -> Duration {
        self.0.unwrap_or(DAY)
    }
}

/// Reads how long a session lives without a renewal: `REFRESH_TTL`, from the longest time that an access token is valid
/// to 2592000 seconds, 604800 (7 days) by default.
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for any other value.
pub fn refresh_ttl(env: &Environment) -> Result<Duration> {
    let bounds = AccessTtl::from_env(env)?.longest().as_secs()..=Kind::Refresh.max_lifetime().as_secs();
    env.seconds("REFRESH_TTL", 7 * DAY.as_secs(), bounds)
}
