//! Everything that can go wrong, without a word about HTTP.
//!
//! Owns the one `Error` of the service. Its `Display` is safe to show a stranger; what really happened rides in the
//! source, is logged once by `http`, and is never rendered with the source's own `Debug`, which in an SDK holds whole
//! responses.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A `Result` whose error is ours.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause, kept for the log.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a request, or the start of a function, did not succeed.
#[derive(thiserror::Error)]
pub enum Error {
    /// The request cannot be understood. The text says what to change.
    #[error("{0}")]
    Malformed(Cow<'static, str>),

    /// Who is asking could not be established. Wrong password, unknown user, bad signature, expiry: all look the same.
    #[error("Not Authorized")]
    NotAuthorized,

    /// There have been too many wrong passwords: for this name, on this device or from this address, known or not.
    #[error("There have been too many wrong passwords. Try again in {} s.", wait.as_secs())]
    TooManyAttempts {
        /// When another attempt may be made.
        wait: Duration,
    },

    /// A browser sent the request on behalf of a site that is not ours.
    #[error("A request that changes something must come from this site or from an allowed origin.")]
    ForeignOrigin,

    /// What was named is not there, or not for whoever asks.
    #[error("There is no such {0}.")]
    NotFound(&'static str),

    /// The function does not answer this method.
    #[error("This address answers {allowed}.")]
    MethodNotAllowed {
        /// The methods it does answer, as a list for people and for the `Allow` header.
        allowed: &'static str,
    },

    /// The body is larger than anything we read.
    #[error("The body is larger than {limit} bytes.")]
    TooLarge {
        /// The largest body that is read.
        limit: usize,
    },

    /// The body is of a kind that the function does not read.
    #[error("The body must be {expected}.")]
    UnsupportedMediaType {
        /// The media type that the function reads.
        expected: &'static str,
    },

    /// Somebody else already has this login name or e-mail address.
    #[error("This {0} is taken.")]
    Taken(&'static str),

    /// A store did not answer in time. Nothing is known, so nothing was decided.
    #[error("The service cannot answer right now. Try again in a moment.")]
    Unavailable(#[source] Cause),

    /// Somebody else was at the same thing at the same time, or with newer knowledge. Nothing is broken, and nothing was done.
    #[error("The service cannot answer right now. Try again in a moment.")]
    Overtaken(#[source] Cause),

    /// A stored record is not as this version writes it. The text names the kind of record.
    #[error("A stored record cannot be read.")]
    Corrupt(#[source] Cause),

    /// A setting is missing or unsafe. Stops the cold start, by name.
    #[error("{name} {problem}")]
    Setting {
        /// The environment variable.
        name: &'static str,
        /// What is wrong with it, without its value.
        problem: Cow<'static, str>,
    },

    /// The service may not do what it must: a permission, a table or a region is wrong.
    #[error("The service is not set up correctly.")]
    Misconfigured(#[source] Cause),

    /// What cannot happen, did.
    #[error("Something went wrong on our side.")]
    Unexpected(#[source] Cause),
}

impl Error {
    /// The causes below this error, outermost first, as one line for the log.
    #[must_use]
    pub fn causes(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
    fn causes_are_told_outermost_first_and_only_to_the_log() {
        let error = Error::Unavailable(Box::new(Timeout { after: std::io::Error::other("no reply") }));
        assert_eq!(error.causes(), "the request timed out: no reply");
        assert_eq!(error.to_string(), "The service cannot answer right now. Try again in a moment.");
        assert_eq!(format!("{error:?}"), format!("{error} (the request timed out: no reply)"));
    }

    #[test]
    fn debug_never_prints_the_debug_of_a_cause() {
        let error = Error::Unexpected(Box::new(Timeout { after: std::io::Error::other("no reply") }));
        assert!(!format!("{error:?}").contains("Timeout"));
    }
}
