//! Shell completions and manual pages.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Command};
use clap_complete::Shell;

/// The examples of `--help`.
pub const COMPLETION_EXAMPLES: &str = "\
Examples:
  latchkey completions bash > ~/.local/share/bash-completion/completions/latchkey
  latchkey completions zsh > \"${fpath[1]}/_latchkey\"
  latchkey completions fish > ~/.config/fish/completions/latchkey.fish";

/// The examples of `--help`.
pub const MAN_EXAMPLES: &str = "\
Examples:
  latchkey man ~/.local/share/man/man1
  man latchkey-users-import";

/// Prints completions.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

/// Writes manual pages.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder.
    folder: PathBuf,
}

impl Completions {
    /// Prints the completions of a command line.
    ///
    /// # Errors
    /// Never fails.
    pub fn run(self, command: &mut Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "latchkey", &mut script);
        io::Write::write_all(&mut io::stdout().lock(), &script).context("cannot write to standard output")
    }
}

impl Man {
    /// Writes one page for each command.
    ///
    /// # Errors
    /// Fails if the folder is not writable.
    pub fn run(self, command: Command) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot create {}", self.folder.display()))?;
        clap_mangen::generate_to(command, &self.folder)
            .with_context(|| format!("cannot write to {}", self.folder.display()))
    }
}
