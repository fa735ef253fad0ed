//! One hash with the parameters of the service.

use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use lambda_runtime::Error;

/// The parameters of `PASSWORD_MEMORY_KIB` and `PASSWORD_ITERATIONS` by default.
const MEMORY_KIB: u32 = 19_456;
const ITERATIONS: u32 = 2;

/// The hash function with its memory.
#[derive(Debug)]
pub struct BareHash {
    argon2: Argon2<'static>,
    memory: Mutex<Vec<Block>>,
}

impl BareHash {
    /// Allocates the memory and writes to it once, as a login does.
    ///
    /// # Errors
    /// Never, because the parameters are valid.
    pub fn new() -> Result<Self, Error> {
        let params = Params::new(MEMORY_KIB, ITERATIONS, 1, Some(32)).map_err(|error| error.to_string())?;
        let memory = Mutex::new(vec![Block::new(); params.block_count()]);
        Ok(Self { argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params), memory })
    }

    /// Computes one hash.
    ///
    /// # Errors
    /// Never, because the password and the salt are valid.
    pub fn compute(&self) -> Result<(), Error> {
        let mut digest = [0; 32];
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let hashed =
            self.argon2.hash_password_into_with_memory(b"password", b"salt of 16 bytes", &mut digest, &mut *memory);
        hashed.map_err(|error| error.to_string().into())
    }
}
