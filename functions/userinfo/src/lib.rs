//! `GET /userinfo`: returns the signed-in user, and renews the session.

use shared::auth::{Identity, Presented, Renewal};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::{self, Reply, Request, reply};
use shared::session::Source;
use shared::session::renewal::Outcome;
use shared::store::Client;
use shared::telemetry::events;

/// Everything that `userinfo` can touch.
pub struct Userinfo {
    /// Authenticates by an access token or by a refresh token, and renews the session.
    pub renewal: Renewal,
}

impl Userinfo {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> shared::error::Result<Self> {
        Ok(Self { renewal: Renewal::from_env(client, env)? })
    }

    /// Returns the user of the `Bearer` token if there is one, else of the access cookie, else of the refresh cookie,
    /// which also renews the session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid token; the errors of an invalid request and of a store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("GET, HEAD")?;
        let access = &self.renewal.access;
        let credentials = access.reader.read(request.bearer(), request.cookie_lines(), request.host());
        match (access.identity(&credentials, now, &request.budget).await, credentials.refresh_token()) {
            (Err(Error::NotAuthorized), Some(token)) => self.renew(token, &request, now).await,
            (identity, _) => reply::json(&identity?.user.profile),
        }
    }

    /// Returns the user of a refresh token, with the cookies of a new or a repeated renewal. After reuse, the session
    /// has ended, and the error clears the cookies.
    async fn renew(&self, token: &[u8], request: &Request, now: Timestamp) -> http::Result<Reply> {
        let source = Source { ip: request.source_ip(), user_agent: request.user_agent() };
        let presented = Presented { token, may_change: request.may_set_cookies(), source: &source };
        match self.renewal.present(presented, now, &request.budget).await? {
            Outcome::Renewed { identity: Identity { user, session }, cookies } => {
                let reply = reply::with_cookies(reply::json(&user.profile)?, cookies)?;
                events::session_renewed(&user.profile.id, &session.id);
                Ok(reply)
            }
            Outcome::Repeated { identity: Identity { user, session }, cookies, differs } => {
                let reply = reply::with_cookies(reply::json(&user.profile)?, cookies)?;
                match differs {
                    None => events::refresh_repeated(&user.profile.id, &session.id),
                    Some(what) => events::refresh_repeated_elsewhere(what.as_str(), &user.profile.id, &session.id),
                }
                Ok(reply)
            }
            Outcome::Unchanged { identity } => reply::json(&identity.user.profile),
            Outcome::Reused { identity: Identity { user, session }, reuse, ended_by_this_call } => {
                if ended_by_this_call {
                    events::refresh_reuse(reuse.reason(), &user.profile.id, &session.id);
                }
                Err(Error::NotAuthorizedClearCookies(self.renewal.access.reader.cookies.clear_both()).into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
