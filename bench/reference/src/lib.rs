//! The C reference of Argon2, for the benchmarks to compare with.
//!
//! Owns the only `unsafe` of the workspace: one call into C that no function of the service is linked with. The source
//! under `vendor/` is phc-winner-argon2 20190702, unchanged, as the crate argon2-kdf 1.7.3 carries it: no maintained
//! crate binds it without libclang. Knows nothing of what is measured.

use std::ffi::c_int;

/// How the part that fills the memory was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// As plain `cc` gives it: on `x86_64` with SSE2, elsewhere portable.
    Plain,
    /// With `-mavx2`.
    Avx2,
}

impl Build {
    /// The builds that this processor can run.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            return vec![Self::Plain, Self::Avx2];
        }
        vec![Self::Plain]
    }
}

#[expect(unsafe_code, reason = "it is C")]
unsafe extern "C" {
    fn reference_argon2id(
        avx2: c_int,
        kib: u32,
        passes: u32,
        password: *const u8,
        password_length: u32,
        salt: *const u8,
        salt_length: u32,
        digest: *mut u8,
        digest_length: u32,
    ) -> c_int;
}

/// Argon2id with one lane. The memory is kept from call to call and wiped after each; nothing where the reference
/// refuses, or where this processor cannot run that build.
#[must_use]
pub fn argon2id(build: Build, kib: u32, passes: u32, password: &[u8], salt: &[u8]) -> Option<[u8; 32]> {
    if !Build::available().contains(&build) {
        return None;
    }
    let (password_length, salt_length) = (password.len().try_into().ok()?, salt.len().try_into().ok()?);
    let (password, salt, avx2) = (password.as_ptr(), salt.as_ptr(), c_int::from(build == Build::Avx2));
    let mut digest = [0; 32];
    let out = digest.as_mut_ptr();
    // SAFETY: each pointer goes with its length and is good until the call returns. C keeps none, and writes to `out`
    // alone.
    #[expect(unsafe_code, reason = "it is C")]
    let status =
        unsafe { reference_argon2id(avx2, kib, passes, password, password_length, salt, salt_length, out, 32) };
    (status == 0).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's own test vector (`src/test.c`).
    #[test]
    fn every_build_computes_what_the_reference_says() {
        let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        for build in Build::available() {
            let digest = argon2id(build, 65_536, 2, b"password", b"somesalt").unwrap();
            assert_eq!(digest.map(|byte| format!("{byte:02x}")).concat(), expected, "{build:?}");
        }
    }

    #[test]
    fn what_the_reference_refuses_gives_nothing() {
        assert_eq!(argon2id(Build::Plain, 65_536, 2, b"password", b"short"), None);
    }
}
