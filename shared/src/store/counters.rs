//! What an operator does to attempt counters: look at them, list them and delete them.
//!
//! No function calls this module. [`attempts`](super::attempts) owns the keys of the counters.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::attempts::{Attempt, Attempts, Channel, item_key, source_key};
use super::client::{Client, send};
use super::records::{Item, from_item, text};
use super::users::Account;
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::throttle::{FailureCount, Limit as _};

/// The wrong passwords of one source address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// The IPv4 address, or the /64 network of IPv6 addresses.
    pub source: String,
    /// How many wrong passwords count at this moment.
    pub failures: u32,
    /// How long the source must wait before the next attempt, if it is blocked.
    pub wait: Option<Duration>,
}

/// The key of a counter.
#[derive(Clone, Debug)]
pub struct CounterKey(String);

impl CounterKey {
    /// Takes the address of a source, its IPv6 network as [`Attempts::sources`] returns it, or the `counter_key` of an
    /// event.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if the text is none of them.
    pub fn parse(text: &str) -> Result<Self> {
        let is_tag = |text: &str| URL_SAFE_NO_PAD.decode(text).is_ok_and(|tag| tag.len() == 16);
        let is_device =
            |text: &str| text.split_once('#').is_some_and(|(tag, id)| is_tag(tag) && UserId::parse(id).is_ok());
        let key = match text.split_once('#') {
            Some(("account" | "change", tag)) if is_tag(tag) => Some(text.to_owned()),
            Some(("device", rest)) if is_device(rest) => Some(text.to_owned()),
            Some(("source", source)) => source_key(source),
            Some(_) => None,
            None => source_key(text),
        };
        let problem = "This is neither an address, such as 203.0.113.7, nor the counter key of an event.";
        key.map(Self).ok_or_else(|| Error::InvalidRequest(problem.into()))
    }

    /// Returns the kind of the counter: `account`, `device`, `change` or `source`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split('#').next().unwrap_or_default()
    }
}

/// The attempts table without the key that hides the login names. It deletes counters by their keys.
#[derive(Clone, Debug)]
pub struct Counters {
    client: Client,
    table: String,
}

impl Counters {
    /// Reads `ATTEMPTS_TABLE`.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not set.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self { client, table: env.table("ATTEMPTS_TABLE")? })
    }

    /// Deletes a counter. Returns `false` if there was none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn delete(&self, counter: &CounterKey, budget: &Budget) -> Result<bool> {
        let delete = self.client.delete_item().table_name(&self.table).set_key(Some(item_key(&counter.0)));
        Ok(send(delete.return_values(ReturnValue::AllOld).send(), budget).await?.attributes.is_some())
    }
}

impl Attempts {
    /// Returns the failures in a row of an account, or `None` if there are none. Devices and changes of password have
    /// counters of their own, which are not read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn failures(&self, account: &Account<'_>, budget: &Budget) -> Result<Option<FailureCount>> {
        let key = self.account_key(Attempt { account, channel: Channel::Public, source_ip: None });
        let call = self.client.get_item().table_name(&self.table).set_key(Some(item_key(&key))).consistent_read(true);
        send(call.send(), budget).await?.item.map(|item| from_item(item, "attempts")).transpose()
    }

    /// Returns the keys of the counters of all accounts. Reads the whole table.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn counted(&self, budget: &Budget) -> Result<HashSet<String>> {
        let filter = "begins_with(counter_key, :account) OR begins_with(counter_key, :change)";
        let items = self.scan(filter, &[(":account", "account#"), (":change", "change#")], budget).await?;
        Ok(items.iter().filter_map(key_of).collect())
    }

    /// Unlocks an account that has one of these counters.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn unlock_if_counted(
        &self,
        account: &Account<'_>,
        counted: &HashSet<String>,
        budget: &Budget,
    ) -> Result<()> {
        let key = |channel| self.account_key(Attempt { account, channel, source_ip: None });
        if [Channel::Public, Channel::SignedIn].into_iter().any(|channel| counted.contains(&key(channel))) {
            self.unlock(account, budget).await?;
        }
        Ok(())
    }

    /// Deletes all counters of an account, also those of known devices, of which it reads the whole table. Returns how
    /// many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn erase(&self, login_name: &str, budget: &Budget) -> Result<usize> {
        let account = Account::named(login_name);
        let key = |channel| self.account_key(Attempt { account: &account, channel, source_ip: None });
        let (account, change) = (key(Channel::Public), key(Channel::SignedIn));
        let devices = account.replacen("account#", "device#", 1) + "#";
        let filter = "counter_key IN (:account, :change) OR begins_with(counter_key, :devices)";
        let values = [(":account", account.as_str()), (":change", &change), (":devices", &devices)];
        let found = self.scan(filter, &values, budget).await?;
        for key in found.iter().filter_map(key_of) {
            self.reset(&key, budget).await?;
        }
        Ok(found.len())
    }

    /// Returns the source addresses with wrong passwords that still count. Reads the whole table.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn sources(&self, now: Timestamp, budget: &Budget) -> Result<Vec<SourceState>> {
        let Some(bucket) = self.bucket else { return Ok(Vec::new()) };
        let mut sources = Vec::new();
        for item in self.scan("begins_with(counter_key, :source)", &[(":source", "source#")], budget).await? {
            let key = key_of(&item).unwrap_or_default();
            let Ok(level) = from_item(item, "attempts") else { continue };
            let failures = bucket.attempts(level, now);
            if failures > 0 {
                let source = key.trim_start_matches("source#").to_owned();
                sources.push(SourceState { source, failures, wait: bucket.admit(Some(level), now).err() });
            }
        }
        sources.sort_by(|one, other| (other.failures, &one.source).cmp(&(one.failures, &other.source)));
        Ok(sources)
    }

    /// Returns the counters that pass a filter. Reads the whole table.
    async fn scan(&self, filter: &str, values: &[(&str, &str)], budget: &Budget) -> Result<Vec<Item>> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let scan = self.client.scan().table_name(&self.table).consistent_read(true).filter_expression(filter);
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), text(*value))).collect();
            let scan = scan.set_expression_attribute_values(Some(values)).set_exclusive_start_key(start);
            let page = send(scan.send(), budget).await?;
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }
}

fn key_of(counter: &Item) -> Option<String> {
    counter.get("counter_key")?.as_s().ok().cloned()
}
