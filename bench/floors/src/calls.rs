//! The calls of DynamoDB that each function makes.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::future::try_join;
use lambda_runtime::Error;
use serde::Deserialize;
use shared::config::Environment;
use shared::throttle::LeakyBucket;

use crate::BareHash;

/// The keys of the records of one event.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Keys {
    /// The id of the user.
    pub user: String,
    /// The login name of the user.
    pub name: String,
    /// The id of the session. A login opens it.
    pub session: String,
    /// The generation of the refresh token.
    pub generation: u64,
    /// The source address of a login.
    pub source: String,
    /// The time in seconds.
    pub now: u64,
}

/// The calls. Every test and every floor makes them with the client of the functions.
#[derive(Debug)]
pub struct Calls {
    client: Client,
    users: String,
    sessions: String,
    attempts: Option<String>,
}

type Item = HashMap<String, AttributeValue>;

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

const DAY: u64 = 86_400;
const USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0";

impl Calls {
    /// Reads the names of the tables.
    ///
    /// # Errors
    /// Fails if a name is missing.
    pub fn new(client: Client, env: &Environment) -> shared::error::Result<Self> {
        Ok(Self {
            client,
            users: env.required("USERS_TABLE")?,
            sessions: env.required("SESSIONS_TABLE")?,
            attempts: env.optional("ATTEMPTS_TABLE"),
        })
    }

    /// The calls of `userinfo`: reads the user and the session.
    ///
    /// # Errors
    /// The errors of the calls, and a missing record.
    pub async fn userinfo(&self, keys: &Keys) -> Result<(), Error> {
        let records =
            [(&self.users, item([("pk", text(format!("user#{}", keys.user)))])), (&self.sessions, session_key(keys))];
        let found = self.batch_get(records).await?;
        if found.len() == 2 && found.values().all(|items| items.len() == 1) {
            return Ok(());
        }
        Err("the user or the session does not exist".into())
    }

    /// The calls of a renewal: reads the user and the session, and writes the session.
    ///
    /// # Errors
    /// The errors of the calls, and a condition that failed.
    pub async fn renewal(&self, keys: &Keys) -> Result<(), Error> {
        self.userinfo(keys).await?;
        self.client
            .update_item()
            .table_name(&self.sessions)
            .set_key(Some(session_key(keys)))
            .update_expression(
                "SET gen = :next, issued_at = :now, kid = :kid, idle_exp = :idle_exp, renewed_ip = :ip, \
                 renewed_agent = :agent",
            )
            .condition_expression(
                "attribute_exists(session_id) AND gen = :gen AND attribute_not_exists(ended_at) \
                 AND abs_exp > :now AND idle_exp > :now",
            )
            .expression_attribute_values(":gen", number(keys.generation))
            .expression_attribute_values(":next", number(keys.generation + 1))
            .expression_attribute_values(":now", number(keys.now))
            .expression_attribute_values(":kid", text("0123456789a"))
            .expression_attribute_values(":idle_exp", number(keys.now + 7 * DAY))
            .expression_attribute_values(":ip", text("203.0.113.7"))
            .expression_attribute_values(":agent", text(USER_AGENT))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await?;
        Ok(())
    }

    /// The call of a logout: ends the session.
    ///
    /// # Errors
    /// The errors of the call, and a condition that failed.
    pub async fn logout(&self, keys: &Keys) -> Result<(), Error> {
        self.client
            .update_item()
            .table_name(&self.sessions)
            .set_key(Some(session_key(keys)))
            .update_expression("SET ended_at = :now, #ttl = :ttl REMOVE active_key")
            .condition_expression("attribute_exists(session_id) AND attribute_not_exists(ended_at)")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", number(keys.now))
            .expression_attribute_values(":ttl", number(keys.now + 7 * DAY))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_values(ReturnValue::AllNew)
            .send()
            .await?;
        Ok(())
    }

    /// The calls of a login with the right password, and its hash.
    ///
    /// # Errors
    /// The errors of the calls, and a condition that failed.
    pub async fn login(&self, keys: &Keys, hash: &BareHash) -> Result<(), Error> {
        let attempts = self.attempts.as_deref().ok_or("ATTEMPTS_TABLE is not set")?;
        let (source, account) = (format!("source#{}", keys.source), format!("account#{:0>22}", keys.name));
        let counters = [&source, &account].map(|key| (attempts, item([("counter_key", text(key))])));
        let credentials = (self.users.as_str(), item([("pk", text(format!("login#{}", keys.name)))]));
        self.batch_get(counters.into_iter().chain([credentials])).await?;
        self.user_item(format!("user#{}", keys.user)).await?;
        let level = item([
            ("counter_key", text(&source)),
            ("v", number(1)),
            ("level", number(u64::from(LeakyBucket::ATTEMPT))),
            ("at", number(keys.now)),
            ("ttl", number(keys.now + 36)),
        ]);
        self.count(attempts, level, ["at", "level", "v"]).await?;
        let failures = item([
            ("counter_key", text(&account)),
            ("v", number(1)),
            ("failures", number(1)),
            ("at", number(keys.now)),
            ("ttl", number(keys.now + 30 * DAY)),
        ]);
        self.count(attempts, failures, ["at", "failures", "v"]).await?;
        hash.compute()?;
        let undo = async {
            self.reset(attempts, &account).await?;
            self.refund(attempts, &source).await
        };
        try_join(self.open_session(keys), undo).await?;
        let indexed = self.client.query().table_name(&self.sessions).index_name("ActiveSessions").consistent_read(true);
        indexed
            .key_condition_expression("user_id = :user AND begins_with(active_key, :epoch)")
            .expression_attribute_values(":user", text(&keys.user))
            .expression_attribute_values(":epoch", text("1#"))
            .send()
            .await?;
        Ok(())
    }

    /// Reads items of one or two tables in one call.
    async fn batch_get(
        &self,
        keys: impl IntoIterator<Item = (impl AsRef<str>, Item)>,
    ) -> Result<HashMap<String, Vec<Item>>, Error> {
        let mut tables: HashMap<String, Vec<_>> = HashMap::new();
        for (table, key) in keys {
            tables.entry(table.as_ref().to_owned()).or_default().push(key);
        }
        let mut call = self.client.batch_get_item();
        for (table, keys) in tables {
            call = call
                .request_items(table, KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?);
        }
        Ok(call.send().await?.responses.unwrap_or_default())
    }

    async fn user_item(&self, key: String) -> Result<(), Error> {
        let call = self.client.get_item().table_name(&self.users).key("pk", text(key)).consistent_read(true);
        call.send().await?.item.ok_or("the user does not exist")?;
        Ok(())
    }

    /// Writes an attempt counter that does not exist yet.
    async fn count(&self, attempts: &str, counter: Item, names: [&str; 3]) -> Result<(), Error> {
        let mut put = self.client.put_item().table_name(attempts).set_item(Some(counter));
        for name in names {
            put = put.expression_attribute_names(format!("#{name}"), name);
        }
        let condition = names.map(|name| format!("attribute_not_exists(#{name})")).join(" AND ");
        put.condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await?;
        Ok(())
    }

    async fn reset(&self, attempts: &str, counter: &str) -> Result<(), Error> {
        self.client.delete_item().table_name(attempts).key("counter_key", text(counter)).send().await?;
        Ok(())
    }

    async fn refund(&self, attempts: &str, counter: &str) -> Result<(), Error> {
        let once = aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled());
        self.client
            .update_item()
            .table_name(attempts)
            .key("counter_key", text(counter))
            .update_expression("SET #level = #level - :attempt")
            .condition_expression("#level >= :attempt")
            .expression_attribute_names("#level", "level")
            .expression_attribute_values(":attempt", number(u64::from(LeakyBucket::ATTEMPT)))
            .customize()
            .config_override(once)
            .send()
            .await?;
        Ok(())
    }

    async fn open_session(&self, keys: &Keys) -> Result<(), Error> {
        let session = item([
            ("user_id", text(&keys.user)),
            ("session_id", text(&keys.session)),
            ("v", number(1)),
            ("epoch", number(1)),
            ("persistent", AttributeValue::Bool(true)),
            ("created_at", number(keys.now)),
            ("gen", number(1)),
            ("issued_at", number(keys.now)),
            ("kid", text("0123456789a")),
            ("idle_exp", number(keys.now + 7 * DAY)),
            ("abs_exp", number(keys.now + 30 * DAY)),
            ("ttl", number(keys.now + 37 * DAY)),
            ("user_agent", text(USER_AGENT)),
            ("source_ip", text(&keys.source)),
            ("active_key", text(format!("1#{:012}", keys.now))),
        ]);
        self.client
            .put_item()
            .table_name(&self.sessions)
            .set_item(Some(session))
            .condition_expression("attribute_not_exists(session_id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await?;
        Ok(())
    }
}

fn session_key(keys: &Keys) -> Item {
    item([("user_id", text(&keys.user)), ("session_id", text(&keys.session))])
}
