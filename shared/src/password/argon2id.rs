//! Argon2: parsing and computing.
//!
//! Owns PHC strings of Argon2 and the memory of a hash. An instance allocates that memory once, reuses it, and wipes it
//! after each hash.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Ident, PasswordHash as Phc};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize as _;

use super::Problem;

/// The largest accepted numbers of passes and lanes (R12).
const MAX_ITERATIONS: u32 = 10;
const MAX_LANES: u32 = 16;

/// The shortest accepted digest. A digest of a few bytes would match many passwords.
pub(super) const MIN_DIGEST_BYTES: usize = 16;

/// A hash of Argon2.
pub(super) struct Argon {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) params: Params,
    pub(super) salt: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

impl Argon {
    /// Parses a PHC string. Rejects parameters above the caps before anything is computed: one stored hash must not
    /// exhaust the memory of the function (R12).
    pub(super) fn parse(text: &str, max_memory_kib: u32) -> Result<Self, Problem> {
        let phc = Phc::new(text).map_err(|_| "it is not a PHC string")?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| "it is not a variant of Argon2")?;
        // `v=` is missing in hashes before version 19.
        let version = phc.version.unwrap_or(Version::V0x10.into());
        let version = Version::try_from(version).map_err(|_| "its version of Argon2 is unknown")?;
        // The library would replace a missing parameter by its own default.
        let names: Vec<_> = phc.params.iter().map(|(name, _)| name).collect();
        let names: Vec<_> = names.iter().map(Ident::as_str).collect();
        if !matches!(names[..], ["m", "t", "p"] | ["m", "t", "p", "keyid" | "data"] | ["m", "t", "p", "keyid", "data"])
        {
            return Err("its parameters cannot be read");
        }
        let params = Params::try_from(&phc).map_err(|_| "its parameters cannot be read")?;
        if params.m_cost() > max_memory_kib || params.t_cost() > MAX_ITERATIONS || params.p_cost() > MAX_LANES {
            return Err("its parameters cost too much");
        }
        let (Some(salt), Some(digest)) = (phc.salt, phc.hash) else { return Err("it has no salt or no hash") };
        if salt.len() < argon2::MIN_SALT_LEN || digest.len() < MIN_DIGEST_BYTES {
            return Err("its salt or its hash is too short");
        }
        Ok(Self { algorithm, version, params, salt: salt.to_vec(), digest: digest.as_bytes().to_vec() })
    }

    /// Returns the digest of a password with this salt and these parameters, or `None` without enough memory.
    pub(super) fn compute(&self, password: &[u8], memory: &Memory) -> Option<Vec<u8>> {
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        let mut digest = vec![0; self.digest.len()];
        let computed = memory.lend(self.params.block_count(), |blocks| {
            argon2.hash_password_into_with_memory(password, &self.salt, &mut digest, blocks)
        });
        computed?.is_ok().then_some(digest)
    }
}

/// The memory of one hash. A second hash waits for it, so that no number of requests can exhaust the memory (F32).
pub(super) struct Memory(Mutex<Vec<Block>>);

impl Memory {
    /// Allocates blocks of 1 KiB. Writes to them once, so that the page faults occur in the cold start and not in the
    /// first login.
    pub(super) fn new(blocks: usize) -> Option<Self> {
        allocate(blocks).map(|blocks| Self(Mutex::new(blocks)))
    }

    /// Lends the blocks that a hash needs, and wipes them afterwards. An imported hash that needs more gets new blocks.
    fn lend<T>(&self, needed: usize, work: impl FnOnce(&mut [Block]) -> T) -> Option<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own;
        let blocks = if let Some(blocks) = kept.get_mut(..needed) {
            blocks
        } else {
            own = allocate(needed)?;
            &mut own[..]
        };
        let outcome = work(blocks);
        // Wiped as a slice, which is faster than word by word.
        for block in blocks {
            block.as_mut().zeroize();
        }
        Some(outcome)
    }
}

#[cfg(test)]
impl Memory {
    pub(super) fn is_blank(&self) -> bool {
        self.0.lock().unwrap().iter().all(|block| block.as_ref().iter().all(|word| *word == 0))
    }
}

fn allocate(blocks: usize) -> Option<Vec<Block>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(blocks).ok()?;
    memory.resize(blocks, Block::new());
    Some(memory)
}
