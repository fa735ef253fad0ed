//! Who is asking, by an access token alone.
//!
//! Owns which token counts, for every function that lets somebody in: the `Bearer` token alone where there is one (R92),
//! else the cookie. Renews nothing and knows no refresh token.

use crate::claims::Kind;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::cookies::Cookies;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, reply};
use crate::identity::{Identities, Identity};
use crate::store::Client;
use crate::tokens::Verifier;

/// Everything that it takes to say who is asking.
pub struct Access {
    /// Who is behind a token.
    pub identities: Identities,
    /// Reads tokens.
    pub verifier: Verifier,
    /// Finds tokens in cookies.
    pub cookies: Cookies,
}

impl Access {
    /// The tables, secrets and cookies of this configuration.
    #[must_use]
    pub fn new(client: Client, config: &Config) -> Self {
        Self {
            identities: Identities::new(client, config),
            verifier: Verifier::new(config),
            cookies: Cookies::new(config.cookie_domain.clone()),
        }
    }

    /// The refusal of a request that brings one of our cookies twice, with different values: which of them is meant is not ours
    /// to guess, so both are cleared, and no session is ended (R81). Nothing for every other request.
    pub fn ambiguous(&self, request: &Request) -> Option<Result<Reply>> {
        let is_ambiguous = request.bearer().is_none() && self.cookies.read(request.cookie_lines()).is_ambiguous();
        let cleared = || self.cookies.clear_both().into_iter().filter(|_| request.may_renew());
        is_ambiguous.then(|| reply::with_cookies(reply::not_authorized(), cleared()))
    }

    /// The user, and the session in which the user is asking.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where nobody is; [`Error::Malformed`] where a `Bearer` token and the cookie are of two
    /// users; [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`] where the stores cannot be asked.
    pub async fn identity(&self, request: &Request, now: Timestamp) -> Result<Identity> {
        let presented = self.cookies.read(request.cookie_lines());
        let claims = if let Some(token) = request.bearer() {
            let claims = self.verifier.verify(Kind::Access, token, now)?;
            claims.check_same_user(&presented.claims(&[Kind::Access], &self.verifier))?;
            claims
        } else {
            let token = presented.one(Kind::Access).filter(|_| !presented.is_ambiguous());
            self.verifier.verify(Kind::Access, token.ok_or(Error::NotAuthorized)?, now)?
        };
        self.identities.behind(&claims, now, &request.budget).await
    }
}
