//! The errors of the service, without HTTP.
//!
//! Owns [`Error`]. Its `Display` text is safe to show to a stranger. `Error::source` returns the cause, which `http`
//! logs once. The `Debug` text of a cause is never printed, because the SDK prints whole responses there.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A `Result` with the [`Error`] of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error, for the log.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a request, or the start of a function, failed.
#[derive(thiserror::Error)]
pub enum Error {
    /// The request is invalid. The text says what to change.
    #[error("{0}")]
    InvalidRequest(Cow<'static, str>),

    /// Authentication failed. Wrong password, unknown user, bad signature and expired token all look like this.
    #[error("Not Authorized")]
    NotAuthorized,

    /// Authentication failed, and the browser must delete its cookies: one cookie name came twice with different values
    /// (R81), the session was ended because a refresh token was reused (R66), or no token was of an active session when
    /// the user signed out everywhere. Holds the `Set-Cookie` lines.
    #[error("Not Authorized")]
    NotAuthorizedClearCookies(Vec<String>),

    /// There were too many wrong passwords for this login name, on this device or from this address.
    #[error("There have been too many wrong passwords. Try again in {} s.", wait.as_secs())]
    TooManyAttempts {
        /// How long to wait before the next attempt.
        wait: Duration,
    },

    /// The named thing does not exist, or it belongs to another user.
    #[error("There is no such {0}.")]
    NotFound(&'static str),

    /// Another user already has this login name, e-mail address or id.
    #[error("This {0} is taken.")]
    Taken(&'static str),

    /// A store did not answer in time. The service does not know the answer, so it decides nothing.
    #[error("The service cannot answer right now. Try again in a moment.")]
    Unavailable(#[source] Cause),

    /// Another request was first, or this instance does not have the newest key yet. The client can retry.
    #[error("The service cannot answer right now. Try again in a moment.")]
    ConcurrentUpdate(#[source] Cause),

    /// This version cannot read a stored record. The cause names the kind of record.
    #[error("A stored record cannot be read.")]
    Corrupt(#[source] Cause),

    /// A setting is missing or unsafe. It stops the cold start.
    #[error("{name} {problem}")]
    Setting {
        /// The environment variable.
        name: &'static str,
        /// What is wrong with it, without its value.
        problem: Cow<'static, str>,
    },

    /// AWS refuses a call: a permission, a table name or a region is wrong.
    #[error("The service is not set up correctly.")]
    Misconfigured(#[source] Cause),

    /// A bug, or a fault of the system such as a failing random number generator.
    #[error("Something went wrong on our side.")]
    Unexpected(#[source] Cause),
}

impl Error {
    /// Returns the causes below this error, outermost first, as one line for the log.
    #[must_use]
    pub fn causes(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Wraps an error that should not happen.
    pub fn unexpected(cause: impl Into<Cause>) -> Self {
        Self::Unexpected(cause.into())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.causes() {
            causes if causes.is_empty() => write!(f, "{self}"),
            causes => write!(f, "{self} ({causes})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the request timed out")]
    struct Timeout {
        #[source]
        after: std::io::Error,
    }

    #[test]
    fn the_log_lists_the_causes_outermost_first_and_the_display_text_omits_them() {
        let error = Error::Unavailable(Box::new(Timeout { after: std::io::Error::other("no reply") }));
        assert_eq!(error.causes(), "the request timed out: no reply");
        assert_eq!(error.to_string(), "The service cannot answer right now. Try again in a moment.");
        assert_eq!(format!("{error:?}"), format!("{error} (the request timed out: no reply)"));
    }

    #[test]
    fn debug_output_omits_the_debug_output_of_a_cause() {
        let error = Error::Unexpected(Box::new(Timeout { after: std::io::Error::other("no reply") }));
        assert!(!format!("{error:?}").contains("Timeout"));
    }
}
