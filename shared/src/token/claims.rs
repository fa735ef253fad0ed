//! The claims of a token.
//!
//! Owns the claims of both kinds of token (RFC 7519 §4, RFC 9068 §2.2) and every rule about them that needs no key.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};

use super::{DAY, MAX_SESSION_AGE};

/// The largest accepted difference between two clocks (R45).
pub const LEEWAY: Duration = Duration::from_secs(5);

/// The longest text in a claim that comes from a record or a setting, as JSON and in bytes: issuer, audience and e-mail
/// address.
pub const MAX_TEXT: usize = 255;

/// Returns `true` for a text that a token can carry: it is not blank, and not longer than [`MAX_TEXT`]. The verifier
/// rejects every other text, so that a setting or a record with one must not be used for a token.
#[must_use]
pub fn is_claim_text(text: &str) -> bool {
    !text.trim().is_empty() && json_size(text) <= MAX_TEXT + "\"\"".len()
}

/// Returns how many bytes a value has as JSON.
pub(super) fn json_size(value: &(impl Serialize + ?Sized)) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

/// The two kinds of token. Each has its own keys, its own `typ` and its own claims, so that one never passes as the
/// other (R42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Authenticates a request.
    Access,
    /// Renews a persistent session.
    Refresh,
}

impl Kind {
    /// Returns the `typ` of the header (RFC 8725 §3.11).
    #[must_use]
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }

    /// Returns the longest lifetime that can be configured.
    #[must_use]
    pub const fn max_lifetime(self) -> Duration {
        match self {
            Self::Access => DAY,
            Self::Refresh => MAX_SESSION_AGE,
        }
    }
}

/// The user and the session that a token is issued for.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The user.
    pub user_id: &'a UserId,
    /// The e-mail address. A token is valid only while the user has this address.
    pub email: &'a str,
    /// The roles. Access tokens carry them, refresh tokens do not.
    pub roles: &'a [String],
    /// The session.
    pub session_id: &'a SessionId,
}

/// One refresh token of a session, as the session's record describes it. The same values, subject, issuer, audience and
/// key always give the same token, so it can be signed again bit for bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation<'a> {
    /// The number of this refresh token within its session. The first one is 1.
    pub number: u64,
    /// The `kid` of the key that signs it.
    pub kid: &'a str,
    /// Its `iat`.
    pub issued_at: Timestamp,
    /// Its `exp`: the time at which the session ends if it is not renewed.
    pub expires_at: Timestamp,
}

/// The claims of a token of either kind. Unknown claims are ignored, because a later version may add some (F40).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The audience: exactly one, never a list.
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// The user again. Older services read this name.
    pub id: UserId,
    /// The user's e-mail address at the time of issue.
    pub email: String,
    /// The session.
    pub sid: SessionId,
    /// The time of issue.
    pub iat: Timestamp,
    /// The time from which on the token is expired.
    pub exp: Timestamp,
    /// The identifier of the token. For a refresh token it is `<sid>.<gen>`.
    pub jti: String,
    /// Never issued, but checked if it is present.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    /// The user's roles. Absent if the user has none, or if they are too large for a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The [`Generation::number`]. Only refresh tokens have it.
    #[serde(rename = "gen", default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// When the key of the token retires. It comes from the key set and not from the token.
    #[serde(skip)]
    pub(super) key_retires_at: Option<Timestamp>,
}

impl Claims {
    /// Accepts claims of the given kind, issuer and audience. Does not check the time.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if a rule is violated.
    pub fn check(&self, kind: Kind, issuer: &str, audience: &str) -> Result<()> {
        let is_ours = self.iss == issuer && self.aud == audience;
        let is_complete = self.sub == self.id && is_claim_text(&self.email) && !self.jti.is_empty();
        let is_of_kind = match kind {
            Kind::Access => self.generation.is_none(),
            Kind::Refresh => {
                let has_matching_jti = |number| self.jti == generation_id(&self.sid, number);
                self.roles.is_empty() && self.generation.is_some_and(has_matching_jti)
            }
        };
        if is_ours && is_complete && is_of_kind && self.iat < self.exp { Ok(()) } else { Err(Error::NotAuthorized) }
    }

    /// Accepts claims of a token whose key is not retired at `now`.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if the key is retired.
    pub fn check_key(&self, now: Timestamp) -> Result<()> {
        if self.key_retires_at.is_some_and(|at| at <= now) { Err(Error::NotAuthorized) } else { Ok(()) }
    }

    /// Ends the claims of an access token after this time at the latest (R44). Leaves a lifetime that cannot be
    /// configured as it is, so that [`check_time`](Self::check_time) rejects it.
    pub(super) fn end_within(&mut self, lifetime: Duration) {
        if self.exp.since(self.iat) <= Kind::Access.max_lifetime() {
            self.exp = self.exp.min(self.iat + lifetime);
        }
    }

    /// Accepts claims that are valid at `now`, with [`LEEWAY`] (R45). A token is valid until the earlier of `exp` and
    /// `iat` + `lifetime`, the configured lifetime. An instance with another setting may have made it, before or during
    /// a deployment, so that `exp` itself is only bounded by the longest lifetime that can be configured (R44).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] more than [`LEEWAY`] before `iat` or `nbf`, from [`LEEWAY`] after the end on, and for a
    /// lifetime that cannot be configured.
    pub fn check_time(&self, kind: Kind, lifetime: Duration, now: Timestamp) -> Result<()> {
        let is_bounded = self.exp.since(self.iat) <= kind.max_lifetime();
        let has_begun = self.iat.max(self.nbf.unwrap_or(self.iat)) <= now + LEEWAY;
        let has_expired = now >= self.exp.min(self.iat + lifetime) + LEEWAY;
        if is_bounded && has_begun && !has_expired { Ok(()) } else { Err(Error::NotAuthorized) }
    }
}

/// Reads a claim that may be absent but not `null`. `serde` alone treats `null` as absent (R44).
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl fmt::Debug for Claims {
    /// Prints the ids only (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("sub", &self.sub).field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// Returns the `jti` of a refresh token.
pub(super) fn generation_id(session_id: &SessionId, generation: u64) -> String {
    format!("{session_id}.{generation}")
}

/// Tests claims that are accepted. `tests/hostile_tokens.rs` has a table of tokens whose claims are rejected.
#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

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

    fn accepted(claims: &Value, kind: Kind) -> bool {
        serde_json::from_str::<Claims>(&claims.to_string())
            .is_ok_and(|claims| claims.check(kind, "latchkey", "latchkey").is_ok())
    }

    #[test]
    fn issued_claims_are_accepted() {
        assert!(accepted(&access(), Kind::Access));
        assert!(accepted(&with(access(), "roles", json!(["admin"])), Kind::Access));
        assert!(accepted(&refresh(), Kind::Refresh));
    }

    #[test]
    fn a_claim_text_is_not_blank_and_has_at_most_255_bytes_as_json() {
        for (text, is_valid) in [
            ("kim@example.com".to_owned(), true),
            ("x".repeat(255), true),
            ("é".repeat(127), true),
            ("\"".repeat(127), true),
            (String::new(), false),
            (" \u{a0}".to_owned(), false),
            ("x".repeat(256), false),
            ("é".repeat(128), false),
            ("\"".repeat(128), false),
            ("\u{1}".repeat(43), false),
        ] {
            assert_eq!(is_claim_text(&text), is_valid, "{text:?}");
            assert_eq!(accepted(&with(access(), "email", json!(text)), Kind::Access), is_valid, "{text:?}");
        }
    }

    /// F40.
    #[test]
    fn unknown_claims_are_ignored() {
        assert!(accepted(&with(access(), "amr", json!(["pwd"])), Kind::Access));
    }
}
