//! `GET /sessions`, `DELETE /sessions` and `DELETE /sessions/{id}`: list one's own sessions, and end them.
//! `POST /sessions/end`: the same for the form of the account page.

use serde::Serialize;
use shared::auth::{Access, Identity, RequestCredentials};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, reply};
use shared::id::SessionId;
use shared::session::Session;
use shared::store::{Client, Sessions};
use shared::telemetry::events;

mod page;

/// Everything that `sessions` can touch.
pub struct OwnSessions {
    /// Authenticates by an access token.
    pub access: Access,
    /// Lists and ends sessions.
    pub sessions: Sessions,
}

/// The body of the list.
#[derive(Serialize)]
struct List<'a> {
    sessions: Vec<Entry<'a>>,
}

/// One session in the list.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    created_at: String,
    last_renewed_at: String,
    source_ip: Option<&'a str>,
    user_agent: Option<&'a str>,
    device: Option<String>,
    current: bool,
}

impl OwnSessions {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self { access: Access::from_env(client.clone(), env)?, sessions: Sessions::from_env(client, env)? })
    }

    /// Lists the caller's sessions, ends one of them, or ends all except the caller's own.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid access token; [`Error::NotFound`] for an unknown session and for one of
    /// another user; the errors of an invalid request and of a store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        let id = request.parameter("id");
        if id.is_none() && request.path() == "/sessions/end" {
            return self.handle_form(&request, now).await;
        }
        request.accept(if id.is_some() { "DELETE" } else { "GET, DELETE" })?;
        let credentials = self.access.reader.read(request.bearer(), request.cookie_lines(), request.host());
        let identity = self.access.identity(&credentials, now, &request.budget).await?;
        match id {
            Some(id) => {
                let cleared = self.end(id, &identity, &credentials, &request, now).await?;
                reply::with_cookies(reply::no_content(), cleared)
            }
            None if request.method == "DELETE" => {
                self.end_others(&identity, &credentials, &request, now).await?;
                Ok(reply::no_content())
            }
            None => self.list(&identity, &request, now).await,
        }
    }

    async fn list(&self, identity: &Identity, request: &Request, now: Timestamp) -> http::Result<Reply> {
        let Identity { user, session } = identity;
        let sessions = self.sessions.active(&user.profile.id, user.session_epoch, now, &request.budget).await?;
        reply::json(&List { sessions: sessions.iter().map(|found| Entry::new(found, session)).collect() })
    }

    /// Ends one session. If it is the caller's own, returns the `Set-Cookie` lines that clear its cookies.
    async fn end(
        &self,
        id: &str,
        identity: &Identity,
        credentials: &RequestCredentials<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Vec<String>> {
        let not_found = || Error::NotFound("session");
        let id = SessionId::parse(id).map_err(|_| not_found())?;
        let owner = &identity.user.profile.id;
        let ended = self.sessions.end(owner, &id, now, &request.budget).await?.ok_or_else(not_found)?;
        if ended.just_now {
            events::session_ended("one", owner, &id);
        }
        let clears = id == identity.session.id && !credentials.is_bearer();
        Ok(if clears { self.access.reader.cookies.clear_both() } else { Vec::new() })
    }

    /// Ends all sessions except the caller's own. If the records were changed in between, another request ended
    /// sessions. If this session is still active after that, the other request came from this session and did the same.
    async fn end_others(
        &self,
        identity: &Identity,
        credentials: &RequestCredentials<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<()> {
        let Identity { user, session } = identity;
        if self.access.identities.accounts.end_other_sessions(user, session, &request.budget).await? {
            events::sessions_ended("others", &user.profile.id);
        } else {
            self.access.identity(credentials, now, &request.budget).await?;
        }
        Ok(())
    }
}

impl<'a> Entry<'a> {
    fn new(session: &'a Session, current: &Session) -> Self {
        Self {
            id: session.id.as_str(),
            created_at: session.created_at.rfc3339(),
            last_renewed_at: session.last_renewed_at().rfc3339(),
            source_ip: session.source_ip.as_deref(),
            user_agent: session.user_agent.as_deref(),
            device: session.device(),
            current: session.id == current.id,
        }
    }
}

#[cfg(test)]
mod tests;
