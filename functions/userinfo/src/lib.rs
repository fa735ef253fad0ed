//! `GET /userinfo`: returns the signed-in user, and renews the session. A person with a browser gets the account page.

use shared::auth::{Identity, Presented, Renewal};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::{self, Reply, Request, reply};
use shared::session::Source;
use shared::session::renewal::Outcome;
use shared::store::Client;
use shared::telemetry::events;
use shared::token::Claims;

mod page;

/// Everything that `userinfo` can touch.
pub struct Userinfo {
    /// Authenticates by an access token or by a refresh token, and renews the session. The account page also lists the
    /// sessions with it.
    pub renewal: Renewal,
}

/// A signed-in user, and the cookies of a renewal.
struct SignedIn {
    identity: Identity,
    /// Whether the browser has a valid access token after this response.
    has_access: bool,
    cookies: Vec<String>,
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
    /// which also renews the session. For a person with a browser, returns the account page, and `/` leads to it.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] without a valid token; the errors of an invalid request and of a store.
    pub async fn handle(&self, request: Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("GET, HEAD")?;
        if request.path() == "/" {
            return self.lead_on(&request, now).await;
        }
        if let Some(page) = request.page() {
            return self.handle_page(page, &request, now).await;
        }
        let SignedIn { identity, cookies, .. } = self.signed_in(&request, now).await?;
        reply::with_cookies(reply::json(&identity.user.profile)?, cookies)
    }

    /// Returns the user of the request, with the cookies of a new or a repeated renewal.
    async fn signed_in(&self, request: &Request, now: Timestamp) -> http::Result<SignedIn> {
        let access = &self.renewal.access;
        let credentials = access.reader.read(request.bearer(), request.cookie_lines(), request.host());
        let refresh = access.reader.renewal_claims(&credentials);
        match (access.identity(&credentials, now, &request.budget).await, refresh) {
            (Err(Error::NotAuthorized), Some(token)) => self.renew(token, request, now).await,
            (identity, _) => Ok(SignedIn { identity: identity?, has_access: true, cookies: Vec::new() }),
        }
    }

    /// Returns the user of a refresh token, with the cookies of a new or a repeated renewal. After reuse, the session
    /// has ended, and the error clears the cookies.
    async fn renew(&self, token: &Claims, request: &Request, now: Timestamp) -> http::Result<SignedIn> {
        let source = Source { ip: request.source_ip(), user_agent: request.user_agent() };
        let presented = Presented { token, may_change: request.may_set_cookies(), source: &source };
        match self.renewal.present(presented, now, &request.budget).await? {
            Outcome::Renewed { identity, cookies } => {
                events::session_renewed(&identity.user.profile.id, &identity.session.id);
                Ok(SignedIn { identity, has_access: true, cookies })
            }
            Outcome::Repeated { identity, cookies, differs } => {
                let (user, session) = (&identity.user.profile.id, &identity.session.id);
                match differs {
                    None => events::refresh_repeated(user, session),
                    Some(what) => events::refresh_repeated_elsewhere(what.as_str(), user, session),
                }
                Ok(SignedIn { identity, has_access: true, cookies })
            }
            Outcome::Unchanged { identity } => Ok(SignedIn { identity, has_access: false, cookies: Vec::new() }),
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
