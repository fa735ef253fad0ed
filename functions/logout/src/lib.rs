//! `POST /logout`: ends the session and clears the cookies.

use shared::auth::{CredentialReader, Identities, check_one_user};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, reply};
use shared::page::Problem;
use shared::store::{Client, Sessions};
use shared::telemetry::events;
use shared::token::Claims;

/// How often `everywhere` reads the records again if another request has changed them.
const TRIES: u32 = 3;

/// Everything that a logout can touch.
pub struct Logout {
    /// Finds the session of a token, and ends all sessions of a user at once.
    pub identities: Identities,
    /// Ends one session.
    pub sessions: Sessions,
    /// Reads the credentials of requests.
    pub reader: CredentialReader,
}

impl Logout {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            identities: Identities::from_env(client.clone(), env)?,
            sessions: Sessions::from_env(client, env)?,
            reader: CredentialReader::from_env(env)?,
        })
    }

    /// Ends every session that the tokens of the request name, or with `everywhere` all sessions of the user. Then
    /// clears the cookies. The tokens may have expired. Answers the same without a token of ours, because then there is
    /// no session to end. A person with a browser is led to the sign-in page.
    ///
    /// # Errors
    /// With `everywhere`: [`Error::NotAuthorizedClearCookies`] without a token of an active session;
    /// [`Error::InvalidRequest`] for tokens of two users. The errors of an invalid request and of a store. After these,
    /// the cookies stay, so that a retry can still end the session (F06).
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("POST")?;
        let everywhere = request.flag("everywhere")?;
        let credentials = self.reader.read(request.bearer(), request.cookie_lines(), request.host());
        let presented = self.reader.signed_claims(&credentials);

        let cleared = self.reader.clear_all_scopes(&credentials);
        if everywhere {
            check_one_user(&presented)?;
            if !self.end_all(&presented, &request, now).await? {
                // A session that this version cannot read is not active for it, but can be ended.
                self.end_each(&presented, &request, now).await?;
                let error = http::Error::from(Error::NotAuthorizedClearCookies(cleared));
                return Err(match request.page() {
                    Some(page) => error.in_page(|_| page.problem(Problem::NotEverywhere, None)),
                    None => error,
                });
            }
        } else {
            self.end_each(&presented, &request, now).await?;
        }
        let reply = if request.page().is_some() { reply::see_other("/login")? } else { reply::reset_content() };
        reply::with_cookies(reply, cleared)
    }

    /// Ends the session of each token.
    async fn end_each(&self, presented: &[Claims], request: &Request, now: Timestamp) -> Result<()> {
        for Claims { sub, sid, .. } in presented {
            let ended = self.sessions.end(sub, sid, now, &request.budget).await?;
            if ended.is_some_and(|ended| ended.just_now) {
                events::logged_out(sub, sid);
            }
        }
        Ok(())
    }

    /// Ends all sessions of the user. Returns `false` if no token is of an active session: a token of an ended session,
    /// which may be a copy, must not end the newer sessions.
    async fn end_all(&self, presented: &[Claims], request: &Request, now: Timestamp) -> Result<bool> {
        for claims in presented {
            if self.end_all_by(claims, request, now).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn end_all_by(&self, claims: &Claims, request: &Request, now: Timestamp) -> Result<bool> {
        for _ in 0..TRIES {
            let identity = match self.identities.by_session(claims, now, &request.budget).await {
                Ok(identity) => identity,
                Err(Error::NotAuthorized) => return Ok(false),
                Err(error) => return Err(error),
            };
            let accounts = &self.identities.accounts;
            if accounts.end_all_sessions(&identity.user, &identity.session, now, &request.budget).await? {
                events::logged_out(&claims.sub, &claims.sid);
                events::sessions_ended("everywhere", &claims.sub);
                return Ok(true);
            }
        }
        Err(Error::ConcurrentUpdate("the sessions of the user were changed at the same time".into()))
    }
}

#[cfg(test)]
mod tests;
