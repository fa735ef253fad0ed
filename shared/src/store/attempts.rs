//! The attempts table: counters of wrong passwords.
//!
//! Owns which attempts share a counter, the key of each counter, and that an attempt is counted before a password is
//! hashed (R21). The counters are read in one call with the credentials of the account. The limits themselves are in
//! `throttle`. The table holds no login names, and a name that does not exist is counted like any other (R17).

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;

use super::client::{Client, batch_get, condition_held, send};
use super::records::{Item, from_item, number, text, to_item};
use super::users::{Account, Credentials, read_credentials};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::telemetry::events;
use crate::throttle::{Backoff, Device, LeakyBucket, Limit};

/// The timeout for giving attempts back: after a success, or if the account's counter failed or refused the attempt.
const MAX_UNDO: Duration = Duration::from_millis(500);

/// What is known about the caller of an attempt before the password is checked.
#[derive(Clone, Copy)]
pub enum Channel<'a> {
    /// The caller is unknown.
    Public,
    /// The caller's device is known for this account (R22).
    KnownDevice(&'a Device),
    /// The caller is signed in as this user. Strangers cannot block a change of password.
    SignedIn,
}

/// One attempt to authenticate with a password.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The account, which may not exist.
    pub account: &'a Account<'a>,
    /// What is known about the caller.
    pub channel: Channel<'a>,
    /// The source address, as API Gateway reports it.
    pub source_ip: Option<&'a str>,
}

/// One attempt counter: its limit, its key, and its record and count at the last read.
struct Counter<L: Limit> {
    limit: L,
    key: String,
    /// The attributes of the record. Empty if there is no record.
    record: Item,
    count: Option<L::Count>,
}

impl<L: Limit> Counter<L> {
    fn new(limit: L, key: String) -> Self {
        Self { limit, key, record: Item::new(), count: None }
    }

    /// Takes the record that was read. A record that cannot be read counts as absent: the counter starts anew, and the
    /// next write replaces the record. Otherwise nobody could sign in to the account.
    fn read(&mut self, record: Option<Item>) {
        self.record = record.unwrap_or_default();
        self.count = None;
        if !self.record.is_empty() {
            let count = from_item(self.record.clone(), "attempts");
            self.count = count.inspect_err(|error| events::counter_unreadable(self.kind(), error)).ok();
        }
    }

    /// Returns the count with one more attempt.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if the limit is reached.
    fn admit(&self, now: Timestamp) -> Result<L::Count> {
        self.limit.admit(self.count, now).map_err(|wait| {
            match self.kind() {
                "source" => events::source_throttled(wait),
                kind => events::throttled(kind, wait),
            }
            Error::TooManyAttempts { wait }
        })
    }

    /// Returns the first part of the key: `account`, `device`, `change` or `source`.
    fn kind(&self) -> &str {
        self.key.split('#').next().unwrap_or_default()
    }
}

/// The counters of an attempt that has not been counted yet.
pub struct Admission {
    source: Option<Counter<LeakyBucket>>,
    account: Counter<Backoff>,
}

impl Admission {
    /// Accepts an attempt within its limits.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if a limit is reached.
    fn check(&self, now: Timestamp) -> Result<()> {
        if let Some(source) = &self.source {
            source.admit(now)?;
        }
        self.account.admit(now)?;
        Ok(())
    }
}

/// An attempt that has been counted as failed. [`Attempts::succeeded`] undoes that.
pub struct Reservation {
    source_key: Option<String>,
    /// The key of the account's counter.
    pub counter_key: String,
    /// The failures in a row, this attempt included.
    pub failures: u32,
    /// Whether the password is disabled if this attempt fails (R20).
    pub disables: bool,
    /// Whether the password was disabled before this attempt.
    pub is_disabled: bool,
}

/// The attempts table, and the credentials that are read with it.
pub struct Attempts {
    pub(super) client: Client,
    pub(super) table: String,
    users_table: String,
    key: hmac::Key,
    /// The limit for one account.
    pub backoff: Backoff,
    pub(super) bucket: Option<LeakyBucket>,
}

impl Attempts {
    /// Reads:
    /// - `ATTEMPTS_TABLE`, and `USERS_TABLE`, which has the credentials;
    /// - `THROTTLE_SECRET`: hides the login names in the table;
    /// - `SOURCE_FAILURES_PER_HOUR`: how many wrong passwords one source address may send at once and in an hour, 0 (no
    ///   limit) to 100000, 100 by default (R24).
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        let hourly = env.number("SOURCE_FAILURES_PER_HOUR", 100, 0..=100_000)?;
        Ok(Self {
            client,
            table: env.table("ATTEMPTS_TABLE")?,
            users_table: env.table("USERS_TABLE")?,
            key: hmac::Key::new(hmac::HMAC_SHA256, env.secret("THROTTLE_SECRET")?.expose_secret().as_bytes()),
            backoff: Backoff::default(),
            bucket: (hourly > 0).then_some(LeakyBucket { hourly }),
        })
    }

    /// Checks the limits of an attempt. Also returns the credentials of the account, which it reads in the same call.
    /// Only reads, so that attempts at a locked account cost no writes (F37).
    ///
    /// Treats the device as unknown if it signed in with another password than the current one (R22). A known device
    /// needs no counter that others write.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if a limit is reached; [`Error::Unavailable`], [`Error::Misconfigured`], or
    /// [`Error::Corrupt`] if the credentials cannot be read.
    pub async fn admit(
        &self,
        attempt: Attempt<'_>,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<(Admission, Option<Credentials>)> {
        let (mut admission, mut credentials) = self.read(attempt, budget).await?;
        if let Channel::KnownDevice(device) = attempt.channel {
            let current = credentials.as_ref().ok().and_then(Option::as_ref).map(|found| found.password_version);
            if current != Some(device.password_version) {
                let unknown = Attempt { channel: Channel::Public, ..attempt };
                (admission, credentials) = self.read(unknown, budget).await?;
            }
        }
        admission.check(now)?;
        Ok((admission, credentials?))
    }

    /// Reads the counters of an attempt and the credentials of its account in one call.
    async fn read(&self, attempt: Attempt<'_>, budget: &Budget) -> Result<(Admission, Result<Option<Credentials>>)> {
        let mut account = Counter::new(self.backoff, self.account_key(attempt));
        let mut source = self.source_counter(attempt);
        let counters = source.iter().map(|source| &source.key).chain([&account.key]);
        let counters: Vec<_> = counters.map(|key| (self.table.as_str(), item_key(key))).collect();
        let keys = counters.into_iter().chain([(self.users_table.as_str(), attempt.account.credentials_key())]);
        let mut found = batch_get(&self.client, keys, budget).await?;
        for item in found.remove(&self.table).unwrap_or_default() {
            let has_key = |key: &str| item.get("counter_key") == Some(&text(key));
            if has_key(&account.key) {
                account.read(Some(item));
            } else if let Some(source) = source.as_mut().filter(|source| has_key(&source.key)) {
                source.read(Some(item));
            }
        }
        let credentials = found.remove(&self.users_table).and_then(|mut items| items.pop());
        Ok((Admission { source, account }, credentials.map(read_credentials).transpose()))
    }

    /// Counts an attempt before the password is hashed. Concurrent attempts get no more tries than sequential ones
    /// (R21). If the account's counter then fails or refuses the attempt, the source gets its attempt back, best
    /// effort.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if a concurrent attempt reached a limit first; [`Error::Unavailable`] or
    /// [`Error::Misconfigured`].
    pub async fn reserve(&self, admission: Admission, now: Timestamp, budget: &Budget) -> Result<Reservation> {
        let Admission { source, account } = admission;
        let source_key = source.as_ref().map(|source| source.key.clone());
        if let Some(source) = source {
            self.count(source, now, budget).await?;
        }
        let counter_key = account.key.clone();
        let counted = self.count(account, now, budget).await;
        if counted.is_err() {
            // Best effort: the attempt is not made, so the source gets it back.
            tokio::time::timeout(MAX_UNDO, self.refund(source_key.as_deref(), budget)).await.ok();
        }
        let failures = counted?.failures;
        let limit = self.backoff.disable_after;
        let (disables, is_disabled) = (failures >= limit, failures > limit);
        Ok(Reservation { source_key, counter_key, failures, disables, is_disabled })
    }

    /// Records that an attempt succeeded: the account's counter starts anew, and the source gets its attempt back. Best
    /// effort, with a short timeout: a right password stays right if this cannot be written.
    pub async fn succeeded(&self, reservation: &Reservation, budget: &Budget) {
        let Reservation { counter_key, failures, .. } = reservation;
        // One after the other, because the caller writes at the same time. Each simultaneous call opens a connection.
        // After a freeze all of them can be dead, and a call is tried three times.
        let undo = async {
            let reset = self.reset(counter_key, budget).await;
            (reset, self.refund(reservation.source_key.as_deref(), budget).await)
        };
        match tokio::time::timeout(MAX_UNDO, undo).await {
            Ok((reset, refunded)) => {
                for error in [reset, refunded].into_iter().filter_map(Result::err) {
                    events::success_counts_as_failed(counter_key, *failures, &error.causes());
                }
            }
            Err(_) => events::success_counts_as_failed(counter_key, *failures, "the table did not answer in time"),
        }
    }

    /// Deletes the counters of an account, except those of known devices. An operator does this to unlock an account.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn unlock(&self, account: &Account<'_>, budget: &Budget) -> Result<()> {
        for channel in [Channel::Public, Channel::SignedIn] {
            self.reset(&self.account_key(Attempt { account, channel, source_ip: None }), budget).await?;
        }
        Ok(())
    }

    /// Writes one more attempt, if the attributes of the record are still those that were read. If they were changed in
    /// between, checks the limit again with the new count.
    async fn count<L: Limit>(&self, mut counter: Counter<L>, now: Timestamp, budget: &Budget) -> Result<L::Count> {
        loop {
            let next = counter.admit(now)?;
            let time_to_live = counter.limit.expires_at(next).map(|end| ("ttl", number(end)));
            let key = [Some(("counter_key", text(&counter.key))), time_to_live];
            let record = to_item(&next, &key.into_iter().flatten().collect::<Vec<_>>())?;
            let mut put = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(record))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let mut unchanged = Vec::new();
            for name in to_item(&next, &[])?.into_keys() {
                if let Some(value) = counter.record.get(&name) {
                    unchanged.push(format!("#{name} = :{name}"));
                    put = put.expression_attribute_values(format!(":{name}"), value.clone());
                } else {
                    unchanged.push(format!("attribute_not_exists(#{name})"));
                }
                put = put.expression_attribute_names(format!("#{name}"), name);
            }
            put = put.condition_expression(unchanged.join(" AND "));
            let Err(error) = send(put.send(), budget).await else { return Ok(next) };
            let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
                return Err(error.into());
            };
            counter.read(failed.item.clone());
        }
    }

    /// Returns the counter of the source, or `None` if this attempt has none. A known device and a signed-in user have
    /// none: they are limited by their own counter only, so other callers of the same address cannot block them.
    fn source_counter(&self, attempt: Attempt<'_>) -> Option<Counter<LeakyBucket>> {
        let source_ip = attempt.source_ip.filter(|_| matches!(attempt.channel, Channel::Public));
        let (limit, key) = self.bucket.zip(source_ip.and_then(source_key))?;
        Some(Counter::new(limit, key))
    }

    pub(super) async fn reset(&self, counter_key: &str, budget: &Budget) -> Result<()> {
        let call = self.client.delete_item().table_name(&self.table).set_key(Some(item_key(counter_key)));
        send(call.send(), budget).await?;
        Ok(())
    }

    /// Gives a source one attempt back. It is not retried: two refunds for one attempt would allow an extra guess
    /// (F09).
    async fn refund(&self, source_key: Option<&str>, budget: &Budget) -> Result<()> {
        let Some(source_key) = source_key else { return Ok(()) };
        let once = aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled());
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item_key(source_key)))
            .update_expression("SET #level = #level - :attempt")
            .condition_expression("#level >= :attempt")
            .expression_attribute_names("#level", "level")
            .expression_attribute_values(":attempt", number(LeakyBucket::ATTEMPT));
        condition_held(send(call.customize().config_override(once).send(), budget).await).map(drop)
    }

    /// Returns the key of an account's counter. It has a keyed hash of the login name, because people sometimes type
    /// their password where the name belongs.
    pub(super) fn account_key(&self, attempt: Attempt<'_>) -> String {
        let (kind, device) = match attempt.channel {
            Channel::Public => ("account", None),
            Channel::KnownDevice(device) => ("device", Some(device)),
            Channel::SignedIn => ("change", None),
        };
        let tag = hmac::sign(&self.key, format!("latchkey account\0{}", attempt.account.as_str()).as_bytes());
        let account = URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]);
        let device = device.map(|device| format!("#{}", device.id)).unwrap_or_default();
        format!("{kind}#{account}{device}")
    }
}

/// Returns the key of a source's counter: the IPv4 address, or the /64 network of an IPv6 address, because one customer
/// gets a whole /64 (R24). Returns `None` if the text is not an address.
pub(super) fn source_key(source_ip: &str) -> Option<String> {
    let address = source_ip.strip_suffix("/64").filter(|network| network.ends_with("::")).unwrap_or(source_ip);
    let network = match address.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    };
    Some(format!("source#{network}"))
}

pub(super) fn item_key(counter_key: &str) -> Item {
    Item::from([("counter_key".into(), text(counter_key))])
}
