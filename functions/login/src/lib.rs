//! `POST /login`: checks a login name and a password, and opens a session. `GET /login`: the sign-in page.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::auth::{Authenticated, Authenticator, Identity, Renewal, RequestCredentials};
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, reply};
use shared::json::Object;
use shared::password::Password;
use shared::session::{Lifetimes, NewSession, Session, Source, sessions_per_user};
use shared::store::{Account, Attempt, Channel, Client};
use shared::telemetry::events;
use shared::throttle::{Device, Devices};

mod page;

/// Everything that a login can touch.
pub struct Login {
    /// Checks passwords.
    pub authenticator: Authenticator,
    /// Makes and reads device cookies. `None` if they are off.
    pub devices: Option<Devices>,
    /// Reads the credentials of earlier sessions, stores the new one, and signs its tokens. The sign-in page also asks
    /// it whether the visitor is signed in already.
    pub renewal: Renewal,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// How many sessions a user may have.
    pub sessions_per_user: usize,
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

/// What a user typed.
struct Input {
    user_id: String,
    password: SecretString,
    persistent: bool,
}

impl From<Form> for Input {
    fn from(form: Form) -> Self {
        let Object(LoginInfo { user_id, password }) = form.login_info;
        Self { user_id, password, persistent: form.checked_keep_login.unwrap_or(false) }
    }
}

impl Login {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value; [`Error::Unexpected`] without memory for a hash.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            authenticator: Authenticator::from_env(client.clone(), env)?,
            devices: Devices::from_env(env)?,
            renewal: Renewal::from_env(client, env)?,
            lifetimes: Lifetimes::from_env(env)?,
            sessions_per_user: sessions_per_user(env)?,
        })
    }

    /// Signs a user in: 302 to `/userinfo`, with the cookies of a new session. For a person with a browser, also shows
    /// the sign-in page.
    ///
    /// # Errors
    /// [`NotAuthorized`](shared::error::Error::NotAuthorized) if the login name or the password is wrong;
    /// [`TooManyAttempts`](shared::error::Error::TooManyAttempts); the errors of an invalid request and of a store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        if let Some(page) = request.page()
            && (request.method == "GET" || request.has_form())
        {
            return self.handle_page(page, &request, now).await;
        }
        request.accept("POST")?;
        let cookies = self.sign_in(&request.json::<Form>()?.into(), &request, now).await?;
        reply::with_cookies(reply::found("/userinfo")?, cookies)
    }

    /// Checks the password, and opens a session. Returns its `Set-Cookie` lines.
    async fn sign_in(&self, input: &Input, request: &Request, now: Timestamp) -> Result<Vec<String>> {
        let Renewal { access, sessions, signer, .. } = &self.renewal;
        let persistent = input.persistent;
        let password = Password::new(input.password.expose_secret())?;
        let account = Account::named(&input.user_id);
        let credentials = access.reader.read(request.bearer(), request.cookie_lines(), request.host());

        let devices = credentials.cookies().devices();
        let device = self.devices.as_ref().and_then(|ours| ours.recognise(devices, account.as_str(), now));
        let authenticated = self.authenticate(request, &account, &password, device.as_ref(), now).await?;

        let open = async {
            let kid = signer.refresh_kid(now);
            let new = NewSession {
                user_id: &authenticated.user.profile.id,
                epoch: authenticated.user.session_epoch,
                persistent,
                kid: &kid,
                source: Source { ip: request.source_ip(), user_agent: request.user_agent() },
            };
            let identity = Identity { session: self.lifetimes.open(new, now)?, user: authenticated.user.clone() };
            let mut cookies = access.reader.clear_replaced(&credentials, persistent);
            cookies.extend(identity.session_cookies(&access.reader.cookies, signer, now)?);
            if let Some(devices) = self.devices.as_ref().filter(|_| persistent) {
                let version = authenticated.credentials.password_version;
                let cookie = devices.issue(device, account.as_str(), version, now)?;
                cookies.push(access.reader.cookies.set_device(&cookie.value, cookie.expires_at, now));
            }
            sessions.open(&identity.session, &request.budget).await?;
            Ok::<_, Error>((identity, cookies))
        };
        // The attempt has succeeded even if no session can be opened.
        let (opened, ()) = tokio::join!(open, self.authenticator.succeeded(&authenticated, &request.budget));
        let (identity, cookies) = opened?;
        self.end_replaced_sessions(&credentials, &identity.session, now, &request.budget).await;
        self.authenticator.rehash_if_outdated(&authenticated, &password, now, &request.budget).await;
        events::login_succeeded(&identity.user.profile.id, &identity.session.id, persistent);
        Ok(cookies)
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
        let Renewal { access, sessions, .. } = &self.renewal;
        for claims in access.reader.signed_claims(credentials) {
            match sessions.end(&claims.sub, &claims.sid, now, budget).await {
                Ok(Some(ended)) if ended.just_now => events::session_ended("login", &claims.sub, &claims.sid),
                Ok(_) => {}
                Err(error) => events::sessions_not_ended("login", &claims.sub, &error),
            }
        }
        if let Err(error) = sessions.apply_limit(opened, self.sessions_per_user, now, budget).await {
            events::sessions_not_ended("limit", &opened.user_id, &error);
        }
    }
}

#[cfg(test)]
mod tests;
