//! Observing the calls of an SDK client: which ones it sends, and code that runs before one of them.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use serde_json::Value;
use shared::store::Client;

/// The calls that a client has sent, retries included: operation and input.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<(String, Value)>>>);

impl Calls {
    /// Returns a copy of the client whose calls are recorded. It has its own retry quota. Otherwise all clients of a
    /// process share one, and one test could use up the retries of another.
    #[must_use]
    pub fn of(client: &Client) -> (Client, Self) {
        let calls = Self::default();
        let own_quota = RetryPartition::custom("a test").build();
        let config = client.config().to_builder().interceptor(calls.clone()).retry_partition(own_quota).build();
        (Client::from_conf(config), calls)
    }

    /// Returns the operations sent since the last call of this method.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        self.take_whole().into_iter().map(|(operation, _)| operation).collect()
    }

    /// Returns the operations sent since the last call of this method, with their input in DynamoDB JSON.
    #[must_use]
    pub fn take_whole(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map(|metadata| metadata.name().to_owned());
        let input = serde_json::from_slice(context.request().body().bytes().unwrap_or_default()).unwrap_or_default();
        self.0.lock().unwrap().extend(operation.map(|operation| (operation, input)));
        Ok(())
    }
}

/// Returns a copy of the client that runs `then` before each call of `operation`. A test uses it to act as a concurrent
/// request.
#[must_use]
pub fn before(client: &Client, operation: &'static str, then: impl Fn() + Send + Sync + 'static) -> Client {
    let hook = Before { operation, then: Box::new(then) };
    Client::from_conf(client.config().to_builder().interceptor(hook).build())
}

struct Before {
    operation: &'static str,
    then: Box<dyn Fn() + Send + Sync>,
}

impl Intercept for Before {
    fn name(&self) -> &'static str {
        "Before"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if bag.load::<Metadata>().is_some_and(|metadata| metadata.name() == self.operation) {
            (self.then)();
        }
        Ok(())
    }
}

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Before").field("operation", &self.operation).finish_non_exhaustive()
    }
}
