//! bcrypt: `$2a$`, `$2b$` and `$2y$`, alone or with Django's prefixes.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::{BAD_ENCODING, BAD_PARAMETERS, Problem, TOO_COSTLY};

/// The highest accepted cost (R12).
const MAX_COST: u32 = 15;

/// A bcrypt hash.
pub(in super::super) struct Bcrypt {
    hash: String,
    /// Django's newer form hashes the hexadecimal SHA-256 of the password, which is shorter than 72 bytes. The others
    /// hash the first 72 bytes of the password (R6).
    of_sha256: bool,
}

impl Bcrypt {
    /// Parses `$2b$12$…`.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        // `$2x$` is not supported: a library with a bug wrote it, and it is obsolete.
        let rest =
            text.strip_prefix("$2a$").or_else(|| text.strip_prefix("$2b$")).or_else(|| text.strip_prefix("$2y$"));
        let cost = rest.and_then(|rest| rest.get(..2)).filter(|cost| cost.bytes().all(|byte| byte.is_ascii_digit()));
        let cost: u32 = cost.and_then(|cost| cost.parse().ok()).filter(|&cost| cost >= 4).ok_or(BAD_PARAMETERS)?;
        if cost > MAX_COST {
            return Err(TOO_COSTLY);
        }
        text.parse::<bcrypt::HashParts>().map_err(|_| BAD_ENCODING)?;
        Ok(Self { hash: text.to_owned(), of_sha256: false })
    }

    /// Parses Django's `bcrypt$$2b$12$…`.
    pub(super) fn parse_django(text: &str) -> Result<Self, Problem> {
        Self::parse(text.strip_prefix("bcrypt$").ok_or(BAD_ENCODING)?)
    }

    /// Parses Django's `bcrypt_sha256$$2b$12$…`.
    pub(super) fn parse_django_sha256(text: &str) -> Result<Self, Problem> {
        let parsed = Self::parse(text.strip_prefix("bcrypt_sha256$").ok_or(BAD_ENCODING)?)?;
        Ok(Self { of_sha256: true, ..parsed })
    }

    pub(super) fn accepts(&self, password: &[u8]) -> bool {
        self.of_sha256 || !password.contains(&0)
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        if !self.of_sha256 {
            return bcrypt::verify(password, &self.hash).unwrap_or(false);
        }
        let digest = digest::digest(&digest::SHA256, password);
        let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>();
        bcrypt::verify(Zeroizing::new(hex).as_bytes(), &self.hash).unwrap_or(false)
    }
}
