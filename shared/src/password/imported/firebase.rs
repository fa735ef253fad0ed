//! Firebase's modified scrypt: the project's signer key, encrypted with a key that scrypt derives from the password.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use scrypt::Params;

use super::super::argon2id::MIN_DIGEST_BYTES;
use super::encoding::{are_equal, padded, parameters};
use super::scrypt::checked_params;
use super::{BAD_ENCODING, Problem};

/// A hash of Firebase.
pub(in super::super) struct Firebase {
    params: Params,
    salt: Vec<u8>,
    signer_key: Vec<u8>,
    digest: Vec<u8>,
}

impl Firebase {
    /// Parses the fields of `$firescrypt$ln=14,r=8,p=1$<salt>$<digest>$<separator>$<signer key>`.
    pub(super) fn parse(
        params: &str,
        [salt, separator]: [&str; 2],
        digest: &str,
        signer_key: &str,
        max_memory_kib: u32,
    ) -> Result<Self, Problem> {
        let [log_n, r, p] = parameters(params, ["ln", "r", "p"])?;
        let params = checked_params(log_n, r, p, max_memory_kib)?;
        let (digest, signer_key) = (padded(digest)?, padded(signer_key)?);
        if digest.len() != signer_key.len() || digest.len() < MIN_DIGEST_BYTES {
            return Err(BAD_ENCODING);
        }
        Ok(Self { params, salt: [padded(salt)?, padded(separator)?].concat(), signer_key, digest })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let mut key = [0; 32];
        let mut encrypted = self.signer_key.clone();
        // `&` does not short-circuit: every step is computed in any case.
        scrypt::scrypt(password, &self.salt, &self.params, &mut key).is_ok()
            & encrypt(key, &mut encrypted).is_some()
            & are_equal(&encrypted, &self.digest)
    }
}

/// Encrypts with AES-256 in counter mode from a counter of zero, as Firebase does. The key encrypts one message only.
fn encrypt(key: [u8; 32], message: &mut [u8]) -> Option<()> {
    let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, &key).ok()?).ok()?;
    key.less_safe_encrypt(message, EncryptionContext::Iv128(FixedLength::from([0; 16]))).ok().map(drop)
}
