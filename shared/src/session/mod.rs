//! A session: the record of one login, and how long it lives.
//!
//! Owns [`Session`], its source, the lifetimes, and when a session is active. [`renewal`] owns the renewal protocol.
//! Only arithmetic: no table, no signature, and the current time is an argument.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::Result;
use crate::id::{SessionId, UserId};
use crate::keys::{Keys, Purpose};
use crate::token::{self, AccessTtl, Generation, MAX_SESSION_AGE};

pub mod renewal;
#[cfg(test)]
mod tests;
mod user_agent;

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
    /// A hash of the source address of the last renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_ip: Option<String>,
    /// A hash of the `User-Agent` of the last renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_agent: Option<String>,
}

impl Session {
    /// Returns `true` if the session has not ended or expired and is of the user's current epoch, `epoch`. DynamoDB
    /// deletes expired records late, so that the time is checked here (R72).
    #[must_use]
    pub fn is_active(&self, epoch: u64, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.epoch == epoch && now < self.ends_at()
    }

    /// Returns `true` if the session has expired and was not ended before.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.ends_at() <= now
    }

    /// Compares a request with the last renewal. Returns `None` if neither the address nor the browser differs, or if
    /// the session was never renewed.
    #[must_use]
    pub fn differs_from_renewal(&self, source: &Source) -> Option<Difference> {
        let [ip, agent] = source.hashes(&self.id);
        let other_ip = self.renewed_ip.as_ref().is_some_and(|renewed| *renewed != ip);
        let other_agent = self.renewed_agent.as_ref().is_some_and(|renewed| *renewed != agent);
        match (other_ip, other_agent) {
            (false, false) => None,
            (true, false) => Some(Difference::Address),
            (false, true) => Some(Difference::Browser),
            (true, true) => Some(Difference::Both),
        }
    }

    /// Returns the time at which the session expires if it is not renewed.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.idle_exp.min(self.abs_exp)
    }

    /// Returns the time of the last renewal to the minute, but not before the login. With the second, a thief who holds
    /// the refresh token would know when its grace period begins.
    #[must_use]
    pub fn last_renewed_at(&self) -> Timestamp {
        let minute = self.issued_at.as_secs() / 60 * 60;
        self.created_at.max(Timestamp::from_secs(minute))
    }

    /// Returns a label for the browser of the login, such as "Firefox on macOS", or `None` for an unknown one.
    #[must_use]
    pub fn device(&self) -> Option<String> {
        self.user_agent.as_deref().and_then(user_agent::label)
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

/// Where a request comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The source address, as API Gateway reports it.
    pub ip: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

impl Source {
    /// Returns hashes of the address and of the user agent: 16 bits each, different for every session. They tell
    /// whether a later request has the same values. They are too short to find the values.
    fn hashes(&self, session: &SessionId) -> [String; 2] {
        [("ip", &self.ip), ("user agent", &self.user_agent)].map(|(label, value)| {
            let mut context = digest::Context::new(&digest::SHA256);
            for part in ["latchkey source", label, session.as_str(), value.as_deref().unwrap_or_default()] {
                context.update(part.as_bytes());
                context.update(b"\0");
            }
            URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..2])
        })
    }
}

/// What differs between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only the source address.
    Address,
    /// Only the `User-Agent`.
    Browser,
    /// The source address and the `User-Agent`.
    Both,
}

impl Difference {
    /// Returns the name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Browser => "browser",
            Self::Both => "both",
        }
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
    /// Where the login comes from.
    pub source: Source,
}

/// How long sessions live.
#[derive(Clone)]
pub struct Lifetimes {
    /// The lifetime of a session that is not persistent. It equals the lifetime of its access token.
    pub access_ttl: AccessTtl,
    /// The keys that sign access tokens.
    pub access_keys: Keys,
    /// How long a persistent session lives without a renewal.
    pub refresh_ttl: Duration,
}

impl Lifetimes {
    /// Reads `ACCESS_TTL`, `ACCESS_SECRET` and `REFRESH_TTL`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for a missing or unsafe value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        Ok(Self {
            access_ttl: AccessTtl::from_env(env)?,
            access_keys: env.keys(Purpose::Access)?,
            refresh_ttl: token::refresh_ttl(env)?,
        })
    }

    /// Returns a new session with a new id (R28), which the caller must still store.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if the random number generator fails.
    pub fn open(&self, new: NewSession<'_>, now: Timestamp) -> Result<Session> {
        let (idle, absolute) = if new.persistent {
            (self.refresh_ttl, MAX_SESSION_AGE)
        } else {
            let access_ttl = self.access_ttl.of(self.access_keys.set().active(now).algorithm());
            (access_ttl, access_ttl)
        };
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
            user_agent: new.source.user_agent.map(|agent| truncated(agent, MAX_USER_AGENT)),
            source_ip: new.source.ip,
            renewed_ip: None,
            renewed_agent: None,
        })
    }
}

/// Reads how many sessions a user may have: `SESSIONS_PER_USER`, 1 to 1000, 100 by default. A login beyond the limit
/// ends the oldest session (R77).
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for any other value.
pub fn sessions_per_user(env: &Environment) -> Result<usize> {
    env.number("SESSIONS_PER_USER", 100, 1..=1000)
}

/// Truncates text between two characters.
fn truncated(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}
