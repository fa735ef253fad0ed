//! `POST /login`: check credentials, open a session.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::clock::Timestamp;
use shared::cookies::{Cookies, Lifetime};
use shared::error::{Error, Result};
use shared::http::{Reply, Request, reply};
use shared::id::UserId;
use shared::identity::Identity;
use shared::passwords::{Hasher, Password};
use shared::sessions::{Opening, Sessions};
use shared::store::Budget;
use shared::tokens::Signer;
use shared::users::{User, Users};

/// Everything that a login needs, and all that it can touch.
pub struct Login {
    /// Who there is.
    pub users: Users,
    /// Where a session is opened.
    pub sessions: Sessions,
    /// Checks the password.
    pub hasher: Hasher,
    /// Signs the tokens.
    pub signer: Signer,
    /// Puts them into cookies.
    pub cookies: Cookies,
}

/// The body of the contract, to the letter: a name that is unknown or given twice is refused (R30).
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Form {
    login_info: LoginInfo,
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
    /// Signs somebody in: 302 to the user's own page, with the cookies of a new session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where name and password are not those of a user who may sign in; whatever a malformed
    /// request or a store that cannot answer gives.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("POST")?;
        let Form { login_info, checked_keep_login } = request.json()?;
        let keep = checked_keep_login.unwrap_or(false);

        let user = self.authenticate(&login_info, &request.budget).await?;

        let opening = Opening {
            keep,
            kid: self.signer.refresh_kid(),
            user_agent: request.user_agent(),
            source_ip: request.source_ip(),
        };
        let session = self.sessions.open(&user, opening, now, &request.budget).await?;

        let cookies = self.cookies_for(&Identity { user, session }, now)?;
        reply::with_cookies(reply::found("/userinfo"), cookies)
    }

    /// The user whose name and password these are. Whatever is wrong with them, it takes the same two reads and the
    /// same hash to say no (R17, R18).
    async fn authenticate(&self, login: &LoginInfo, budget: &Budget) -> Result<User> {
        let password = Password::new(login.password.expose_secret())?;
        let credentials = self.users.credentials(&login.user_id, budget).await?;
        let id = credentials.as_ref().map_or_else(UserId::random, |found| Ok(found.id.clone()))?;
        let user = self.users.find(&id, budget).await?;

        let matches = self.hasher.verify(&password, credentials.as_ref().map(|found| &found.password_hash));
        match (credentials, user) {
            (Some(credentials), Some(user))
                if matches && !user.disabled && user.password_version == credentials.password_version =>
            {
                Ok(user)
            }
            _ => Err(Error::NotAuthorized),
        }
    }

    /// The access cookie; and the refresh cookie, for somebody who asked to be kept signed in.
    fn cookies_for(&self, identity: &Identity, now: Timestamp) -> Result<Vec<String>> {
        let access = self.signer.access(&identity.subject(), now, identity.session.ends_at())?;
        let Some(generation) = identity.session.current_generation() else {
            return Ok(vec![self.cookies.set(&access, Lifetime::BrowserSession, now)?]);
        };
        let refresh = self.signer.refresh(&identity.subject(), &generation)?;
        [access, refresh].iter().map(|token| self.cookies.set(token, Lifetime::Token, now)).collect()
    }
}
