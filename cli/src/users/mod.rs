//! `latchkey users`: users and their passwords.

use anyhow::Result;
use clap::Subcommand;

use crate::Context;

mod access;
mod add;
mod change;
mod export;
mod find;
mod import;
mod importer;
mod password;
mod refused;
mod remove;
mod show;

pub use access::{BLOCKED_EXAMPLES, Blocked, UNBLOCK_EXAMPLES, Unblock};
pub use find::{UserArgument, find};
use find::{described, find_with_credentials};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a user.
    #[command(after_help = add::EXAMPLES)]
    Add(add::Add),
    /// Show a user, the kind of password, the active sessions and the wrong passwords.
    #[command(after_help = show::SHOW_EXAMPLES)]
    Show(show::Show),
    /// List users, or find them by the beginning of the login name or of the e-mail address.
    #[command(after_help = show::LIST_EXAMPLES)]
    List(show::List),
    /// Change attributes of a user.
    #[command(after_help = change::SET_EXAMPLES)]
    Set(change::Set),
    /// Set a new password. All sessions of the user end.
    #[command(after_help = password::EXAMPLES)]
    SetPassword(password::SetPassword),
    /// Disable a user. The user cannot sign in. All sessions end for good.
    #[command(after_help = access::DISABLE_EXAMPLES)]
    Disable(access::Disable),
    /// Enable a disabled user. The old sessions stay ended.
    #[command(after_help = access::ENABLE_EXAMPLES)]
    Enable(access::Enable),
    /// Delete the counters of wrong passwords of an account, so that its owner can sign in again.
    #[command(after_help = access::UNLOCK_EXAMPLES)]
    Unlock(access::Unlock),
    /// Change the login name of a user. The user keeps the password and the sessions.
    #[command(after_help = change::RENAME_EXAMPLES)]
    Rename(change::Rename),
    /// Delete a user. All sessions end.
    #[command(after_help = remove::DELETE_EXAMPLES)]
    Delete(remove::Delete),
    /// Delete a user and all session records. Print a record for a privacy request.
    #[command(after_help = remove::ERASE_EXAMPLES)]
    Erase(remove::Erase),
    /// Import users from a file of Latchkey or of another system.
    #[command(after_help = import::EXAMPLES)]
    Import(import::Import),
    /// Export all users with their password hashes, as JSON Lines that `import` reads.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Export),
}

impl Command {
    /// Runs a command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Add(add) => add.run(context).await,
            Self::Show(show) => show.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Set(set) => set.run(context).await,
            Self::SetPassword(set) => set.run(context).await,
            Self::Disable(disable) => disable.run(context).await,
            Self::Enable(enable) => enable.run(context).await,
            Self::Unlock(unlock) => unlock.run(context).await,
            Self::Rename(rename) => rename.run(context).await,
            Self::Delete(delete) => delete.run(context).await,
            Self::Erase(erase) => erase.run(context).await,
            Self::Import(import) => Box::pin(import.run(context)).await,
            Self::Export(export) => export.run(context).await,
        }
    }
}
