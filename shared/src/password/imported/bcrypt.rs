//! bcrypt: `$2a$`, `$2b$` and `$2y$`, alone, with Django's prefixes or with the prefix of `WordPress`.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{BAD_ENCODING, BAD_PARAMETERS, Problem, TOO_COSTLY};

/// The highest accepted cost (R12).
const MAX_COST: u32 = 15;

/// A bcrypt hash.
pub(in super::super) struct Bcrypt {
    hash: String,
    input: Input,
}

/// The text that bcrypt hashes. bcrypt ignores everything after its first 72 bytes (R6). A digest is shorter and
/// contains no NUL byte.
#[derive(Clone, Copy)]
enum Input {
    Password,
    /// Django's newer form: the SHA-256 of the password, as hexadecimal digits.
    Sha256,
    /// `WordPress` since version 6.8: an HMAC-SHA-384 of the password with a fixed key, as base64.
    Sha384,
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
        Ok(Self { hash: text.to_owned(), input: Input::Password })
    }

    /// Parses Django's `bcrypt$$2b$12$…`.
    pub(super) fn parse_django(text: &str) -> Result<Self, Problem> {
        Self::parse(text.strip_prefix("bcrypt$").ok_or(BAD_ENCODING)?)
    }

    /// Parses Django's `bcrypt_sha256$$2b$12$…`.
    pub(super) fn parse_django_sha256(text: &str) -> Result<Self, Problem> {
        let parsed = Self::parse(text.strip_prefix("bcrypt_sha256$").ok_or(BAD_ENCODING)?)?;
        Ok(Self { input: Input::Sha256, ..parsed })
    }

    /// Parses `$wp$2y$10$…` of `WordPress`. PHP writes only the variant `2y`.
    pub(super) fn parse_wordpress(text: &str) -> Result<Self, Problem> {
        let hash = text.strip_prefix("$wp").filter(|hash| hash.starts_with("$2y$")).ok_or(BAD_ENCODING)?;
        Ok(Self { input: Input::Sha384, ..Self::parse(hash)? })
    }

    pub(super) fn accepts(&self, password: &[u8]) -> bool {
        !matches!(self.input, Input::Password) || !password.contains(&0)
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let text = match self.input {
            Input::Password => return bcrypt::verify(password, &self.hash).unwrap_or(false),
            Input::Sha256 => hexadecimal(digest::digest(&digest::SHA256, password).as_ref()),
            Input::Sha384 => {
                let key = hmac::Key::new(hmac::HMAC_SHA384, b"wp-sha384");
                STANDARD.encode(hmac::sign(&key, password))
            }
        };
        bcrypt::verify(Zeroizing::new(text).as_bytes(), &self.hash).unwrap_or(false)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
