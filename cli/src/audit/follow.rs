//! `latchkey audit`.

use anyhow::Result;
use clap::Args;

use crate::Context;

/// The examples of `--help`.
pub const EXAMPLES: &str = "";

/// Reads events.
#[derive(Debug, Args)]
pub struct Follow {}

impl Follow {
    /// Runs the command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, _context: &Context) -> Result<()> {
        anyhow::bail!("not yet")
    }
}
