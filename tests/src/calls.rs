//! Which calls reached DynamoDB.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use shared::store::Client;

/// The names of the operations that a client has sent, retries included.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    /// The same client, under observation.
    #[must_use]
    pub fn of(client: &Client) -> (Client, Self) {
        let calls = Self::default();
        let config = client.config().to_builder().interceptor(calls.clone()).build();
        (Client::from_conf(config), calls)
    }

    /// What was sent since this was last asked.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map(|metadata| metadata.name().to_owned());
        self.0.lock().unwrap().extend(operation);
        Ok(())
    }
}
