//! The user and the session of a verified token.
//!
//! Reads the user and the session of a verified token, and decides whether the token is still valid: the user exists,
//! is not disabled and still has the e-mail address in the token, and the session is active.

use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::store::{Accounts, Client, User};
use crate::token::{Claims, Cookies, Lifetime, Signer, Subject};

/// A user, and the session in which the user is signed in.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// The session.
    pub session: Session,
}

impl Identity {
    /// Returns `true` if a token with these claims is valid for this user and this session.
    #[must_use]
    pub fn accepts(&self, claims: &Claims, now: Timestamp) -> bool {
        !self.user.disabled
            && self.user.profile.email == claims.email
            && self.session.is_active(self.user.session_epoch, now)
    }

    /// Returns the epochs of the user and of the session. They differ if the session has ended together with others, or
    /// if the two records are from different moments.
    fn epochs(&self) -> (u64, u64) {
        (self.user.session_epoch, self.session.epoch)
    }

    /// Returns the subject of new tokens.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            user_id: &self.user.profile.id,
            email: &self.user.profile.email,
            roles: &self.user.profile.roles,
            session_id: &self.session.id,
        }
    }

    /// Returns the `Set-Cookie` lines of the session: a new access token, and for a persistent session the current
    /// refresh token.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if a token cannot be signed or is too large for a cookie; [`Error::ConcurrentUpdate`] if
    /// this instance does not have the key of the refresh token.
    pub fn session_cookies(&self, cookies: &Cookies, signer: &Signer, now: Timestamp) -> Result<Vec<String>> {
        let access = signer.access(&self.subject(), now, self.session.ends_at())?;
        let Some(generation) = self.session.current_generation() else {
            return Ok(vec![cookies.set(&access, Lifetime::BrowserSession, now)?]);
        };
        let refresh = signer.refresh(&self.subject(), &generation)?;
        [access, refresh].iter().map(|token| cookies.set(token, Lifetime::Token, now)).collect()
    }
}

/// Reads identities.
#[derive(Clone, Debug)]
pub struct Identities {
    /// The users table and the sessions table.
    pub accounts: Accounts,
}

impl Identities {
    /// Reads `USERS_TABLE` and `SESSIONS_TABLE`.
    ///
    /// # Errors
    /// [`Error::Setting`] if one is not set or both are the same.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self { accounts: Accounts::from_env(client, env)? })
    }

    /// Returns the identity of a verified access token. Both records come from one strongly consistent read, so that a
    /// logout takes effect at once (R73, R75).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if the token is not valid any more; [`Error::Unavailable`], [`Error::Misconfigured`] or
    /// [`Error::Corrupt`].
    pub async fn by_access_token(&self, claims: &Claims, now: Timestamp, budget: &Budget) -> Result<Identity> {
        if claims.generation.is_some() {
            return Err(Error::NotAuthorized);
        }
        self.by_session(claims, now, budget).await
    }

    /// Returns the identity of a token of either kind. The token itself may have expired.
    ///
    /// # Errors
    /// As [`by_access_token`](Self::by_access_token).
    pub async fn by_session(&self, claims: &Claims, now: Timestamp, budget: &Budget) -> Result<Identity> {
        let identity = self.find(claims, budget).await?.ok_or(Error::NotAuthorized)?;
        if identity.accepts(claims, now) { Ok(identity) } else { Err(Error::NotAuthorized) }
    }

    /// Checks a token against a user and a session that were read separately. Reads both again if their epochs differ.
    ///
    /// # Errors
    /// As [`by_access_token`](Self::by_access_token).
    pub async fn check(
        &self,
        identity: Identity,
        claims: &Claims,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Identity> {
        let (user, session) = identity.epochs();
        if user != session {
            return self.by_session(claims, now, budget).await;
        }
        if identity.accepts(claims, now) { Ok(identity) } else { Err(Error::NotAuthorized) }
    }

    /// Returns the user and the session of a token, or `None` if one of them does not exist. Does not check whether the
    /// token is still valid.
    ///
    /// A batch read is not atomic: its two records can be from different moments, before and after changes of both. So
    /// if their epochs differ, reads again until two reads in a row have the same epochs (F24). Then the difference is
    /// real, and the session has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also if the records still change when the budget ends; [`Error::Misconfigured`] or
    /// [`Error::Corrupt`].
    pub async fn find(&self, claims: &Claims, budget: &Budget) -> Result<Option<Identity>> {
        let mut previous = None;
        loop {
            let (Some(user), Some(session)) = self.accounts.find(&claims.sub, &claims.sid, budget).await? else {
                return Ok(None);
            };
            let identity = Identity { user, session };
            let epochs = identity.epochs();
            let is_stable = epochs.0 == epochs.1 || previous == Some(epochs) || identity.session.ended_at.is_some();
            if is_stable {
                return Ok(Some(identity));
            }
            previous = Some(epochs);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use aws_sdk_dynamodb::config::retry::RetryConfig;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
    use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use serde_json::{Value, json};
    use testbed::Tables;

    use super::*;
    use crate::id::{SessionId, UserId};
    use crate::store::connect;
    use crate::token::{Generation, Kind, Verifier};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const SID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn user() -> Value {
        json!({
            "pk": { "S": "user#0" }, "v": { "N": "1" }, "id": { "S": "0" }, "userId": { "S": "kimcoding" },
            "email": { "S": "kim@example.com" }, "name": { "S": "" }, "position": { "S": "" }, "location": { "S": "" },
            "bio": { "S": "" }, "disabled": { "BOOL": false }, "session_epoch": { "N": "1" },
            "password_version": { "N": "1" },
        })
    }

    fn session() -> Value {
        json!({
            "user_id": { "S": "0" }, "session_id": { "S": SID }, "v": { "N": "1" }, "epoch": { "N": "1" },
            "persistent": { "BOOL": true }, "created_at": { "N": "1800000000" }, "gen": { "N": "1" },
            "issued_at": { "N": "1800000000" }, "kid": { "S": "k" }, "idle_exp": { "N": "1800604800" },
            "abs_exp": { "N": "1802592000" },
        })
    }

    /// Returns the claims of a verified token of this kind for the session `SID`. A refresh token is the first one of
    /// the session.
    fn claims(kind: Kind) -> Claims {
        let env = Environment::new(testbed::settings(&[]));
        let (user_id, session_id) = (UserId::parse("0").unwrap(), SessionId::parse(SID).unwrap());
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let signer = Signer::from_env(&env).unwrap();
        let expires_at = NOW + Duration::from_hours(7 * 24);
        let generation = Generation { number: 1, kid: &signer.refresh_kid(NOW), issued_at: NOW, expires_at };
        let (token, verifier) = match kind {
            Kind::Access => (signer.access(&subject, NOW, generation.expires_at), Verifier::for_access_tokens(&env)),
            Kind::Refresh => (signer.refresh(&subject, &generation), Verifier::for_refresh_tokens(&env)),
        };
        verifier.unwrap().verify(token.unwrap().expose().as_bytes(), NOW).unwrap()
    }

    async fn identify(user: Option<Value>, session: Option<Value>, kind: Kind) -> Result<Identity> {
        let tables = Tables::new().await;
        for (table, item) in
            user.iter().map(|item| ("UsersTable", item)).chain(session.iter().map(|item| ("SessionsTable", item)))
        {
            tables.put(table, item);
        }
        let env = Environment::new(tables.settings(&[]));
        let (identities, budget) = (Identities::from_env(connect(&env).unwrap(), &env).unwrap(), Budget::new(None));
        match kind {
            Kind::Access => identities.by_access_token(&claims(kind), NOW, &budget).await,
            Kind::Refresh => identities.by_session(&claims(kind), NOW, &budget).await,
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "callers pass an Option")]
    fn some_with(mut item: Value, name: &str, value: Value) -> Option<Value> {
        item[name] = value;
        Some(item)
    }

    #[tokio::test]
    async fn a_token_of_an_active_session_and_an_enabled_user_is_accepted() {
        for kind in [Kind::Access, Kind::Refresh] {
            let identity = identify(Some(user()), Some(session()), kind).await.unwrap();
            assert_eq!(identity.subject().user_id.as_str(), "0");
            assert_eq!(identity.subject().session_id.as_str(), SID);
        }
    }

    /// R34, R72, R74, R76.
    #[tokio::test]
    async fn a_token_is_refused_if_its_user_or_session_is_no_longer_valid() {
        for (user, session, why) in [
            (None, Some(session()), "the user is gone"),
            (Some(user()), None, "the session is gone"),
            (None, None, "both are gone"),
            (some_with(user(), "disabled", json!({ "BOOL": true })), Some(session()), "the user is disabled"),
            (some_with(user(), "email", json!({ "S": "new@example.com" })), Some(session()), "the address changed"),
            (some_with(user(), "session_epoch", json!({ "N": "2" })), Some(session()), "all sessions were ended"),
            (Some(user()), some_with(session(), "ended_at", json!({ "N": "1800000000" })), "the session was ended"),
            (
                Some(user()),
                some_with(session(), "idle_exp", json!({ "N": "1800000000" })),
                "the session was not renewed in time",
            ),
            (
                Some(user()),
                some_with(session(), "abs_exp", json!({ "N": "1800000000" })),
                "the session has reached its absolute expiry",
            ),
        ] {
            for kind in [Kind::Access, Kind::Refresh] {
                let outcome = identify(user.clone(), session.clone(), kind).await;
                assert!(matches!(outcome, Err(Error::NotAuthorized)), "{why}: {outcome:?}");
            }
        }
    }

    /// R42.
    #[tokio::test]
    async fn a_refresh_token_does_not_pass_as_an_access_token() {
        let tables = Tables::new().await;
        tables.put("UsersTable", &user());
        tables.put("SessionsTable", &session());
        let env = Environment::new(tables.settings(&[]));
        let identities = Identities::from_env(connect(&env).unwrap(), &env).unwrap();
        let refused = identities.by_access_token(&claims(Kind::Refresh), NOW, &Budget::new(None)).await;
        assert!(matches!(refused, Err(Error::NotAuthorized)), "{refused:?}");
    }

    /// F21.
    #[tokio::test]
    async fn an_unreadable_session_counts_as_ended_and_an_unreadable_user_is_an_error() {
        for (name, value) in
            [("v", json!({ "N": "2" })), ("abs_exp", json!({ "S": "soon" })), ("epoch", json!({ "N": "-1" }))]
        {
            let refused = identify(Some(user()), some_with(session(), name, value), Kind::Access).await;
            assert!(matches!(refused, Err(Error::NotAuthorized)), "{name}: {refused:?}");
        }
        for (name, value) in
            [("v", json!({ "N": "2" })), ("id", json!({ "S": "1" })), ("session_epoch", json!({ "S": "1" }))]
        {
            let fault = identify(some_with(user(), name, value), Some(session()), Kind::Access).await;
            assert!(matches!(fault, Err(Error::Corrupt(_))), "{name}: {fault:?}");
        }
    }

    fn items(table: &str, item: &Value) -> BatchGetItemOutput {
        let strings = item.as_object().unwrap().iter().map(|(name, value)| {
            let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
            let attribute = match (kind.as_str(), value) {
                ("N", Value::String(number)) => AttributeValue::N(number.clone()),
                ("BOOL", Value::Bool(flag)) => AttributeValue::Bool(*flag),
                (_, value) => AttributeValue::S(value.as_str().unwrap().to_owned()),
            };
            (name.clone(), attribute)
        });
        BatchGetItemOutput::builder().responses(table, vec![strings.collect()]).build()
    }

    fn unprocessed(table: &str, output: BatchGetItemOutput) -> BatchGetItemOutput {
        let key = HashMap::from([("pk".to_owned(), AttributeValue::S("k".to_owned()))]);
        let keys = KeysAndAttributes::builder().keys(key).consistent_read(true).build().unwrap();
        let unprocessed = HashMap::from([(table.to_owned(), keys)]);
        BatchGetItemOutput::builder().set_responses(output.responses).set_unprocessed_keys(Some(unprocessed)).build()
    }

    fn identities(client: Client) -> Identities {
        Identities::from_env(client, &Environment::new(testbed::settings(&[]))).unwrap()
    }

    /// R73: both reads are strongly consistent, on the base tables, in one call.
    #[tokio::test]
    async fn user_and_session_come_from_one_consistent_read() {
        let empty = mock!(Client::batch_get_item)
            .match_requests(|request| {
                let tables = request.request_items().unwrap();
                tables.len() == 2
                    && tables.values().all(|keys| keys.keys().len() == 1 && keys.consistent_read() == Some(true))
            })
            .then_output(|| BatchGetItemOutput::builder().build());
        let client = mock_client!(aws_sdk_dynamodb, [&empty]);
        let outcome = identities(client).by_access_token(&claims(Kind::Access), NOW, &Budget::new(None)).await;
        assert!(matches!(outcome, Err(Error::NotAuthorized)), "{outcome:?}");
        assert_eq!(empty.num_calls(), 1);
    }

    /// R75.
    #[tokio::test]
    async fn unprocessed_keys_are_requested_again() {
        let first =
            mock!(Client::batch_get_item).then_output(|| unprocessed("SessionsTable", items("UsersTable", &user())));
        let second = mock!(Client::batch_get_item)
            .match_requests(|request| request.request_items().unwrap().keys().eq(["SessionsTable"]))
            .then_output(|| items("SessionsTable", &session()));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, [&first, &second]);
        identities(client).by_access_token(&claims(Kind::Access), NOW, &Budget::new(None)).await.unwrap();
        assert_eq!((first.num_calls(), second.num_calls()), (1, 1));
    }

    /// Returns the two records, read in one call, with these epochs.
    fn both(user_epoch: u64, session_epoch: u64) -> BatchGetItemOutput {
        let (mut user, mut session) = (user(), session());
        user["session_epoch"] = json!({ "N": user_epoch.to_string() });
        session["epoch"] = json!({ "N": session_epoch.to_string() });
        let mut responses = items("UsersTable", &user).responses.unwrap();
        responses.extend(items("SessionsTable", &session).responses.unwrap());
        BatchGetItemOutput::builder().set_responses(Some(responses)).build()
    }

    /// Returns the outcome of reads that find these epochs of the user and of the session, and the number of reads.
    async fn reads(epochs: &'static [(u64, u64)]) -> (Result<Identity>, usize) {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let read = mock!(Client::batch_get_item).then_output(move || {
            let position = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let (user, session) = epochs[position.min(epochs.len() - 1)];
            both(user, session)
        });
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&read]);
        let outcome = identities(client).by_access_token(&claims(Kind::Access), NOW, &Budget::new(None)).await;
        (outcome, read.num_calls())
    }

    /// F24: the records of one read can be from before and after several changes of both.
    #[tokio::test]
    async fn records_from_different_moments_are_read_again_until_they_agree() {
        for (epochs, expected) in [
            (&[(1, 1)][..], 1),
            (&[(2, 1), (2, 2)], 2),
            (&[(3, 1), (3, 3)], 2),
            (&[(1, 3), (3, 3)], 2),
            (&[(3, 1), (5, 3), (6, 5), (6, 6)], 4),
        ] {
            let (outcome, reads) = reads(epochs).await;
            assert!(outcome.is_ok(), "{epochs:?}: {outcome:?}");
            assert_eq!(reads, expected, "{epochs:?}");
        }
    }

    /// R76.
    #[tokio::test]
    async fn a_session_whose_epoch_differs_in_two_reads_in_a_row_has_ended() {
        for (epochs, expected) in [(&[(2, 1)][..], 2), (&[(9, 1)], 2), (&[(1, 2)], 2), (&[(2, 1), (3, 1)], 3)] {
            let (outcome, reads) = reads(epochs).await;
            assert!(matches!(outcome, Err(Error::NotAuthorized)), "{epochs:?}: {outcome:?}");
            assert_eq!(reads, expected, "{epochs:?}");
        }
    }

    /// F24: no answer would be right.
    #[tokio::test]
    async fn records_that_still_change_when_the_budget_ends_are_unavailable() {
        let user_epoch = std::sync::atomic::AtomicU64::new(2);
        let read = mock!(Client::batch_get_item)
            .then_output(move || both(user_epoch.fetch_add(1, std::sync::atomic::Ordering::Relaxed), 1));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&read]);
        let soon = std::time::Instant::now() + Duration::from_millis(100);
        let outcome = identities(client).by_access_token(&claims(Kind::Access), NOW, &Budget::new(Some(soon))).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }

    /// R75.
    #[tokio::test]
    async fn keys_that_stay_unprocessed_are_unavailable() {
        let always =
            mock!(Client::batch_get_item).then_output(|| unprocessed("SessionsTable", items("UsersTable", &user())));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&always]);
        let started = std::time::Instant::now();
        let outage = identities(client).by_access_token(&claims(Kind::Access), NOW, &Budget::new(None)).await;
        assert!(matches!(outage, Err(Error::Unavailable(_))), "{outage:?}");
        assert!(always.num_calls() > 2 && started.elapsed() < Duration::from_secs(3));
    }

    /// F04, F19.
    #[tokio::test]
    async fn a_throttled_table_is_unavailable_and_a_refused_call_is_misconfigured() {
        for (code, is_outage) in [
            ("ProvisionedThroughputExceededException", true),
            ("ThrottlingException", true),
            ("RequestLimitExceeded", true),
            ("AccessDeniedException", false),
            ("ResourceNotFoundException", false),
            ("ValidationException", false),
            ("ExpiredTokenException", false),
        ] {
            let fails = mock!(Client::batch_get_item)
                .then_error(move || BatchGetItemError::generic(ErrorMetadata::builder().code(code).build()));
            let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&fails], |sdk| {
                sdk.retry_config(RetryConfig::disabled())
            });
            let error =
                identities(client).by_access_token(&claims(Kind::Access), NOW, &Budget::new(None)).await.unwrap_err();
            assert_eq!(matches!(error, Error::Unavailable(_)), is_outage, "{code}: {error:?}");
            assert_eq!(matches!(error, Error::Misconfigured(_)), !is_outage, "{code}: {error:?}");
        }
    }
}
