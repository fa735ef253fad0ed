//! The renewal protocol of refresh tokens.
//!
//! A refresh token renews its session once and is replaced by its successor. Honest clients send the same token twice:
//! several tabs ask at once, or a response is lost. A thief who copied a token sends it a second time, too. This module
//! owns the rule that tells them apart. It is pure: `auth::renewal` reads and writes the records, `store::sessions` has
//! the conditional write.
//!
//! # The rule
//!
//! The session's record keeps the number, the key id and the times of its current refresh token, its *generation*. The
//! token that the current one replaced is its *parent*. [`Rules::standing`] compares a presented token with the record:
//!
//! | the presented token | standing | what happens |
//! |---|---|---|
//! | is the current generation | [`Current`] | the session is renewed, with one conditional write |
//! | is the parent, within the grace period | [`InGracePeriod`] | the current token is sent again, bit for bit |
//! | is the parent, after the grace period | [`Reused`] | the session ends |
//! | is older | [`Reused`] | the session ends |
//! | is unknown to the record | [`Unknown`] | 401, the session stays as it is |
//!
//! [`Current`]: Standing::Current
//! [`InGracePeriod`]: Standing::InGracePeriod
//! [`Reused`]: Standing::Reused
//! [`Unknown`]: Standing::Unknown
//!
//! The grace period starts with the first use of the parent and is never extended (R64). Generations are compared by
//! number, because two renewals may happen in the same second (R67).
//!
//! # Concurrent renewals
//!
//! All of them read the record. One conditional write succeeds (R62). The others get the record that it wrote, and
//! their tokens are compared with it by the same rule: they are now in the grace period and get the same token (R63).
//! `tests/tests/renewal` tries all interleavings of up to four renewals, and of up to three renewals with a logout.

use std::time::Duration;

use super::{Difference, Session, Source};
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::Result;
use crate::token::{self, Claims};

/// The result of presenting a refresh token. A rejected token is an error instead. `I` is the identity: the user and
/// the session.
pub enum Outcome<I> {
    /// The session was renewed.
    Renewed {
        /// The identity, with the renewed session.
        identity: I,
        /// The `Set-Cookie` lines of the new tokens.
        cookies: Vec<String>,
    },
    /// The token was used within its grace period.
    Repeated {
        /// The identity.
        identity: I,
        /// The `Set-Cookie` lines of a new access token and of the same refresh token as at the first use.
        cookies: Vec<String>,
        /// How this request differs from the one that renewed the session.
        differs: Option<Difference>,
    },
    /// The token is valid, and the request must not change anything (R86). The caller gets no tokens.
    Unchanged {
        /// The identity.
        identity: I,
    },
    /// The token was reused, and the session has ended.
    Reused {
        /// The identity, as it was before the end.
        identity: I,
        /// How the token was reused.
        reuse: Reuse,
        /// Whether this call ended the session. At most one of several concurrent calls does.
        ended_by_this_call: bool,
    },
}

/// How a presented refresh token relates to the session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the current refresh token.
    Current,
    /// It is the direct parent of the current one, and its grace period is not over (R63).
    InGracePeriod,
    /// It is the parent and its grace period is over, or it is older than the parent. A thief may have tokens of this
    /// session (R65, R66).
    Reused(Reuse),
    /// The record does not know it.
    Unknown,
}

/// How a refresh token was reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It is the direct parent, and the grace period is over. The caller is a thief, or a browser that got no response
    /// (F11).
    GraceMissed,
    /// It was replaced at least twice. An honest client does not use such a token again.
    OlderGeneration,
}

impl Reuse {
    /// Returns the `reason` in the log.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GraceMissed => "grace_missed",
            Self::OlderGeneration => "older_generation",
        }
    }
}

/// The rules of the protocol, with the configured times.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long a session lives after a renewal.
    pub refresh_ttl: Duration,
    /// The grace period of a refresh token: for this long after its first use, it gets the same successor again.
    pub grace_period: Duration,
}

impl Rules {
    /// Reads `REFRESH_TTL`, and `REFRESH_GRACE`: 5 to 60 seconds, 10 by default.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for a value out of bounds.
    pub fn from_env(env: &Environment) -> Result<Self> {
        let grace_period = env.seconds("REFRESH_GRACE", 10, 5..=60)?;
        Ok(Self { refresh_ttl: token::refresh_ttl(env)?, grace_period })
    }

    /// Returns how a verified refresh token relates to the session that it names.
    #[must_use]
    pub fn standing(&self, token: &Claims, session: &Session, now: Timestamp) -> Standing {
        let (Some(presented), Some(current)) = (token.generation, session.current_generation()) else {
            return Standing::Unknown;
        };
        let is_current = token.iat == current.issued_at && token.exp == current.expires_at;
        match current.number.checked_sub(presented) {
            Some(0) if is_current => Standing::Current,
            // The first use of the parent issued the current token.
            Some(1) if now.since(current.issued_at) <= self.grace_period => Standing::InGracePeriod,
            Some(1) => Standing::Reused(Reuse::GraceMissed),
            Some(2..) => Standing::Reused(Reuse::OlderGeneration),
            Some(0) | None => Standing::Unknown,
        }
    }

    /// Returns the session after a renewal: a new generation, signed with the key `kid`, and a later idle expiry. The
    /// absolute expiry stays (R71). `source` is where the renewing request comes from.
    #[must_use]
    pub fn renewed(&self, session: &Session, kid: &str, source: &Source, now: Timestamp) -> Session {
        let [renewed_ip, renewed_agent] = source.hashes(&session.id).map(Some);
        Session {
            generation: session.generation + 1,
            issued_at: now,
            kid: kid.to_owned(),
            idle_exp: now + self.refresh_ttl,
            renewed_ip,
            renewed_agent,
            ..session.clone()
        }
    }
}
