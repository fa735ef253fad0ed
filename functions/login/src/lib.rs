//! `POST /login`: checks a login name and a password, and opens a session.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::auth::{Authenticated, Authenticator, CredentialReader, Identity, RequestCredentials};
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Reply, Request, reply};
use shared::json::Object;
use shared::password::Password;
use shared::session::{Lifetimes, NewSession, Session, Source, sessions_per_user};
use shared::store::{Account, Attempt, Channel, Client, Sessions};
use shared::telemetry::events;
use shared::throttle::{Device, Devices};
use shared::token::Signer;

/// Everything that a login can touch.
pub struct Login {
    /// Checks passwords.
    pub authenticator: Authenticator,
    /// Makes and reads device cookies. `None` if they are off.
    pub devices: Option<Devices>,
    /// Stores sessions.
    pub sessions: Sessions,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// How many sessions a user may have.
    pub sessions_per_user: usize,
    /// Signs the tokens.
    pub signer: Signer,
    /// Reads the credentials of earlier sessions.
    pub reader: CredentialReader,
}

/// The request body. `loginInfo` and `checkedKeepLogin` are kept for the first clients (see `openapi.yaml`). Unknown
/// and repeated names are rejected (R30).
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Form {
    login_info: Object<LoginInfo>,
    #[serde(default)]
    checked_keep_login: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LoginInfo {
    user_id: String,
    password: SecretString,
}

impl Login {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`](shared::error::Error::Setting) for a missing or unsafe value;
    /// [`Error::Unexpected`](shared::error::Error::Unexpected) without memory for a hash.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            authenticator: Authenticator::from_env(client.clone(), env)?,
            devices: Devices::from_env(env)?,
            sessions: Sessions::from_env(client, env)?,
            lifetimes: Lifetimes::from_env(env)?,
            sessions_per_user: sessions_per_user(env)?,
            signer: Signer::from_env(env)?,
            reader: CredentialReader::from_env(env)?,
        })
    }

    /// Signs a user in: 302 to `/userinfo`, with the cookies of a new session.
    ///
    /// # Errors
    /// [`NotAuthorized`](shared::error::Error::NotAuthorized) if the login name or the password is wrong;
    /// [`TooManyAttempts`](shared::error::Error::TooManyAttempts); the errors of an invalid request and of a store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("POST")?;
        let Form { login_info, checked_keep_login } = request.json()?;
        let persistent = checked_keep_login.unwrap_or(false);
        let password = Password::new(login_info.password.expose_secret())?;
        let account = Account::named(&login_info.user_id);
        let credentials = self.reader.read(request.bearer(), request.cookie_lines(), request.host());

        let devices = credentials.cookies().devices();
        let device = self.devices.as_ref().and_then(|ours| ours.recognise(devices, account.as_str(), now));
        let authenticated = self.authenticate(&request, &account, &password, device.as_ref(), now).await?;

        let new = NewSession {
            user_id: &authenticated.user.profile.id,
            epoch: authenticated.user.session_epoch,
            persistent,
            kid: self.signer.refresh_kid(),
            source: Source { ip: request.source_ip(), user_agent: request.user_agent() },
        };
        let identity = Identity { session: self.lifetimes.open(new, now)?, user: authenticated.user.clone() };
        let mut cookies = self.reader.clear_replaced(&credentials, persistent);
        cookies.extend(identity.session_cookies(&self.reader.cookies, &self.signer, now)?);
        if let Some(devices) = self.devices.as_ref().filter(|_| persistent) {
            let version = authenticated.credentials.password_version;
            let cookie = devices.issue(device, account.as_str(), version, now)?;
            cookies.push(self.reader.cookies.set_device(&cookie.value, cookie.expires_at, now));
        }

        self.sessions.open(&identity.session, &request.budget).await?;
        self.end_replaced_sessions(&credentials, &identity.session, now, &request.budget).await;
        self.authenticator.rehash_if_outdated(&authenticated, &password, &request.budget).await;

        let reply = reply::with_cookies(reply::found("/userinfo"), cookies)?;
        events::login_succeeded(&identity.user.profile.id, &identity.session.id, persistent);
        Ok(reply)
    }

    /// Checks the password. A known device has its own attempt counter (R22).
    async fn authenticate(
        &self,
        request: &Request,
        account: &Account<'_>,
        password: &Password,
        device: Option<&Device>,
        now: Timestamp,
    ) -> Result<Authenticated> {
        let source_ip = request.source_ip();
        let channel = device.map_or(Channel::Public, Channel::KnownDevice);
        let attempt = Attempt { account, channel, source_ip: source_ip.as_deref() };
        self.authenticator.authenticate(attempt, password, now, &request.budget).await
    }

    /// Ends the sessions whose tokens the request brought (R28), and the oldest sessions above the limit (R77). Best
    /// effort: the new session is stored, so the user gets its cookies in any case. They replace those that the request
    /// brought. The next login applies the limit again.
    async fn end_replaced_sessions(
        &self,
        credentials: &RequestCredentials<'_>,
        opened: &Session,
        now: Timestamp,
        budget: &Budget,
    ) {
        for claims in self.reader.signed_claims(credentials) {
            match self.sessions.end(&claims.sub, &claims.sid, now, budget).await {
                Ok(Some(ended)) if ended.just_now => events::session_ended("login", &claims.sub, &claims.sid),
                Ok(_) => {}
                Err(error) => events::sessions_not_ended("login", &claims.sub, &error),
            }
        }
        if let Err(error) = self.sessions.apply_limit(opened, self.sessions_per_user, now, budget).await {
            events::sessions_not_ended("limit", &opened.user_id, &error);
        }
    }
}

#[cfg(test)]
mod tests;
