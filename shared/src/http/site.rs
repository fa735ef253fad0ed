//! What all functions know about the service: which pages may change something, and how our own pages look.

use super::AllowedOrigins;
use crate::config::Environment;
use crate::error::Result;
use crate::page::Pages;

/// The service as its visitors see it.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The origins of front ends.
    pub allowed_origins: AllowedOrigins,
    /// The pages for a person with a browser.
    pub pages: Pages,
}

impl Site {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for an invalid value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        Ok(Self { allowed_origins: AllowedOrigins::from_env(env)?, pages: Pages::from_env(env)? })
    }
}
