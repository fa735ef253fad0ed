//! `PUT /password`: changes the password. Requires the current one.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::auth::{Access, Authenticated, Authenticator, Identity, RequestCredentials};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::{self, Reply, Request, reply};
use shared::password::Password;
use shared::password::policy::{PersonalWords, Policy};
use shared::store::{Account, Attempt, Channel, Client};
use shared::telemetry::events;

/// Everything that a change of password can touch.
pub struct PasswordChange {
    /// Authenticates by an access token.
    pub access: Access,
    /// Checks the current password.
    pub authenticator: Authenticator,
    /// Checks the new password.
    pub policy: Policy,
    /// The name of this service, which must not be a password.
    pub service: String,
}

/// The body of the contract.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Form {
    current_password: SecretString,
    new_password: SecretString,
}

impl PasswordChange {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value; [`Error::Unexpected`] without memory for a hash.
    pub fn from_env(client: Client, env: &Environment) -> shared::error::Result<Self> {
        let access = Access::from_env(client.clone(), env)?;
        let service = access.verifier.issuer().to_owned();
        Ok(Self {
            access,
            authenticator: Authenticator::from_env(client, env)?,
            policy: Policy::from_env(env)?,
            service,
        })
    }

    /// Sets a new password, and ends all other sessions of the user (R16).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid access token and for a wrong current password;
    /// [`Error::InvalidRequest`] says what is wrong with the new password; [`Error::TooManyAttempts`]; the errors of a
    /// store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("PUT")?;
        let credentials = RequestCredentials::read(&self.access.cookies, request.bearer(), request.cookie_lines());
        self.access.check_unambiguous(&credentials)?;
        let form: Form = request.json()?;
        let current = Password::new(form.current_password.expose_secret())?;
        let new = Password::new(form.new_password.expose_secret())?;

        let identity = self.access.identity(&credentials, now, &request.budget).await?;
        self.policy.check(new.expose(), &self.personal_words(&identity, &current)).map_err(Error::from)?;
        let authenticated = self.authenticate(&identity, &current, &request, now).await?;

        let Identity { user, session } = &identity;
        let hash = self.authenticator.hasher.hash(&new)?;
        let accounts = &self.access.identities.accounts;
        if !accounts.change_password(user, session, &authenticated.credentials, &hash, &request.budget).await? {
            return Err(Error::ConcurrentUpdate("the account was changed at the same time".into()).into());
        }

        events::password_changed(&user.profile.id);
        Ok(reply::no_content())
    }

    fn personal_words<'a>(&'a self, identity: &'a Identity, current: &'a Password) -> PersonalWords<'a> {
        let profile = &identity.user.profile;
        PersonalWords {
            login_name: &profile.user_id,
            email: &profile.email,
            name: &profile.name,
            service: &self.service,
            current_password: Some(current.expose()),
        }
    }

    /// Checks the current password, because the session alone may be stolen. Wrong passwords are counted apart from
    /// those at the login, so that a stranger cannot keep a user from changing the password.
    async fn authenticate(
        &self,
        identity: &Identity,
        current: &Password,
        request: &Request,
        now: Timestamp,
    ) -> shared::error::Result<Authenticated> {
        let account = Account::named(&identity.user.profile.user_id);
        let source_ip = request.source_ip();
        let attempt = Attempt { account: &account, channel: Channel::SignedIn, source_ip: source_ip.as_deref() };
        let authenticated = self.authenticator.authenticate(attempt, current, now, &request.budget).await?;
        let is_same_user = authenticated.user.profile.id == identity.user.profile.id;
        if is_same_user { Ok(authenticated) } else { Err(Error::NotAuthorized) }
    }
}

#[cfg(test)]
mod tests;
