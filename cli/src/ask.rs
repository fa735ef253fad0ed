//! Questions to the operator. A script is never asked: without a terminal, a question is an error.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, Result};
use secrecy::{ExposeSecret as _, SecretString};
use shared::password::Password;

use crate::failure::Failure;

/// Where a password comes from.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PasswordSource {
    /// Read the password from standard input: one line, without the newline.
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordSource {
    /// Reads a new password, from standard input or from the terminal. On a terminal, asks twice.
    ///
    /// # Errors
    /// [`Failure::Invalid`] if there is no terminal and no `--password-stdin`, or if the two passwords differ.
    pub fn read(self) -> Result<SecretString> {
        if self.password_stdin {
            return from_stdin();
        }
        if !io::stdin().is_terminal() {
            let text = "There is no terminal to ask for the password. Send it with --password-stdin.";
            return Err(Failure::Invalid(text.into()).into());
        }
        let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from).context("cannot read a password");
        let (first, second) = (ask("New password: ")?, ask("The same again: ")?);
        if first.expose_secret() == second.expose_secret() {
            Ok(first)
        } else {
            Err(Failure::Invalid("The two passwords differ. Nothing was changed.".into()).into())
        }
    }
}

/// Reads one line of at most [`Password::MAX_BYTES`] from standard input.
fn from_stdin() -> Result<SecretString> {
    let limit = u64::try_from(Password::MAX_BYTES)? + 2;
    let mut line = Vec::new();
    io::stdin().lock().take(limit).read_until(b'\n', &mut line).context("cannot read the password")?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let password = std::str::from_utf8(line).ok().filter(|text| !text.is_empty());
    let password = password.ok_or_else(|| Failure::Invalid("Standard input has no password in UTF-8.".into()))?;
    Ok(password.into())
}

/// The switch that answers a question in advance.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Confirmation {
    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
}

impl Confirmation {
    /// Asks for a confirmation.
    ///
    /// # Errors
    /// [`Failure::Declined`] for any other answer than `y` or `yes`. [`Failure::Invalid`] without a terminal and
    /// without `--yes`.
    pub async fn ask(self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            let text = format!("{question}\nThere is no terminal to confirm this. Add --yes. Nothing was changed.");
            return Err(Failure::Invalid(text).into());
        }
        let mut stderr = io::stderr();
        write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush())?;
        // In a thread, so that Ctrl-C ends the command at once.
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer).map(|_| answer)
        });
        let answer = answer.await??;
        if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            Err(Failure::Declined.into())
        }
    }
}
