//! DynamoDB: the client, and how long a request may wait for it.
//!
//! The only place that builds a client. Owns its timeouts and retries, the `Budget` of a request, what a failed call
//! means, and the form that all records share. Knows no table.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Config as SdkConfig;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, TransactWriteItem};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::random_128_bits;

/// The client that all stores share. Cloning it is cheap.
pub use aws_sdk_dynamodb::Client;

/// What all store calls of one request may take together. Past it the answer is "try again", well before API Gateway
/// or Lambda would give up (F16).
pub const REQUEST_BUDGET: Duration = Duration::from_secs(2);

/// Makes the client. Every value that decides how long a call takes is set here: the SDK's own defaults know no read,
/// attempt or operation timeout, and change between behaviour versions.
///
/// Region and credentials are what Lambda put into the environment; nothing is searched for, nothing is fetched.
#[must_use]
pub fn connect(config: &Config) -> Client {
    let aws = &config.aws;
    let session_token = aws.session_token.as_ref().map(|token| token.expose_secret().to_owned());
    let secret_access_key = aws.secret_access_key.expose_secret();
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(Credentials::new(
            &aws.access_key_id,
            secret_access_key,
            session_token,
            None,
            "environment",
        ))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_millis(500))
                .read_timeout(Duration::from_millis(700))
                .operation_attempt_timeout(Duration::from_millis(700))
                .operation_timeout(REQUEST_BUDGET)
                .build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(50))
                .with_max_backoff(Duration::from_millis(300)),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let sdk = match &aws.endpoint_url {
        Some(url) => sdk.endpoint_url(url),
        None => sdk,
    };
    Client::from_conf(sdk.build())
}

/// How long the store calls of one request may still take. Time spent on anything else does not count, but the end of
/// the invocation does.
#[derive(Debug)]
pub struct Budget {
    left: Mutex<Duration>,
    deadline: Option<Instant>,
}

impl Budget {
    /// A full budget, for an invocation that ends at `deadline`.
    #[must_use]
    pub fn new(deadline: Option<Instant>) -> Self {
        Self { left: Mutex::new(REQUEST_BUDGET), deadline }
    }

    /// Waits for `call` as long as the budget lasts, and takes off what it took. A call of the SDK is large, and each function
    /// that waits for one would be larger by it: it waits in a box.
    ///
    /// # Errors
    /// A timeout where the budget ends first; else what the call fails with.
    pub fn spend<T, E>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> impl Future<Output = Result<T, SdkError<E>>> {
        let call = Box::pin(call);
        async move {
            let started = Instant::now();
            let outcome = tokio::time::timeout(self.left(), call).await;
            self.take(started.elapsed());
            match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(SdkError::timeout_error("the time for the stores of this request is used up")),
            }
        }
    }

    /// Lets `pause` pass before a call is tried again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where there would be no time left for the call.
    pub async fn pause(&self, pause: Duration) -> Result<()> {
        if self.left() <= pause {
            return Err(Error::Unavailable("the time for the stores of this request is used up".into()));
        }
        tokio::time::sleep(pause).await;
        self.take(pause);
        Ok(())
    }

    /// What is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        let left = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match self.deadline {
            Some(deadline) => left.min(deadline.saturating_duration_since(Instant::now())),
            None => left,
        }
    }

    fn take(&self, spent: Duration) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(spent);
    }
}

/// What a failed call means for the request: a store that cannot answer is asked again later, one that refuses to is
/// wrongly set up, and neither says anything about who is asking.
impl<E> From<SdkError<E>> for Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let passes = match &error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
            SdkError::ServiceError(service) => {
                service.raw().status().is_server_error() || service.err().code().is_some_and(is_transient)
            }
            _ => false,
        };
        if passes { Self::Unavailable(error.into()) } else { Self::Misconfigured(error.into()) }
    }
}

fn is_transient(code: &str) -> bool {
    matches!(
        code,
        "InternalServerError"
            | "ProvisionedThroughputExceededException"
            | "ReplicatedWriteConflictException"
            | "RequestLimitExceeded"
            | "ServiceUnavailable"
            | "ThrottlingException"
            | "TransactionConflictException"
            | "TransactionInProgressException"
    )
}

/// Reads the items under these keys, each of a table, in one strongly consistent call. What DynamoDB leaves out, being busy,
/// is asked for again.
///
/// # Errors
/// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
pub(crate) async fn read_all(
    client: &Client,
    keys: impl IntoIterator<Item = (&str, Item)>,
    budget: &Budget,
) -> Result<HashMap<String, Vec<Item>>> {
    let mut by_table: HashMap<_, Vec<_>> = HashMap::new();
    for (table, key) in keys {
        by_table.entry(table.to_owned()).or_default().push(key);
    }
    let consistently = |(table, keys)| {
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        keys.map(|keys| (table, keys)).map_err(|error| Error::Unexpected(error.into()))
    };
    let mut wanted = Some(by_table.into_iter().map(consistently).collect::<Result<_>>()?);
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    let mut pause = Duration::from_millis(50);
    while let Some(keys) = wanted {
        let answer = budget.spend(client.batch_get_item().set_request_items(Some(keys)).send()).await?;
        for (table, items) in answer.responses.unwrap_or_default() {
            found.entry(table).or_default().extend(items);
        }
        wanted = answer.unprocessed_keys.filter(|keys| !keys.is_empty());
        if wanted.is_some() {
            budget.pause(pause).await?;
            pause *= 2;
        }
    }
    Ok(found)
}

/// Whether a conditional update was made: not where its condition did not hold.
///
/// # Errors
/// What else the call failed with.
pub(crate) fn was_made<T>(outcome: Result<T, SdkError<UpdateItemError>>) -> Result<bool> {
    match outcome {
        Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(false),
        outcome => outcome.map(|_| true).map_err(Error::from),
    }
}

/// The reasons for a cancelled transaction that pass.
pub(crate) const BUSY: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// How often a transaction that met another is tried again (F20).
const TRIES_AGAIN: u32 = 3;

/// Writes all of `writes` or none, and says which of them, by their places, could not be made because its condition did not
/// hold; nothing where all were made. One that meets another transaction is tried again under the same token, so that it
/// is made once.
///
/// # Errors
/// [`Error::Unavailable`] where the tables stay busy; [`Error::Misconfigured`] or [`Error::Unexpected`].
pub(crate) async fn transact(client: &Client, writes: &[TransactWriteItem], budget: &Budget) -> Result<Vec<usize>> {
    let token = random_128_bits()?;
    for again in 0.. {
        let call = client.transact_write_items().set_transact_items(Some(writes.to_vec())).client_request_token(&token);
        let Err(error) = budget.spend(call.send()).await else { break };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(error.into());
        };
        let codes: Vec<_> =
            canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default()).collect();
        let refused: Vec<_> = (0..codes.len()).filter(|&place| codes[place] == "ConditionalCheckFailed").collect();
        if !refused.is_empty() {
            return Ok(refused);
        }
        if !codes.iter().any(|code| BUSY.contains(code)) {
            return Err(error.into());
        }
        if again == TRIES_AGAIN {
            return Err(Error::Unavailable(error.into()));
        }
        budget.pause(Duration::from_millis(50) * 2_u32.pow(again)).await?;
    }
    Ok(Vec::new())
}

/// A record as DynamoDB keeps it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The version of the records that this code writes, in the attribute `v`. An attribute more does not change it; one
/// that older code would misread does.
const RECORD_VERSION: &str = "1";

/// The item for a record, under its key.
pub(crate) fn to_item(record: &impl Serialize, key: &[(&str, AttributeValue)]) -> Result<Item> {
    let mut item: Item = serde_dynamo::to_item(record).map_err(|error| Error::Unexpected(error.into()))?;
    item.insert("v".into(), AttributeValue::N(RECORD_VERSION.into()));
    item.extend(key.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Ok(item)
}

/// The record in an item. What the item holds is not repeated in the error: it ends up in a log.
pub(crate) fn from_item<T: DeserializeOwned>(item: Item, kind: &'static str) -> Result<T> {
    let corrupt = |problem: &str| Error::Corrupt(format!("{kind} record {problem}").into());
    match item.get("v") {
        Some(AttributeValue::N(version)) if version == RECORD_VERSION => {}
        Some(_) => return Err(corrupt("of an unknown version")),
        None => return Err(corrupt("without a version")),
    }
    serde_dynamo::from_item(item).map_err(|_| corrupt("with an attribute missing or of the wrong type"))
}

/// A string attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

#[cfg(test)]
mod tests {
    use std::io;

    use testbed::{Fault, Tables};
    use tokio::net::TcpListener;

    use super::*;
    use crate::id::UserId;
    use crate::users::Users;

    /// What a read of an absent user gives against whatever listens at `endpoint_url`, and how long it took.
    async fn read(endpoint_url: &str, budget: &Budget) -> (Result<bool>, Duration) {
        let settings = testbed::settings(&[("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url)]);
        let users = Users::new(connect(&Config::from_lookup(settings).unwrap()), "users");
        let started = Instant::now();
        let found = users.find(&UserId::parse("9").unwrap(), budget).await;
        (found.map(|user| user.is_some()), started.elapsed())
    }

    /// A server that takes every connection and never says a word.
    async fn silent() -> (String, tokio::task::JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let holding = tokio::spawn(async move {
            let mut connections = Vec::new();
            loop {
                connections.push(listener.accept().await?);
            }
        });
        (url, holding)
    }

    /// F16.
    #[tokio::test]
    async fn a_store_that_never_answers_is_given_up_within_the_budget() {
        let (url, holding) = silent().await;
        let (outcome, took) = read(&url, &Budget::new(None)).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
        holding.abort();
    }

    /// F17.
    #[tokio::test]
    async fn a_store_that_cannot_be_reached_is_an_outage() {
        let (outcome, took) = read("http://127.0.0.1:9", &Budget::new(None)).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }

    /// F16.
    #[tokio::test]
    async fn all_calls_of_a_request_share_one_budget() {
        let (url, holding) = silent().await;
        let budget = Budget::new(None);
        let (first, _) = read(&url, &budget).await;
        assert!(matches!(first, Err(Error::Unavailable(_))), "{first:?}");
        let (second, took) = read(&url, &budget).await;
        assert!(matches!(second, Err(Error::Unavailable(_))), "{second:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        holding.abort();
    }

    /// F16.
    #[tokio::test]
    async fn the_end_of_the_invocation_ends_the_budget() {
        let (url, holding) = silent().await;
        let (outcome, took) = read(&url, &Budget::new(Some(Instant::now() + Duration::from_millis(200)))).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        assert!(took < Duration::from_millis(650), "{took:?}");
        holding.abort();
    }

    /// What a read gives that meets these faults, and how long it took.
    async fn read_through(faults: &[Fault]) -> (Result<bool>, Duration) {
        let tables = Tables::new().await;
        let config = Config::from_lookup(tables.failing(&[("GetItem", faults)]).await).unwrap();
        let users = Users::new(connect(&config), &config.users_table);
        let started = Instant::now();
        let found = users.find(&UserId::parse("9").unwrap(), &Budget::new(None)).await;
        (found.map(|user| user.is_some()), started.elapsed())
    }

    /// F01, F18.
    #[tokio::test]
    async fn a_call_is_tried_three_times_where_another_try_may_help() {
        for fault in [
            Fault::Refuse(500, "InternalServerError"),
            Fault::Refuse(503, "Whatever"),
            Fault::Refuse(400, "ProvisionedThroughputExceededException"),
            Fault::Refuse(400, "ThrottlingException"),
            Fault::LoseReply,
        ] {
            let (twice, took) = read_through(&[fault; 2]).await;
            assert!(twice.is_ok() && took < Duration::from_secs(1), "{fault:?}: {twice:?} after {took:?}");
            let (always, took) = read_through(&[fault; 9]).await;
            assert!(matches!(always, Err(Error::Unavailable(_))), "{fault:?}: {always:?}");
            assert!(took < Duration::from_secs(2), "{fault:?}: {took:?}");
        }
    }

    /// F19: the table would answer a second try.
    #[tokio::test]
    async fn a_call_that_is_refused_for_good_is_not_tried_again() {
        for code in ["AccessDeniedException", "ValidationException", "UnrecognizedClientException"] {
            let (outcome, _) = read_through(&[Fault::Refuse(400, code)]).await;
            assert!(matches!(outcome, Err(Error::Misconfigured(_))), "{code}: {outcome:?}");
        }
    }

    /// F16.
    #[tokio::test]
    async fn a_call_that_hangs_once_is_given_up_in_time_for_another_try() {
        let (outcome, took) = read_through(&[Fault::Stall]).await;
        assert!(outcome.is_ok() && took < Duration::from_millis(1500), "{outcome:?} after {took:?}");
    }

    /// Section 3 of the requirements. A connection that is never made cannot be staged on a loopback, so its timeout is
    /// pinned here with the others.
    #[test]
    fn no_value_that_decides_how_long_a_call_takes_is_left_to_the_sdk() {
        let client = connect(&Config::from_lookup(testbed::settings(&[])).unwrap());
        let (timeouts, retries) = (client.config().timeout_config().unwrap(), client.config().retry_config().unwrap());
        let millis = |duration: Option<Duration>| duration.unwrap().as_millis();
        assert_eq!(millis(timeouts.connect_timeout()), 500);
        assert_eq!(millis(timeouts.read_timeout()), 700);
        assert_eq!(millis(timeouts.operation_attempt_timeout()), 700);
        assert_eq!(millis(timeouts.operation_timeout()), 2000);
        assert_eq!(retries.max_attempts(), 3);
        assert_eq!((retries.initial_backoff().as_millis(), retries.max_backoff().as_millis()), (50, 300));
    }

    /// F19.
    #[tokio::test]
    async fn a_table_that_is_not_there_is_wrongly_set_up() {
        let tables = Tables::new().await;
        let config = Config::from_lookup(tables.settings(&[])).unwrap();
        let users = Users::new(connect(&config), "no-such-table");
        let error = users.find(&UserId::parse("9").unwrap(), &Budget::new(None)).await.unwrap_err();
        assert!(matches!(error, Error::Misconfigured(_)), "{error:?}");
        assert!(error.causes().contains("ResourceNotFoundException"), "{error:?}");
        assert!(!error.to_string().contains("no-such-table"), "{error}");
    }
}
