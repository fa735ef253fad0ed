//! Passwords: hash and verify.
//!
//! Owns how a password becomes Argon2id in a PHC string, which hashes of others are taken over, and the promise that an
//! answer costs the same whether there is a hash to compare with or not (R18, R19). Knows nothing of whose password it is.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Params, Version};
use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::random;

mod argon;
mod imported;
pub mod policy;

use argon::{Argon, MOST_ITERATIONS, Memory};
use imported::Imported;

/// What is wrong with a stored hash, without a word of it.
type Problem = &'static str;

/// A password as somebody typed it. Every byte counts: nothing is trimmed or cut off.
#[derive(Debug)]
pub struct Password {
    typed: SecretString,
    /// In Unicode's composed form, where that is another: what we hash, so that "é" is one thing however it was typed (R7).
    composed: Option<SecretString>,
}

impl Password {
    /// The longest password that is hashed (R5).
    pub const LONGEST: usize = 4096;

    /// Takes a password in.
    ///
    /// # Errors
    /// [`Error::Malformed`] over [`Self::LONGEST`] bytes.
    pub fn new(typed: &str) -> Result<Self> {
        if typed.len() > Self::LONGEST {
            return Err(Error::Malformed("The password is longer than 4096 bytes.".into()));
        }
        let composed = SecretString::from(typed.nfc().collect::<String>());
        let composed = Some(composed).filter(|composed| composed.expose_secret() != typed);
        Ok(Self { typed: typed.into(), composed })
    }

    /// The password in the form in which we hash it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.composed.as_ref().unwrap_or(&self.typed).expose_secret()
    }

    /// As it was typed, which an imported hash may have been made of; then as we hash it, where that is another form. And
    /// whether it is the latter.
    fn forms(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let typed = (&self.typed, self.composed.is_none());
        let composed = self.composed.as_ref().map(|composed| (composed, true));
        let forms = [Some(typed), composed].into_iter().flatten();
        forms.map(|(form, is_ours)| (form.expose_secret().as_bytes(), is_ours))
    }
}

/// A hash as it is stored: a PHC string of ours, or what somebody was imported with.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash as it is stored.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not the password, or there is none.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, and its hash is not what we would make of it today (R3).
    Outdated,
    /// There is a hash that nothing can be compared with (R11), and what is wrong with it.
    Unusable(&'static str),
}

/// Argon2id with the configured cost (R1).
pub struct Hasher {
    params: Params,
    pepper: Option<Pepper>,
    previous_pepper: Option<Pepper>,
    memory: Memory,
    decoy: Stored,
    largest_kib: u32,
    floor: Duration,
    evaluations: AtomicU64,
}

/// A stored hash that has been read.
enum Stored {
    Argon(Argon),
    Imported(Imported),
}

/// A key that the result of Argon2 goes through, so that a copy of the table alone is worth nothing (R14).
struct Pepper {
    id: Vec<u8>,
    key: hmac::Key,
}

impl Hasher {
    /// A hasher with the configured cost. It takes the memory of a hash for good.
    ///
    /// # Errors
    /// [`Error::Setting`] for a cost below OWASP's floor (R2) or beyond what the function can bear (R12);
    /// [`Error::Unexpected`] where the system has no randomness or memory to give.
    pub fn new(config: &Config) -> Result<Self> {
        let largest_kib = (config.function_memory_mib.saturating_mul(1024) / 4).min(1024 * 1024);
        check_cost(config.hash_memory_kib, config.hash_iterations, largest_kib)?;
        let params = Params::new(config.hash_memory_kib, config.hash_iterations, 1, None);
        let params = params.map_err(|error| Error::Unexpected(error.into()))?;
        // A hash that no password has, at the cost of all the others; making it costs nothing.
        let decoy = ours(&params, random::<16>()?.into(), random::<32>()?.into());
        Ok(Self {
            memory: Memory::new(params.block_count())
                .ok_or_else(|| Error::Unexpected("no memory for a hash".into()))?,
            pepper: config.password_pepper.as_ref().map(Pepper::new),
            previous_pepper: config.previous_password_pepper.as_ref().map(Pepper::new),
            decoy: Stored::Argon(decoy),
            params,
            largest_kib,
            floor: config.password_check_time,
            evaluations: AtomicU64::new(0),
        })
    }

    /// How many hashes this environment has computed. What is said about cost counts these.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// Hashes a password with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the system has no randomness to give.
    pub fn hash(&self, password: &Password) -> Result<PasswordHash> {
        let salt = random::<16>()?;
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        let blank = ours(&self.params, salt.into(), vec![0; 32]);
        let digest = blank.compute(password.expose().as_bytes(), &self.memory);
        let digest = digest.ok_or_else(|| Error::Unexpected("Argon2 refused its own parameters".into()))?;
        let (key_id, digest) = match &self.pepper {
            Some(pepper) => {
                let digest = Zeroizing::new(digest);
                (format!(",keyid={}", STANDARD_NO_PAD.encode(&pepper.id)), pepper.apply(&digest))
            }
            None => (String::new(), digest),
        };
        let (memory, iterations) = (self.params.m_cost(), self.params.t_cost());
        let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
        Ok(PasswordHash(format!("$argon2id$v=19$m={memory},t={iterations},p=1{key_id}${salt}${digest}")))
    }

    /// Takes over a hash that was made elsewhere, in any format that is read here.
    ///
    /// # Errors
    /// [`Error::Malformed`] says what is wrong with it.
    pub fn import(&self, text: &str) -> Result<PasswordHash> {
        match self.read(text) {
            Ok(_) => Ok(PasswordHash(text.to_owned())),
            Err(problem) => Err(Error::Malformed(format!("The password hash cannot be used: {problem}.").into())),
        }
    }

    /// Whether the password is the one that was hashed. Without a hash, or with one that cannot be used, the answer is no and
    /// costs one hash all the same. And none comes before `PASSWORD_CHECK_MS` are over since it was `asked`, whatever a hash
    /// costs and whatever was to be read for it (R19). A password that has two forms takes twice of both, whoever is named.
    pub async fn verify(&self, password: &Password, stored: Option<&PasswordHash>, asked: Instant) -> Verdict {
        let forms = if password.composed.is_some() { 2 } else { 1 };
        let floor = self.floor * forms;
        let read = stored.map(|hash| self.read(&hash.0)).transpose();
        let verdict = self.compare(password, &read);
        let took = asked.elapsed();
        if took > floor && matches!(&read, Ok(Some(hash)) if !self.costs_as_ours(hash)) {
            let milliseconds = u64::try_from((took / forms).as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                event = "slow_password_hash",
                milliseconds,
                "A hash of another cost can be told from others by its time: set PASSWORD_CHECK_MS to more than it took."
            );
        }
        // Not for no time at all: the clock of the runtime ticks once a millisecond.
        if took < floor {
            tokio::time::sleep(floor.saturating_sub(took)).await;
        }
        verdict
    }

    fn compare(&self, password: &Password, read: &Result<Option<Stored>, Problem>) -> Verdict {
        let hash = read.as_ref().ok().and_then(Option::as_ref);
        // Every form is compared, and the decoy with every form: neither tells which names there are.
        let forms = password.forms().map(|(form, is_ours)| (self.matches(form, hash.unwrap_or(&self.decoy)), is_ours));
        let matching: Vec<_> = forms.filter_map(|(matches, is_ours)| matches.then_some(is_ours)).collect();
        match (read, matching.first()) {
            (Err(problem), _) => Verdict::Unusable(problem),
            (Ok(None), _) | (Ok(_), None) => Verdict::Wrong,
            (Ok(Some(hash)), Some(true)) if self.is_current(hash) => Verdict::Right,
            (Ok(Some(_)), Some(_)) => Verdict::Outdated,
        }
    }

    fn read(&self, text: &str) -> Result<Stored, Problem> {
        // Django writes the name of the algorithm before a PHC string that has it, too.
        let phc = text.strip_prefix("argon2").filter(|rest| rest.starts_with('$')).unwrap_or(text);
        if !phc.starts_with("$argon2") {
            return Imported::parse(text, self.largest_kib).map(Stored::Imported);
        }
        let argon = Argon::parse(phc, self.largest_kib)?;
        let is_known = argon.params.keyid().is_empty() || self.pepper_of(&argon).is_some();
        if is_known { Ok(Stored::Argon(argon)) } else { Err("its pepper is none that is configured") }
    }

    fn matches(&self, password: &[u8], hash: &Stored) -> bool {
        match hash {
            Stored::Imported(imported) if !imported.takes(password) => {
                self.matches(password, &self.decoy);
                false
            }
            Stored::Imported(imported) => {
                self.evaluations.fetch_add(1, Ordering::Relaxed);
                imported.matches(password)
            }
            Stored::Argon(argon) => {
                self.evaluations.fetch_add(1, Ordering::Relaxed);
                argon.compute(password, &self.memory).is_some_and(|digest| {
                    let digest = Zeroizing::new(digest);
                    let peppered = self.pepper_of(argon).map(|pepper| pepper.apply(&digest));
                    let digest = peppered.as_deref().unwrap_or(&digest);
                    constant_time::verify_slices_are_equal(digest, &argon.digest).is_ok()
                })
            }
        }
    }

    /// Whether a hash is what would be made today: algorithm, parameters and pepper.
    fn is_current(&self, hash: &Stored) -> bool {
        let Stored::Argon(argon) = hash else { return false };
        self.costs_as_ours(hash)
            && (argon.algorithm, argon.version) == (Algorithm::Argon2id, Version::V0x13)
            && (argon.salt.len(), argon.digest.len()) == (16, 32)
            && argon.params.keyid() == self.pepper.as_ref().map_or(&[][..], |pepper| &pepper.id)
            && argon.params.data().is_empty()
    }

    fn costs_as_ours(&self, hash: &Stored) -> bool {
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        matches!(hash, Stored::Argon(argon) if cost(&argon.params) == cost(&self.params))
    }

    fn pepper_of(&self, hash: &Argon) -> Option<&Pepper> {
        let mut known = [&self.pepper, &self.previous_pepper].into_iter().flatten();
        known.find(|pepper| pepper.id == hash.params.keyid())
    }
}

impl Pepper {
    /// Its name is 48 bits of a SHA-256 over a label and the pepper: what tells two apart, and tells neither.
    fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        let id = digest::digest(&digest::SHA256, &[b"latchkey pepper id\0", secret].concat());
        Self { id: id.as_ref()[..6].to_vec(), key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    fn apply(&self, digest: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key, digest).as_ref().to_vec()
    }
}

/// A hash of ours, with this salt and this result.
fn ours(params: &Params, salt: Vec<u8>, digest: Vec<u8>) -> Argon {
    Argon { algorithm: Algorithm::Argon2id, version: Version::V0x13, params: params.clone(), salt, digest }
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

    fn compare(hasher: &Hasher, text: &str, stored: &PasswordHash) -> Verdict {
        hasher.compare(&password(text), &hasher.read(&stored.0).map(Some))
    }

    /// R1.
    #[test]
    fn a_hash_is_argon2id_at_the_configured_cost_with_a_salt_of_its_own() {
        let hasher = hasher(&[]);
        let stored: Vec<_> = (0..8).map(|_| hasher.hash(&password("1234")).unwrap().0).collect();
        assert!(stored.iter().all(|hash| hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")), "{stored:?}");
        let read: Vec<_> = stored.iter().map(|hash| Argon::parse(hash, u32::MAX).unwrap()).collect();
        assert!(read.iter().all(|hash| hash.salt.len() >= 16 && hash.digest.len() == 32));
        let salts: HashSet<_> = read.iter().map(|hash| &hash.salt).collect();
        assert_eq!(salts.len(), stored.len());
    }

    /// R1: a salt is drawn for each hash; a thousand of them, without the hashes.
    #[test]
    fn a_thousand_salts_are_a_thousand_different_salts() {
        let salts: HashSet<[u8; 16]> = (0..1000).map(|_| random().unwrap()).collect();
        assert_eq!(salts.len(), 1000);
    }

    /// R5, R7: every byte counts, the end of a long password and what follows a NUL included.
    #[test]
    fn the_right_password_matches_and_no_other() {
        let hasher = hasher(&[]);
        let long = "p".repeat(1000);
        let (of_72, of_4096) = ("q".repeat(72), "r".repeat(4096));
        for (right, wrong) in [
            ("correct horse", &["", "correct hors", "correct horse ", "Correct horse", "correct horse\0"][..]),
            ("ab\0cd", &["ab", "ab\0ce"]),
            (&of_72, &[&"q".repeat(71), &"q".repeat(73)]),
            (&long, &[&"p".repeat(1001), &"p".repeat(999)]),
            (&of_4096, &[&"r".repeat(4095)]),
            (&"\u{e9}".repeat(64), &[&"\u{e9}".repeat(63), &"e".repeat(64)]),
            ("\u{1f511}\u{fe0f}", &["\u{1f511}"]),
        ] {
            let hash = hasher.hash(&password(right)).unwrap();
            assert_eq!(compare(&hasher, right, &hash), Verdict::Right, "{right:?}");
            for wrong in wrong {
                assert_eq!(compare(&hasher, wrong, &hash), Verdict::Wrong, "{wrong:?}");
            }
        }
    }

    /// R5.
    #[test]
    fn a_password_of_more_than_4_kib_is_refused_before_anything_is_computed() {
        assert!(matches!(Password::new(&"x".repeat(4097)), Err(Error::Malformed(_))));
        assert!(matches!(Password::new(&"\u{e9}".repeat(2049)), Err(Error::Malformed(_))));
    }

    /// R7.
    #[test]
    fn a_password_is_the_same_however_its_letters_are_composed() {
        let hasher = hasher(&[]);
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        for one in [composed, decomposed] {
            let hash = hasher.hash(&password(one)).unwrap();
            for other in [composed, decomposed] {
                assert_eq!(compare(&hasher, other, &hash), Verdict::Right, "{one:?} {other:?}");
            }
        }
    }

    /// R3: another algorithm, other parameters, or what we would not have hashed in that form.
    #[test]
    fn a_hash_that_we_would_make_differently_today_is_outdated() {
        let today = hasher(&[]);
        let at_another_cost = hasher(&[("HASH_ITERATIONS", "3")]).hash(&password("1234")).unwrap();
        assert_eq!(compare(&today, "1234", &at_another_cost), Verdict::Outdated);
        assert_eq!(compare(&today, "1235", &at_another_cost), Verdict::Wrong);
        for foreign in [
            "$argon2id$v=19$m=19456,t=2,p=2$c29tZXNhbHRzb21lc2FsdA$",
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
            "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=19456,t=2,p=1,data=c29tZQ$c29tZXNhbHRzb21lc2FsdA$",
        ] {
            let blank = Argon::parse(&format!("{foreign}{}", STANDARD_NO_PAD.encode([0; 32])), u32::MAX).unwrap();
            let digest = blank.compute(b"1234", &today.memory).unwrap();
            let hash = today.import(&format!("{foreign}{}", STANDARD_NO_PAD.encode(digest))).unwrap();
            assert_eq!(compare(&today, "1234", &hash), Verdict::Outdated, "{foreign}");
        }
        let decomposed = ours(&today.params, vec![7; 16], vec![0; 32]).compute("e\u{301}".as_bytes(), &today.memory);
        let (salt, digest) = (STANDARD_NO_PAD.encode([7; 16]), STANDARD_NO_PAD.encode(decomposed.unwrap()));
        let imported = today.import(&format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}")).unwrap();
        assert_eq!(compare(&today, "e\u{301}", &imported), Verdict::Outdated);
        assert_eq!(compare(&today, "\u{e9}", &imported), Verdict::Wrong, "the composed form was never hashed");
    }

    #[tokio::test]
    async fn nothing_matches_where_there_is_no_hash() {
        let hasher = hasher(&[]);
        for text in ["", "1234"] {
            assert_eq!(hasher.verify(&password(text), None, Instant::now()).await, Verdict::Wrong);
        }
    }

    /// R18: the decoy is computed like any other hash, and as often: a password that has two forms is compared twice.
    #[test]
    fn it_costs_the_same_whether_there_is_a_hash_or_not() {
        let hasher = hasher(&[("HASH_MEMORY_KIB", "20000"), ("HASH_ITERATIONS", "3")]);
        let hash = hasher.hash(&password("1234")).unwrap();
        let Stored::Argon(decoy) = &hasher.decoy else { panic!("not Argon2") };
        let ours = Argon::parse(&hash.0, u32::MAX).unwrap();
        assert_eq!((decoy.algorithm, decoy.version), (ours.algorithm, ours.version));
        assert_eq!(decoy.params.block_count(), ours.params.block_count());
        assert_eq!((decoy.salt.len(), decoy.digest.len()), (ours.salt.len(), ours.digest.len()));
        let unusable = PasswordHash("1234".into());
        for stored in [None, Some(&hash), Some(&unusable)] {
            for (text, cost) in [("1235", 1), ("e\u{301}", 2)] {
                let before = hasher.evaluations();
                hasher.compare(&password(text), &stored.map(|hash| hasher.read(&hash.0)).transpose());
                assert_eq!(hasher.evaluations() - before, cost, "{stored:?}");
            }
        }
    }

    /// R19: with imported hashes of another cost, no answer comes before the slowest of them would have.
    #[tokio::test]
    async fn no_answer_comes_before_the_time_that_is_set_for_it() {
        let hasher = hasher(&[("PASSWORD_CHECK_MS", "300")]);
        let hash = hasher.hash(&password("1234")).unwrap();
        for stored in [None, Some(&hash), Some(&PasswordHash("1234".into()))] {
            for (text, least) in [("1234", 300), ("1235", 300), ("e\u{301}", 600)] {
                let started = Instant::now();
                hasher.verify(&password(text), stored, Instant::now()).await;
                assert!(started.elapsed() >= Duration::from_millis(least), "{stored:?}");
            }
        }
    }

    /// R19: an operator who has set no time for it, or too little, is told.
    #[tokio::test]
    async fn a_hash_that_takes_longer_than_all_others_is_reported() {
        let ours = hasher(&[]).hash(&password("1234")).unwrap();
        let imported = PasswordHash("$2b$04$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m".into());
        for (floor, hash, reported) in [("0", &imported, 1), ("0", &ours, 0), ("3000", &imported, 0)] {
            let (hasher, log) = (hasher(&[("PASSWORD_CHECK_MS", floor)]), testbed::Log::start());
            hasher.verify(&password("4321"), Some(hash), Instant::now()).await;
            assert_eq!(log.events("slow_password_hash").len(), reported, "{floor} {hash:?}");
        }
    }

    const PEPPERS: [&str; 2] = ["first-pepper-0123456789-0123456789", "other-pepper-9876543210-9876543210"];

    /// R14.
    #[test]
    fn a_pepper_can_be_changed_and_the_hash_says_which_it_was() {
        let [first, other] = PEPPERS;
        let plain = hasher(&[]);
        let peppered = hasher(&[("PASSWORD_PEPPER", first)]);
        let changed = hasher(&[("PASSWORD_PEPPER", other), ("PREVIOUS_PASSWORD_PEPPER", first)]);
        let lost = hasher(&[("PASSWORD_PEPPER", other)]);

        let (old, hash) = (plain.hash(&password("1234")).unwrap(), peppered.hash(&password("1234")).unwrap());
        assert_eq!(compare(&peppered, "1234", &old), Verdict::Outdated, "made before there was one");
        assert_eq!(compare(&peppered, "1234", &hash), Verdict::Right);
        assert_eq!(compare(&peppered, "1235", &hash), Verdict::Wrong);
        assert_eq!(compare(&changed, "1234", &hash), Verdict::Outdated);
        assert!(matches!(compare(&lost, "1234", &hash), Verdict::Unusable(_)));
        assert!(matches!(compare(&plain, "1234", &hash), Verdict::Unusable(_)));

        let renewed = changed.hash(&password("1234")).unwrap();
        assert_eq!(compare(&lost, "1234", &renewed), Verdict::Right, "it carries the new one");
        let forged =
            renewed.0.split(",keyid=").next().unwrap().to_owned() + &renewed.0[renewed.0.find("$v=19").unwrap()..];
        assert!(!matches!(compare(&lost, "1234", &PasswordHash(forged)), Verdict::Right));
        assert!(hash.0.contains(",keyid=") && !hash.0.contains(first));
    }

    /// R14: the first of three deploys, in which no instance may make what another one cannot read yet.
    #[test]
    fn a_previous_pepper_alone_verifies_and_makes_no_hash() {
        let previous = hasher(&[("PREVIOUS_PASSWORD_PEPPER", PEPPERS[0])]);
        let peppered = hasher(&[("PASSWORD_PEPPER", PEPPERS[0])]).hash(&password("1234")).unwrap();
        assert_eq!(compare(&previous, "1234", &peppered), Verdict::Outdated);
        let plain = previous.hash(&password("1234")).unwrap();
        assert!(!plain.0.contains("keyid"));
        assert_eq!(compare(&previous, "1234", &plain), Verdict::Right);
    }

    /// R14: the table alone does not tell whether a guess is right.
    #[test]
    fn what_is_stored_under_a_pepper_is_not_what_argon2_gives() {
        let peppered = hasher(&[("PASSWORD_PEPPER", PEPPERS[0])]);
        let hash = peppered.hash(&password("1234")).unwrap();
        let read = Argon::parse(&hash.0, u32::MAX).unwrap();
        assert_ne!(read.compute(b"1234", &peppered.memory).unwrap(), read.digest);
    }

    /// The memory of the last hash is wiped, and that of a larger one is not kept.
    #[test]
    fn nothing_of_a_password_stays_in_the_memory_that_hashed_it() {
        let memory = Memory::new(16).unwrap();
        let blank =
            Argon::parse(&format!("$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ${}", STANDARD_NO_PAD.encode([0; 32])), 64);
        blank.unwrap().compute(b"1234", &memory).unwrap();
        assert!(memory.is_blank());
        let larger =
            Argon::parse(&format!("$argon2id$v=19$m=32,t=1,p=1$c29tZXNhbHQ${}", STANDARD_NO_PAD.encode([0; 32])), 64);
        let first = larger.unwrap().compute(b"1234", &memory).unwrap();
        assert!(memory.is_blank() && first != [0; 32]);
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

    /// R97.
    #[test]
    fn neither_a_password_nor_a_hash_is_printed() {
        let hash = hasher(&[]).hash(&password("hunter42")).unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
        assert!(!format!("{:?}", password("hunter42")).contains("hunter42"));
    }
}
