//! Authentication by a refresh token, which renews the session.
//!
//! Runs the protocol of [`session::renewal`](crate::session::renewal): read the records, compare the token with them,
//! sign the new tokens, write. The new tokens are signed before the write. After a successful write there is no store
//! call and no signing that could fail and lose them (R62).

use super::{Access, Identity, RequestCredentials};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::session::Source;
use crate::session::renewal::{Outcome, Reuse, Rules, Standing};
use crate::store::{Client, RenewalWrite, Sessions};
use crate::token::{Claims, Signer};

/// Renews sessions.
pub struct Renewal {
    /// Verifies refresh tokens, reads the user and the session, and makes cookies.
    pub access: Access,
    /// Writes the session.
    pub sessions: Sessions,
    /// The rules of the protocol.
    pub rules: Rules,
    /// Signs the new tokens.
    pub signer: Signer,
}

/// A refresh token that a request presents.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The claims of the token, from [`renewal_claims`](super::CredentialReader::renewal_claims). The token may have
    /// expired. The use of a replaced token is reuse even after that.
    pub token: &'a Claims,
    /// Whether the request may change anything. If not, nothing is written, and the caller gets no tokens (R86).
    pub may_change: bool,
    /// Where the request comes from.
    pub source: &'a Source,
}

impl Renewal {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            access: Access::from_env(client.clone(), env)?,
            sessions: Sessions::from_env(client, env)?,
            rules: Rules::from_env(env)?,
            signer: Signer::from_env(env)?,
        })
    }

    /// Uses a refresh token: renews the session, repeats the last renewal, or ends the session after reuse.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if the token is no longer valid; [`Error::Unavailable`], [`Error::Misconfigured`],
    /// [`Error::Corrupt`], [`Error::ConcurrentUpdate`] or [`Error::Unexpected`].
    pub async fn present(
        &self,
        presented: Presented<'_>,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Outcome<Identity>> {
        let Presented { token, may_change, source } = presented;
        let identity = self.identity(token, may_change, now, budget).await?;
        let standing = self.rules.standing(token, &identity.session, now);
        match standing {
            Standing::Current => self.access.reader.refresh_verifier.check(token, now)?,
            Standing::InGracePeriod => token.check_key(now)?,
            Standing::Reused(_) | Standing::Unknown => {}
        }
        match standing {
            Standing::Current | Standing::InGracePeriod if !may_change => Ok(Outcome::Unchanged { identity }),
            Standing::Current => self.renew(token, identity, source, now, budget).await,
            Standing::InGracePeriod => self.repeat(identity, source, now),
            Standing::Reused(_) if !may_change => Err(Error::NotAuthorized),
            Standing::Reused(reuse) => self.end(identity, reuse, now, budget).await,
            Standing::Unknown => Err(Error::NotAuthorized),
        }
    }

    /// Returns `true` if the request is of a signed-in user: by the access token, or by the refresh token. Renews and
    /// ends nothing. Credentials of two users are of no user.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], [`Error::ConcurrentUpdate`] or [`Error::Unexpected`].
    pub async fn is_signed_in(
        &self,
        credentials: &RequestCredentials<'_>,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<bool> {
        // A record that this version cannot read signs no user in. Its owner can still sign in as another user.
        let is_no_user = |error: &Error| {
            matches!(
                error,
                Error::NotAuthorized
                    | Error::NotAuthorizedClearCookies(_)
                    | Error::InvalidRequest(_)
                    | Error::Corrupt(_)
            )
        };
        let refresh = self.access.reader.renewal_claims(credentials);
        match (self.access.identity(credentials, now, budget).await, refresh) {
            (Ok(_), _) => Ok(true),
            (Err(Error::NotAuthorized), Some(token)) => {
                let presented = Presented { token, may_change: false, source: &Source::default() };
                match self.present(presented, now, budget).await {
                    Ok(_) => Ok(true),
                    Err(error) if is_no_user(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            }
            (Err(error), _) if is_no_user(&error) => Ok(false),
            (Err(error), _) => Err(error),
        }
    }

    /// Returns the user and the session of a refresh token. If the session has expired, ends it first, so that no
    /// instance with a slower clock can renew it afterwards (F29).
    async fn identity(&self, token: &Claims, may_change: bool, now: Timestamp, budget: &Budget) -> Result<Identity> {
        let identity = self.access.identities.find(token, budget).await?.ok_or(Error::NotAuthorized)?;
        if identity.session.has_expired(now) && may_change {
            self.sessions.end_expired(&identity.session, now, budget).await?;
        }
        if identity.accepts(token, now) { Ok(identity) } else { Err(Error::NotAuthorized) }
    }

    /// Renews the session. If a concurrent renewal was written first, compares the token with the new record.
    async fn renew(
        &self,
        token: &Claims,
        mut identity: Identity,
        source: &Source,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Outcome<Identity>> {
        identity.session = self.rules.renewed(&identity.session, &self.signer.refresh_kid(now), source, now);
        let cookies = identity.session_cookies(&self.access.reader.cookies, &self.signer, now)?;
        let stored = match self.sessions.renew(&identity.session, now, budget).await? {
            RenewalWrite::Written => return Ok(Outcome::Renewed { identity, cookies }),
            RenewalWrite::ConditionFailed(stored) => stored.ok_or(Error::NotAuthorized)?,
        };
        identity.session = stored;
        let identity = self.access.identities.check(identity, token, now, budget).await?;
        match self.rules.standing(token, &identity.session, now) {
            Standing::InGracePeriod => self.repeat(identity, source, now),
            Standing::Reused(reuse) => self.end(identity, reuse, now, budget).await,
            Standing::Current | Standing::Unknown => Err(Error::NotAuthorized),
        }
    }

    /// Signs the current refresh token again (R63).
    fn repeat(&self, identity: Identity, source: &Source, now: Timestamp) -> Result<Outcome<Identity>> {
        let cookies = identity.session_cookies(&self.access.reader.cookies, &self.signer, now)?;
        let differs = identity.session.differs_from_renewal(source);
        Ok(Outcome::Repeated { identity, cookies, differs })
    }

    /// Ends the session, because a thief may have its tokens (R66).
    async fn end(
        &self,
        identity: Identity,
        reuse: Reuse,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Outcome<Identity>> {
        let ended_by_this_call = self.sessions.end_for_reuse(&identity.session, now, budget).await?;
        Ok(Outcome::Reused { identity, reuse, ended_by_this_call })
    }
}
