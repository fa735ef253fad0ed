//! Authentication by an access token, for every function that requires a signed-in user.
//!
//! Renews nothing.

use super::{CredentialReader, Identities, Identity, RequestCredentials};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::Result;
use crate::store::Client;

/// Authenticates requests by their access token.
pub struct Access {
    /// Decides whether a verified token is still valid.
    pub identities: Identities,
    /// Reads the credentials of requests.
    pub reader: CredentialReader,
}

impl Access {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self { identities: Identities::from_env(client, env)?, reader: CredentialReader::from_env(env)? })
    }

    /// Returns the user and the session of the access token.
    ///
    /// # Errors
    /// As [`CredentialReader::access_claims`] and [`Identities::by_access_token`].
    pub async fn identity(
        &self,
        credentials: &RequestCredentials<'_>,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Identity> {
        let claims = self.reader.access_claims(credentials, now)?;
        self.identities.by_access_token(&claims, now, budget).await
    }
}
