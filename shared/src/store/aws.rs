//! The clients of AWS services.
//!
//! Owns timeouts, retries, credentials and endpoints. All clients of a process share one HTTPS client.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig};

use super::https::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, https_client};
use crate::budget::REQUEST_BUDGET;
use crate::config::Environment;
use crate::error::Result;

/// What all clients have in common.
pub(super) struct Aws {
    http_client: SharedHttpClient,
    region: Region,
    credentials: Credentials,
    timeouts: TimeoutConfig,
    retries: RetryConfig,
    dynamodb: Option<String>,
    secrets_manager: Option<String>,
}

/// Makes a client of a crate of the SDK. The builders of these crates have the same methods, but no trait in common.
/// The conversion from `aws_types::SdkConfig` would make a function 33 KB larger.
macro_rules! client {
    ($sdk:ident, $aws:expr, $endpoint:expr) => {{
        let mut config = $sdk::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client($aws.http_client.clone())
            .region($aws.region.clone())
            .credentials_provider($aws.credentials.clone())
            .timeout_config($aws.timeouts.clone())
            .retry_config($aws.retries.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url($endpoint.clone());
        $sdk::Client::from_conf(config.build())
    }};
}

/// Makes a client of DynamoDB from the variables that Lambda sets: `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. `AWS_ENDPOINT_URL_DYNAMODB` names another DynamoDB, such as that of
/// the local stack.
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for a missing variable.
/// [`Error::Unexpected`](crate::error::Error::Unexpected) if there is no HTTPS client.
pub fn connect(env: &Environment) -> Result<Client> {
    Ok(Aws::from_env(env)?.dynamodb())
}

impl Aws {
    /// Reads the variables of [`connect`], and `AWS_ENDPOINT_URL_SECRETS_MANAGER` in the same way. Sets every value
    /// that decides how long a call takes. The SDK has no read, attempt or operation timeout by default, and its retry
    /// defaults change between behaviour versions.
    ///
    /// # Errors
    /// The errors of [`connect`].
    pub(super) fn from_env(env: &Environment) -> Result<Self> {
        let region = env.required("AWS_REGION")?;
        let credentials = Credentials::new(
            env.required("AWS_ACCESS_KEY_ID")?,
            env.required("AWS_SECRET_ACCESS_KEY")?,
            env.optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(ATTEMPT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(REQUEST_BUDGET)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(Duration::from_millis(300));
        let http_client = https_client(&region)?;
        let [dynamodb, secrets_manager] =
            ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER"].map(|name| env.optional(name));
        Ok(Self { http_client, region: Region::new(region), credentials, timeouts, retries, dynamodb, secrets_manager })
    }

    /// Makes a client of DynamoDB.
    pub(super) fn dynamodb(&self) -> Client {
        client!(aws_sdk_dynamodb, self, self.dynamodb)
    }

    /// Makes a client of Secrets Manager.
    pub(super) fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        client!(aws_sdk_secretsmanager, self, self.secrets_manager)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::https;

    /// F16. No test can make a connection attempt hang on the loopback interface, so this test checks the configured
    /// values.
    #[test]
    fn every_timeout_and_retry_value_is_set() {
        let client = connect(&Environment::new(testbed::settings(&[]))).unwrap();
        let (timeouts, retries) = (client.config().timeout_config().unwrap(), client.config().retry_config().unwrap());
        let millis = |duration: Option<Duration>| duration.unwrap().as_millis();
        let connection = https::timeouts();
        assert_eq!((millis(connection.connect_timeout()), millis(timeouts.connect_timeout())), (500, 500));
        assert_eq!((millis(connection.read_timeout()), millis(timeouts.read_timeout())), (700, 700));
        assert_eq!(millis(timeouts.operation_attempt_timeout()), 700);
        assert_eq!(millis(timeouts.operation_timeout()), 2000);
        assert_eq!(retries.max_attempts(), 3);
        assert_eq!((retries.initial_backoff().as_millis(), retries.max_backoff().as_millis()), (50, 300));
    }
}
