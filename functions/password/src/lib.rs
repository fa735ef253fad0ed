//! `PUT /password`: changes the password. Requires the current one, and opens a new session. `GET` and
//! `POST /password`: the same as a page with a form.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::auth::{Access, Authenticated, Authenticator, Identity, RequestCredentials};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::{self, Reply, Request, reply};
use shared::page::service_name;
use shared::password::Password;
use shared::password::policy::{PersonalWords, Policy, Refusal};
use shared::session::{Lifetimes, NewSession, Session, Source};
use shared::store::{self, Account, Attempt, Channel, Client, User};
use shared::telemetry::events;
use shared::token::Signer;

mod page;

/// Everything that a change of password can touch.
pub struct PasswordChange {
    /// Authenticates by an access token.
    pub access: Access,
    /// Checks the current password.
    pub authenticator: Authenticator,
    /// Checks the new password.
    pub policy: Policy,
    /// How long the new session lives.
    pub lifetimes: Lifetimes,
    /// Signs the tokens of the new session.
    pub signer: Signer,
    /// The names of this service, which must not be a password.
    pub services: [String; 2],
}

/// The body of the contract, and the fields of the form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Form {
    current_password: SecretString,
    new_password: SecretString,
}

/// The current and the new password.
struct Input {
    current: Password,
    new: Password,
}

impl Input {
    fn new(form: &Form) -> shared::error::Result<Self> {
        let read = |password: &SecretString| Password::new(password.expose_secret());
        Ok(Self { current: read(&form.current_password)?, new: read(&form.new_password)? })
    }
}

/// Why the password was not changed. The page says the first reason in the language of its user.
enum Refused {
    Policy(Refusal),
    Service(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Policy(refusal) => refusal.into(),
            Refused::Service(error) => error,
        }
    }
}

impl PasswordChange {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value; [`Error::Unexpected`] without memory for a hash.
    pub fn from_env(client: Client, env: &Environment) -> shared::error::Result<Self> {
        let access = Access::from_env(client.clone(), env)?;
        let services = [access.reader.access_verifier.issuer().to_owned(), service_name(env)?];
        Ok(Self {
            access,
            authenticator: Authenticator::from_env(client, env)?,
            policy: Policy::from_env(env)?,
            lifetimes: Lifetimes::from_env(env)?,
            signer: Signer::from_env(env)?,
            services,
        })
    }

    /// Sets a new password and opens a new session. Ends all older sessions, the one of this request included. A copy
    /// of its cookies is then worth nothing (R16). A person with a browser gets a page with a form.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid access token and for a wrong current password;
    /// [`Error::InvalidRequest`] says what is wrong with the new password; [`Error::TooManyAttempts`]; the errors of a
    /// store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        if request.path() == page::WELL_KNOWN {
            request.accept("GET")?;
            return reply::see_other("/password");
        }
        if let Some(page) = request.page().filter(|_| request.method != "PUT") {
            return self.handle_page(page, &request, now).await;
        }
        request.accept("PUT")?;
        let reader = &self.access.reader;
        let credentials = reader.read(request.bearer(), request.cookie_lines(), request.host());
        let claims = reader.access_claims(&credentials, now)?;
        let input = Input::new(&request.json()?)?;
        let identity = self.access.identities.by_access_token(&claims, now, &request.budget).await?;
        let cookies = self.change(identity, &input, &credentials, &request, now).await.map_err(Error::from)?;
        reply::with_cookies(reply::no_content(), cookies)
    }

    /// Sets the password, and opens a session. Returns its `Set-Cookie` lines.
    async fn change(
        &self,
        identity: Identity,
        input: &Input,
        credentials: &RequestCredentials<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Vec<String>, Refused> {
        let Input { current, new } = input;
        self.policy.check(new.expose(), &self.personal_words(&identity, current)).map_err(Refused::Policy)?;
        let authenticated = self.authenticate(&identity, current, request, now).await?;

        let Identity { user, session } = identity;
        let hash = self.authenticator.hasher.hash(new, now)?;
        let opened = Identity { session: self.open(&user, &session, request, now)?, user };
        let reader = &self.access.reader;
        let mut cookies = reader.clear_replaced(credentials, opened.session.persistent);
        cookies.extend(opened.session_cookies(&reader.cookies, &self.signer, now)?);
        let change = store::PasswordChange {
            user: &opened.user,
            session: &session,
            opened: &opened.session,
            old: &authenticated.credentials,
            new: &hash,
        };
        if !self.access.identities.accounts.change_password(change, now, &request.budget).await? {
            return Err(Error::ConcurrentUpdate("the account was changed at the same time".into()).into());
        }
        events::password_changed(&opened.user.profile.id);
        Ok(cookies)
    }

    /// Returns the session after the change. It is in the user's next epoch, and persistent if the old one is.
    fn open(&self, user: &User, old: &Session, request: &Request, now: Timestamp) -> shared::error::Result<Session> {
        let kid = self.signer.refresh_kid(now);
        let new = NewSession {
            user_id: &user.profile.id,
            epoch: user.session_epoch.saturating_add(1),
            persistent: old.persistent,
            kid: &kid,
            source: Source { ip: request.source_ip(), user_agent: request.user_agent() },
        };
        self.lifetimes.open(new, now)
    }

    fn personal_words<'a>(&'a self, identity: &'a Identity, current: &'a Password) -> PersonalWords<'a> {
        let profile = &identity.user.profile;
        PersonalWords {
            login_name: &profile.user_id,
            email: &profile.email,
            name: &profile.name,
            services: self.services.each_ref().map(String::as_str),
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
        self.authenticator.succeeded(&authenticated, &request.budget).await;
        let is_same_user = authenticated.user.profile.id == identity.user.profile.id;
        if is_same_user { Ok(authenticated) } else { Err(Error::NotAuthorized) }
    }
}

#[cfg(test)]
mod tests;
