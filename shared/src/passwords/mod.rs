//! Passwords: hash and verify.
//!
//! Owns how a password becomes Argon2id in a PHC string, and the promise that an answer costs the same whether there is
//! a hash to compare with or not (R18). Knows nothing of whose password it is.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// The most passes and the most lanes that a stored hash may ask for (R12).
const MOST_ITERATIONS: u32 = 10;
const MOST_LANES: u32 = 16;

/// A hash as it is stored: a PHC string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

/// Argon2id with the configured cost (R1).
pub struct Hasher {
    argon2: Argon2<'static>,
    decoy: Phc,
    largest_kib: u32,
    evaluations: AtomicU64,
}

impl Hasher {
    /// A hasher with the configured cost.
    ///
    /// # Errors
    /// [`Error::Setting`] for a cost below OWASP's floor (R2) or beyond what the function can bear (R12);
    /// [`Error::Unexpected`] where the system has no randomness to give.
    pub fn new(config: &Config) -> Result<Self> {
        let largest_kib = (config.function_memory_mib.saturating_mul(1024) / 4).min(1024 * 1024);
        check_cost(config.hash_memory_kib, config.hash_iterations, largest_kib)?;
        let params = Params::new(config.hash_memory_kib, config.hash_iterations, 1, None).map_err(unexpected)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = decoy(argon2.params())?;
        Ok(Self { argon2, decoy, largest_kib, evaluations: AtomicU64::new(0) })
    }

    /// How many hashes this environment has computed. What is said about cost counts these.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// Hashes a password with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the system has no randomness or memory to give.
    pub fn hash(&self, password: &Password) -> Result<PasswordHash> {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        let phc = self.argon2.hash_password_with_salt(password.bytes(), &random::<16>()?).map_err(unexpected)?;
        Ok(PasswordHash(phc.to_string()))
    }

    /// Whether the password is the one that was hashed. Without a hash, or with one that cannot be used, the answer is
    /// no, and costs one hash all the same.
    #[must_use]
    pub fn verify(&self, password: &Password, stored: Option<&PasswordHash>) -> bool {
        let usable = stored.and_then(|hash| parse(hash, self.largest_kib).inspect_err(report).ok());
        let hash = usable.as_ref().unwrap_or(&self.decoy);
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        self.argon2.verify_password(password.bytes(), hash).is_ok() & usable.is_some()
    }
}

/// R2: OWASP's floor. R12: a hash may take a quarter of the function's memory, so that it cannot exhaust it (F32).
fn check_cost(memory_kib: u32, iterations: u32, largest_kib: u32) -> Result<()> {
    let floor = match iterations {
        0 => return setting("HASH_ITERATIONS", "must be at least 1"),
        1 => 47_104,
        2 => 19_456,
        3..=MOST_ITERATIONS => 12_288,
        _ => return setting("HASH_ITERATIONS", "must be at most 10"),
    };
    if memory_kib < floor {
        let problem = "is below the floor: 47104 with HASH_ITERATIONS=1, 19456 with 2, 12288 with 3 or more";
        return setting("HASH_MEMORY_KIB", problem);
    }
    if memory_kib > largest_kib {
        return setting("HASH_MEMORY_KIB", "must be at most a quarter of the function's memory, and at most 1048576");
    }
    Ok(())
}

fn setting(name: &'static str, problem: &'static str) -> Result<()> {
    Err(Error::Setting { name, problem: problem.into() })
}

/// Reads a stored hash that can be compared with. Its parameters are capped before anything is computed: one line in a
/// table must not take the memory of the function (R12).
fn parse(stored: &PasswordHash, largest_kib: u32) -> Result<Phc, &'static str> {
    let phc = Phc::new(&stored.0).map_err(|_| "it is not a PHC string")?;
    if phc.algorithm != Algorithm::Argon2id.ident() || phc.version != Some(Version::V0x13.into()) {
        return Err("it is not Argon2id of version 19");
    }
    if phc.salt.is_none() || phc.hash.is_none() {
        return Err("it has no salt or no hash");
    }
    let params = Params::try_from(&phc).map_err(|_| "its parameters cannot be read")?;
    if params.m_cost() > largest_kib || params.t_cost() > MOST_ITERATIONS || params.p_cost() > MOST_LANES {
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

    /// R11: a hash that cannot be used matches nothing, and costs what a usable one costs.
    #[test]
    fn a_malformed_hash_matches_nothing_and_costs_one_hash() {
        let hasher = hasher(&[]);
        let good = hasher.hash(&password("1234")).unwrap().0;
        let without_hash = good.rsplit_once('$').unwrap().0.to_owned();
        let without_salt = without_hash.rsplit_once('$').unwrap().0.to_owned();
        for (stored, problem) in [
            (String::new(), "it is not a PHC string"),
            ("1234".into(), "it is not a PHC string"),
            (format!("{good}$"), "it is not a PHC string"),
            (good.replace("argon2id", "argon2i"), "it is not Argon2id of version 19"),
            (good.replace("argon2id", "scrypt"), "it is not Argon2id of version 19"),
            (good.replace("v=19", "v=16"), "it is not Argon2id of version 19"),
            (without_salt, "it has no salt or no hash"),
            (without_hash, "it has no salt or no hash"),
            (good.replace("m=19456", "m=x"), "its parameters cannot be read"),
        ] {
            let stored = PasswordHash(stored);
            assert_eq!(parse(&stored, u32::MAX).unwrap_err(), problem, "{}", stored.0);
            let before = hasher.evaluations();
            assert!(!hasher.verify(&password("1234"), Some(&stored)), "{}", stored.0);
            assert_eq!(hasher.evaluations() - before, 1);
        }
    }

    /// R12: the bounds, from both sides.
    #[test]
    fn a_stored_hash_may_take_a_quarter_of_the_memory_ten_passes_and_sixteen_lanes() {
        let on_512_mb = hasher(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")]).largest_kib;
        let anywhere = hasher(&[]).largest_kib;
        let good = hasher(&[]).hash(&password("1234")).unwrap().0;
        for (largest, from, to, fits) in [
            (on_512_mb, "m=19456", "m=131072", true),
            (on_512_mb, "m=19456", "m=131073", false),
            (on_512_mb, "m=19456", "m=1048576", false),
            (anywhere, "m=19456", "m=1048576", true),
            (anywhere, "m=19456", "m=1048577", false),
            (anywhere, "m=19456", "m=4294967295", false),
            (anywhere, "t=2", "t=10", true),
            (anywhere, "t=2", "t=11", false),
            (anywhere, "p=1", "p=16", true),
            (anywhere, "p=1", "p=17", false),
        ] {
            let parsed = parse(&PasswordHash(good.replace(from, to)), largest);
            assert_eq!(parsed.is_ok(), fits, "{to} within {largest} KiB: {parsed:?}");
        }
    }

    /// The name of the setting that a hasher refuses to start with.
    fn refused(changes: &[(&str, &str)]) -> &'static str {
        match Hasher::new(&Config::from_lookup(testbed::settings(changes)).unwrap()) {
            Err(Error::Setting { name, .. }) => name,
            other => panic!("{changes:?} gave {:?}", other.map(drop)),
        }
    }

    /// R2.
    #[test]
    fn a_cost_below_the_floor_refuses_to_start() {
        for (memory, iterations) in [("4096", "2"), ("19455", "2"), ("47103", "1"), ("12287", "3")] {
            assert_eq!(refused(&[("HASH_MEMORY_KIB", memory), ("HASH_ITERATIONS", iterations)]), "HASH_MEMORY_KIB");
        }
        for (memory, iterations) in [("19456", "2"), ("47104", "1"), ("12288", "3"), ("65536", "4")] {
            hasher(&[("HASH_MEMORY_KIB", memory), ("HASH_ITERATIONS", iterations)]);
        }
        for iterations in ["0", "11"] {
            assert_eq!(refused(&[("HASH_ITERATIONS", iterations)]), "HASH_ITERATIONS");
        }
    }

    /// F32.
    #[test]
    fn a_cost_of_more_than_a_quarter_of_the_memory_refuses_to_start() {
        hasher(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"), ("HASH_MEMORY_KIB", "131072")]);
        let on_512_mb = [("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"), ("HASH_MEMORY_KIB", "131073")];
        assert_eq!(refused(&on_512_mb), "HASH_MEMORY_KIB");
        assert_eq!(refused(&[("HASH_MEMORY_KIB", "1048577")]), "HASH_MEMORY_KIB");
    }

    /// R18.
    #[test]
    fn an_answer_costs_one_hash_whether_there_is_one_to_compare_with_or_not() {
        let hasher = hasher(&[]);
        let hash = hasher.hash(&password("1234")).unwrap();
        for (typed, stored) in [("1234", Some(&hash)), ("4321", Some(&hash)), ("1234", None)] {
            let before = hasher.evaluations();
            assert_eq!(hasher.verify(&password(typed), stored), typed == "1234" && stored.is_some());
            assert_eq!(hasher.evaluations() - before, 1, "{typed} {stored:?}");
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
