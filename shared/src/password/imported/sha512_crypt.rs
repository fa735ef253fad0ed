//! `$6$`: Unix `crypt` with SHA-512.

use sha_crypt::{PasswordVerifier as _, ShaCrypt};

use super::encoding::{crypt_decode, crypt_digit, number};
use super::{BAD_ENCODING, BAD_PARAMETERS, Problem, TOO_COSTLY};

/// The largest accepted number of rounds (R12).
const MAX_ROUNDS: u32 = 1_000_000;

/// The longest salt in characters.
const MAX_SALT: usize = 16;

/// A hash of SHA-512 crypt.
pub(in super::super) struct Sha512Crypt(String);

impl Sha512Crypt {
    /// Parses `$6$<salt>$<digest>` or `$6$rounds=<n>$<salt>$<digest>`. `fields` are those after `6`.
    pub(super) fn parse(text: &str, fields: &[&str]) -> Result<Self, Problem> {
        let (salt, digest) = match fields {
            [rounds, salt, digest] => {
                let rounds: u32 = rounds.strip_prefix("rounds=").and_then(number).ok_or(BAD_PARAMETERS)?;
                if rounds > MAX_ROUNDS {
                    return Err(TOO_COSTLY);
                }
                if rounds < sha_crypt::Params::ROUNDS_MIN {
                    return Err(BAD_PARAMETERS);
                }
                (salt, digest)
            }
            [salt, digest] => (salt, digest),
            _ => return Err(BAD_ENCODING),
        };
        let is_salt = salt.len() <= MAX_SALT && salt.bytes().all(|byte| crypt_digit(byte).is_some());
        if !is_salt || crypt_decode::<64>(digest).is_none() {
            return Err(BAD_ENCODING);
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        ShaCrypt::SHA512.verify_password(password, self.0.as_str()).is_ok()
    }
}
