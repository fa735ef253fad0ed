//! Who is behind a token: the one read over both tables, and its verdict.
//!
//! Owns what makes a verified token still good: the user is there, not shut out and has the same address, and the
//! session lives. Knows nothing of signatures or of how a token got here.

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use crate::claims::{Claims, Subject};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};
use crate::passwords::PasswordHash;
use crate::session::Session;
use crate::sessions::readable_session;
use crate::store::{Budget, Client, Item, number, read_all, text, transact};
use crate::users::{Credentials, LoginName, Profile, User, login_key, read_user, user_key};

/// A user, and the session in which the user is signed in.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who.
    pub user: User,
    /// Since when, until when.
    pub session: Session,
}

impl Identity {
    /// Whether a token with these claims still stands for this user in this session.
    #[must_use]
    pub fn is_good(&self, claims: &Claims, now: Timestamp) -> bool {
        !self.user.disabled
            && self.user.profile.email == claims.email
            && self.session.is_live(self.user.session_epoch, now)
    }

    /// Whether the two may have been read at different times, with the end of all other sessions in between: a batch is no
    /// transaction, and its two records may be from before and after one. Reading again tells.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.session.ended_at.is_none() && self.session.epoch.abs_diff(self.user.session_epoch) == 1
    }

    /// What a token says of this user in this session.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            user_id: &self.user.profile.id,
            email: &self.user.profile.email,
            roles: &self.user.profile.roles,
            session_id: &self.session.id,
        }
    }
}

/// Both tables, for one read.
#[derive(Clone, Debug)]
pub struct Identities {
    client: Client,
    users_table: String,
    sessions_table: String,
}

impl Identities {
    /// The two configured tables as one.
    #[must_use]
    pub fn new(client: Client, config: &Config) -> Self {
        Self { client, users_table: config.users_table.clone(), sessions_table: config.sessions_table.clone() }
    }

    /// Who is behind the verified claims of an access token. Both records come from one strongly consistent read, so what
    /// ended a moment ago is over now (R73, R75).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where user or session say no; [`Error::Unavailable`], [`Error::Misconfigured`] or
    /// [`Error::Corrupt`] where they cannot be asked.
    pub async fn behind(&self, claims: &Claims, now: Timestamp, budget: &Budget) -> Result<Identity> {
        if claims.generation.is_some() {
            return Err(Error::NotAuthorized);
        }
        self.known(claims, now, budget).await
    }

    /// Who is behind the verified claims of a refresh token, if it is still good: that is for
    /// [`Rules::standing`](crate::session::Rules::standing) to say.
    ///
    /// # Errors
    /// As [`behind`](Self::behind).
    pub async fn renewing(&self, claims: &Claims, now: Timestamp, budget: &Budget) -> Result<Identity> {
        self.known(claims, now, budget).await
    }

    async fn known(&self, claims: &Claims, now: Timestamp, budget: &Budget) -> Result<Identity> {
        let mut identity = self.read(claims, budget).await?;
        if identity.is_torn() {
            identity = self.read(claims, budget).await?;
        }
        if identity.is_good(claims, now) { Ok(identity) } else { Err(Error::NotAuthorized) }
    }

    async fn read(&self, claims: &Claims, budget: &Budget) -> Result<Identity> {
        let (user, session) = self.records(claims, budget).await?;
        let user = read_user(user.ok_or(Error::NotAuthorized)?, &claims.sub)?;
        let session = session.and_then(readable_session).ok_or(Error::NotAuthorized)?;
        Ok(Identity { user, session })
    }

    /// Ends all sessions of a user but this one: raises the epoch of both in one transaction (R76). Says whether it could;
    /// it cannot where one of them is no longer as it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn end_others(&self, identity: &Identity, budget: &Budget) -> Result<bool> {
        let user = update(&self.users_table, user_item_key(&identity.user.profile.id))
            .update_expression("SET session_epoch = :next")
            .condition_expression("session_epoch = :epoch");
        let writes = [raising_epoch(user, identity), self.keeping_session(identity)];
        self.all(writes, budget).await
    }

    /// Gives the user another password and ends all sessions but this one, in one transaction (R16). Says whether it could; it
    /// cannot where password or sessions are no longer as they were read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], [`Error::Corrupt`] or [`Error::Unexpected`].
    pub async fn change_password(
        &self,
        identity: &Identity,
        old: &Credentials,
        new: &PasswordHash,
        budget: &Budget,
    ) -> Result<bool> {
        let (version, next) = (number(old.password_version), number(old.password_version.saturating_add(1)));
        let Profile { id, user_id, .. } = &identity.user.profile;
        let name = LoginName::parse(user_id).map_err(|_| Error::Corrupt("a user has no login name".into()))?;
        let user = update(&self.users_table, user_item_key(id))
            .update_expression("SET session_epoch = :next, password_version = :next_version")
            .condition_expression("session_epoch = :epoch AND password_version = :version AND disabled = :disabled")
            .expression_attribute_values(":disabled", AttributeValue::Bool(false))
            .expression_attribute_values(":version", version.clone())
            .expression_attribute_values(":next_version", next.clone());
        let login = update(&self.users_table, Item::from([("pk".into(), text(login_key(name.as_str())))]))
            .update_expression("SET password_hash = :new, password_version = :next_version")
            .condition_expression("password_hash = :old AND password_version = :version")
            .expression_attribute_values(":version", version)
            .expression_attribute_values(":next_version", next)
            .expression_attribute_values(":old", text(old.password_hash.as_str()))
            .expression_attribute_values(":new", text(new.as_str()));
        self.all([raising_epoch(user, identity), login, self.keeping_session(identity)], budget).await
    }

    /// Takes the session over into the next epoch.
    fn keeping_session(&self, identity: &Identity) -> UpdateBuilder {
        let Identity { user, session } = identity;
        let update = update(&self.sessions_table, session_item_key(&user.profile.id, &session.id))
            .update_expression("SET epoch = :next")
            .condition_expression("epoch = :epoch AND attribute_not_exists(ended_at)");
        raising_epoch(update, identity)
    }

    async fn all(&self, writes: impl IntoIterator<Item = UpdateBuilder>, budget: &Budget) -> Result<bool> {
        let built = |update: UpdateBuilder| {
            let update = update.build().map_err(|error| Error::Unexpected(error.into()))?;
            Ok::<_, Error>(TransactWriteItem::builder().update(update).build())
        };
        let writes = writes.into_iter().map(built).collect::<Result<Vec<_>>>()?;
        Ok(transact(&self.client, &writes, budget).await?.is_empty())
    }

    /// The item of the user and the item of the session, where there are any.
    async fn records(&self, claims: &Claims, budget: &Budget) -> Result<(Option<Item>, Option<Item>)> {
        let user = (self.users_table.as_str(), user_item_key(&claims.sub));
        let session = (self.sessions_table.as_str(), session_item_key(&claims.sub, &claims.sid));
        let mut found = read_all(&self.client, [user, session], budget).await?;
        let mut take = |table| found.remove(table).and_then(|mut items| items.pop());
        Ok((take(&self.users_table), take(&self.sessions_table)))
    }
}

fn update(table: &str, key: Item) -> UpdateBuilder {
    Update::builder().table_name(table).set_key(Some(key))
}

/// From the epoch of the user as it was read to the next.
fn raising_epoch(update: UpdateBuilder, Identity { user, .. }: &Identity) -> UpdateBuilder {
    update
        .expression_attribute_values(":epoch", number(user.session_epoch))
        .expression_attribute_values(":next", number(user.session_epoch.saturating_add(1)))
}

fn user_item_key(id: &UserId) -> Item {
    Item::from([("pk".into(), text(user_key(id)))])
}

fn session_item_key(user: &UserId, session: &SessionId) -> Item {
    Item::from([("user_id".into(), text(user.as_str())), ("session_id".into(), text(session.as_str()))])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use aws_sdk_dynamodb::config::retry::RetryConfig;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
    use aws_sdk_dynamodb::types::KeysAndAttributes;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use serde_json::{Value, json};
    use testbed::Tables;

    use super::*;
    use crate::claims::Kind;
    use crate::session::Generation;
    use crate::store;
    use crate::tokens::{Signer, Verifier};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const SID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn user() -> Value {
        json!({
            "pk": { "S": "user#0" }, "v": { "N": "1" }, "id": { "S": "0" }, "userId": { "S": "kimcoding" },
            "email": { "S": "kim@example.com" }, "name": { "S": "" }, "position": { "S": "" }, "location": { "S": "" },
            "bio": { "S": "" }, "disabled": { "BOOL": false }, "session_epoch": { "N": "1" }, "password_version": { "N": "1" },
        })
    }

    fn session() -> Value {
        json!({
            "user_id": { "S": "0" }, "session_id": { "S": SID }, "v": { "N": "1" }, "epoch": { "N": "1" },
            "keep": { "BOOL": true }, "created_at": { "N": "1800000000" }, "gen": { "N": "1" },
            "issued_at": { "N": "1800000000" }, "kid": { "S": "k" }, "idle_exp": { "N": "1800604800" },
            "abs_exp": { "N": "1802592000" },
        })
    }

    /// The verified claims of the first refresh token of that session, or of an access token of it.
    fn claims(kind: Kind) -> Claims {
        let config = Config::from_lookup(testbed::settings(&[])).unwrap();
        let (user_id, session_id) = (UserId::parse("0").unwrap(), SessionId::parse(SID).unwrap());
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let signer = Signer::new(&config);
        let expires_at = NOW + Duration::from_hours(7 * 24);
        let generation = Generation { number: 1, kid: signer.refresh_kid(), issued_at: NOW, expires_at };
        let token = match kind {
            Kind::Access => signer.access(&subject, NOW, generation.expires_at),
            Kind::Refresh => signer.refresh(&subject, &generation),
        };
        Verifier::new(&config).verify(kind, token.unwrap().expose().as_bytes(), NOW).unwrap()
    }

    async fn verdict(user: Option<Value>, session: Option<Value>, kind: Kind) -> Result<Identity> {
        let tables = Tables::new().await;
        for (table, item) in
            user.iter().map(|item| ("UsersTable", item)).chain(session.iter().map(|item| ("SessionsTable", item)))
        {
            tables.put(table, item);
        }
        let config = Config::from_lookup(tables.settings(&[])).unwrap();
        let (identities, budget) = (Identities::new(store::connect(&config), &config), Budget::new(None));
        match kind {
            Kind::Access => identities.behind(&claims(kind), NOW, &budget).await,
            Kind::Refresh => identities.renewing(&claims(kind), NOW, &budget).await,
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands where there might be none")]
    fn some_with(mut item: Value, name: &str, value: Value) -> Option<Value> {
        item[name] = value;
        Some(item)
    }

    #[tokio::test]
    async fn a_live_session_of_a_user_in_good_standing_is_an_identity() {
        for kind in [Kind::Access, Kind::Refresh] {
            let identity = verdict(Some(user()), Some(session()), kind).await.unwrap();
            assert_eq!(identity.subject().user_id.as_str(), "0");
            assert_eq!(identity.subject().session_id.as_str(), SID);
        }
    }

    /// R34, R72, R74, R76.
    #[tokio::test]
    async fn what_ended_the_session_ends_the_token() {
        for (user, session, why) in [
            (None, Some(session()), "the user is gone"),
            (Some(user()), None, "the session is gone"),
            (None, None, "both are gone"),
            (some_with(user(), "disabled", json!({ "BOOL": true })), Some(session()), "the user is shut out"),
            (some_with(user(), "email", json!({ "S": "new@example.com" })), Some(session()), "the address changed"),
            (some_with(user(), "session_epoch", json!({ "N": "2" })), Some(session()), "all sessions were ended"),
            (Some(user()), some_with(session(), "ended_at", json!({ "N": "1800000000" })), "the session was ended"),
            (
                Some(user()),
                some_with(session(), "idle_exp", json!({ "N": "1800000000" })),
                "it was not renewed in time",
            ),
            (Some(user()), some_with(session(), "abs_exp", json!({ "N": "1800000000" })), "its time is over"),
        ] {
            for kind in [Kind::Access, Kind::Refresh] {
                let verdict = verdict(user.clone(), session.clone(), kind).await;
                assert!(matches!(verdict, Err(Error::NotAuthorized)), "{why}: {verdict:?}");
            }
        }
    }

    /// A refresh token says who renews, not who asks.
    #[tokio::test]
    async fn a_refresh_token_does_not_pass_for_an_access_token() {
        let tables = Tables::new().await;
        tables.put("UsersTable", &user());
        tables.put("SessionsTable", &session());
        let config = Config::from_lookup(tables.settings(&[])).unwrap();
        let identities = Identities::new(store::connect(&config), &config);
        let refused = identities.behind(&claims(Kind::Refresh), NOW, &Budget::new(None)).await;
        assert!(matches!(refused, Err(Error::NotAuthorized)), "{refused:?}");
    }

    /// F21.
    #[tokio::test]
    async fn a_session_that_cannot_be_read_has_ended_and_a_user_that_cannot_is_a_fault() {
        for (name, value) in
            [("v", json!({ "N": "2" })), ("abs_exp", json!({ "S": "soon" })), ("epoch", json!({ "N": "-1" }))]
        {
            let refused = verdict(Some(user()), some_with(session(), name, value), Kind::Access).await;
            assert!(matches!(refused, Err(Error::NotAuthorized)), "{name}: {refused:?}");
        }
        for (name, value) in
            [("v", json!({ "N": "2" })), ("id", json!({ "S": "1" })), ("session_epoch", json!({ "S": "1" }))]
        {
            let fault = verdict(some_with(user(), name, value), Some(session()), Kind::Access).await;
            assert!(matches!(fault, Err(Error::Corrupt(_))), "{name}: {fault:?}");
        }
    }

    fn items(table: &str, item: &Value) -> BatchGetItemOutput {
        let strings = item.as_object().unwrap().iter().map(|(name, value)| {
            let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
            let attribute = match (kind.as_str(), value) {
                ("N", Value::String(number)) => aws_sdk_dynamodb::types::AttributeValue::N(number.clone()),
                ("BOOL", Value::Bool(flag)) => aws_sdk_dynamodb::types::AttributeValue::Bool(*flag),
                (_, value) => text(value.as_str().unwrap()),
            };
            (name.clone(), attribute)
        });
        BatchGetItemOutput::builder().responses(table, vec![strings.collect()]).build()
    }

    fn unprocessed(table: &str, output: BatchGetItemOutput) -> BatchGetItemOutput {
        let key = Item::from([("pk".into(), text("k"))]);
        let keys = KeysAndAttributes::builder().keys(key).consistent_read(true).build().unwrap();
        let unprocessed = HashMap::from([(table.to_owned(), keys)]);
        BatchGetItemOutput::builder().set_responses(output.responses).set_unprocessed_keys(Some(unprocessed)).build()
    }

    fn identities(client: Client) -> Identities {
        Identities::new(client, &Config::from_lookup(testbed::settings(&[])).unwrap())
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
        let verdict = identities(client).behind(&claims(Kind::Access), NOW, &Budget::new(None)).await;
        assert!(matches!(verdict, Err(Error::NotAuthorized)), "{verdict:?}");
        assert_eq!(empty.num_calls(), 1);
    }

    /// R75.
    #[tokio::test]
    async fn keys_that_were_left_unprocessed_are_asked_for_again() {
        let first =
            mock!(Client::batch_get_item).then_output(|| unprocessed("SessionsTable", items("UsersTable", &user())));
        let second = mock!(Client::batch_get_item)
            .match_requests(|request| request.request_items().unwrap().keys().eq(["SessionsTable"]))
            .then_output(|| items("SessionsTable", &session()));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, [&first, &second]);
        identities(client).behind(&claims(Kind::Access), NOW, &Budget::new(None)).await.unwrap();
        assert_eq!((first.num_calls(), second.num_calls()), (1, 1));
    }

    /// R75: not knowing is no verdict.
    #[tokio::test]
    async fn keys_that_stay_unprocessed_are_an_outage_and_no_verdict() {
        let always =
            mock!(Client::batch_get_item).then_output(|| unprocessed("SessionsTable", items("UsersTable", &user())));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&always]);
        let started = std::time::Instant::now();
        let outage = identities(client).behind(&claims(Kind::Access), NOW, &Budget::new(None)).await;
        assert!(matches!(outage, Err(Error::Unavailable(_))), "{outage:?}");
        assert!(always.num_calls() > 2 && started.elapsed() < Duration::from_secs(3));
    }

    /// F04, F19.
    #[tokio::test]
    async fn a_table_that_is_busy_is_an_outage_and_one_that_refuses_is_wrongly_set_up() {
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
            let error = identities(client).behind(&claims(Kind::Access), NOW, &Budget::new(None)).await.unwrap_err();
            assert_eq!(matches!(error, Error::Unavailable(_)), is_outage, "{code}: {error:?}");
            assert_eq!(matches!(error, Error::Misconfigured(_)), !is_outage, "{code}: {error:?}");
        }
    }
}
