//! A Lambda authorizer: decides for API Gateway whether a request may reach a function of your own.

use shared::auth::Access;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::authorizer::{Caller, Decision, required_role};
use shared::http::{self, Request};
use shared::store::Client;

/// Everything that the authorizer can touch.
pub struct Authorizer {
    /// Authenticates by an access token.
    pub access: Access,
    /// The role that a user must have. `None` means that every signed-in user is allowed.
    pub required_role: Option<String>,
}

impl Authorizer {
    /// Reads `REQUIRED_ROLE` and the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> shared::error::Result<Self> {
        Ok(Self { access: Access::from_env(client, env)?, required_role: required_role(env)? })
    }

    /// Allows a request with a valid access token of a user who has the required role. Checks the token as `userinfo`
    /// does. The roles are those that are stored now, not those of the token. Renews nothing, because an authorizer
    /// cannot set cookies.
    ///
    /// # Errors
    /// The errors of a store. They fail the invocation, and the gateway answers 500.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Decision> {
        let credentials = self.access.reader.read(request.bearer(), request.cookie_lines(), request.host());
        let identity = match self.access.identity(&credentials, now, &request.budget).await {
            Ok(identity) => identity,
            Err(Error::NotAuthorized | Error::NotAuthorizedClearCookies(_) | Error::InvalidRequest(_)) => {
                return Ok(Decision::deny());
            }
            Err(error) => return Err(error.into()),
        };
        let profile = identity.user.profile;
        if self.required_role.as_ref().is_some_and(|required| !profile.roles.contains(required)) {
            return Ok(Decision::deny());
        }
        Ok(Decision::allow(Caller {
            id: profile.id.to_string(),
            user_id: profile.user_id,
            session_id: identity.session.id.to_string(),
            email: profile.email,
            roles: profile.roles,
        }))
    }
}

#[cfg(test)]
mod tests;
