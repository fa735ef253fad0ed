//! Both tables in an embedded DynamoDB, one for each test.

use dynoxide::{Database, server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A DynamoDB with our two tables, empty, on a port of its own. It ends with the runtime of the test.
pub struct Tables {
    database: Database,
    endpoint_url: String,
}

impl Tables {
    /// Starts one.
    pub async fn new() -> Self {
        let database = Database::memory().unwrap();
        for schema in [users(), sessions()] {
            database.create_table(serde_json::from_value(schema).unwrap()).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(server::serve_with_shutdown(listener, database.clone(), std::future::pending()));
        Self { database, endpoint_url }
    }

    /// The settings under which a function finds these tables, but for `changes`.
    pub fn settings(&self, changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
        let endpoint = ("AWS_ENDPOINT_URL_DYNAMODB", self.endpoint_url.as_str());
        settings(&[changes, &[endpoint]].concat())
    }

    /// Every item of a table, in DynamoDB's JSON.
    #[must_use]
    pub fn items(&self, table: &str) -> Vec<Value> {
        let scan = serde_json::from_value(json!({ "TableName": table })).unwrap();
        let found = serde_json::to_value(self.database.scan(scan).unwrap()).unwrap();
        found["Items"].as_array().unwrap().clone()
    }

    /// Puts an item, in DynamoDB's JSON, past all our code.
    pub fn put(&self, table: &str, item: &Value) {
        let put = serde_json::from_value(json!({ "TableName": table, "Item": item })).unwrap();
        self.database.put_item(put).unwrap();
    }

    /// Deletes an item, past all our code.
    pub fn delete(&self, table: &str, key: &Value) {
        let delete = serde_json::from_value(json!({ "TableName": table, "Key": key })).unwrap();
        self.database.delete_item(delete).unwrap();
    }
}

/// Settings that a function starts with, but for `changes`; its DynamoDB is a port where nobody listens.
pub fn settings(changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let defaults = [
        ("USERS_TABLE", "users"),
        ("SESSIONS_TABLE", "sessions"),
        ("ACCESS_SECRET", "access-secret-for-tests-0123456789"),
        ("REFRESH_SECRET", "refresh-secret-for-tests-012345678"),
        ("COOKIE_DOMAIN", "localhost"),
        ("ALLOWED_ORIGINS", "https://localhost:3000"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"),
    ];
    let settings: Vec<(String, String)> =
        changes.iter().chain(&defaults).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    move |name| settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

fn users() -> Value {
    json!({
        "TableName": "users",
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

fn sessions() -> Value {
    json!({
        "TableName": "sessions",
        "KeySchema": [
            { "AttributeName": "user_id", "KeyType": "HASH" },
            { "AttributeName": "session_id", "KeyType": "RANGE" },
        ],
        "AttributeDefinitions": [
            { "AttributeName": "user_id", "AttributeType": "S" },
            { "AttributeName": "session_id", "AttributeType": "S" },
        ],
        "BillingMode": "PAY_PER_REQUEST",
    })
}
