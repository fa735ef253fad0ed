//! `latchkey doctor`.

use anyhow::Result;
use clap::Args;

use crate::Context;

/// The examples of `--help`.
pub const EXAMPLES: &str = "";

/// Checks a stack.
#[derive(Debug, Args)]
pub struct Doctor {}

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, _context: &Context) -> Result<()> {
        anyhow::bail!("not yet")
    }
}
