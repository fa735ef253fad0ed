//! The credentials of a request, read once.
//!
//! Chooses the credential if a request has several. Verifies no signature.

use crate::error::{Error, Result};
use crate::token::{Claims, Cookies, PresentedCookies};

/// The credentials that a request brought.
pub enum RequestCredentials<'a> {
    /// An `Authorization` header with the scheme `Bearer`. It is then the only credential, even if it is invalid (R92).
    /// The cookies must not belong to another user.
    Bearer(&'a [u8], PresentedCookies<'a>),
    /// The cookies, which may be absent.
    Cookies(PresentedCookies<'a>),
    /// A token cookie came twice with different values. Neither value is used (R81).
    Ambiguous(PresentedCookies<'a>),
}

impl<'a> RequestCredentials<'a> {
    /// Reads the text after `Bearer` in the `Authorization` header, if the request has one, and the lines of the
    /// `Cookie` header.
    pub fn read(cookies: &Cookies, bearer: Option<&'a [u8]>, cookie_lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let presented = cookies.read(cookie_lines);
        match bearer {
            Some(token) => Self::Bearer(token, presented),
            None if presented.is_ambiguous() => Self::Ambiguous(presented),
            None => Self::Cookies(presented),
        }
    }

    /// Returns the cookies of the request, in each of the three cases.
    #[must_use]
    pub fn cookies(&self) -> &PresentedCookies<'a> {
        match self {
            Self::Bearer(_, presented) | Self::Cookies(presented) | Self::Ambiguous(presented) => presented,
        }
    }

    /// Returns `true` for a `Bearer` token.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        matches!(self, Self::Bearer(..))
    }
}

/// Accepts cookies that belong to the user of a `Bearer` token (R92).
///
/// # Errors
/// [`Error::InvalidRequest`] if one belongs to another user.
pub fn check_same_user(bearer: &Claims, cookies: &[Claims]) -> Result<()> {
    if cookies.iter().all(|cookie| cookie.sub == bearer.sub) {
        return Ok(());
    }
    Err(Error::InvalidRequest("The Bearer token and the cookies belong to different users.".into()))
}
