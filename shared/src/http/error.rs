//! The errors of a handler.
//!
//! Owns [`Error`]: the errors that exist only in HTTP, and [`Error::Service`] for all others. `problem` maps each to
//! a response.

use std::borrow::Cow;

use crate::page::Html;

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

    /// An error of the service that a page explains, such as the form that was not accepted.
    #[error("{error}")]
    InPage {
        /// The error. It decides status and headers.
        error: crate::error::Error,
        /// The page.
        page: Box<Html>,
    },

    /// An error of the service after a renewal. The new tokens must reach the browser, so that the response sets them
    /// and leads to another address.
    #[error("{error}")]
    AfterRenewal {
        /// The error, for the log.
        error: crate::error::Error,
        /// The `Set-Cookie` lines of the new tokens.
        cookies: Vec<String>,
        /// The address.
        location: &'static str,
    },
}

impl Error {
    /// Returns an error for an invalid request. The text says what to change.
    pub fn invalid_request(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Service(crate::error::Error::InvalidRequest(problem.into()))
    }

    /// Sets the cookies of a renewal in the response of an error, and leads to an address.
    #[must_use]
    pub fn after_renewal(self, cookies: Vec<String>, location: &'static str) -> Self {
        match self {
            Self::Service(error) => Self::AfterRenewal { error, cookies, location },
            other => other,
        }
    }

    /// Explains an error of the service in a page. `page` returns the page. Other errors stay as they are, because they
    /// have a page of their own.
    #[must_use]
    pub fn in_page(self, page: impl FnOnce(&crate::error::Error) -> crate::error::Result<Html>) -> Self {
        match self {
            Self::Service(error) => match page(&error) {
                Ok(page) => Self::InPage { error, page: Box::new(page) },
                Err(error) => Self::Service(error),
            },
            other => other,
        }
    }
}
