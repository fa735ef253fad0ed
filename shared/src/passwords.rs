//! Passwords: hash and verify.
//!
//! Owns how a password becomes Argon2id in a PHC string, and the promise that an answer costs the same whether there is
//! a hash to compare with or not (R18). Knows nothing of whose password it is.

use std::fmt;

use argon2::password_hash::phc::{Output, PasswordHash as Phc, Salt};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::config::Config;
use crate::error::{Error, Result};

/// A password as somebody typed it, in Unicode's composed form, so that "é" is one thing however it was typed (R7).
#[derive(Debug)]
pub struct Password(SecretString);

impl Password {
    /// The longest password that is hashed (R5).
    pub const LONGEST: usize = 4096;

    /// Takes a password in. Every byte counts: nothing is trimmed or cut off.
    ///
    /// # Errors
    /// [`Error::Malformed`] over [`Self::LONGEST`] bytes.
    pub fn new(typed: &str) -> Result<Self> {
        if typed.len() > Self::LONGEST {
            return Err(Error::Malformed("The password is longer than 4096 bytes.".into()));
        }
        Ok(Self(typed.nfc().collect::<String>().into()))
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// A hash as it is stored: a PHC string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

/// Argon2id with the configured cost (R1).
pub struct Hasher {
    argon2: Argon2<'static>,
    decoy: Phc,
}

impl Hasher {
    /// A hasher with the configured cost, which [`Config`] has held against the floor (R2).
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the system has no randomness to give.
    pub fn new(config: &Config) -> Result<Self> {
        let params = Params::new(config.hash_memory_kib, config.hash_iterations, 1, None).map_err(unexpected)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = decoy(argon2.params())?;
        Ok(Self { argon2, decoy })
    }

    /// Hashes a password with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the system has no randomness or memory to give.
    pub fn hash(&self, password: &Password) -> Result<PasswordHash> {
        let phc = self.argon2.hash_password_with_salt(password.bytes(), &random::<16>()?).map_err(unexpected)?;
        Ok(PasswordHash(phc.to_string()))
    }

    /// Whether the password is the one that was hashed. Without a hash, or with one that cannot be used, the answer is
    /// no, and costs one hash all the same.
    #[must_use]
    pub fn verify(&self, password: &Password, stored: Option<&PasswordHash>) -> bool {
        let usable = stored.and_then(|hash| parse(hash).inspect_err(report).ok());
        let hash = usable.as_ref().unwrap_or(&self.decoy);
        self.argon2.verify_password(password.bytes(), hash).is_ok() & usable.is_some()
    }
}

/// Reads a stored hash. Its parameters are capped first: one line in a table must not take the memory of the function
/// (R12).
fn parse(stored: &PasswordHash) -> Result<Phc, &'static str> {
    let phc = Phc::new(&stored.0).map_err(|_| "it is not a PHC string")?;
    if phc.algorithm != Algorithm::Argon2id.ident() {
        return Err("it is not Argon2id");
    }
    let params = Params::try_from(&phc).map_err(|_| "its parameters cannot be read")?;
    if params.m_cost() > 1024 * 1024 || params.t_cost() > 10 || params.p_cost() > 16 {
        return Err("its parameters cost too much");
    }
    Ok(phc)
}

fn report(problem: &&'static str) {
    tracing::error!(problem, "A stored password hash cannot be used: its owner cannot sign in.");
}

/// A hash that no password has, at the cost of all the others; making it costs nothing.
fn decoy(params: &Params) -> Result<Phc> {
    Ok(Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into().map_err(unexpected)?,
        salt: Some(Salt::new(&random::<16>()?).map_err(unexpected)?),
        hash: Some(Output::new(&random::<32>()?).map_err(unexpected)?),
    })
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::Unexpected("the random number generator failed".into()))?;
    Ok(bytes)
}

fn unexpected(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unexpected(Box::new(error))
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hasher(changes: &[(&str, &str)]) -> Hasher {
        Hasher::new(&Config::from_lookup(testbed::settings(changes)).unwrap()).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    /// R1.
    #[test]
    fn a_hash_is_argon2id_at_the_configured_cost_with_a_salt_of_its_own() {
        let hasher = hasher(&[]);
        let stored: Vec<_> = (0..8).map(|_| hasher.hash(&password("1234")).unwrap().0).collect();
        assert!(stored.iter().all(|hash| hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")), "{stored:?}");
        let parsed: Vec<_> = stored.iter().map(|hash| Phc::new(hash).unwrap()).collect();
        assert!(parsed.iter().all(|hash| hash.salt.unwrap().len() >= 16 && hash.hash.unwrap().len() == 32));
        let salts: HashSet<_> = parsed.iter().map(|hash| hash.salt.unwrap().to_string()).collect();
        assert_eq!(salts.len(), stored.len());
    }

    #[test]
    fn the_right_password_matches_and_no_other() {
        let hasher = hasher(&[]);
        let hash = hasher.hash(&password("correct horse")).unwrap();
        assert!(hasher.verify(&password("correct horse"), Some(&hash)));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse", "correct horse\0"] {
            assert!(!hasher.verify(&password(wrong), Some(&hash)), "{wrong:?}");
        }
    }

    #[test]
    fn a_hash_made_at_another_cost_still_verifies() {
        let hash = hasher(&[("HASH_ITERATIONS", "3")]).hash(&password("1234")).unwrap();
        assert!(hasher(&[]).verify(&password("1234"), Some(&hash)));
    }

    #[test]
    fn nothing_matches_where_there_is_no_hash() {
        let hasher = hasher(&[]);
        assert!(!hasher.verify(&password(""), None));
        assert!(!hasher.verify(&password("1234"), None));
    }

    /// R18: the decoy is read and computed like any other hash.
    #[test]
    fn the_decoy_costs_what_a_hash_of_ours_costs() {
        let hasher = hasher(&[("HASH_MEMORY_KIB", "20000"), ("HASH_ITERATIONS", "3")]);
        let ours = Phc::new(&hasher.hash(&password("1234")).unwrap().0).unwrap();
        let decoy = Phc::new(&hasher.decoy.to_string()).unwrap();
        assert_eq!((decoy.algorithm, decoy.version, &decoy.params), (ours.algorithm, ours.version, &ours.params));
        assert_eq!(decoy.hash.unwrap().len(), ours.hash.unwrap().len());
    }

    /// R11, R12.
    #[test]
    fn a_malformed_or_ruinous_hash_matches_nothing_and_takes_nothing() {
        let hasher = hasher(&[]);
        let good = hasher.hash(&password("1234")).unwrap().0;
        for stored in [
            "",
            "1234",
            "$argon2id$",
            &good.replace("argon2id", "argon2i"),
            &good.replace("argon2id", "scrypt"),
            &good.replace("m=19456", "m=4294967295"),
            &good.replace("m=19456", "m=1048577"),
            &good.replace("t=2", "t=11"),
            &good.replace("p=1", "p=17"),
            &good.replace("m=19456", "m=x"),
            &format!("{good}$"),
        ] {
            assert!(!hasher.verify(&password("1234"), Some(&PasswordHash(stored.to_owned()))), "{stored}");
        }
    }

    /// R5.
    #[test]
    fn a_password_counts_to_its_last_byte_and_has_a_longest() {
        let hasher = hasher(&[]);
        for length in [72, 1000] {
            let hash = hasher.hash(&password(&"p".repeat(length))).unwrap();
            assert!(!hasher.verify(&password(&"p".repeat(length + 1)), Some(&hash)));
        }
        let hash = hasher.hash(&password(&"é".repeat(64))).unwrap();
        assert!(hasher.verify(&password(&"é".repeat(64)), Some(&hash)));
        assert!(Password::new(&"p".repeat(4096)).is_ok());
        assert!(matches!(Password::new(&"p".repeat(4097)), Err(Error::Malformed(_))));
    }

    /// R7.
    #[test]
    fn an_accent_is_the_same_however_it_was_typed_and_a_nul_counts() {
        let hasher = hasher(&[]);
        let hash = hasher.hash(&password("caf\u{e9}")).unwrap();
        assert!(hasher.verify(&password("cafe\u{301}"), Some(&hash)));
        let hash = hasher.hash(&password("ab\0cd")).unwrap();
        assert!(hasher.verify(&password("ab\0cd"), Some(&hash)) && !hasher.verify(&password("ab"), Some(&hash)));
    }

    /// R97.
    #[test]
    fn neither_a_password_nor_a_hash_is_printed() {
        let hash = hasher(&[]).hash(&password("hunter42")).unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
        assert!(!format!("{:?}", password("hunter42")).contains("hunter42"));
    }
}
