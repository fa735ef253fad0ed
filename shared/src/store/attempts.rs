//! The attempts table: how often a password was wrong.
//!
//! Owns what is counted together (a lane), under which key, and that each attempt is written down before a password is
//! looked at. What was counted is refused or not by [`Rule`]. Knows neither who exists nor what a password is; a name that
//! somebody made up is counted like any other (R17), and the table holds none.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join;
use secrecy::ExposeSecret;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::id::random;
use crate::store::{Budget, Client, Item, from_item, number, read_all, text, to_item, was_made};
use crate::throttle::{Rule, Tally};
use crate::users::Account;

/// In how many records the failures of a minute are counted at most, so that no single one has to take them all; and how many
/// each takes at least before it speaks.
const SHARDS: u32 = 8;
const OF_EACH_SHARD: u32 = 10;

/// How long a login waits for its success to be written down.
const LONGEST_TAKING_BACK: Duration = Duration::from_millis(500);

/// Who is trying, as far as that is known before a password is looked at.
#[derive(Clone, Copy)]
pub enum Way<'a> {
    /// Anybody.
    Outside,
    /// Somebody on a device on which this user has been signed in before.
    Device(&'a Device),
    /// Somebody who is signed in as this user. What others do outside does not keep them from changing the password.
    SignedIn,
}

/// One attempt to give the right password.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// At which account, whether there is one or not.
    pub account: &'a Account<'a>,
    /// Who is trying.
    pub way: Way<'a>,
    /// From where, as the gateway says.
    pub source_ip: Option<&'a str>,
}

/// What is counted together.
struct Lane {
    key: String,
    rule: Rule,
    seen: Option<Tally>,
}

impl Lane {
    /// The refusal of an attempt that comes too soon.
    fn throttled(&self, wait: Duration) -> Error {
        let (reason, _) = self.key.split_once('#').unwrap_or((&self.key, ""));
        tracing::info!(
            event = "throttled",
            reason,
            wait_s = wait.as_secs(),
            "An attempt came too soon: no password was looked at."
        );
        Error::TooManyAttempts { wait }
    }
}

/// An attempt that may be made, and has not been counted yet.
pub struct Admission {
    source: Option<Lane>,
    account: Lane,
}

/// An attempt that has been counted. Until it has succeeded it is a failure.
pub struct Reservation {
    source: Option<Lane>,
    /// What it was counted with.
    pub lane: String,
    /// How many in a row have failed there with this one.
    pub failures: u32,
    /// Whether this is the last that may be right, or one after it: no further one is until an operator says so (R20).
    pub is_last: bool,
    /// Whether it is one after that.
    pub is_disabled: bool,
}

/// The attempts table.
pub struct Attempts {
    client: Client,
    table: String,
    key: hmac::Key,
    of_account: Rule,
    of_source: Option<Rule>,
    disable_after: u32,
    alarm: Option<Alarm>,
}

/// When so many fail in a minute that somebody should know.
#[derive(Clone, Copy)]
struct Alarm {
    shards: u32,
    /// How many of them in one shard.
    after: u32,
}

impl Attempts {
    /// The configured table and rules; nothing where they are switched off.
    ///
    /// # Errors
    /// [`Error::Setting`] where the table or the secret is not set.
    pub fn new(client: Client, config: &Config) -> Result<Option<Self>> {
        if !config.throttle {
            return Ok(None);
        }
        let missing =
            |name| Error::Setting { name, problem: "is not set; it may be missing where THROTTLE is off".into() };
        let secret = config.throttle_secret.as_ref().ok_or_else(|| missing("THROTTLE_SECRET"))?;
        let hourly = config.source_failures_per_hour;
        let per_minute = config.alarm_failures_per_minute;
        Ok(Some(Self {
            client,
            table: config.attempts_table.clone().ok_or_else(|| missing("ATTEMPTS_TABLE"))?,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()),
            of_account: Rule::Doubling {
                free: config.free_failures,
                longest: config.longest_wait,
                disable_after: config.disable_after,
            },
            of_source: (hourly > 0).then_some(Rule::Draining { hourly }),
            disable_after: config.disable_after,
            alarm: (per_minute > 0).then(|| {
                let shards = (per_minute / OF_EACH_SHARD).clamp(1, SHARDS);
                Alarm { shards, after: per_minute.div_ceil(shards) }
            }),
        }))
    }

    /// Whether another attempt may be made. That is read and not written: while an account is locked, nothing that is sent to it
    /// costs a write (F37).
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] where it may not; [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn admit(&self, attempt: Attempt<'_>, now: Timestamp, budget: &Budget) -> Result<Admission> {
        let mut account = Lane { key: self.account_key(attempt), rule: self.of_account, seen: None };
        let mut source = self.source_lane(attempt);
        let keys = source.iter().chain([&account]).map(|lane| (self.table.as_str(), item_key(&lane.key)));
        let mut found = read_all(&self.client, keys, budget).await?;
        for item in found.remove(&self.table).unwrap_or_default() {
            let lane = source.iter_mut().chain([&mut account]).find(|lane| item.get("lane") == Some(&text(&lane.key)));
            if let Some(lane) = lane {
                lane.seen = Some(from_item(item, "attempts")?);
            }
        }
        for lane in source.iter().chain([&account]) {
            lane.rule.admit(lane.seen, now).map_err(|wait| lane.throttled(wait))?;
        }
        Ok(Admission { source, account })
    }

    /// Counts an attempt, before it is made: of any number at the same time, no more are let through than one after the other
    /// would be (R21). What is refused for its source is not held against the account, nor the other way round.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] where others came first; [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn reserve(&self, admission: Admission, now: Timestamp, budget: &Budget) -> Result<Reservation> {
        let Admission { source, account } = admission;
        if let Some(source) = &source {
            self.count(source, now, budget).await?;
        }
        let counted = self.count(&account, now, budget).await;
        if counted.is_err() {
            // What is not tried is not held against the source either, as far as possible.
            let taken_back = self.take_back(source.as_ref(), budget);
            tokio::time::timeout(LONGEST_TAKING_BACK, taken_back).await.ok();
        }
        let Tally { failures, .. } = counted?;
        let (is_last, is_disabled) = (failures >= self.disable_after, failures > self.disable_after);
        Ok(Reservation { source, lane: account.key, failures, is_last, is_disabled })
    }

    /// Takes back that an attempt failed: the account starts anew, the source has one less. It is done as far as possible, and
    /// not for long: a password that is right stays so where this cannot be written.
    pub async fn succeeded(&self, reservation: &Reservation, budget: &Budget) {
        let (lane, source) = (&reservation.lane, reservation.source.as_ref());
        let outcomes = join(self.reset(lane, budget), self.take_back(source, budget));
        let failed = |causes: String| {
            tracing::error!(
                event = "success_counts_as_failed",
                lane,
                failures = reservation.failures,
                causes,
                "A password was right, and that could not be written: it counts as wrong until the next one."
            );
        };
        match tokio::time::timeout(LONGEST_TAKING_BACK, outcomes).await {
            Ok((reset, taken_back)) => {
                for error in [reset, taken_back].into_iter().filter_map(Result::err) {
                    failed(error.causes());
                }
            }
            Err(_) => failed("the table did not answer in time".to_owned()),
        }
    }

    /// Leaves an attempt counted as failed. It is also counted among all others of this minute, which raises an alarm where they
    /// are too many, refuses nobody and changes no answer (R24).
    pub async fn failed(&self, now: Timestamp, budget: &Budget) {
        let Some(alarm) = self.alarm else { return };
        match self.count_in_minute(now.as_secs() / 60, alarm.shards, budget).await {
            Ok(failures) if failures % alarm.after == 0 => tracing::error!(
                event = "guessing_alarm",
                "So many passwords were wrong in this minute that somebody may be guessing: look for the sources with the most \
                 failures in the attempts table."
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(
                event = "alarm_count_failed",
                causes = error.causes(),
                "A wrong password is missing from the count of this minute."
            ),
        }
    }

    /// Forgets the failures of an account, but for those of known devices. An operator does that for somebody who is locked out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn forget(&self, account: &Account<'_>, budget: &Budget) -> Result<()> {
        for way in [Way::Outside, Way::SignedIn] {
            self.reset(&self.account_key(Attempt { account, way, source_ip: None }), budget).await?;
        }
        Ok(())
    }

    /// Writes one more attempt over the tally that was seen, or over the one that was written meanwhile.
    async fn count(&self, lane: &Lane, now: Timestamp, budget: &Budget) -> Result<Tally> {
        let mut seen = lane.seen;
        loop {
            let counted = lane.rule.admit(seen, now).map_err(|wait| lane.throttled(wait))?;
            let time_to_live = lane.rule.forgotten_at(counted).map(|end| ("ttl", number(end)));
            let key = [Some(("lane", text(&lane.key))), time_to_live];
            let put = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(to_item(&counted, &key.into_iter().flatten().collect::<Vec<_>>())?))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let put = match seen {
                None => put.condition_expression("attribute_not_exists(lane)"),
                Some(tally) => put
                    .condition_expression("failures = :failures AND #at = :at")
                    .expression_attribute_names("#at", "at")
                    .expression_attribute_values(":failures", number(tally.failures))
                    .expression_attribute_values(":at", number(tally.at)),
            };
            let Err(error) = budget.spend(put.send()).await else { return Ok(counted) };
            let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
                return Err(error.into());
            };
            seen = failed.item.clone().map(|item| from_item(item, "attempts")).transpose()?;
        }
    }

    /// What is counted for the source. A known device and somebody who is signed in have a count that nobody else adds to: they
    /// get past what others behind the same address have used up.
    fn source_lane(&self, attempt: Attempt<'_>) -> Option<Lane> {
        let source_ip = attempt.source_ip.filter(|_| matches!(attempt.way, Way::Outside));
        let (rule, key) = self.of_source.zip(source_ip.and_then(source_key))?;
        Some(Lane { key, rule, seen: None })
    }

    async fn reset(&self, lane: &str, budget: &Budget) -> Result<()> {
        let call = self.client.delete_item().table_name(&self.table).key("lane", text(lane));
        budget.spend(call.send()).await?;
        Ok(())
    }

    /// One less. It is not tried again: two for one would let a source guess once more than it may (F09).
    async fn take_back(&self, lane: Option<&Lane>, budget: &Budget) -> Result<()> {
        let Some(lane) = lane else { return Ok(()) };
        let once = aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled());
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("lane", text(&lane.key))
            .update_expression("SET failures = failures - :one")
            .condition_expression("failures >= :one")
            .expression_attribute_values(":one", number(lane.rule.one()));
        was_made(budget.spend(call.customize().config_override(once).send()).await).map(drop)
    }

    async fn count_in_minute(&self, minute: u64, shards: u32, budget: &Budget) -> Result<u32> {
        let [shard] = random()?;
        let lane = format!("minute#{minute}#{}", u32::from(shard) % shards);
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("lane", text(lane))
            .update_expression("ADD failures :one SET #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":one", number(1_u32))
            .expression_attribute_values(":ttl", number((minute + 60) * 60))
            .return_values(ReturnValue::UpdatedNew);
        let counted = budget.spend(call.send()).await?.attributes;
        let failures = counted.and_then(|item| item.get("failures")?.as_n().ok()?.parse().ok());
        failures.ok_or_else(|| Error::Corrupt("the count of a minute has no number".into()))
    }

    /// A name is not kept: what stands here is a keyed hash of it, since people type passwords where a name belongs.
    fn account_key(&self, attempt: Attempt<'_>) -> String {
        let (lane, device) = match attempt.way {
            Way::Outside => ("account", None),
            Way::Device(device) => ("device", Some(device)),
            Way::SignedIn => ("change", None),
        };
        let tag = hmac::sign(&self.key, format!("latchkey account\0{}", attempt.account.as_str()).as_bytes());
        let account = URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]);
        let device = device.map(|device| format!("#{}", device.id)).unwrap_or_default();
        format!("{lane}#{account}{device}")
    }
}

/// The source that an address belongs to: all of an IPv4 address, and the network of an IPv6 address, of which one customer
/// has a whole one (R24).
fn source_key(source_ip: &str) -> Option<String> {
    let network = match source_ip.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    };
    Some(format!("source#{network}"))
}

fn item_key(lane: &str) -> Item {
    Item::from([("lane".into(), text(lane))])
}
