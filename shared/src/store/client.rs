//! Calls of DynamoDB, and what a failed call means.
//!
//! Owns batch reads, transactions, and the mapping from SDK errors to [`Error`]. Knows no table.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{KeysAndAttributes, TransactWriteItem};

use super::records::Item;
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::id::random_128_bits;

/// The client that all stores share. A clone is cheap.
pub use aws_sdk_dynamodb::Client;

/// Awaits a call within the budget of the request.
///
/// # Errors
/// A timeout if the budget ends first. Otherwise the error of the call.
pub(super) async fn send<T, E>(
    call: impl Future<Output = Result<T, SdkError<E>>>,
    budget: &Budget,
) -> Result<T, SdkError<E>> {
    match budget.spend(call).await {
        Ok(outcome) => outcome,
        Err(exhausted) => Err(SdkError::timeout_error(exhausted)),
    }
}

/// Maps a failed call. A store that cannot answer is [`Error::Unavailable`]. A store that refuses a call is
/// [`Error::Misconfigured`]. Neither says anything about the user.
impl<E> From<SdkError<E>> for Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let is_outage = match &error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
            SdkError::ServiceError(service) => {
                service.raw().status().is_server_error() || service.err().code().is_some_and(is_transient)
            }
            _ => false,
        };
        if is_outage { Self::Unavailable(error.into()) } else { Self::Misconfigured(error.into()) }
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

/// The most keys in one `BatchGetItem`.
pub(super) const MAX_KEYS: usize = 100;

/// Reads the items with these keys in one strongly consistent call. Asks again for keys that DynamoDB left unprocessed.
/// Returns the items by table.
///
/// # Errors
/// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
pub(super) async fn batch_get(
    client: &Client,
    keys: impl IntoIterator<Item = (&str, Item)>,
    budget: &Budget,
) -> Result<HashMap<String, Vec<Item>>> {
    let mut by_table: HashMap<_, Vec<_>> = HashMap::new();
    for (table, key) in keys {
        by_table.entry(table.to_owned()).or_default().push(key);
    }
    let consistent = |(table, keys)| {
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        keys.map(|keys| (table, keys)).map_err(Error::unexpected)
    };
    let mut unprocessed = Some(by_table.into_iter().map(consistent).collect::<Result<_>>()?);
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    let mut pause = Duration::from_millis(50);
    while let Some(keys) = unprocessed {
        let page = send(client.batch_get_item().set_request_items(Some(keys)).send(), budget).await?;
        for (table, items) in page.responses.unwrap_or_default() {
            found.entry(table).or_default().extend(items);
        }
        unprocessed = page.unprocessed_keys.filter(|keys| !keys.is_empty());
        if unprocessed.is_some() {
            budget.pause(pause).await?;
            pause *= 2;
        }
    }
    Ok(found)
}

/// Returns `true` if the condition of an update held and the update was made, and `false` if the condition failed.
///
/// # Errors
/// Every other error of the call.
pub(super) fn condition_held<T>(outcome: Result<T, SdkError<UpdateItemError>>) -> Result<bool> {
    match outcome {
        Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(false),
        outcome => outcome.map(|_| true).map_err(Error::from),
    }
}

/// The cancellation reasons after which a transaction is retried.
pub(super) const TRANSIENT_REASONS: [&str; 3] =
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// How often a transaction that conflicts with another is retried (F20).
const MAX_RETRIES: u32 = 3;

/// Writes all of `writes` or none. Returns the positions of the writes whose condition failed; an empty list means that
/// everything was written. Retries a conflict with the same client request token, so that a retry never writes twice.
///
/// # Errors
/// [`Error::Unavailable`] if the conflict persists; [`Error::Misconfigured`] or [`Error::Unexpected`].
pub(super) async fn transact(client: &Client, writes: &[TransactWriteItem], budget: &Budget) -> Result<Vec<usize>> {
    let token = random_128_bits()?;
    for retry in 0.. {
        let call = client.transact_write_items().set_transact_items(Some(writes.to_vec())).client_request_token(&token);
        let Err(error) = send(call.send(), budget).await else { break };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(error.into());
        };
        let codes: Vec<_> =
            canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default()).collect();
        let failed: Vec<_> = (0..codes.len()).filter(|&position| codes[position] == "ConditionalCheckFailed").collect();
        if !failed.is_empty() {
            return Ok(failed);
        }
        if !codes.iter().any(|code| TRANSIENT_REASONS.contains(code)) {
            return Err(error.into());
        }
        if retry == MAX_RETRIES {
            return Err(Error::Unavailable(error.into()));
        }
        budget.pause(Duration::from_millis(50) * 2_u32.pow(retry)).await?;
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Instant;

    use testbed::{Fault, Tables};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Environment;
    use crate::id::UserId;
    use crate::store::{Users, connect};

    /// Reads a user that does not exist, and returns the outcome and the duration.
    async fn find(env: &Environment, budget: &Budget) -> (Result<bool>, Duration) {
        let users = Users::from_env(connect(env).unwrap(), env).unwrap();
        let started = Instant::now();
        let found = users.find(&UserId::parse("9").unwrap(), budget).await;
        (found.map(|user| user.is_some()), started.elapsed())
    }

    async fn read(endpoint_url: &str, budget: &Budget) -> (Result<bool>, Duration) {
        find(&Environment::new(testbed::settings(&[("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url)])), budget).await
    }

    /// Starts a server that accepts every connection and never answers.
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
    async fn a_call_without_an_answer_ends_within_the_budget() {
        let (url, holding) = silent().await;
        let (outcome, took) = read(&url, &Budget::new(None)).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
        holding.abort();
    }

    /// F17.
    #[tokio::test]
    async fn an_unreachable_store_is_unavailable() {
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
    async fn the_deadline_of_the_invocation_ends_the_budget() {
        let (url, holding) = silent().await;
        let (outcome, took) = read(&url, &Budget::new(Some(Instant::now() + Duration::from_millis(200)))).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        assert!(took < Duration::from_millis(650), "{took:?}");
        holding.abort();
    }

    async fn read_through(faults: &[Fault]) -> (Result<bool>, Duration) {
        let tables = Tables::new().await;
        find(&Environment::new(tables.failing(&[("GetItem", faults)]).await), &Budget::new(None)).await
    }

    /// F01, F18.
    #[tokio::test]
    async fn a_transient_failure_is_retried_twice() {
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

    /// F19: only the first call fails. So the error shows that there was no retry.
    #[tokio::test]
    async fn a_permanent_failure_is_not_retried() {
        for code in ["AccessDeniedException", "ValidationException", "UnrecognizedClientException"] {
            let (outcome, _) = read_through(&[Fault::Refuse(400, code)]).await;
            assert!(matches!(outcome, Err(Error::Misconfigured(_))), "{code}: {outcome:?}");
        }
    }

    /// F16.
    #[tokio::test]
    async fn a_call_that_hangs_once_is_retried() {
        let (outcome, took) = read_through(&[Fault::Stall]).await;
        assert!(outcome.is_ok() && took < Duration::from_millis(1500), "{outcome:?} after {took:?}");
    }

    /// F19.
    #[tokio::test]
    async fn a_missing_table_is_misconfigured() {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[("USERS_TABLE", "no-such-table")]));
        let error = find(&env, &Budget::new(None)).await.0.unwrap_err();
        assert!(matches!(error, Error::Misconfigured(_)), "{error:?}");
        assert!(error.causes().contains("ResourceNotFoundException"), "{error:?}");
        assert!(!error.to_string().contains("no-such-table"), "{error}");
    }
}
