//! Functions that do nothing but the calls of a function.
//!
//! `cargo perf` compares a function with its floor: the difference is what the function adds to the SDK, the runtime
//! and DynamoDB. A test compares the calls of each floor with those of the function. This package is separate, so that
//! Cargo builds a floor with the same features as a function.

mod calls;
mod hash;

use std::future::Future;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::store;

pub use calls::{Calls, Keys};
pub use hash::BareHash;

/// What a floor reads of an event. The event is the one that the function gets, with one more field.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The keys of the records.
    pub floor: Keys,
}

/// Starts as a function does: reads the secrets and connects DynamoDB. Returns the calls.
///
/// # Errors
/// The errors of [`store::start`]; a missing variable.
pub async fn start() -> Result<Calls, Error> {
    let mut env = Environment::of_process();
    let (_, client) = store::start(&mut env, Timestamp::now()).await?;
    Calls::new(client, &env).map_err(Error::from)
}

/// Serves events until Lambda stops the instance. Answers 200 if the calls succeed.
///
/// # Errors
/// Fails if the Runtime API cannot be reached.
pub async fn serve<E, F>(handler: impl Fn(E) -> F) -> Result<(), Error>
where
    E: for<'de> Deserialize<'de>,
    F: Future<Output = Result<(), Error>>,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<E>| async move {
        handler(event.payload).await?;
        Ok::<Value, Error>(json!({ "statusCode": 200 }))
    }))
    .await
}
