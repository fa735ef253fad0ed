//! The credentials of a request, read once and in one way by all functions.
//!
//! Owns which credential counts if a request has several. A request has one identity or none: credentials of two users
//! are an error. `docs/sessions.md` has the rules as a table, and a test tries each row on every route.

use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::token::{Claims, Cookies, Kind, PresentedCookies, Verifier};

/// The credentials that a request brought. [`CredentialReader`] verifies them.
pub struct RequestCredentials<'a> {
    /// The text after `Bearer` in the `Authorization` header. It is then the only credential, even if it is invalid
    /// (R92).
    bearer: Option<&'a [u8]>,
    cookies: PresentedCookies<'a>,
    host: Option<&'a str>,
}

impl<'a> RequestCredentials<'a> {
    /// Returns the cookies of the request.
    #[must_use]
    pub fn cookies(&self) -> &PresentedCookies<'a> {
        &self.cookies
    }

    /// Returns `true` for a `Bearer` token.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        self.bearer.is_some()
    }

    /// Returns `true` if the request brought a token of any value.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.is_bearer() || self.cookies.came(Kind::Access) || self.cookies.came(Kind::Refresh)
    }
}

/// Reads and verifies the credentials of requests.
pub struct CredentialReader {
    /// Finds tokens in cookies.
    pub cookies: Cookies,
    /// Verifies access tokens.
    pub access_verifier: Verifier,
    /// Verifies refresh tokens. A function that does not renew sessions needs it, too, to notice credentials of two
    /// users.
    pub refresh_verifier: Verifier,
}

impl CredentialReader {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        Ok(Self {
            cookies: Cookies::from_env(env)?,
            access_verifier: Verifier::for_access_tokens(env)?,
            refresh_verifier: Verifier::for_refresh_tokens(env)?,
        })
    }

    /// Reads the text after `Bearer` in the `Authorization` header, if the request has one, the lines of the `Cookie`
    /// header, and the `Host` header.
    pub fn read<'a>(
        &self,
        bearer: Option<&'a [u8]>,
        cookie_lines: impl IntoIterator<Item = &'a [u8]>,
        host: Option<&'a str>,
    ) -> RequestCredentials<'a> {
        RequestCredentials { bearer, cookies: self.cookies.read(cookie_lines), host }
    }

    /// Returns the claims of the access token: of the `Bearer` token if there is one, else of the access cookie.
    ///
    /// # Errors
    /// - [`Error::NotAuthorized`] without a valid access token;
    /// - [`Error::NotAuthorizedClearCookies`] if a cookie of ours came twice with different values (R81);
    /// - [`Error::InvalidRequest`] if the credentials belong to two users (R92). A token that has expired counts here,
    ///   because it names the user of the browser; a token that this service did not sign does not count.
    pub fn access_claims(&self, credentials: &RequestCredentials<'_>, now: Timestamp) -> Result<Claims> {
        let RequestCredentials { bearer, cookies, .. } = credentials;
        if let Some(token) = bearer {
            let claims = self.access_verifier.verify(token, now)?;
            let others = cookies.claims_by_session(&self.access_verifier, &self.refresh_verifier);
            check_one_user([&claims].into_iter().chain(&others))?;
            return Ok(claims);
        }
        if cookies.is_ambiguous() {
            return Err(self.ambiguous(credentials));
        }
        let token = cookies.access_token().ok_or(Error::NotAuthorized);
        let claims = token.and_then(|token| self.access_verifier.verify_ignoring_time(token));
        check_one_user(claims.iter().chain(cookies.refresh_claims(&self.refresh_verifier)))?;
        let claims = claims?;
        self.access_verifier.check(&claims, now)?;
        Ok(claims)
    }

    /// Returns the claims of the refresh token that may renew the session, even if it has expired. Returns `None`
    /// without exactly one refresh token, if this service did not sign it, and for a request with a `Bearer` token.
    #[must_use]
    pub fn renewal_claims<'c>(&self, credentials: &'c RequestCredentials<'_>) -> Option<&'c Claims> {
        let RequestCredentials { bearer, cookies, .. } = credentials;
        cookies.refresh_token().filter(|_| bearer.is_none())?;
        cookies.refresh_claims(&self.refresh_verifier).first()
    }

    /// Returns the claims of all tokens of the request that this service signed, the `Bearer` token included, one for
    /// each session. The tokens may have expired.
    #[must_use]
    pub fn signed_claims(&self, credentials: &RequestCredentials<'_>) -> Vec<Claims> {
        let RequestCredentials { bearer, cookies, .. } = credentials;
        let bearer = bearer.and_then(|token| self.access_verifier.verify_ignoring_time(token).ok());
        let mut claims = cookies.claims_by_session(&self.access_verifier, &self.refresh_verifier);
        if let Some(bearer) = bearer
            && claims.iter().all(|other| (&other.sub, &other.sid) != (&bearer.sub, &bearer.sid))
        {
            claims.push(bearer);
        }
        claims
    }

    /// Returns the `Set-Cookie` lines that delete both token cookies in every scope that the host of the request can
    /// set.
    #[must_use]
    pub fn clear_all_scopes(&self, credentials: &RequestCredentials<'_>) -> Vec<String> {
        let mut lines = self.cookies.clear_other_scopes(credentials.host);
        lines.extend(self.cookies.clear_both());
        lines
    }

    /// Returns the `Set-Cookie` lines that a login sends before those of the new tokens, so that no older cookie stays
    /// beside the new ones: an older cookie of the same name in another scope, and a refresh cookie if the new session
    /// has none.
    #[must_use]
    pub fn clear_replaced(&self, credentials: &RequestCredentials<'_>, persistent: bool) -> Vec<String> {
        let came = |kind| credentials.cookies.came(kind);
        let mut lines = Vec::new();
        if came(Kind::Access) || came(Kind::Refresh) {
            lines = self.cookies.clear_other_scopes(credentials.host);
        }
        if came(Kind::Refresh) && !persistent {
            lines.push(self.cookies.clear(Kind::Refresh));
        }
        lines
    }

    fn ambiguous(&self, credentials: &RequestCredentials<'_>) -> Error {
        Error::NotAuthorizedClearCookies(self.clear_all_scopes(credentials))
    }
}

/// Accepts claims that all belong to one user (R92).
///
/// # Errors
/// [`Error::InvalidRequest`] for two users.
pub fn check_one_user<'a>(claims: impl IntoIterator<Item = &'a Claims>) -> Result<()> {
    let mut claims = claims.into_iter();
    let Some(first) = claims.next() else { return Ok(()) };
    if claims.all(|other| other.sub == first.sub) {
        return Ok(());
    }
    Err(Error::InvalidRequest(
        "The credentials of the request belong to two users. Sign out, then sign in again.".into(),
    ))
}
