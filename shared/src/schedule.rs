//! Scheduled events of `EventBridge`.
//!
//! Owns what happens between Lambda and the handler of a function that no client calls. The event itself is not read.

use std::future::Future;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use crate::error::{Error, Result};

/// Runs the handler for each event until Lambda stops the instance. An error fails the invocation, and Lambda tries
/// again twice.
///
/// # Errors
/// [`Error::Unexpected`] if the Lambda runtime cannot be reached.
pub async fn serve<H, F>(handler: H) -> Result<()>
where
    H: Fn() -> F,
    F: Future<Output = Result<()>>,
{
    let service = service_fn(|_event: LambdaEvent<Value>| {
        let run = handler();
        async { run.await.map_err(|error| failure(&error)) }
    });
    lambda_runtime::run(service).await.map_err(Error::Unexpected)
}

/// The error of a failed invocation, without its cause.
fn failure(error: &Error) -> Diagnostic {
    Diagnostic { error_type: "Failed".to_owned(), error_message: error.to_string() }
}
