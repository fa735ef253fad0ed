//! `POST /logout`: ends the session and clears the cookies.

use shared::auth::{RequestCredentials, check_same_user};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Reply, Request, reply};
use shared::store::{Client, Ended, Sessions, Users};
use shared::telemetry::events;
use shared::token::{Claims, Cookies, Verifier};

/// Everything that a logout can touch.
pub struct Logout {
    /// Ends all sessions of a user at once.
    pub users: Users,
    /// Ends one session.
    pub sessions: Sessions,
    /// Verifies access tokens.
    pub access_verifier: Verifier,
    /// Verifies refresh tokens.
    pub refresh_verifier: Verifier,
    /// Reads and clears cookies.
    pub cookies: Cookies,
}

impl Logout {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`](shared::error::Error::Setting) for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            users: Users::from_env(client.clone(), env)?,
            sessions: Sessions::from_env(client, env)?,
            access_verifier: Verifier::for_access_tokens(env)?,
            refresh_verifier: Verifier::for_refresh_tokens(env)?,
            cookies: Cookies::from_env(env)?,
        })
    }

    /// Ends every session that the tokens of the request name, expired or not, and then clears the cookies. Answers the
    /// same without a token of ours.
    ///
    /// # Errors
    /// [`NotAuthorized`](shared::error::Error::NotAuthorized) for a `Bearer` token that is not ours; the errors of an
    /// invalid request and of a store. The cookies then stay, so that a retry can still end the session (F06).
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("POST")?;
        let everywhere = request.flag("everywhere")?;
        let credentials = RequestCredentials::read(&self.cookies, request.bearer(), request.cookie_lines());

        for claims in self.presented_sessions(&credentials)? {
            let ended = self.sessions.end(&claims.sub, &claims.sid, now, &request.budget).await?;
            if ended.as_ref().is_some_and(|ended| ended.just_now) {
                events::logged_out(&claims.sub, &claims.sid);
            }
            let session = ended.filter(|_| everywhere).map(Ended::session).transpose()?;
            if let Some(session) = session.filter(|session| session.may_end_all_sessions(now))
                && self.users.end_sessions(&session.user_id, session.epoch, &request.budget).await?
            {
                events::sessions_ended("everywhere", &claims.sub);
            }
        }

        reply::with_cookies(reply::reset_content(), self.cookies.clear_both())
    }

    /// Returns the claims of the presented tokens, one for each session. All cookies count: if a cookie were cleared
    /// without ending its session, nobody could end that session. So a `Bearer` token must not come with the cookie of
    /// another user.
    fn presented_sessions(&self, credentials: &RequestCredentials<'_>) -> Result<Vec<Claims>> {
        let mut sessions = credentials.cookies().claims_by_session(&self.access_verifier, &self.refresh_verifier);
        if let RequestCredentials::Bearer(token, _) = credentials {
            let claims = self.access_verifier.verify_ignoring_time(token)?;
            check_same_user(&claims, &sessions)?;
            if sessions.iter().all(|other| other.sid != claims.sid) {
                sessions.push(claims);
            }
        }
        Ok(sessions)
    }
}

#[cfg(test)]
mod tests;
