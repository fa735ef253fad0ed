//! The hashes that people bring along from elsewhere.
//!
//! Owns how each format is read, which costs are borne (R12) and how a password is compared with it (R13). Each is read to
//! the last character: what is not exactly as its makers write it is malformed, and matches nothing (R11). Makes no hash:
//! whoever signs in with one of these gets one of ours.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, digest, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::{Digest as _, Md5};
use scrypt::Params as ScryptParams;
use sha_crypt::{PasswordVerifier as _, ShaCrypt};
use zeroize::Zeroizing;

use super::Problem;
use super::argon::SHORTEST_DIGEST;

/// What a stored hash may ask for (R12); Argon2's caps are with Argon2.
const MOST_BCRYPT: u32 = 15;
const MOST_PBKDF2: u32 = 10_000_000;
const MOST_SCRYPT: (u8, u32, u32) = (17, 8, 10);
const MOST_SHA512_CRYPT: u32 = 1_000_000;
const MOST_PHPASS: u8 = 20;

/// The longest password that is compared with a hash whose every round reads all of it: with the longest one that may be typed, a
/// single guess would take minutes (CVE-2016-20013). A longer one matches no such hash.
const LONGEST_IN_EVERY_ROUND: usize = 128;

/// The longest hash that scrypt is asked for. PBKDF2 is asked for what its hash function gives: it takes as long again for more.
const LONGEST_SCRYPT: usize = 64;

const TOO_COSTLY: Problem = "its parameters cost too much";
const UNREADABLE: Problem = "its parameters cannot be read";
const MISSHAPEN: Problem = "its salt or its hash is not encoded as this format does, or has another length";

/// A hash in a format of others.
pub(super) enum Imported {
    /// `$2a$`, `$2b$`, `$2y$`: of the first 72 bytes, as bcrypt has always done (R6). Django's newer form hashes the
    /// hexadecimal SHA-256 of the password, which is shorter than that.
    Bcrypt { hash: String, of_sha256: bool },
    /// scrypt, as passlib and PHC strings, and as Django writes it.
    Scrypt { params: ScryptParams, salt: Vec<u8>, digest: Vec<u8> },
    /// PBKDF2 with SHA-1, SHA-256 or SHA-512, as passlib, PHC strings and Django write it.
    Pbkdf2 { algorithm: pbkdf2::Algorithm, iterations: NonZeroU32, salt: Vec<u8>, digest: Vec<u8> },
    /// `$P$`, `$H$`: the portable hashes of phpass, `WordPress` and phpBB.
    Phpass { log2_rounds: u8, salt: Vec<u8>, digest: Vec<u8> },
    /// `$6$`: the `crypt` of Unix with SHA-512.
    Sha512Crypt(String),
    /// Firebase's scrypt: the project's signer key, encrypted under what scrypt makes of the password.
    Firebase { params: ScryptParams, salt: Vec<u8>, signer_key: Vec<u8>, digest: Vec<u8> },
}

impl Imported {
    /// Reads a hash in any of these formats.
    pub(super) fn parse(text: &str, largest_kib: u32) -> Result<Self, Problem> {
        let fields: Vec<_> = text.split('$').collect();
        match fields[..] {
            ["", "2a" | "2b" | "2y", ..] => bcrypt(text, false),
            ["bcrypt", ..] => bcrypt(text.strip_prefix("bcrypt$").ok_or(MISSHAPEN)?, false),
            ["bcrypt_sha256", ..] => bcrypt(text.strip_prefix("bcrypt_sha256$").ok_or(MISSHAPEN)?, true),
            ["", "scrypt", params, salt, hash] => {
                let [log_n, r, p] = parameters(params, ["ln", "r", "p"])?;
                let (params, digest) = (scrypt_params(log_n, r, p, largest_kib)?, decode(hash)?);
                if (32..=LONGEST_SCRYPT).contains(&digest.len()) {
                    Ok(Self::Scrypt { params, salt: decode(salt)?, digest })
                } else {
                    Err(MISSHAPEN)
                }
            }
            ["scrypt", n, salt, r, p, hash] => {
                let n: u32 = number(n).filter(|n: &u32| n.is_power_of_two()).ok_or(UNREADABLE)?;
                let (r, p) = (number(r).ok_or(UNREADABLE)?, number(p).ok_or(UNREADABLE)?);
                let params = scrypt_params(n.ilog2(), r, p, largest_kib)?;
                Ok(Self::Scrypt { params, salt: of_text(salt)?, digest: of_length(64, padded(hash)?)? })
            }
            ["", name @ ("pbkdf2" | "pbkdf2-sha1" | "pbkdf2-sha256" | "pbkdf2-sha512"), params, salt, hash] => {
                let (algorithm, length) = match name {
                    "pbkdf2-sha256" => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
                    "pbkdf2-sha512" => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
                    _ => (pbkdf2::PBKDF2_HMAC_SHA1, 20),
                };
                // passlib writes the number alone, PHC strings `i=` and perhaps `l=`; passlib has `.` for `+`.
                if let Some(iterations) = number(params) {
                    let salt = decode(&with_plus(salt)?)?;
                    return Self::pbkdf2(algorithm, iterations, salt, of_length(length, decode(&with_plus(hash)?)?)?);
                }
                let digest = decode(hash)?;
                if digest.len() > length {
                    return Err(MISSHAPEN);
                }
                let [iterations] = match params.split_once(",l=") {
                    Some((iterations, length)) if number(length) == Some(digest.len()) => {
                        parameters(iterations, ["i"])?
                    }
                    Some(_) => return Err(MISSHAPEN),
                    None => parameters(params, ["i"])?,
                };
                Self::pbkdf2(algorithm, iterations, of_text(salt).and(decode(salt))?, digest)
            }
            [name @ ("pbkdf2_sha1" | "pbkdf2_sha256"), iterations, salt, hash] => {
                let (algorithm, length) = match name {
                    "pbkdf2_sha256" => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
                    _ => (pbkdf2::PBKDF2_HMAC_SHA1, 20),
                };
                let iterations = number(iterations).ok_or(UNREADABLE)?;
                Self::pbkdf2(algorithm, iterations, of_text(salt)?, of_length(length, padded(hash)?)?)
            }
            ["", "P" | "H", rest] => phpass(rest),
            ["", "6", ..] => sha512_crypt(text, &fields[2..]),
            ["", "firescrypt", params, salt, hash, separator, signer_key] => {
                let [log_n, r, p] = parameters(params, ["ln", "r", "p"])?;
                let params = scrypt_params(log_n, r, p, largest_kib)?;
                let (digest, signer_key) = (padded(hash)?, padded(signer_key)?);
                if digest.len() != signer_key.len() || digest.len() < SHORTEST_DIGEST {
                    return Err(MISSHAPEN);
                }
                Ok(Self::Firebase { params, salt: [padded(salt)?, padded(separator)?].concat(), signer_key, digest })
            }
            _ => Err("it is of no format that is known"),
        }
    }

    fn pbkdf2(algorithm: pbkdf2::Algorithm, iterations: u32, salt: Vec<u8>, digest: Vec<u8>) -> Result<Self, Problem> {
        let iterations = NonZeroU32::new(iterations).ok_or(UNREADABLE)?;
        if iterations.get() > MOST_PBKDF2 {
            return Err(TOO_COSTLY);
        }
        if digest.len() >= SHORTEST_DIGEST {
            Ok(Self::Pbkdf2 { algorithm, iterations, salt, digest })
        } else {
            Err(MISSHAPEN)
        }
    }

    /// Whether a password can be compared with this hash. One that cannot matches nothing: one that is too long for a format that
    /// reads it in every round; and one with a NUL, after which bcrypt begins again from the start.
    pub(super) fn takes(&self, password: &[u8]) -> bool {
        match self {
            Self::Phpass { .. } | Self::Sha512Crypt(_) => password.len() <= LONGEST_IN_EVERY_ROUND,
            Self::Bcrypt { of_sha256: false, .. } => !password.contains(&0),
            _ => true,
        }
    }

    /// Whether this is the password that was hashed.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt { hash, of_sha256: false } => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Bcrypt { hash, of_sha256: true } => {
                let digest = digest::digest(&digest::SHA256, password);
                let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
                let hex = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>();
                bcrypt::verify(Zeroizing::new(hex).as_bytes(), hash).unwrap_or(false)
            }
            Self::Scrypt { params, salt, digest } => {
                let mut computed = vec![0; digest.len()];
                scrypt::scrypt(password, salt, params, &mut computed).is_ok() & are_equal(&computed, digest)
            }
            Self::Pbkdf2 { algorithm, iterations, salt, digest } => {
                pbkdf2::verify(*algorithm, *iterations, salt, password, digest).is_ok()
            }
            Self::Phpass { log2_rounds, salt, digest } => {
                let first = Md5::new().chain_update(salt).chain_update(password).finalize();
                let computed = (0..1_u32 << log2_rounds)
                    .fold(first, |so_far, _| Md5::new().chain_update(so_far).chain_update(password).finalize());
                are_equal(&computed, digest)
            }
            Self::Sha512Crypt(hash) => ShaCrypt::SHA512.verify_password(password, hash.as_str()).is_ok(),
            Self::Firebase { params, salt, signer_key, digest } => {
                let mut key = [0; 32];
                let mut encrypted = signer_key.clone();
                scrypt::scrypt(password, salt, params, &mut key).is_ok()
                    & encrypt(key, &mut encrypted).is_some()
                    & are_equal(&encrypted, digest)
            }
        }
    }
}

/// In constant time (R15).
fn are_equal(computed: &[u8], stored: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(computed, stored).is_ok()
}

/// AES-256 in counter mode from a counter of zero: what Firebase does with a key that is used for one message only.
fn encrypt(key: [u8; 32], message: &mut [u8]) -> Option<()> {
    let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, &key).ok()?).ok()?;
    key.less_safe_encrypt(message, EncryptionContext::Iv128(FixedLength::from([0; 16]))).ok().map(drop)
}

fn bcrypt(text: &str, of_sha256: bool) -> Result<Imported, Problem> {
    // `$2x$` is of a library that lost the eighth bit of every letter, and no longer made.
    let cost = text.strip_prefix("$2a$").or_else(|| text.strip_prefix("$2b$")).or_else(|| text.strip_prefix("$2y$"));
    let cost = cost.and_then(|rest| rest.get(..2)).filter(|cost| cost.bytes().all(|byte| byte.is_ascii_digit()));
    let cost: u32 = cost.and_then(|cost| cost.parse().ok()).filter(|&cost| cost >= 4).ok_or(UNREADABLE)?;
    if cost > MOST_BCRYPT {
        return Err(TOO_COSTLY);
    }
    text.parse::<bcrypt::HashParts>().map_err(|_| MISSHAPEN)?;
    Ok(Imported::Bcrypt { hash: text.to_owned(), of_sha256 })
}

fn scrypt_params(log_n: u32, r: u32, p: u32, largest_kib: u32) -> Result<ScryptParams, Problem> {
    let (most_log_n, most_r, most_p) = MOST_SCRYPT;
    let log_n = u8::try_from(log_n).ok().filter(|&log_n| log_n <= most_log_n).ok_or(TOO_COSTLY)?;
    // 128 bytes times r times N (RFC 7914 §2).
    if r > most_r || p > most_p || (u64::from(r) << log_n) / 8 > u64::from(largest_kib) {
        return Err(TOO_COSTLY);
    }
    if log_n == 0 { Err(UNREADABLE) } else { ScryptParams::new(log_n, r, p).map_err(|_| UNREADABLE) }
}

/// A character for the rounds, eight of salt, the hash of 22.
fn phpass(rest: &str) -> Result<Imported, Problem> {
    let (Some(rounds), Some(salt), Some(hash)) = (rest.bytes().next(), rest.get(1..9), rest.get(9..)) else {
        return Err(MISSHAPEN);
    };
    let log2_rounds = crypt_digit(rounds).filter(|log2| (7..=30).contains(log2)).ok_or(UNREADABLE)?;
    if log2_rounds > MOST_PHPASS {
        return Err(TOO_COSTLY);
    }
    if !salt.bytes().all(|byte| crypt_digit(byte).is_some()) {
        return Err(MISSHAPEN);
    }
    let digest = crypt_decode::<16>(hash).ok_or(MISSHAPEN)?;
    Ok(Imported::Phpass { log2_rounds, salt: salt.as_bytes().to_vec(), digest })
}

/// `rounds=…` or none, the salt, the hash of 86 characters.
fn sha512_crypt(text: &str, fields: &[&str]) -> Result<Imported, Problem> {
    let (salt, hash) = match fields {
        [rounds, salt, hash] => {
            let rounds: u32 = rounds.strip_prefix("rounds=").and_then(number).ok_or(UNREADABLE)?;
            if rounds > MOST_SHA512_CRYPT {
                return Err(TOO_COSTLY);
            }
            if rounds < sha_crypt::Params::ROUNDS_MIN {
                return Err(UNREADABLE);
            }
            (salt, hash)
        }
        [salt, hash] => (salt, hash),
        _ => return Err(MISSHAPEN),
    };
    let is_salt = salt.len() <= 16 && salt.bytes().all(|byte| crypt_digit(byte).is_some());
    if !is_salt || crypt_decode::<64>(hash).is_none() {
        return Err(MISSHAPEN);
    }
    Ok(Imported::Sha512Crypt(text.to_owned()))
}

/// A number in decimal digits, without a sign and without zeros in front.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// The values in `ln=14,r=8,p=1`, in this order and each once.
fn parameters<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], Problem> {
    let pairs: Vec<_> = text.split(',').collect();
    let pairs: [&str; N] = pairs.try_into().map_err(|_| UNREADABLE)?;
    let mut values = [0; N];
    for ((value, pair), name) in values.iter_mut().zip(pairs).zip(names) {
        let digits = pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        *value = digits.and_then(number).ok_or(UNREADABLE)?;
    }
    Ok(values)
}

/// Base64 without padding, as in a PHC string. Neither way takes stray bits: a hash has one form.
fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    STANDARD_NO_PAD.decode(text).map_err(|_| MISSHAPEN)
}

/// Base64 with padding, as Django and Firebase write it.
fn padded(text: &str) -> Result<Vec<u8>, Problem> {
    STANDARD.decode(text).map_err(|_| MISSHAPEN)
}

/// A salt that is the text itself, as Django's is.
fn of_text(salt: &str) -> Result<Vec<u8>, Problem> {
    if salt.is_empty() { Err(MISSHAPEN) } else { Ok(salt.as_bytes().to_vec()) }
}

/// The base64 of passlib in the common alphabet.
fn with_plus(text: &str) -> Result<String, Problem> {
    if text.contains('+') { Err(MISSHAPEN) } else { Ok(text.replace('.', "+")) }
}

fn of_length(length: usize, digest: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if digest.len() == length { Ok(digest) } else { Err(MISSHAPEN) }
}

/// What a character is worth in the base64 of `crypt`.
fn crypt_digit(byte: u8) -> Option<u8> {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    DIGITS.iter().position(|&digit| digit == byte).and_then(|place| u8::try_from(place).ok())
}

/// The base64 of `crypt`: the lowest six bits come first, three bytes at a time.
fn crypt_decode<const N: usize>(text: &str) -> Option<Vec<u8>> {
    if text.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let digits: Option<Vec<u8>> = text.bytes().map(crypt_digit).collect();
    let mut bytes = Vec::with_capacity(N + 2);
    for group in digits?.chunks(4) {
        let bits = group.iter().rev().fold(0_u32, |bits, &digit| bits << 6 | u32::from(digit));
        let whole = group.len() * 6 / 8;
        bytes.extend(&bits.to_le_bytes()[..whole]);
        if bits >> (whole * 8) != 0 {
            return None;
        }
    }
    Some(bytes)
}
