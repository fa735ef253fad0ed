//! Authentication by a refresh token, which renews the session.
//!
//! Runs the protocol of [`session::renewal`](crate::session::renewal): read the records, compare the token with them,
//! sign the new tokens, write. The new tokens are signed before the write. After a successful write there is no store
//! call and no signing that could fail and lose them (R62).

use super::{Identities, Identity};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::session::renewal::{Outcome, Reuse, Rules, Standing};
use crate::store::{Client, RenewalWrite, Sessions};
use crate::token::{Claims, Cookies, Signer, Verifier};

/// Renews sessions.
pub struct Renewal {
    /// Reads the user and the session.
    pub identities: Identities,
    /// Writes the session.
    pub sessions: Sessions,
    /// The rules of the protocol.
    pub rules: Rules,
    /// Verifies refresh tokens.
    pub verifier: Verifier,
    /// Signs the new tokens.
    pub signer: Signer,
    /// Puts the new tokens into cookies.
    pub cookies: Cookies,
}

impl Renewal {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            identities: Identities::from_env(client.clone(), env)?,
            sessions: Sessions::from_env(client, env)?,
            rules: Rules::from_env(env)?,
            verifier: Verifier::for_refresh_tokens(env)?,
            signer: Signer::from_env(env)?,
            cookies: Cookies::from_env(env)?,
        })
    }

    /// Uses a refresh token: renews the session, repeats the last renewal, or ends the session after reuse. With
    /// `may_change` = `false` nothing is written, and the caller gets no tokens (R86).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if the token is invalid; [`Error::Unavailable`], [`Error::Misconfigured`],
    /// [`Error::Corrupt`], [`Error::ConcurrentUpdate`] or [`Error::Unexpected`].
    pub async fn present(
        &self,
        token: &[u8],
        may_change: bool,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Outcome<Identity>> {
        // Ignores the expiry here: the use of a replaced token is reuse even after the token has expired.
        let token = self.verifier.verify_ignoring_time(token)?;
        let identity = self.identities.by_refresh_token(&token, now, budget).await?;
        let standing = self.rules.standing(&token, &identity.session, now);
        if standing == Standing::Current {
            self.verifier.check_time(&token, now)?;
        }
        match standing {
            Standing::Current | Standing::InGracePeriod if !may_change => Ok(Outcome::Unchanged { identity }),
            Standing::Current => self.renew(&token, identity, now, budget).await,
            Standing::InGracePeriod => self.repeat(identity, now),
            Standing::Reused(_) if !may_change => Err(Error::NotAuthorized),
            Standing::Reused(reuse) => self.end(identity, reuse, now, budget).await,
            Standing::Unknown => Err(Error::NotAuthorized),
        }
    }

    /// Renews the session. If a concurrent renewal was written first, compares the token with the new record.
    async fn renew(
        &self,
        token: &Claims,
        mut identity: Identity,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Outcome<Identity>> {
        identity.session = self.rules.renewed(&identity.session, self.signer.refresh_kid(), now);
        let cookies = identity.session_cookies(&self.cookies, &self.signer, now)?;
        let stored = match self.sessions.renew(&identity.session, now, budget).await? {
            RenewalWrite::Written => return Ok(Outcome::Renewed { identity, cookies }),
            RenewalWrite::ConditionFailed(stored) => stored.ok_or(Error::NotAuthorized)?,
        };
        identity.session = stored;
        let identity = self.identities.check(identity, token, now, budget).await?;
        match self.rules.standing(token, &identity.session, now) {
            Standing::InGracePeriod => self.repeat(identity, now),
            Standing::Reused(reuse) => self.end(identity, reuse, now, budget).await,
            Standing::Current | Standing::Unknown => Err(Error::NotAuthorized),
        }
    }

    /// Signs the current refresh token again (R63).
    fn repeat(&self, identity: Identity, now: Timestamp) -> Result<Outcome<Identity>> {
        let cookies = identity.session_cookies(&self.cookies, &self.signer, now)?;
        Ok(Outcome::Repeated { identity, cookies })
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
