//! What a token asserts, and when that is acceptable.
//!
//! Owns the claims of both kinds of token (RFC 7519 §4, RFC 9068 §2.2) and every rule about them that needs no key.
//! Knows nothing of signatures, cookies or stores: whether the session still lives is for `identity` to say.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    /// What the user may do. Left out when there is nothing to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// How often the session was renewed before; refresh tokens only.
    #[serde(rename = "gen", skip_serializing_if = "Option::is_none")]
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

    /// R43.
    #[test]
    fn a_missing_claim_is_refused() {
        for name in ["iss", "sub", "id", "aud", "email", "exp", "iat", "jti", "sid"] {
            let mut claims = access();
            claims.as_object_mut().unwrap().remove(name);
            assert!(!passes(&claims, Kind::Access), "without {name}");
        }
    }

    /// R43, R44, R46.
    #[test]
    fn a_claim_of_another_type_is_refused() {
        for name in ["iss", "sub", "id", "aud", "email", "exp", "iat", "jti", "sid"] {
            for value in [json!(null), json!(""), json!(0), json!(true), json!([]), json!({}), json!(["latchkey"])] {
                if name == "iat" && value == json!(0) {
                    continue; // A time, if a long time ago: see the bound on `exp - iat`.
                }
                assert!(!passes(&with(access(), name, value.clone()), Kind::Access), "{name} = {value}");
            }
        }
    }

    /// R46.
    #[test]
    fn another_issuer_or_audience_is_refused() {
        for other in ["latchkey2", "Latchkey", "latchke", " latchkey"] {
            assert!(!passes(&with(access(), "iss", json!(other)), Kind::Access));
            assert!(!passes(&with(access(), "aud", json!(other)), Kind::Access));
        }
    }

    #[test]
    fn an_id_that_is_not_the_subject_is_refused() {
        assert!(!passes(&with(access(), "id", json!("1")), Kind::Access));
    }

    /// R44.
    #[test]
    fn a_token_that_would_live_longer_than_any_we_issue_is_refused() {
        let good = |claims: Value| {
            let claims: Claims = serde_json::from_value(claims).unwrap();
            claims.check_time(expected(Kind::Access).ttl, Timestamp::from_secs(1_000_000)).is_ok()
        };
        assert!(good(access()));
        assert!(!good(with(access(), "exp", json!(1_086_401))));
        assert!(!good(with(access(), "iat", json!(0))));
    }

    #[test]
    fn a_token_that_ends_before_it_begins_is_refused() {
        assert!(!passes(&with(access(), "exp", json!(1_000_000)), Kind::Access));
        assert!(!passes(&with(access(), "exp", json!(999_999)), Kind::Access));
    }

    /// R47.
    #[test]
    fn a_claim_said_twice_is_refused() {
        let twice = access().to_string().replacen('{', r#"{"sub":"0","#, 1);
        assert!(serde_json::from_str::<Claims>(&twice).is_err());
    }

    /// R42.
    #[test]
    fn the_claims_of_one_kind_never_pass_as_the_other() {
        assert!(!passes(&refresh(), Kind::Access));
        assert!(!passes(&access(), Kind::Refresh));
    }

    #[test]
    fn a_refresh_token_is_named_after_its_generation_and_carries_no_roles() {
        assert!(!passes(&with(refresh(), "gen", json!(2)), Kind::Refresh));
        assert!(!passes(&with(refresh(), "jti", json!("a")), Kind::Refresh));
        assert!(!passes(&with(refresh(), "roles", json!(["admin"])), Kind::Refresh));
    }

    /// F40.
    #[test]
    fn a_claim_of_a_later_version_is_passed_over() {
        assert!(passes(&with(access(), "amr", json!(["pwd"])), Kind::Access));
    }

    /// R45.
    #[test]
    fn a_token_is_good_from_issue_to_expiry_give_or_take_five_seconds() {
        let claims: Claims = serde_json::from_value(access()).unwrap();
        let good_at = |secs| claims.check_time(expected(Kind::Access).ttl, Timestamp::from_secs(secs)).is_ok();
        assert!(!good_at(1_000_000 - 6) && good_at(1_000_000 - 5));
        assert!(good_at(1_086_400 + 4) && !good_at(1_086_400 + 5));
    }

    /// R45.
    #[test]
    fn a_token_not_yet_valid_is_refused() {
        let claims: Claims = serde_json::from_value(with(access(), "nbf", json!(1_000_100))).unwrap();
        let good_at = |secs| claims.check_time(expected(Kind::Access).ttl, Timestamp::from_secs(secs)).is_ok();
        assert!(!good_at(1_000_094) && good_at(1_000_095));
    }
}
