//! `GET /sessions`, `DELETE /sessions` and `DELETE /sessions/{id}`: list one's own sessions, and end them.

use serde::Serialize;
use shared::auth::{Access, Identity, RequestCredentials};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::{self, Reply, Request, reply};
use shared::id::SessionId;
use shared::session::Session;
use shared::store::{Client, Sessions};
use shared::telemetry::events;

mod user_agent;

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
    pub fn from_env(client: Client, env: &Environment) -> shared::error::Result<Self> {
        Ok(Self { access: Access::from_env(client.clone(), env)?, sessions: Sessions::from_env(client, env)? })
    }

    /// Lists the caller's sessions, ends one of them, or ends all except the caller's own.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid access token; [`Error::NotFound`] for an unknown session and for one of
    /// another user; the errors of an invalid request and of a store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        let id = request.parameter("id");
        request.accept(if id.is_some() { "DELETE" } else { "GET, DELETE" })?;
        let credentials = self.access.reader.read(request.bearer(), request.cookie_lines(), request.host());
        let identity = self.access.identity(&credentials, now, &request.budget).await?;
        match id {
            Some(id) => self.end(id, &identity, &credentials, &request, now).await,
            None if request.method == "DELETE" => self.end_others(&identity, &credentials, &request, now).await,
            None => self.list(&identity, &request, now).await,
        }
    }

    async fn list(&self, identity: &Identity, request: &Request, now: Timestamp) -> http::Result<Reply> {
        let Identity { user, session } = identity;
        let sessions = self.sessions.active(&user.profile.id, user.session_epoch, now, &request.budget).await?;
        reply::json(&List { sessions: sessions.iter().map(|found| Entry::new(found, session)).collect() })
    }

    /// Ends one session. If it is the caller's own, clears its cookies.
    async fn end(
        &self,
        id: &str,
        identity: &Identity,
        credentials: &RequestCredentials<'_>,
        request: &Request,
        now: Timestamp,
    ) -> http::Result<Reply> {
        let not_found = || Error::NotFound("session");
        let id = SessionId::parse(id).map_err(|_| not_found())?;
        let owner = &identity.user.profile.id;
        let ended = self.sessions.end(owner, &id, now, &request.budget).await?.ok_or_else(not_found)?;
        if ended.just_now {
            events::session_ended("one", owner, &id);
        }
        let clears = id == identity.session.id && !credentials.is_bearer();
        let cleared = if clears { self.access.reader.cookies.clear_both() } else { Vec::new() };
        reply::with_cookies(reply::no_content(), cleared)
    }

    /// Ends all sessions except the caller's own. If the records were changed in between, another request ended
    /// sessions. If this session is still active after that, the other request came from this session and did the same.
    async fn end_others(
        &self,
        identity: &Identity,
        credentials: &RequestCredentials<'_>,
        request: &Request,
        now: Timestamp,
    ) -> http::Result<Reply> {
        let Identity { user, session } = identity;
        if self.access.identities.accounts.end_other_sessions(user, session, &request.budget).await? {
            events::sessions_ended("others", &user.profile.id);
        } else {
            self.access.identity(credentials, now, &request.budget).await?;
        }
        Ok(reply::no_content())
    }
}

impl<'a> Entry<'a> {
    fn new(session: &'a Session, current: &Session) -> Self {
        Self {
            id: session.id.as_str(),
            created_at: session.created_at.rfc3339(),
            last_renewed_at: last_renewed_at(session).rfc3339(),
            source_ip: session.source_ip.as_deref(),
            user_agent: session.user_agent.as_deref(),
            device: session.user_agent.as_deref().and_then(user_agent::label),
            current: session.id == current.id,
        }
    }
}

/// Returns the time of the last renewal to the minute, but not before the login. With the second, a thief who holds the
/// refresh token would know when its grace period begins.
fn last_renewed_at(session: &Session) -> Timestamp {
    let minute = session.issued_at.as_secs() / 60 * 60;
    session.created_at.max(Timestamp::from_secs(minute))
}

#[cfg(test)]
mod tests;
