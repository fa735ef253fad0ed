//! The tables in an embedded DynamoDB, one DynamoDB for each test.

use std::net::{Ipv4Addr, SocketAddr};

use dev::dynamodb::DynamoDb;
use serde_json::{Value, json};
use shared::config::Environment;

use crate::faults::{Fault, Gate, Meter, Proxy, Sockets};
use crate::workspace;

/// The variables of a function, for `Environment::new`.
///
/// Not an `Environment`, because the unit tests of `shared` need the type of their own crate.
pub type Settings = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A DynamoDB with the empty tables of the template, on its own port. It ends with the runtime of the test.
#[derive(Clone)]
pub struct Tables {
    dynamodb: DynamoDb,
}

impl Tables {
    /// Starts a DynamoDB.
    pub async fn new() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { dynamodb: DynamoDb::start(&workspace::template(), any_port, None).await.unwrap() }
    }

    /// Returns the environment of a function that uses these tables: the defaults of [`settings`], except for
    /// `changes`.
    #[must_use]
    pub fn environment(&self, changes: &[(&str, &str)]) -> Environment {
        Environment::new(self.settings(changes))
    }

    /// Returns the settings of [`environment`](Self::environment).
    #[must_use]
    pub fn settings(&self, changes: &[(&str, &str)]) -> Settings {
        reaching(self.dynamodb.address(), changes)
    }

    /// Returns settings with a proxy that fails the calls of each operation as `faults` say, in order.
    pub async fn failing(&self, faults: &[(&'static str, &[Fault])]) -> Settings {
        reaching(Proxy::failing(self.dynamodb.address(), faults).await, &[])
    }

    /// Returns settings with a proxy that holds every call back until the gate lets it pass.
    pub async fn gated(&self) -> (Settings, Gate) {
        let (address, gate) = Proxy::gated(self.dynamodb.address()).await;
        (reaching(address, &[]), gate)
    }

    /// Returns settings with a proxy whose connections can die.
    pub async fn freezing(&self) -> (Settings, Sockets) {
        let (address, sockets) = Proxy::freezing(self.dynamodb.address()).await;
        (reaching(address, &[]), sockets)
    }

    /// Returns settings with a proxy that measures what each call costs.
    pub async fn metered(&self) -> (Settings, Meter) {
        let (address, meter) = Proxy::metered(self.dynamodb.address()).await;
        (reaching(address, &[]), meter)
    }

    /// Returns the same as [`metered`](Self::metered), as variables for a process.
    pub async fn metered_variables(&self) -> (Vec<(&'static str, String)>, Meter) {
        let (settings, meter) = self.metered().await;
        (DEFAULTS.iter().filter_map(|(name, _)| Some((*name, settings(name)?))).collect(), meter)
    }

    /// Returns all items of a table, in DynamoDB JSON.
    #[must_use]
    pub fn items(&self, table: &str) -> Vec<Value> {
        let scan = serde_json::from_value(json!({ "TableName": table })).unwrap();
        let found = serde_json::to_value(self.dynamodb.database().scan(scan).unwrap()).unwrap();
        found["Items"].as_array().unwrap().clone()
    }

    /// Puts an item, in DynamoDB JSON, without the code under test.
    pub fn put(&self, table: &str, item: &Value) {
        let put = serde_json::from_value(json!({ "TableName": table, "Item": item })).unwrap();
        self.dynamodb.database().put_item(put).unwrap();
    }

    /// Deletes an item, without the code under test.
    pub fn delete(&self, table: &str, key: &Value) {
        let delete = serde_json::from_value(json!({ "TableName": table, "Key": key })).unwrap();
        self.dynamodb.database().delete_item(delete).unwrap();
    }
}

fn reaching(dynamodb: SocketAddr, changes: &[(&str, &str)]) -> Settings {
    let endpoint = format!("http://{dynamodb}");
    settings(&[changes, &[("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)]].concat())
}

/// The variables that [`settings`] sets. No DynamoDB listens at this endpoint.
const DEFAULTS: [(&str, &str); 14] = [
    ("USERS_TABLE", "UsersTable"),
    ("SESSIONS_TABLE", "SessionsTable"),
    ("ATTEMPTS_TABLE", "AttemptsTable"),
    ("ACCESS_SECRET", "access-secret-for-tests-0123456789"),
    ("REFRESH_SECRET", "refresh-secret-for-tests-012345678"),
    ("THROTTLE_SECRET", "throttle-secret-for-tests-01234567"),
    ("DEVICE_SECRET", "device-secret-for-tests-0123456789"),
    ("DEVICE_COOKIE", "off"),
    ("COOKIE_DOMAIN", "localhost"),
    ("ALLOWED_ORIGINS", "https://localhost:3000"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"),
];

/// Returns the environment of a function without tables: the defaults of [`settings`], except for `changes`.
#[must_use]
pub fn environment(changes: &[(&str, &str)]) -> Environment {
    Environment::new(settings(changes))
}

/// Returns valid settings without tables, except for `changes`.
#[must_use]
pub fn settings(changes: &[(&str, &str)]) -> Settings {
    let variables = changes.iter().chain(&DEFAULTS);
    let variables: Vec<_> = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Box::new(move |name| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}
