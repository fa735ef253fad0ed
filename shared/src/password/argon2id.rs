//! Argon2: what we make, and what others have made with it.
//!
//! Owns how its hashes are read, how they are computed, and the memory that computing them takes: allocated once for each
//! environment, reused, and wiped each time: what else it costs to allocate it is up to the allocator. Knows
//! nothing of passwords in other forms.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Ident, PasswordHash as Phc};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize as _;

use super::Problem;

/// The most passes and the most lanes that a stored hash may ask for (R12).
pub(super) const MOST_ITERATIONS: u32 = 10;
const MOST_LANES: u32 = 16;

/// The shortest hash that is compared with: one of a few bytes would match many passwords.
pub(super) const SHORTEST_DIGEST: usize = 16;

/// A hash that was made with Argon2.
pub(super) struct Argon {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) params: Params,
    pub(super) salt: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

impl Argon {
    /// Reads a PHC string. Its parameters are capped before anything is computed: one line in a table must not take the memory
    /// of the function (R12).
    pub(super) fn parse(text: &str, largest_kib: u32) -> Result<Self, Problem> {
        let phc = Phc::new(text).map_err(|_| "it is not a PHC string")?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| "it is of no kind of Argon2")?;
        // Before version 19 there was no `v=`.
        let version = phc.version.unwrap_or(Version::V0x10.into());
        let version = Version::try_from(version).map_err(|_| "it is of no version of Argon2 that is known")?;
        // What is left out would be taken from the defaults of the library.
        let names: Vec<_> = phc.params.iter().map(|(name, _)| name).collect();
        let names: Vec<_> = names.iter().map(Ident::as_str).collect();
        if !matches!(names[..], ["m", "t", "p"] | ["m", "t", "p", "keyid" | "data"] | ["m", "t", "p", "keyid", "data"])
        {
            return Err("its parameters cannot be read");
        }
        let params = Params::try_from(&phc).map_err(|_| "its parameters cannot be read")?;
        if params.m_cost() > largest_kib || params.t_cost() > MOST_ITERATIONS || params.p_cost() > MOST_LANES {
            return Err("its parameters cost too much");
        }
        let (Some(salt), Some(digest)) = (phc.salt, phc.hash) else { return Err("it has no salt or no hash") };
        if salt.len() < argon2::MIN_SALT_LEN || digest.len() < SHORTEST_DIGEST {
            return Err("its salt or its hash is too short");
        }
        Ok(Self { algorithm, version, params, salt: salt.to_vec(), digest: digest.as_bytes().to_vec() })
    }

    /// What the password gives with this salt and these parameters; nothing where there is no memory for it.
    pub(super) fn compute(&self, password: &[u8], memory: &Memory) -> Option<Vec<u8>> {
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        let mut digest = vec![0; self.digest.len()];
        let computed = memory.lend(self.params.block_count(), |blocks| {
            argon2.hash_password_into_with_memory(password, &self.salt, &mut digest, blocks)
        });
        computed?.is_ok().then_some(digest)
    }
}

/// The memory of one hash at a time: whoever comes second waits, so that no number of requests can exhaust it (F32).
pub(super) struct Memory(Mutex<Vec<Block>>);

impl Memory {
    /// So many blocks of 1 KiB. They are written to once, so that the cold start pays for their pages and no login does.
    pub(super) fn new(blocks: usize) -> Option<Self> {
        allocate(blocks).map(|blocks| Self(Mutex::new(blocks)))
    }

    /// Lends out as many blocks as a hash asks for, and wipes them when it is done. A hash that asks for more than there are,
    /// which an imported one may, gets blocks of its own.
    fn lend<T>(&self, wanted: usize, work: impl FnOnce(&mut [Block]) -> T) -> Option<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own;
        let blocks = if let Some(blocks) = kept.get_mut(..wanted) {
            blocks
        } else {
            own = allocate(wanted)?;
            &mut own[..]
        };
        let outcome = work(blocks);
        // As a slice: block by block, it is done word by word.
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
