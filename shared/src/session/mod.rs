//! A session: the record of one login, and how long it lives.
//!
//! Owns [`Session`], the lifetimes, and when a session is active. [`renewal`] owns the renewal protocol. Only
//! arithmetic: no table, no signature, and the current time is an argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::Result;
use crate::id::{SessionId, UserId};
use crate::token::{self, Generation, MAX_SESSION_AGE};

pub mod renewal;
#[cfg(test)]
mod tests;

/// For this long after a session has ended, its tokens may still end all sessions of the user. So a failed logout from
/// all devices can be retried.
const RECENTLY: Duration = Duration::from_mins(1);

/// The longest stored user agent in bytes.
const MAX_USER_AGENT: usize = 512;

/// One login of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The user. This is the partition key, so that one query reads all sessions of a user.
    pub user_id: UserId,
    /// The session. This is the sort key.
    #[serde(rename = "session_id")]
    pub id: SessionId,
    /// The user's epoch at login. The session is active only while the user is in this epoch (R76).
    pub epoch: u64,
    /// Whether the session outlives the browser ("keep me signed in"). Only a persistent session has refresh tokens.
    pub persistent: bool,
    /// The time of login.
    pub created_at: Timestamp,
    /// The number of the current refresh token. The first one is 1.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The `iat` of the current refresh token.
    pub issued_at: Timestamp,
    /// The `kid` of the key that signed the current refresh token.
    pub kid: String,
    /// The time at which the session ends if it is not renewed.
    pub idle_exp: Timestamp,
    /// The time at which the session ends in any case.
    pub abs_exp: Timestamp,
    /// The time at which the session was ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The `User-Agent` of the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The source address of the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
}

impl Session {
    /// Returns `true` if the session has not ended or expired and is of the user's current epoch, `epoch`. DynamoDB
    /// deletes expired records late, so that the time is checked here (R72).
    #[must_use]
    pub fn is_active(&self, epoch: u64, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.epoch == epoch && now < self.ends_at()
    }

    /// Returns `true` if a token of this session may end all sessions of the user: the session was not ended early, or
    /// at most a minute ago, and its absolute expiry has not passed. Does not check the idle expiry and the epoch.
    #[must_use]
    pub fn may_end_all_sessions(&self, now: Timestamp) -> bool {
        self.ended_at.is_none_or(|ended_at| now.since(ended_at) <= RECENTLY) && now < self.abs_exp
    }

    /// Returns the time at which the session expires if it is not renewed.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.idle_exp.min(self.abs_exp)
    }

    /// Returns the refresh token that renews the session, or `None` for a session that is not persistent.
    #[must_use]
    pub fn current_generation(&self) -> Option<Generation<'_>> {
        let current = Generation {
            number: self.generation,
            kid: &self.kid,
            issued_at: self.issued_at,
            expires_at: self.ends_at(),
        };
        self.persistent.then_some(current)
    }
}

/// The input for a new session.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// The user.
    pub user_id: &'a UserId,
    /// The user's current epoch.
    pub epoch: u64,
    /// Whether the session outlives the browser.
    pub persistent: bool,
    /// The `kid` of the key that signs refresh tokens.
    pub kid: &'a str,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// The source address, as API Gateway reports it.
    pub source_ip: Option<String>,
}

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// The lifetime of a session that is not persistent. It equals the lifetime of its access token.
    pub access_ttl: Duration,
    /// How long a persistent session lives without a renewal.
    pub refresh_ttl: Duration,
}

impl Lifetimes {
    /// Reads `ACCESS_TTL` and `REFRESH_TTL`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for a value out of bounds.
    pub fn from_env(env: &Environment) -> Result<Self> {
        Ok(Self { access_ttl: token::access_ttl(env)?, refresh_ttl: token::refresh_ttl(env)? })
    }

    /// Returns a new session with a new id (R28), which the caller must still store.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if the random number generator fails.
    pub fn open(&self, new: NewSession<'_>, now: Timestamp) -> Result<Session> {
        let (idle, absolute) =
            if new.persistent { (self.refresh_ttl, MAX_SESSION_AGE) } else { (self.access_ttl, self.access_ttl) };
        Ok(Session {
            user_id: new.user_id.clone(),
            id: SessionId::random()?,
            epoch: new.epoch,
            persistent: new.persistent,
            created_at: now,
            generation: 1,
            issued_at: now,
            kid: new.kid.to_owned(),
            idle_exp: now + idle,
            abs_exp: now + absolute,
            ended_at: None,
            user_agent: new.user_agent.map(|agent| truncated(agent, MAX_USER_AGENT)),
            source_ip: new.source_ip,
        })
    }
}

/// Reads how many sessions a user may have: `SESSIONS_PER_USER`, 1 to 1000. Without it there is no limit. A login
/// beyond the limit ends the oldest session (R77).
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for any other value.
pub fn sessions_per_user(env: &Environment) -> Result<Option<usize>> {
    let is_set = env.optional("SESSIONS_PER_USER").is_some();
    let limit = env.number("SESSIONS_PER_USER", 1, 1..=1000)?;
    Ok(is_set.then_some(limit))
}

/// Truncates text between two characters.
fn truncated(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}
