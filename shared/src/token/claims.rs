//! What a token asserts, and when that is acceptable.
//!
//! Owns the claims of both kinds of token (RFC 7519 §4, RFC 9068 §2.2) and every rule about them that needs no key.
//! Knows nothing of signatures, cookies or stores: whether the session still lives is for `identity` to say.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};

/// How far two clocks may be apart (R45).
pub const LEEWAY: Duration = Duration::from_secs(5);

/// The two kinds of token. One never passes as the other: each has a secret, a `typ` and a set of claims of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Says who is asking; sent with every request.
    Access,
    /// Renews a session that was opened with "keep me signed in".
    Refresh,
}

impl Kind {
    /// The `typ` of the header (RFC 8725 §3.11).
    #[must_use]
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }
}

/// Whom a token speaks of: all that is said about a person.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The user.
    pub user_id: &'a UserId,
    /// The user's address, so that a changed one ends the token.
    pub email: &'a str,
    /// What the user may do; access tokens only.
    pub roles: &'a [String],
    /// The login that the token belongs to.
    pub session_id: &'a SessionId,
}

/// The claims of a token of either kind. Unknown ones are passed over: the next version may add some (F40).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token.
    pub iss: String,
    /// For whom: exactly one audience, never a list.
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// The user again, where older services read it.
    pub id: UserId,
    /// The user's address at the time.
    pub email: String,
    /// The session.
    pub sid: SessionId,
    /// When the token was issued.
    pub iat: Timestamp,
    /// The first moment at which it is no longer good.
    pub exp: Timestamp,
    /// A name for this one token.
    pub jti: String,
    /// Never issued; honoured where it is present.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    /// What the user may do. Left out when there is nothing to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// How often the session was renewed before; refresh tokens only.
    #[serde(rename = "gen", default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// What the claims of one kind of token are held against. All of it is ours; nothing is taken from the token.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The kind that was asked for.
    pub kind: Kind,
    /// The only issuer.
    pub issuer: String,
    /// The only audience.
    pub audience: String,
    /// The longest life that such a token is issued with (R44).
    pub ttl: Duration,
}

impl Claims {
    /// Accepts the claims as ours and of the expected kind, whatever the time is.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`], whichever rule is broken.
    pub fn check(&self, expected: &Expected) -> Result<()> {
        let ours = self.iss == expected.issuer && self.aud == expected.audience;
        let about_somebody = self.sub == self.id && !self.email.is_empty() && !self.jti.is_empty();
        let of_its_kind = match expected.kind {
            Kind::Access => self.generation.is_none(),
            Kind::Refresh => {
                self.roles.is_empty()
                    && self.generation.is_some_and(|number| self.jti == generation_id(&self.sid, number))
            }
        };
        if ours && about_somebody && of_its_kind && self.iat < self.exp { Ok(()) } else { Err(Error::NotAuthorized) }
    }

    /// Accepts the claims at the time `now`, give or take [`LEEWAY`] (R45), as those of a token that lives for `longest`
    /// at most (R44).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] before `iat` or `nbf`, from `exp` on, and for a longer life.
    pub fn check_time(&self, longest: Duration, now: Timestamp) -> Result<()> {
        let bounded = self.exp.since(self.iat) <= longest;
        let begun = self.iat.max(self.nbf.unwrap_or(self.iat)) <= now + LEEWAY;
        let over = now >= self.exp + LEEWAY;
        if bounded && begun && !over { Ok(()) } else { Err(Error::NotAuthorized) }
    }

    /// Accepts the claims that came along with a `Bearer` token where they are of the same user: which of two users is
    /// meant is not ours to guess (R92).
    ///
    /// # Errors
    /// [`Error::Malformed`] where somebody else is among them.
    pub fn check_same_user(&self, others: &[Self]) -> Result<()> {
        if others.iter().all(|other| other.sub == self.sub) {
            return Ok(());
        }
        Err(Error::Malformed("The Bearer token and the cookies are not of the same user.".into()))
    }
}

/// A claim that may be left out, but says something where it stands: `serde` alone takes `null` for absence (R44).
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl fmt::Debug for Claims {
    /// Names user and session, and says nothing about the person (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("sub", &self.sub).field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// The `jti` of the refresh token of one generation of a session.
pub(crate) fn generation_id(session_id: &SessionId, generation: u64) -> String {
    format!("{session_id}.{generation}")
}

/// What passes. What is refused, and why, is a table over whole tokens: `tests/hostile_tokens.rs`.
#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn expected(kind: Kind) -> Expected {
        Expected { kind, issuer: "latchkey".into(), audience: "latchkey".into(), ttl: Duration::from_hours(24) }
    }

    fn access() -> Value {
        json!({ "iss": "latchkey", "aud": "latchkey", "sub": "0", "id": "0", "email": "kim@example.com", "sid": SID,
                "iat": 1_000_000, "exp": 1_086_400, "jti": "a" })
    }

    fn refresh() -> Value {
        let mut claims = access();
        claims["gen"] = json!(1);
        claims["jti"] = json!(format!("{SID}.1"));
        claims
    }

    fn with(mut claims: Value, name: &str, value: Value) -> Value {
        claims[name] = value;
        claims
    }

    fn passes(claims: &Value, kind: Kind) -> bool {
        serde_json::from_str::<Claims>(&claims.to_string()).is_ok_and(|claims| claims.check(&expected(kind)).is_ok())
    }

    #[test]
    fn claims_as_we_issue_them_pass() {
        assert!(passes(&access(), Kind::Access));
        assert!(passes(&with(access(), "roles", json!(["admin"])), Kind::Access));
        assert!(passes(&refresh(), Kind::Refresh));
    }

    /// F40.
    #[test]
    fn a_claim_of_a_later_version_is_passed_over() {
        assert!(passes(&with(access(), "amr", json!(["pwd"])), Kind::Access));
    }
}
