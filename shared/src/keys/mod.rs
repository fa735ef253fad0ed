//! Key sets: the keys of one purpose, which of them signs, and which of them verify.
//!
//! Owns the format of a set, its rules, and the choice of a key by time and by id. A rotation changes only the set: it
//! publishes a key, lets it sign later, and retires the key before it. Knows neither tokens nor where a set is stored.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::error::Result;

mod key;
mod rotation;
mod set;
mod strength;
#[cfg(test)]
mod tests;

pub(crate) use key::is_same_secret;
pub use key::{Algorithm, Key, key_id};
pub use rotation::Rotation;
pub use set::{KeySet, PUBLISH_LEAD, Problem};
pub use strength::weakness;

/// What the keys of a set are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Signs access tokens.
    Access,
    /// Signs refresh tokens.
    Refresh,
    /// Signs device cookies.
    Device,
    /// The pepper of password hashes.
    Pepper,
}

impl Purpose {
    /// Returns the variable that holds the set, or the ARN of the secret that holds it.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Access => "ACCESS_SECRET",
            Self::Refresh => "REFRESH_SECRET",
            Self::Device => "DEVICE_SECRET",
            Self::Pepper => "PASSWORD_PEPPER",
        }
    }

    /// Returns how long something that these keys have signed is valid at most: a token, a session or a device cookie.
    /// `None` means that it never expires, as the hash of a password.
    #[must_use]
    pub const fn lifetime(self) -> Option<Duration> {
        match self {
            Self::Access => Some(Duration::from_hours(24)),
            Self::Refresh => Some(Duration::from_hours(30 * 24)),
            Self::Device => Some(Duration::from_hours(180 * 24)),
            Self::Pepper => None,
        }
    }

    /// Returns the name of the purpose in log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Device => "device",
            Self::Pepper => "pepper",
        }
    }

    /// Returns the label in the key ids of this purpose. Therefore one secret has different ids for two purposes.
    const fn label(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
            Self::Device => "device",
            Self::Pepper => "pepper",
        }
    }

    /// Returns `true` if other services may verify what these keys sign. Only such keys may be key pairs.
    const fn is_public(self) -> bool {
        matches!(self, Self::Access)
    }
}

/// The current key set of one purpose. All clones see a new set at once.
#[derive(Clone)]
pub struct Keys {
    purpose: Purpose,
    set: Arc<RwLock<Arc<KeySet>>>,
}

impl Keys {
    /// Reads a set.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) with the variable of the purpose, if the set breaks a rule.
    pub fn parse(purpose: Purpose, text: &str) -> Result<Self> {
        Ok(Self { purpose, set: Arc::new(RwLock::new(Arc::new(KeySet::parse(purpose, text)?))) })
    }

    /// Returns what the keys are for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Returns the current set.
    #[must_use]
    pub fn set(&self) -> Arc<KeySet> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the set. Returns `true` if it differs from the set before it.
    pub fn replace(&self, set: KeySet) -> bool {
        let differs = self.set().times() != set.times();
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        differs
    }
}

impl fmt::Debug for Keys {
    /// Prints no secret (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("purpose", &self.purpose).field("set", &self.set()).finish()
    }
}
