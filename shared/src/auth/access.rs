//! Authentication by an access token.
//!
//! Chooses the token to check, for every function that requires a signed-in user: the `Bearer` token if there is one,
//! else the access cookie. Renews nothing and has no key for refresh tokens.

use super::{Identities, Identity, RequestCredentials, check_same_user};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::store::Client;
use crate::token::{Cookies, Verifier};

/// Authenticates requests by their access token.
pub struct Access {
    /// Decides whether a verified token is still valid.
    pub identities: Identities,
    /// Verifies access tokens.
    pub verifier: Verifier,
    /// Finds tokens in cookies.
    pub cookies: Cookies,
}

impl Access {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            identities: Identities::from_env(client, env)?,
            verifier: Verifier::for_access_tokens(env)?,
            cookies: Cookies::from_env(env)?,
        })
    }

    /// Accepts unambiguous credentials. A function that reads a body calls this first, so that an ambiguous cookie is
    /// cleared whatever the body is (R81).
    ///
    /// # Errors
    /// [`Error::NotAuthorizedClearCookies`] for ambiguous cookies.
    pub fn check_unambiguous(&self, credentials: &RequestCredentials<'_>) -> Result<()> {
        if matches!(credentials, RequestCredentials::Ambiguous(_)) { Err(self.ambiguous()) } else { Ok(()) }
    }

    /// Returns the user and the session of the access token.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid access token; [`Error::NotAuthorizedClearCookies`] for ambiguous
    /// cookies; [`Error::InvalidRequest`] if the `Bearer` token and the cookies belong to different users;
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn identity(
        &self,
        credentials: &RequestCredentials<'_>,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Identity> {
        let claims = match credentials {
            RequestCredentials::Bearer(token, cookies) => {
                let claims = self.verifier.verify(token, now)?;
                check_same_user(&claims, &cookies.access_claims(&self.verifier))?;
                claims
            }
            RequestCredentials::Cookies(cookies) => {
                self.verifier.verify(cookies.access_token().ok_or(Error::NotAuthorized)?, now)?
            }
            RequestCredentials::Ambiguous(_) => return Err(self.ambiguous()),
        };
        self.identities.by_access_token(&claims, now, budget).await
    }

    fn ambiguous(&self) -> Error {
        Error::NotAuthorizedClearCookies(self.cookies.clear_both())
    }
}
