//! Which calls reach DynamoDB, and what happens just before one does.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use serde_json::Value;
use shared::store::Client;

/// The operations that a client has sent, retries included: names, and what was asked.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<(String, Value)>>>);

impl Calls {
    /// The same client, under observation, in an environment of its own: how often a process tries again is limited over all
    /// its clients, and the tests of a process must not use up one another's tries.
    #[must_use]
    pub fn of(client: &Client) -> (Client, Self) {
        let calls = Self::default();
        let alone = RetryPartition::custom("a test").build();
        let config = client.config().to_builder().interceptor(calls.clone()).retry_partition(alone).build();
        (Client::from_conf(config), calls)
    }

    /// The names of what was sent since this was last asked.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        self.take_whole().into_iter().map(|(operation, _)| operation).collect()
    }

    /// What was sent since this was last asked, in DynamoDB's JSON.
    #[must_use]
    pub fn take_whole(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The same client, but `then` happens before each call of `operation`: what another invocation does meanwhile.
#[must_use]
pub fn before(client: &Client, operation: &'static str, then: impl Fn() + Send + Sync + 'static) -> Client {
    let meanwhile = Meanwhile { operation, then: Box::new(then) };
    Client::from_conf(client.config().to_builder().interceptor(meanwhile).build())
}

struct Meanwhile {
    operation: &'static str,
    then: Box<dyn Fn() + Send + Sync>,
}

impl Intercept for Meanwhile {
    fn name(&self) -> &'static str {
        "Meanwhile"
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

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meanwhile").field("operation", &self.operation).finish_non_exhaustive()
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
        let asked = serde_json::from_slice(context.request().body().bytes().unwrap_or_default()).unwrap_or_default();
        self.0.lock().unwrap().extend(operation.map(|operation| (operation, asked)));
        Ok(())
    }
}
