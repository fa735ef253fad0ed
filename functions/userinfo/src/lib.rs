//! `GET /userinfo`: who is behind this session; renews it.

use shared::claims::Kind;
use shared::clock::Timestamp;
use shared::cookies::{Cookies, Lifetime, Presented};
use shared::error::{Error, Result};
use shared::http::{Reply, Request, reply};
use shared::identity::{Identities, Identity};
use shared::tokens::{Signer, Verifier};

/// Everything that it takes to say who somebody is, and all that it can touch.
pub struct Userinfo {
    /// Who is behind a token.
    pub identities: Identities,
    /// Reads tokens.
    pub verifier: Verifier,
    /// Signs the new ones.
    pub signer: Signer,
    /// Finds tokens in cookies and puts them there.
    pub cookies: Cookies,
}

impl Userinfo {
    /// Says who is signed in: by the `Bearer` token alone where there is one, else by the access cookie, else by the
    /// refresh cookie, which also renews the session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where nobody is; whatever a malformed request or a store that cannot answer gives.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("GET, HEAD")?;
        let presented = self.cookies.read(request.cookie_lines());
        if let Some(token) = request.bearer() {
            let claims = self.verifier.verify(Kind::Access, token, now)?;
            self.verifier.check_one_user(&claims, presented.all(Kind::Access))?;
            let identity = self.identities.behind(&claims, now, &request.budget).await?;
            return reply::json(&identity.user.profile);
        }
        if presented.is_ambiguous() {
            return reply::with_cookies(reply::not_authorized(), self.cookies.clear_both());
        }

        match self.behind(Kind::Access, &presented, &request, now).await {
            Err(Error::NotAuthorized) => {}
            verdict => return reply::json(&verdict?.user.profile),
        }
        let identity = self.behind(Kind::Refresh, &presented, &request, now).await?;
        let response = reply::json(&identity.user.profile)?;
        if !request.may_renew() {
            return Ok(response);
        }
        let access = self.signer.access(&identity.subject(), now, identity.session.ends_at())?;
        reply::with_cookies(response, [self.cookies.set(&access, Lifetime::Token, now)?])
    }

    /// Who is behind the cookie of a kind, as the stores see it now.
    async fn behind(
        &self,
        kind: Kind,
        presented: &Presented<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Identity> {
        let token = presented.one(kind).ok_or(Error::NotAuthorized)?;
        let claims = self.verifier.verify(kind, token, now)?;
        self.identities.behind(&claims, now, &request.budget).await
    }
}
