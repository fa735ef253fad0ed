//! The tables in an embedded DynamoDB, one for each test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use dev::dynamodb::DynamoDb;
use dev::template::Template;
use serde_json::{Value, json};

use crate::faults::{Fault, Faults, Gate, Meter, Sockets};

/// A DynamoDB with the tables of the template, empty, on a port of its own. It ends with the runtime of the test.
#[derive(Clone)]
pub struct Tables {
    dynamodb: DynamoDb,
}

impl Tables {
    /// Starts one.
    pub async fn new() -> Self {
        let template = Template::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { dynamodb: DynamoDb::start(&template, anywhere, None).await.unwrap() }
    }

    /// The settings under which a function finds these tables, but for `changes`.
    pub fn settings(&self, changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
        reaching(self.dynamodb.address(), changes)
    }

    /// The same as [`metered`](Self::metered), as the variables of a process.
    pub async fn metered_variables(&self) -> (Vec<(&'static str, String)>, Meter) {
        let (settings, meter) = self.metered().await;
        (DEFAULTS.iter().filter_map(|(name, _)| Some((*name, settings(name)?))).collect(), meter)
    }

    /// The same, through a proxy that fails each operation as `faults` say, in order.
    pub async fn failing(&self, faults: &[(&'static str, &[Fault])]) -> impl Fn(&str) -> Option<String> + use<> {
        reaching(Faults::before(self.dynamodb.address(), faults).await, &[])
    }

    /// The same, through a proxy that holds every call back until the gate lets it through.
    pub async fn gated(&self) -> (impl Fn(&str) -> Option<String> + use<>, Gate) {
        let (address, gate) = Faults::gate(self.dynamodb.address()).await;
        (reaching(address, &[]), gate)
    }

    /// The same, through a proxy whose connections can die.
    pub async fn freezing(&self) -> (impl Fn(&str) -> Option<String> + use<>, Sockets) {
        let (address, sockets) = Faults::sockets(self.dynamodb.address()).await;
        (reaching(address, &[]), sockets)
    }

    /// The same, through a proxy that writes down what each call costs.
    pub async fn metered(&self) -> (impl Fn(&str) -> Option<String> + use<>, Meter) {
        let (address, meter) = Faults::meter(self.dynamodb.address()).await;
        (reaching(address, &[]), meter)
    }

    /// Every item of a table, in DynamoDB's JSON.
    #[must_use]
    pub fn items(&self, table: &str) -> Vec<Value> {
        let scan = serde_json::from_value(json!({ "TableName": table })).unwrap();
        let found = serde_json::to_value(self.dynamodb.database().scan(scan).unwrap()).unwrap();
        found["Items"].as_array().unwrap().clone()
    }

    /// Puts an item, in DynamoDB's JSON, past all our code.
    pub fn put(&self, table: &str, item: &Value) {
        let put = serde_json::from_value(json!({ "TableName": table, "Item": item })).unwrap();
        self.dynamodb.database().put_item(put).unwrap();
    }

    /// Deletes an item, past all our code.
    pub fn delete(&self, table: &str, key: &Value) {
        let delete = serde_json::from_value(json!({ "TableName": table, "Key": key })).unwrap();
        self.dynamodb.database().delete_item(delete).unwrap();
    }
}

fn reaching(dynamodb: SocketAddr, changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let endpoint = format!("http://{dynamodb}");
    settings(&[changes, &[("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)]].concat())
}

/// The variables that [`settings`] knows.
const DEFAULTS: [(&str, &str); 13] = [
    ("USERS_TABLE", "UsersTable"),
    ("SESSIONS_TABLE", "SessionsTable"),
    ("ATTEMPTS_TABLE", "AttemptsTable"),
    ("ACCESS_SECRET", "access-secret-for-tests-0123456789"),
    ("REFRESH_SECRET", "refresh-secret-for-tests-012345678"),
    ("THROTTLE_SECRET", "throttle-secret-for-tests-01234567"),
    ("DEVICE_COOKIE", "off"),
    ("COOKIE_DOMAIN", "localhost"),
    ("ALLOWED_ORIGINS", "https://localhost:3000"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"),
];

/// Settings that a function starts with, but for `changes`; its DynamoDB is a port where nobody listens.
pub fn settings(changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let both = changes.iter().chain(&DEFAULTS);
    let settings: Vec<_> = both.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    move |name| settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}
