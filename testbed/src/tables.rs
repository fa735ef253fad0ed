//! The tables in an embedded DynamoDB, one DynamoDB for each test, or in another DynamoDB.

use std::net::{Ipv4Addr, SocketAddr};

use dev::dynamodb::DynamoDb;
use serde_json::{Value, json};
use shared::config::Environment;

use crate::faults::{Fault, Gate, Meter, Proxy, Sockets};
use crate::other_dynamodb::Account;
use crate::workspace;

/// The variables of a function, for `Environment::new`.
///
/// Not an `Environment`, because the unit tests of `shared` need the type of their own crate.
pub type Settings = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A DynamoDB with the empty tables of the template, on its own port. It ends with the runtime of the test. With the
/// variable `LATCHKEY_TEST_DYNAMODB`, the tables are in another DynamoDB, in an account of their own.
#[derive(Clone)]
pub struct Tables(Place);

#[derive(Clone)]
enum Place {
    Embedded(DynamoDb),
    Other(Account),
}

impl Tables {
    /// Starts a DynamoDB.
    pub async fn new() -> Self {
        if let Some(account) = Account::new() {
            return Self(Place::Other(account));
        }
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self(Place::Embedded(DynamoDb::start(&workspace::template(), any_port, None).await.unwrap()))
    }

    fn address(&self) -> SocketAddr {
        match &self.0 {
            Place::Embedded(dynamodb) => dynamodb.address(),
            Place::Other(account) => account.address,
        }
    }

    /// Returns settings with which a function reaches the tables at this address, their own one or that of a proxy.
    fn reached_at(&self, address: SocketAddr, changes: &[(&str, &str)]) -> Settings {
        let endpoint = format!("http://{address}");
        let mut own = vec![("AWS_ENDPOINT_URL_DYNAMODB", endpoint.as_str())];
        if let Place::Other(account) = &self.0 {
            own.push(("AWS_ACCESS_KEY_ID", &account.id));
        }
        settings(&[changes, &own].concat())
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
        self.reached_at(self.address(), changes)
    }

    /// Returns settings with a proxy that fails the calls of each operation as `faults` say, in order.
    pub async fn failing(&self, faults: &[(&'static str, &[Fault])]) -> Settings {
        self.reached_at(Proxy::failing(self.address(), faults).await, &[])
    }

    /// Returns settings with a proxy that holds every call back until the gate lets it pass.
    pub async fn gated(&self) -> (Settings, Gate) {
        let (address, gate) = Proxy::gated(self.address()).await;
        (self.reached_at(address, &[]), gate)
    }

    /// Returns settings with a proxy whose connections can die.
    pub async fn freezing(&self) -> (Settings, Sockets) {
        let (address, sockets) = Proxy::freezing(self.address()).await;
        (self.reached_at(address, &[]), sockets)
    }

    /// Returns settings with a proxy that measures what each call costs.
    pub async fn metered(&self) -> (Settings, Meter) {
        let (address, meter) = Proxy::metered(self.address()).await;
        (self.reached_at(address, &[]), meter)
    }

    /// Returns the same as [`metered`](Self::metered), as variables for a process.
    pub async fn metered_variables(&self) -> (Vec<(&'static str, String)>, Meter) {
        let (settings, meter) = self.metered().await;
        (variables(&settings), meter)
    }

    /// Returns the settings of [`settings`](Self::settings) as variables for a process.
    #[must_use]
    pub fn variables(&self, changes: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        variables(&self.settings(changes))
    }

    /// Returns all items of a table, in DynamoDB JSON.
    #[must_use]
    pub fn items(&self, table: &str) -> Vec<Value> {
        match &self.0 {
            Place::Embedded(dynamodb) => {
                let scan = serde_json::from_value(json!({ "TableName": table })).unwrap();
                let found = serde_json::to_value(dynamodb.database().scan(scan).unwrap()).unwrap();
                found["Items"].as_array().unwrap().clone()
            }
            Place::Other(account) => account.items(table),
        }
    }

    /// Puts an item, in DynamoDB JSON, without the code under test.
    pub fn put(&self, table: &str, item: &Value) {
        let put = json!({ "TableName": table, "Item": item });
        match &self.0 {
            Place::Embedded(dynamodb) => {
                dynamodb.database().put_item(serde_json::from_value(put).unwrap()).unwrap();
            }
            Place::Other(account) => {
                account.call("PutItem", &put);
            }
        }
    }

    /// Deletes an item, without the code under test.
    pub fn delete(&self, table: &str, key: &Value) {
        let delete = json!({ "TableName": table, "Key": key });
        match &self.0 {
            Place::Embedded(dynamodb) => {
                dynamodb.database().delete_item(serde_json::from_value(delete).unwrap()).unwrap();
            }
            Place::Other(account) => {
                account.call("DeleteItem", &delete);
            }
        }
    }
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

/// Returns the values of all variables that [`settings`] sets.
fn variables(settings: &Settings) -> Vec<(&'static str, String)> {
    DEFAULTS.iter().filter_map(|(name, _)| Some((*name, settings(name)?))).collect()
}

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
