//! The identifiers that tokens and tables share, and random numbers.
//!
//! Owns the format of [`UserId`] and [`SessionId`] and how a new one is generated.

use std::fmt;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The identifier of a user: opaque, stable and never reused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl UserId {
    /// Generates a new identifier from 128 random bits.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the random number generator fails.
    pub fn random() -> Result<Self> {
        random_128_bits().map(Self)
    }

    /// Parses an identifier: 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for any other text.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let well_formed = (1..=64).contains(&text.len()) && text.bytes().all(is_base64url);
        if well_formed {
            Ok(Self(text))
        } else {
            Err(Error::InvalidRequest("A user id has 1 to 64 characters of A-Z a-z 0-9 _ -.".into()))
        }
    }

    /// Returns the identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The identifier of a session: 128 random bits (R60) as 22 characters of base64url.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

impl SessionId {
    /// Generates a new identifier from 128 random bits.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the random number generator fails.
    pub fn random() -> Result<Self> {
        random_128_bits().map(Self)
    }

    /// Parses an identifier: the base64url form of exactly 16 bytes.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for any other text.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let well_formed = URL_SAFE_NO_PAD.decode(&text).is_ok_and(|bytes| bytes.len() == 16);
        if well_formed {
            Ok(Self(text))
        } else {
            Err(Error::InvalidRequest("A session id has 22 characters of base64url.".into()))
        }
    }

    /// Returns the identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a hash of the identifier for the log. The identifier cannot be recovered from it (R97).
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"latchkey session id\0");
        context.update(self.0.as_bytes());
        URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..8])
    }
}

/// Returns 128 random bits as base64url (R60).
pub(crate) fn random_128_bits() -> Result<String> {
    random::<16>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

/// Returns random bytes from the cryptographic random number generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::Unexpected("the random number generator failed".into()))?;
    Ok(bytes)
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

impl TryFrom<String> for UserId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(text)
    }
}

impl TryFrom<String> for SessionId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(text)
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Debug for SessionId {
    /// Prints the fingerprint only (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionId").field(&self.fingerprint()).finish()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// R60.
    #[test]
    fn session_ids_are_16_random_bytes_and_never_repeat() {
        let ids: HashSet<_> = (0..100_000).map(|_| SessionId::random().unwrap().0).collect();
        assert_eq!(ids.len(), 100_000);
        assert!(ids.iter().all(|id| URL_SAFE_NO_PAD.decode(id).unwrap().len() == 16));
    }

    #[test]
    fn a_session_id_is_exactly_22_canonical_base64url_characters() {
        let id = SessionId::random().unwrap();
        assert_eq!(SessionId::parse(id.as_str()).unwrap(), id);
        for bad in [
            "",
            "short",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAA+",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(SessionId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_user_id_is_short_and_url_safe() {
        assert_eq!(UserId::parse("0").unwrap().as_str(), "0");
        assert_eq!(UserId::parse("a-b_c").unwrap().as_str(), "a-b_c");
        for bad in ["", "a b", "a#b", "é", &"x".repeat(65)] {
            assert!(UserId::parse(bad).is_err(), "{bad}");
        }
    }
}
