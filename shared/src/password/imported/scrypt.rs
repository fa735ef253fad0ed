//! scrypt, as passlib, PHC strings and Django write it.

use scrypt::Params;

use super::encoding::{are_equal, number, of_length, padded, parameters, text_salt, unpadded};
use super::{BAD_ENCODING, BAD_PARAMETERS, Problem, TOO_COSTLY};

/// The highest accepted parameters (R12).
const MAX_LOG_N: u8 = 17;
const MAX_R: u32 = 16;
const MAX_P: u32 = 10;

/// The highest accepted product of N and r (R12). The memory and the time of a hash grow with this product. It is the
/// product of the highest N and of r = 8, which most systems use.
const MAX_N_TIMES_R: u64 = 1 << 20;

/// The accepted lengths of a digest in a PHC string.
const DIGEST_BYTES: std::ops::RangeInclusive<usize> = 32..=64;

/// An scrypt hash.
pub(in super::super) struct Scrypt {
    params: Params,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Scrypt {
    /// Parses the fields of `$scrypt$ln=14,r=8,p=1$<salt>$<digest>`.
    pub(super) fn parse_phc(params: &str, salt: &str, digest: &str, max_memory_kib: u32) -> Result<Self, Problem> {
        let [log_n, r, p] = parameters(params, ["ln", "r", "p"])?;
        let (params, digest) = (checked_params(log_n, r, p, max_memory_kib)?, unpadded(digest)?);
        if !DIGEST_BYTES.contains(&digest.len()) {
            return Err(BAD_ENCODING);
        }
        Ok(Self { params, salt: unpadded(salt)?, digest })
    }

    /// Parses the fields of Django's `scrypt$<n>$<salt>$<r>$<p>$<digest>`.
    pub(super) fn parse_django(
        [n, r, p]: [&str; 3],
        salt: &str,
        digest: &str,
        max_memory_kib: u32,
    ) -> Result<Self, Problem> {
        let n: u32 = number(n).filter(|n: &u32| n.is_power_of_two()).ok_or(BAD_PARAMETERS)?;
        let (r, p) = (number(r).ok_or(BAD_PARAMETERS)?, number(p).ok_or(BAD_PARAMETERS)?);
        let params = checked_params(n.ilog2(), r, p, max_memory_kib)?;
        Ok(Self { params, salt: text_salt(salt)?, digest: of_length(64, padded(digest)?)? })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let mut computed = vec![0; self.digest.len()];
        // `&` does not short-circuit: the digests are compared in any case.
        scrypt::scrypt(password, &self.salt, &self.params, &mut computed).is_ok() & are_equal(&computed, &self.digest)
    }
}

/// Accepts parameters within the caps.
pub(super) fn checked_params(log_n: u32, r: u32, p: u32, max_memory_kib: u32) -> Result<Params, Problem> {
    let log_n = u8::try_from(log_n).ok().filter(|&log_n| log_n <= MAX_LOG_N).ok_or(TOO_COSTLY)?;
    let n_times_r = u64::from(r) << log_n;
    // scrypt uses 128 bytes times r times N (RFC 7914 §2).
    if r > MAX_R || p > MAX_P || n_times_r > MAX_N_TIMES_R || n_times_r / 8 > u64::from(max_memory_kib) {
        return Err(TOO_COSTLY);
    }
    if log_n == 0 { Err(BAD_PARAMETERS) } else { Params::new(log_n, r, p).map_err(|_| BAD_PARAMETERS) }
}
