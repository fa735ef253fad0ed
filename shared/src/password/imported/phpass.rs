//! `$P$` and `$H$`: the portable hashes of phpass, `WordPress` and phpBB.

use md5::{Digest as _, Md5};

use super::encoding::{are_equal, crypt_decode, crypt_digit};
use super::{BAD_ENCODING, BAD_PARAMETERS, Problem, TOO_COSTLY};

/// The largest accepted base-2 logarithm of the number of rounds (R12).
const MAX_LOG2_ROUNDS: u8 = 20;

/// A portable hash.
pub(in super::super) struct Phpass {
    log2_rounds: u8,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Phpass {
    /// Parses what follows `$P$`: one character for the rounds, eight of salt, 22 of digest.
    pub(super) fn parse(rest: &str) -> Result<Self, Problem> {
        let (Some(rounds), Some(salt), Some(digest)) = (rest.bytes().next(), rest.get(1..9), rest.get(9..)) else {
            return Err(BAD_ENCODING);
        };
        let log2_rounds = crypt_digit(rounds).filter(|log2| (7..=30).contains(log2)).ok_or(BAD_PARAMETERS)?;
        if log2_rounds > MAX_LOG2_ROUNDS {
            return Err(TOO_COSTLY);
        }
        if !salt.bytes().all(|byte| crypt_digit(byte).is_some()) {
            return Err(BAD_ENCODING);
        }
        let digest = crypt_decode::<16>(digest).ok_or(BAD_ENCODING)?;
        Ok(Self { log2_rounds, salt: salt.as_bytes().to_vec(), digest })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let first = Md5::new().chain_update(&self.salt).chain_update(password).finalize();
        let computed = (0..1_u32 << self.log2_rounds)
            .fold(first, |previous, _| Md5::new().chain_update(previous).chain_update(password).finalize());
        are_equal(&computed, &self.digest)
    }
}
