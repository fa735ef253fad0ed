//! Authentication by an access token.
//!
//! Owns which token counts, for every function that requires a signed-in user. Renews nothing and has no key for
//! refresh tokens.

use super::{Credentials, Identities, Identity, check_same_user};
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

    /// Returns the user and the session of the access token.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid access token; [`Error::NotAuthorizedClearCookies`] for ambiguous
    /// cookies; [`Error::InvalidRequest`] if the `Bearer` token and the cookies belong to different users;
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn identity(&self, credentials: &Credentials<'_>, now: Timestamp, budget: &Budget) -> Result<Identity> {
        let claims = match credentials {
            Credentials::Bearer(token, cookies) => {
                let claims = self.verifier.verify(token, now)?;
                check_same_user(&claims, &cookies.access_claims(&self.verifier))?;
                claims
            }
            Credentials::Cookies(cookies) => {
                self.verifier.verify(cookies.access_token().ok_or(Error::NotAuthorized)?, now)?
            }
            Credentials::Ambiguous(_) => return Err(Error::NotAuthorizedClearCookies(self.cookies.clear_both())),
        };
        self.identities.by_access_token(&claims, now, budget).await
    }
}
