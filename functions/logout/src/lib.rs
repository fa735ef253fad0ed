//! `POST /logout`: end the session, clear the cookies.

use shared::claims::{Claims, Kind};
use shared::clock::Timestamp;
use shared::cookies::Cookies;
use shared::error::Result;
use shared::http::{Reply, Request, reply};
use shared::sessions::Sessions;
use shared::tokens::Verifier;
use shared::users::Users;

/// Everything that a logout needs, and all that it can touch.
pub struct Logout {
    /// Where all sessions of a user are ended at once.
    pub users: Users,
    /// Where a session is ended.
    pub sessions: Sessions,
    /// Reads tokens.
    pub verifier: Verifier,
    /// Finds tokens in cookies, and clears them.
    pub cookies: Cookies,
}

impl Logout {
    /// Signs out: ends every session that the tokens of the request name, expired or not, and only then clears the
    /// cookies. Without a token that we signed there is nothing to end, and the answer is the same.
    ///
    /// # Errors
    /// [`NotAuthorized`](shared::error::Error::NotAuthorized) for a `Bearer` token that is not ours; whatever a malformed request or a store that
    /// cannot answer gives: the cookies stay as they are, so that the next try can still end the session (F06).
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("POST")?;
        let everywhere = request.flag("everywhere")?;
        let named = self.named_sessions(&request)?;

        for claims in named {
            let ended = self.sessions.end(&claims.sub, &claims.sid, now, &request.budget).await?;
            if let Some(session) = ended.filter(|_| everywhere) {
                self.users.end_sessions(&session.user_id, session.epoch, &request.budget).await?;
            }
        }

        reply::with_cookies(reply::reset_content(), self.cookies.clear_both())
    }

    /// What the tokens of the request say, each session once.
    fn named_sessions(&self, request: &Request) -> Result<Vec<Claims>> {
        let presented = self.cookies.read(request.cookie_lines());
        let bearer = request.bearer().map(|token| self.verifier.authentic(Kind::Access, token)).transpose()?;
        if let Some(claims) = &bearer {
            self.verifier.check_one_user(claims, presented.all(Kind::Access))?;
        }
        let in_cookies = [Kind::Access, Kind::Refresh]
            .into_iter()
            .flat_map(|kind| presented.all(kind).iter().map(move |token| self.verifier.authentic(kind, token)))
            .filter_map(Result::ok);
        let mut named: Vec<Claims> = Vec::new();
        for claims in bearer.into_iter().chain(in_cookies) {
            if !named.iter().any(|other| (&other.sub, &other.sid) == (&claims.sub, &claims.sid)) {
                named.push(claims);
            }
        }
        Ok(named)
    }
}
