//! Why a command fails, and the exit code that a script sees.

use std::process::ExitCode;

use shared::error::Error;

use crate::output::shown;

/// A failure with an exit code of its own. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A part of the work failed. What failed was reported line by line.
    #[error("{0}")]
    Incomplete(String),
    /// The user, the session, the key or the stack does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Another user has the name, or another operator changed the record at the same time.
    #[error("{0}")]
    Conflict(String),
    /// The input was refused.
    #[error("{0}")]
    Invalid(String),
    /// AWS refused a call, or there are no credentials.
    #[error("{0}")]
    Denied(String),
    /// AWS or the local stack did not answer.
    #[error("{0}")]
    Unavailable(String),
    /// The operator did not confirm.
    #[error("Nothing was changed.")]
    Declined,
}

/// The exit codes, for `--help`. 2 is clap's code for a wrong command line.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    everything was done
  1    a part failed: refused entries, or a failed check of doctor
  2    the command line is wrong
  3    there is no such user, session, key or stack
  4    a name is taken, or the record was changed at the same time
  5    the input was refused: an invalid name, a weak password, …
  6    AWS refused a call, or there are no credentials
  7    AWS or the local stack did not answer; nothing is lost, try again
  130  interrupted";

impl Failure {
    const fn code(&self) -> u8 {
        match self {
            Self::Incomplete(_) | Self::Declined => 1,
            Self::NotFound(_) => 3,
            Self::Conflict(_) => 4,
            Self::Invalid(_) => 5,
            Self::Denied(_) => 6,
            Self::Unavailable(_) => 7,
        }
    }
}

/// The exit code of an interrupted command, as a shell reports it.
pub const INTERRUPTED: u8 = 130;

/// Returns the exit code of an error.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).map(Failure::code);
    let store = || error.chain().find_map(|cause| cause.downcast_ref::<Error>()).map(code_of_store);
    failure.or_else(store).unwrap_or(1).into()
}

fn code_of_store(error: &Error) -> u8 {
    match error {
        Error::NotFound(_) => 3,
        Error::Misconfigured(_) if error.causes().contains("ResourceNotFound") => 3,
        Error::Taken(_) | Error::ConcurrentUpdate(_) => 4,
        Error::InvalidRequest(_) => 5,
        Error::Misconfigured(_) | Error::NotAuthorized | Error::NotAuthorizedClearCookies(_) => 6,
        Error::Unavailable(_) | Error::TooManyAttempts { .. } => 7,
        Error::Corrupt(_) | Error::Setting { .. } | Error::Unexpected(_) => 1,
    }
}

/// Returns the text of an error for an operator: what failed, the reason, and what to do.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let Some((place, store)) =
        error.chain().enumerate().find_map(|(place, cause)| Some((place, cause.downcast_ref::<Error>()?)))
    else {
        return shown(&format!("{error:#}"));
    };
    let context =
        error.chain().take(place).flat_map(|context| [context.to_string(), ": ".to_owned()]).collect::<String>();
    let causes = store.causes();
    let text = match store {
        Error::Misconfigured(_) if causes.contains("AccessDenied") => {
            "AWS refused a call. `latchkey iam-policy` prints the policy that the commands need".to_owned()
        }
        Error::Misconfigured(_) if causes.contains("ResourceNotFound") => {
            "a table of the stack does not exist. `latchkey doctor` checks the stack".to_owned()
        }
        Error::Misconfigured(_) => "AWS refused a call".to_owned(),
        Error::Unavailable(_) => "DynamoDB did not answer. Try again".to_owned(),
        other => other.to_string(),
    };
    shown(&if causes.is_empty() { format!("{context}{text}") } else { format!("{context}{text}: {causes}") })
}

/// The failure for a record that was changed since it was read.
#[must_use]
pub fn changed_meanwhile() -> Failure {
    Failure::Conflict("The user was changed at the same time. Nothing was written. Try again.".into())
}
