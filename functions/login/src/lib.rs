//! `POST /login`: checks a login name and a password, and opens a session.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::auth::{Authenticated, Authenticator, Identity, RequestCredentials};
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::{self, Reply, Request, reply};
use shared::json::Object;
use shared::password::Password;
use shared::session::{Lifetimes, NewSession, Session, sessions_per_user};
use shared::store::{Account, Attempt, Channel, Client, Sessions};
use shared::telemetry::events;
use shared::throttle::{Device, Devices};
use shared::token::{Cookies, Signer, Verifier};

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
    /// How many sessions a user may have. `None` means no limit.
    pub sessions_per_user: Option<usize>,
    /// Signs the tokens.
    pub signer: Signer,
    /// Verifies the access tokens of earlier sessions.
    pub access_verifier: Verifier,
    /// Verifies the refresh tokens of earlier sessions.
    pub refresh_verifier: Verifier,
    /// Reads and sets cookies.
    pub cookies: Cookies,
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
    /// [`Error::Setting`] for a missing or unsafe value; [`Error::Unexpected`] without memory for a hash.
    pub fn from_env(client: Client, env: &Environment) -> shared::error::Result<Self> {
        Ok(Self {
            authenticator: Authenticator::from_env(client.clone(), env)?,
            devices: Devices::from_env(env)?,
            sessions: Sessions::from_env(client, env)?,
            lifetimes: Lifetimes::from_env(env)?,
            sessions_per_user: sessions_per_user(env)?,
            signer: Signer::from_env(env)?,
            access_verifier: Verifier::for_access_tokens(env)?,
            refresh_verifier: Verifier::for_refresh_tokens(env)?,
            cookies: Cookies::from_env(env)?,
        })
    }

    /// Signs a user in: 302 to `/userinfo`, with the cookies of a new session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if the login name or the password is wrong; [`Error::TooManyAttempts`]; the errors of
    /// an invalid request and of a store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("POST")?;
        let Form { login_info, checked_keep_login } = request.json()?;
        let persistent = checked_keep_login.unwrap_or(false);
        let password = Password::new(login_info.password.expose_secret())?;
        let account = Account::named(&login_info.user_id);
        let credentials = RequestCredentials::read(&self.cookies, request.bearer(), request.cookie_lines());

        let devices = credentials.cookies().devices();
        let device = self.devices.as_ref().and_then(|ours| ours.recognise(devices, account.as_str(), now));
        let authenticated = self.authenticate(&request, &account, &password, device.as_ref(), now).await?;

        let new = NewSession {
            user_id: &authenticated.user.profile.id,
            epoch: authenticated.user.session_epoch,
            persistent,
            kid: self.signer.refresh_kid(),
            user_agent: request.user_agent(),
            source_ip: request.source_ip(),
        };
        let identity = Identity { session: self.lifetimes.open(new, now)?, user: authenticated.user.clone() };
        let mut cookies = identity.session_cookies(&self.cookies, &self.signer, now)?;
        if let Some(devices) = self.devices.as_ref().filter(|_| persistent) {
            let version = authenticated.credentials.password_version;
            let cookie = devices.issue(device, account.as_str(), version, now)?;
            cookies.push(self.cookies.set_device(&cookie.value, cookie.expires_at, now));
        }

        self.sessions.open(&identity.session, &request.budget).await?;
        self.apply_limit(&identity.session, now, &request.budget).await?;
        self.end_earlier_sessions(&credentials, now, &request.budget).await?;
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
    ) -> shared::error::Result<Authenticated> {
        let source_ip = request.source_ip();
        let channel = device.map_or(Channel::Public, Channel::KnownDevice);
        let attempt = Attempt { account, channel, source_ip: source_ip.as_deref() };
        self.authenticator.authenticate(attempt, password, now, &request.budget).await
    }

    /// Ends the oldest sessions above the limit. If that fails, or if newer logins have used up the limit, ends the new
    /// session and refuses the login: the browser must not get cookies of an ended session.
    async fn apply_limit(&self, opened: &Session, now: Timestamp, budget: &Budget) -> shared::error::Result<()> {
        let Some(limit) = self.sessions_per_user else { return Ok(()) };
        let outcome = self.sessions.end_oldest(opened, limit, now, budget).await;
        if let Ok(true) = outcome {
            return Ok(());
        }
        // Best effort: if this fails, no client has the cookies of the session, and it expires unused.
        self.sessions.end(&opened.user_id, &opened.id, now, budget).await.ok();
        outcome?;
        Err(Error::ConcurrentUpdate("newer logins have used up the limit of sessions".into()))
    }

    /// Ends the sessions whose cookies the browser sent (R28). Otherwise, after a login that is not persistent, the
    /// refresh cookie of an earlier user stays in the browser and could later sign that user in again. If a store fails
    /// here, some of those sessions may stay active, and no cookie changes: the new session stays stored, and no client
    /// has its cookies.
    async fn end_earlier_sessions(
        &self,
        credentials: &RequestCredentials<'_>,
        now: Timestamp,
        budget: &Budget,
    ) -> shared::error::Result<()> {
        let presented = credentials.cookies();
        for claims in presented.claims_by_session(&self.access_verifier, &self.refresh_verifier) {
            let ended = self.sessions.end(&claims.sub, &claims.sid, now, budget).await?;
            if ended.is_some_and(|ended| ended.just_now) {
                events::session_ended("login", &claims.sub, &claims.sid);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
