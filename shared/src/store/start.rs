//! The start of a function that has a store.
//!
//! Owns what happens before the first request: the secrets are read and DynamoDB is connected at the same time.

use std::time::Duration;

use super::aws::Aws;
use super::client::{Client, batch_get};
use super::records::Item;
use super::secrets::Secrets;
use super::sessions::session_key;
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::Result;
use crate::id::{SessionId, UserId};

/// How long a start waits for the connection to DynamoDB.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads the secrets whose ARNs the variables of `env` hold, provides them in `env`, and opens a connection to DynamoDB
/// meanwhile. The first request then need not wait for a TLS handshake. Lambda gives a function more CPU at its start
/// than later. A failed connection does not stop the start: the first call reports it.
///
/// # Errors
/// The errors of [`Secrets::read`] and of [`connect`](super::connect).
pub async fn start(env: &mut Environment, now: Timestamp) -> Result<(Secrets, Client)> {
    let aws = Aws::from_env(env)?;
    let (client, table) = (aws.dynamodb(), env.required("SESSIONS_TABLE")?);
    let (secrets, _) = tokio::join!(Secrets::read_with(&aws, env, now), open_connection(&client, &table));
    Ok((secrets?, client))
}

/// Reads a session that does not exist.
async fn open_connection(client: &Client, table: &str) -> Result<()> {
    let key = Item::from(session_key(&UserId::parse("none")?, &SessionId::random()?));
    batch_get(client, [(table, key)], &Budget::lasting(PATIENCE)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use testbed::{SecretsManager, Tables};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::keys::Purpose;
    use crate::store::Users;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const SECRET: &str = "an-access-secret-0123456789-012345";

    /// A listener that accepts connections and never answers, and its endpoint.
    async fn silent() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        (listener, endpoint)
    }

    /// Neither service answers. Each is called nevertheless.
    #[tokio::test]
    async fn secrets_manager_and_dynamodb_are_called_at_the_same_time() {
        let ((manager, manager_endpoint), (dynamodb, dynamodb_endpoint)) = (silent().await, silent().await);
        let settings = [
            ("ACCESS_SECRET", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &manager_endpoint),
            ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb_endpoint),
        ];
        let mut env = Environment::new(testbed::settings(&settings));
        let both = async { tokio::join!(manager.accept(), dynamodb.accept()) };
        tokio::select! {
            _ = start(&mut env, NOW) => panic!("the start has ended without the secrets"),
            both = timeout(Duration::from_millis(400), both) => assert!(both.is_ok(), "one was not called"),
        }
    }

    /// F17: the first request reports what is wrong with DynamoDB.
    #[tokio::test]
    async fn a_function_starts_without_dynamodb() {
        let manager = SecretsManager::default();
        let arn = manager.put("access", SECRET);
        let manager_endpoint = manager.serve().await;
        let (_listener, silent_endpoint) = silent().await;
        for endpoint in [silent_endpoint.as_str(), "http://127.0.0.1:9"] {
            let settings = [
                ("ACCESS_SECRET", arn.as_str()),
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &manager_endpoint),
                ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
            ];
            let mut env = Environment::new(testbed::settings(&settings));
            let started = Instant::now();
            start(&mut env, NOW).await.unwrap();
            assert!(env.keys(Purpose::Access).is_ok());
            assert!(started.elapsed() < Duration::from_secs(2), "{endpoint}: {:?}", started.elapsed());
        }
    }

    /// The connection of the start is the one that the first request uses.
    #[tokio::test]
    async fn the_first_call_needs_no_new_connection() {
        let (settings, sockets) = Tables::new().await.freezing().await;
        let mut env = Environment::new(settings);
        let (_, client) = start(&mut env, NOW).await.unwrap();
        assert_eq!(sockets.opened(), 1);
        let user_id = UserId::parse("0").unwrap();
        Users::from_env(client, &env).unwrap().find(&user_id, &Budget::new(None)).await.unwrap();
        assert_eq!(sockets.opened(), 1);
    }
}
