//! Hashes from other systems.
//!
//! Owns the supported formats, one module for each. A parser reads a hash to its last character and rejects everything
//! that the format's own software would not write (R11). Costs are capped before anything is computed (R12). A login
//! with an imported hash replaces it by one of ours (R3).

mod bcrypt;
mod encoding;
mod firebase;
mod pbkdf2;
mod phpass;
mod scrypt;
mod sha512_crypt;

use super::Problem;
use bcrypt::Bcrypt;
use firebase::Firebase;
use pbkdf2::Pbkdf2;
use phpass::Phpass;
use scrypt::Scrypt;
use sha512_crypt::Sha512Crypt;

const TOO_COSTLY: Problem = "its parameters cost too much";
const BAD_PARAMETERS: Problem = "its parameters cannot be read";
const BAD_ENCODING: Problem = "its salt or its digest does not have the encoding or the length of its format";

/// The longest password in bytes for formats that hash the whole password in every round. A longer password counts as
/// wrong, because comparing it could take minutes (CVE-2016-20013).
const MAX_PASSWORD_PER_ROUND: usize = 128;

/// A parsed hash from another system.
pub(super) enum Imported {
    Bcrypt(Bcrypt),
    Scrypt(Scrypt),
    Pbkdf2(Pbkdf2),
    Phpass(Phpass),
    Sha512Crypt(Sha512Crypt),
    Firebase(Firebase),
}

impl Imported {
    /// Parses a hash in any supported format.
    ///
    /// # Errors
    /// The problem with the hash.
    pub(super) fn parse(text: &str, max_memory_kib: u32) -> Result<Self, Problem> {
        let fields: Vec<_> = text.split('$').collect();
        match fields[..] {
            ["", "2a" | "2b" | "2y", ..] => Bcrypt::parse(text).map(Self::Bcrypt),
            ["", "wp", ..] => Bcrypt::parse_wordpress(text).map(Self::Bcrypt),
            ["bcrypt", ..] => Bcrypt::parse_django(text).map(Self::Bcrypt),
            ["bcrypt_sha256", ..] => Bcrypt::parse_django_sha256(text).map(Self::Bcrypt),
            ["", "scrypt", params, salt, hash] => {
                Scrypt::parse_phc(params, salt, hash, max_memory_kib).map(Self::Scrypt)
            }
            ["scrypt", n, salt, r, p, hash] => {
                Scrypt::parse_django([n, r, p], salt, hash, max_memory_kib).map(Self::Scrypt)
            }
            ["", name @ ("pbkdf2" | "pbkdf2-sha1" | "pbkdf2-sha256" | "pbkdf2-sha512"), params, salt, hash] => {
                Pbkdf2::parse_phc(name, params, salt, hash).map(Self::Pbkdf2)
            }
            [name @ ("pbkdf2_sha1" | "pbkdf2_sha256"), iterations, salt, hash] => {
                Pbkdf2::parse_django(name, iterations, salt, hash).map(Self::Pbkdf2)
            }
            ["", "P" | "H", rest] => Phpass::parse(rest).map(Self::Phpass),
            ["", "6", ref fields @ ..] => Sha512Crypt::parse(text, fields).map(Self::Sha512Crypt),
            ["", "firescrypt", params, salt, hash, separator, signer_key] => {
                Firebase::parse(params, [salt, separator], hash, signer_key, max_memory_kib).map(Self::Firebase)
            }
            _ => Err("its format is not supported"),
        }
    }

    /// Returns `false` for a password that counts as wrong without a comparison: one that is too long for a format that
    /// hashes it in every round, or one with a NUL byte if the format is bcrypt, because bcrypt gives `a\0a` and `a`
    /// the same hash.
    pub(super) fn accepts(&self, password: &[u8]) -> bool {
        match self {
            Self::Phpass(_) | Self::Sha512Crypt(_) => password.len() <= MAX_PASSWORD_PER_ROUND,
            Self::Bcrypt(bcrypt) => bcrypt.accepts(password),
            Self::Scrypt(_) | Self::Pbkdf2(_) | Self::Firebase(_) => true,
        }
    }

    /// Returns `true` if this is the password that was hashed.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => hash.matches(password),
            Self::Scrypt(hash) => hash.matches(password),
            Self::Pbkdf2(hash) => hash.matches(password),
            Self::Phpass(hash) => hash.matches(password),
            Self::Sha512Crypt(hash) => hash.matches(password),
            Self::Firebase(hash) => hash.matches(password),
        }
    }
}
