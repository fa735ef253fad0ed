//! Passwords: hash and verify.
//!
//! Owns Argon2id hashes in PHC strings, the pepper, and the rule that every password check costs the same, with or
//! without a stored hash (R18, R19). `imported` has the accepted formats of other systems. `policy` decides which new
//! passwords are accepted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Params, Version};
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::config::{Environment, reject};
use crate::error::{Error, Result};
use crate::id::random;
use crate::keys::{Key, KeySet, Keys, Purpose};
use crate::telemetry::events;

mod argon2id;
mod imported;
pub mod policy;
#[cfg(test)]
mod tests;

use argon2id::{Argon, Memory};
use imported::Imported;

/// What is wrong with a stored hash, without any part of it.
type Problem = &'static str;

/// The passes of a hash. For two passes, OWASP's memory floor is [`MIN_MEMORY_KIB`] (R1).
const ITERATIONS: u32 = 2;

/// OWASP's floor for the memory of a hash with two passes, and the default (R2).
const MIN_MEMORY_KIB: u32 = 19_456;

/// The most memory that any hash may use (R12).
const MAX_MEMORY_KIB: u32 = 1024 * 1024;

/// A password as the user typed it. Nothing is trimmed or truncated.
#[derive(Debug)]
pub struct Password {
    typed: SecretString,
    /// The password in Unicode's composed form (NFC), if that is different. We hash this form, so that "é" is the same
    /// however it was typed (R7).
    composed: Option<SecretString>,
}

impl Password {
    /// The longest accepted password in bytes (R5).
    pub const MAX_BYTES: usize = 4096;

    /// Takes a password.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] above [`Self::MAX_BYTES`].
    pub fn new(typed: &str) -> Result<Self> {
        if typed.len() > Self::MAX_BYTES {
            return Err(Error::InvalidRequest("The password is longer than 4096 bytes.".into()));
        }
        let composed = SecretString::from(typed.nfc().collect::<String>());
        let composed = Some(composed).filter(|composed| composed.expose_secret() != typed);
        Ok(Self { typed: typed.into(), composed })
    }

    /// Returns the password in the form in which it is hashed.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.composed.as_ref().unwrap_or(&self.typed).expose_secret()
    }

    /// Returns the forms to compare: as typed, because an imported hash may be of that form, and then the composed form
    /// if it is different. The flag is `true` for the form in which we hash.
    fn forms(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let typed = (&self.typed, self.composed.is_none());
        let composed = self.composed.as_ref().map(|composed| (composed, true));
        let forms = [Some(typed), composed].into_iter().flatten();
        forms.map(|(form, is_ours)| (form.expose_secret().as_bytes(), is_ours))
    }
}

/// A stored hash: our own PHC string, or an imported hash in any accepted format.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Returns the hash as it is stored. Only the export of users prints it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the name of the algorithm or of the format, such as `argon2id` or `bcrypt`. It says nothing about the
    /// password.
    #[must_use]
    pub fn scheme(&self) -> &str {
        let name = self.0.trim_start_matches('$').split(['$', ':']).next().unwrap_or_default();
        match name {
            "2a" | "2b" | "2y" => "bcrypt",
            "P" | "H" => "phpass",
            "6" => "sha512_crypt",
            "wp" => "wordpress",
            // The first part of an unreadable hash could be the password itself.
            known if KNOWN_SCHEMES.contains(&known) => known,
            _ => "unknown",
        }
    }
}

/// The formats whose name is the first part of the hash.
const KNOWN_SCHEMES: [&str; 15] = [
    "argon2",
    "argon2d",
    "argon2i",
    "argon2id",
    "bcrypt",
    "bcrypt_sha256",
    "firescrypt",
    "pbkdf2",
    "pbkdf2-sha1",
    "pbkdf2-sha256",
    "pbkdf2-sha512",
    "pbkdf2_sha1",
    "pbkdf2_sha256",
    "pbkdf2_sha512",
    "scrypt",
];

/// The result of comparing a password with a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The password is wrong, or there is no hash.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, and its hash differs from what we would store today (R3).
    Outdated,
    /// The stored hash cannot be used (R11). Holds the reason.
    Unusable(&'static str),
}

/// Hashes with Argon2id (R1).
pub struct Hasher {
    params: Params,
    peppers: Option<Keys>,
    memory: Memory,
    decoy: Stored,
    max_memory_kib: u32,
    min_duration: Duration,
    evaluations: AtomicU64,
}

/// A parsed hash.
enum Stored {
    Argon(Argon),
    Imported(Imported),
}

impl Hasher {
    /// Reads:
    /// - `HASH_MEMORY_KIB`: memory of a hash, from 19456 (the default) to a quarter of the function's memory;
    /// - `PASSWORD_PEPPER`: none by default. A pepper is a key for an HMAC over the output of Argon2. Without it, a
    ///   copy of the users table is worthless (R14);
    /// - `PASSWORD_CHECK_MS`: how long checking a password takes at least, 0 (the default) to 3000 milliseconds. It
    ///   hides that an imported hash is slower than ours (R19).
    ///
    /// Allocates the memory of one hash.
    ///
    /// # Errors
    /// [`Error::Setting`] for a memory below OWASP's floor (R2) or above what the function has (R12), and for an unsafe
    /// pepper; [`Error::Unexpected`] without random numbers or memory.
    pub fn from_env(env: &Environment) -> Result<Self> {
        let max_memory_kib = max_memory_kib(env)?;
        let memory_kib = env.number("HASH_MEMORY_KIB", MIN_MEMORY_KIB, MIN_MEMORY_KIB..=MAX_MEMORY_KIB)?;
        if memory_kib > max_memory_kib {
            return reject("HASH_MEMORY_KIB", "must be at most a quarter of the function's memory");
        }
        let params = Params::new(memory_kib, ITERATIONS, 1, None).map_err(Error::unexpected)?;
        // No password has this hash. Comparing with it costs as much as comparing with a real one.
        let decoy = ours(&params, random::<16>()?.into(), random::<32>()?.into());
        Ok(Self {
            memory: Memory::new(params.block_count()).ok_or_else(|| Error::unexpected("no memory for a hash"))?,
            peppers: env.optional_keys(Purpose::Pepper)?,
            decoy: Stored::Argon(decoy),
            params,
            max_memory_kib,
            min_duration: Duration::from_millis(env.number("PASSWORD_CHECK_MS", 0, 0..=3000)?),
            evaluations: AtomicU64::new(0),
        })
    }

    /// Returns how many hashes this instance has computed. Tests use it to show that no hash was computed.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// Hashes a password with a new salt and the pepper of `now`.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the random number generator fails.
    pub fn hash(&self, password: &Password, now: Timestamp) -> Result<PasswordHash> {
        let salt = random::<16>()?;
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        let blank = ours(&self.params, salt.into(), vec![0; 32]);
        let digest = blank.compute(password.expose().as_bytes(), &self.memory);
        let digest = digest.ok_or_else(|| Error::unexpected("Argon2 refused its own parameters"))?;
        let peppers = self.peppers();
        let (key_id, digest) = match peppers.as_ref().and_then(|peppers| peppers.signing(now)) {
            Some(pepper) => {
                let digest = Zeroizing::new(digest);
                (format!(",keyid={}", STANDARD_NO_PAD.encode(pepper_id(pepper))), pepper.sign(&digest))
            }
            None => (String::new(), digest),
        };
        let (memory, iterations) = (self.params.m_cost(), self.params.t_cost());
        let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
        Ok(PasswordHash(format!("$argon2id$v=19$m={memory},t={iterations},p=1{key_id}${salt}${digest}")))
    }

    /// Accepts a hash from another system, in any supported format.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] says what is wrong with it.
    pub fn import(&self, text: &str) -> Result<PasswordHash> {
        match self.parse(text) {
            Ok(_) => Ok(PasswordHash(text.to_owned())),
            Err(problem) => Err(Error::InvalidRequest(format!("The password hash cannot be used: {problem}.").into())),
        }
    }

    /// Compares a password with a stored hash. Computes one hash even if there is no stored hash or an unusable one.
    /// Returns at least `PASSWORD_CHECK_MS` after `started` (R19). A password with two Unicode forms costs two hashes
    /// and twice the time.
    pub async fn verify(
        &self,
        password: &Password,
        stored: Option<&PasswordHash>,
        now: Timestamp,
        started: Instant,
    ) -> Comparison {
        let forms = if password.composed.is_some() { 2 } else { 1 };
        let min_duration = self.min_duration * forms;
        let parsed = stored.map(|hash| self.parse(&hash.0)).transpose();
        let comparison = self.compare(password, &parsed, now);
        let took = started.elapsed();
        if took > min_duration && matches!(&parsed, Ok(Some(hash)) if !self.has_our_cost(hash)) {
            events::slow_password_hash(took / forms);
        }
        // A sleep of zero would still last until the next tick of the runtime's clock, up to a millisecond.
        if took < min_duration {
            tokio::time::sleep(min_duration.saturating_sub(took)).await;
        }
        comparison
    }

    fn compare(&self, password: &Password, parsed: &Result<Option<Stored>, Problem>, now: Timestamp) -> Comparison {
        let hash = parsed.as_ref().ok().and_then(Option::as_ref);
        // Compares every form, with the decoy too, so that the cost does not tell whether the account exists.
        let forms = password.forms().map(|(form, is_ours)| (self.matches(form, hash.unwrap_or(&self.decoy)), is_ours));
        let matching: Vec<_> = forms.filter_map(|(matches, is_ours)| matches.then_some(is_ours)).collect();
        match (parsed, matching.first()) {
            (Err(problem), _) => Comparison::Unusable(problem),
            (Ok(None), _) | (Ok(_), None) => Comparison::Wrong,
            (Ok(Some(hash)), Some(true)) if self.is_current(hash, now) => Comparison::Right,
            (Ok(Some(_)), Some(_)) => Comparison::Outdated,
        }
    }

    fn parse(&self, text: &str) -> Result<Stored, Problem> {
        // Django writes `argon2` before a PHC string of Argon2.
        let phc = text.strip_prefix("argon2").filter(|rest| rest.starts_with('$')).unwrap_or(text);
        if !phc.starts_with("$argon2") {
            return Imported::parse(text, self.max_memory_kib).map(Stored::Imported);
        }
        let argon = Argon::parse(phc, self.max_memory_kib)?;
        let has_known_pepper = argon.params.keyid().is_empty() || self.has_pepper_of(&argon);
        if has_known_pepper { Ok(Stored::Argon(argon)) } else { Err("its pepper is not configured") }
    }

    fn matches(&self, password: &[u8], hash: &Stored) -> bool {
        match hash {
            Stored::Imported(imported) if !imported.accepts(password) => {
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
                    let peppered = self.peppered(argon, &digest);
                    let digest = peppered.as_deref().unwrap_or(&digest);
                    constant_time::verify_slices_are_equal(digest, &argon.digest).is_ok()
                })
            }
        }
    }

    /// Returns `true` if a hash has the algorithm, the parameters and the pepper that a new one would have.
    fn is_current(&self, hash: &Stored, now: Timestamp) -> bool {
        let Stored::Argon(argon) = hash else { return false };
        self.has_our_cost(hash)
            && (argon.algorithm, argon.version) == (Algorithm::Argon2id, Version::V0x13)
            && (argon.salt.len(), argon.digest.len()) == (16, 32)
            && argon.params.keyid() == self.pepper_id_at(now)
            && argon.params.data().is_empty()
    }

    fn has_our_cost(&self, hash: &Stored) -> bool {
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        matches!(hash, Stored::Argon(argon) if cost(&argon.params) == cost(&self.params))
    }

    fn peppers(&self) -> Option<Arc<KeySet>> {
        self.peppers.as_ref().map(Keys::set)
    }

    /// Returns the id of the pepper that a new hash gets at `now`, or nothing.
    fn pepper_id_at(&self, now: Timestamp) -> Vec<u8> {
        self.peppers().and_then(|peppers| peppers.signing(now).map(pepper_id)).unwrap_or_default()
    }

    fn has_pepper_of(&self, hash: &Argon) -> bool {
        self.peppered(hash, &[]).is_some()
    }

    /// Applies the pepper of a hash to the output of Argon2. Returns `None` if the hash has no pepper or an unknown
    /// one.
    fn peppered(&self, hash: &Argon, digest: &[u8]) -> Option<Vec<u8>> {
        let peppers = self.peppers()?;
        let pepper = peppers.keys().iter().find(|pepper| pepper_id(pepper) == hash.params.keyid())?;
        Some(pepper.sign(digest))
    }
}

/// Returns the id of a pepper in a stored hash: 48 bits of a SHA-256 over a label and the pepper. It tells two peppers
/// apart and reveals neither.
fn pepper_id(pepper: &Key) -> Vec<u8> {
    let secret = pepper.expose().expose_secret().as_bytes();
    let id = digest::digest(&digest::SHA256, &[b"latchkey pepper id\0", secret].concat());
    id.as_ref()[..6].to_vec()
}

/// Returns a hash in our own form with this salt and this digest.
fn ours(params: &Params, salt: Vec<u8>, digest: Vec<u8>) -> Argon {
    Argon { algorithm: Algorithm::Argon2id, version: Version::V0x13, params: params.clone(), salt, digest }
}

/// Returns how much memory a hash may use: a quarter of the function's memory (R12, F32). Lambda sets
/// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`.
fn max_memory_kib(env: &Environment) -> Result<u32> {
    let function_mib = env.number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", u32::MAX, 1..=u32::MAX)?;
    Ok((function_mib.saturating_mul(1024) / 4).min(MAX_MEMORY_KIB))
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}
