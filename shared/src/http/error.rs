//! The errors of a handler.
//!
//! Owns [`Error`]: the errors that exist only in HTTP, and [`Error::Service`] for all others. `reply` maps each to a
//! response.

use std::borrow::Cow;

/// A `Result` with the [`Error`] of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a handler failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request comes from a page of another site.
    #[error("A request that changes something must come from this site or from an allowed origin.")]
    ForeignOrigin,

    /// The function does not have this method.
    #[error("This path accepts only {allowed}.")]
    MethodNotAllowed {
        /// The allowed methods, as in the `Allow` header.
        allowed: &'static str,
    },

    /// The body is too large.
    #[error("The body is larger than {limit} bytes.")]
    TooLarge {
        /// The largest accepted body.
        limit: usize,
    },

    /// The body has another media type than the function accepts.
    #[error("The body must be {expected}.")]
    UnsupportedMediaType {
        /// The accepted media type.
        expected: &'static str,
    },

    /// The body has a content encoding, such as `gzip`. The service accepts none.
    #[error("The body must have no content encoding, but it has {encoding}.")]
    UnsupportedContentEncoding {
        /// The name of the encoding, or `an unknown one`.
        encoding: String,
    },

    /// An error of the service.
    #[error(transparent)]
    Service(#[from] crate::error::Error),
}

impl Error {
    /// Returns an error for an invalid request. The text says what to change.
    pub fn invalid_request(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Service(crate::error::Error::InvalidRequest(problem.into()))
    }
}
