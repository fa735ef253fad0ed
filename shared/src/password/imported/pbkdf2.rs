//! PBKDF2 with SHA-1, SHA-256 or SHA-512, as passlib, PHC strings and Django write it.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, Algorithm, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512};

use super::super::argon2id::MIN_DIGEST_BYTES;
use super::encoding::{number, of_length, padded, parameters, text_salt, unpadded};
use super::{BAD_ENCODING, BAD_PARAMETERS, Problem, TOO_COSTLY};

/// The largest accepted number of iterations (R12).
const MAX_ITERATIONS: u32 = 10_000_000;

/// A PBKDF2 hash. The digest is never longer than the output of its hash function: a longer one multiplies the cost.
pub(in super::super) struct Pbkdf2 {
    algorithm: Algorithm,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Pbkdf2 {
    /// Parses the fields of `$pbkdf2-sha256$…`. passlib writes only the number of iterations as the parameters, and `.`
    /// instead of `+` in base64. A PHC string has `i=<iterations>`, and `l=<length>` is optional.
    pub(super) fn parse_phc(name: &str, params: &str, salt: &str, digest: &str) -> Result<Self, Problem> {
        let (algorithm, length) = match name {
            "pbkdf2-sha256" => (PBKDF2_HMAC_SHA256, 32),
            "pbkdf2-sha512" => (PBKDF2_HMAC_SHA512, 64),
            _ => (PBKDF2_HMAC_SHA1, 20),
        };
        if let Some(iterations) = number(params) {
            let (salt, digest) = (unpadded(&with_plus(salt)?)?, unpadded(&with_plus(digest)?)?);
            return Self::new(algorithm, iterations, salt, of_length(length, digest)?);
        }
        let digest = unpadded(digest)?;
        if digest.len() > length {
            return Err(BAD_ENCODING);
        }
        let params = match params.split_once(",l=") {
            Some((iterations, length)) if number(length) == Some(digest.len()) => iterations,
            Some(_) => return Err(BAD_ENCODING),
            None => params,
        };
        let [iterations] = parameters(params, ["i"])?;
        // `text_salt` only rejects an empty salt here.
        let salt = text_salt(salt).and(unpadded(salt))?;
        Self::new(algorithm, iterations, salt, digest)
    }

    /// Parses the fields of Django's `pbkdf2_sha256$<iterations>$<salt>$<digest>`.
    pub(super) fn parse_django(name: &str, iterations: &str, salt: &str, digest: &str) -> Result<Self, Problem> {
        let (algorithm, length) = match name {
            "pbkdf2_sha256" => (PBKDF2_HMAC_SHA256, 32),
            _ => (PBKDF2_HMAC_SHA1, 20),
        };
        let iterations = number(iterations).ok_or(BAD_PARAMETERS)?;
        Self::new(algorithm, iterations, text_salt(salt)?, of_length(length, padded(digest)?)?)
    }

    fn new(algorithm: Algorithm, iterations: u32, salt: Vec<u8>, digest: Vec<u8>) -> Result<Self, Problem> {
        let iterations = NonZeroU32::new(iterations).ok_or(BAD_PARAMETERS)?;
        if iterations.get() > MAX_ITERATIONS {
            return Err(TOO_COSTLY);
        }
        if digest.len() < MIN_DIGEST_BYTES {
            return Err(BAD_ENCODING);
        }
        Ok(Self { algorithm, iterations, salt, digest })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        pbkdf2::verify(self.algorithm, self.iterations, &self.salt, password, &self.digest).is_ok()
    }
}

/// Converts passlib's base64 to the standard alphabet.
fn with_plus(text: &str) -> Result<String, Problem> {
    if text.contains('+') { Err(BAD_ENCODING) } else { Ok(text.replace('.', "+")) }
}
