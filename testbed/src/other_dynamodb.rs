//! Another implementation of DynamoDB, in place of the embedded one.
//!
//! The variable `LATCHKEY_TEST_DYNAMODB` has its address, such as `127.0.0.1:4566`. It must be an emulator that takes
//! an access key of twelve digits as the number of an account, so that each test has tables of its own.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;
use std::thread;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::workspace;

/// An account with the empty tables of the template.
#[derive(Clone)]
pub(crate) struct Account {
    /// The address of the DynamoDB.
    pub(crate) address: SocketAddr,
    /// Twelve random digits.
    pub(crate) id: String,
}

impl Account {
    /// Creates the tables in a new account, or returns `None` without the variable.
    pub(crate) fn new() -> Option<Self> {
        let address = env::var("LATCHKEY_TEST_DYNAMODB").ok()?.parse().unwrap();
        let random = RandomState::new().build_hasher().finish() % 1_000_000_000_000;
        let account = Self { address, id: format!("{random:012}") };
        for table in workspace::template().tables() {
            account.call("CreateTable", &table.create);
            if let Some(time_to_live) = &table.time_to_live {
                account.call("UpdateTimeToLive", time_to_live);
            }
        }
        Some(account)
    }

    /// Returns all items of a table.
    pub(crate) fn items(&self, table: &str) -> Vec<Value> {
        let (mut items, mut scan) = (Vec::new(), json!({ "TableName": table, "ConsistentRead": true }));
        loop {
            let mut page = self.call("Scan", &scan);
            items.append(page["Items"].as_array_mut().unwrap());
            let Some(key) = page.get("LastEvaluatedKey") else { return items };
            scan["ExclusiveStartKey"] = key.clone();
        }
    }

    /// Makes a call without the code under test. Blocks like a call of the embedded DynamoDB, so it needs a thread with
    /// a runtime of its own.
    pub(crate) fn call(&self, operation: &str, request: &Value) -> Value {
        let credential = format!("{}/20260101/eu-west-1/dynamodb/aws4_request", self.id);
        // The emulator does not check the signature of an account's number.
        let authorization = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
        let request = Request::post(format!("http://{}/", self.address))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("authorization", authorization)
            .body(Full::new(Bytes::from(request.to_string())))
            .unwrap();
        let answer = async {
            let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap();
            let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
            assert!(status.is_success(), "{operation}: {body:?}");
            serde_json::from_slice(&body).unwrap()
        };
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        thread::scope(|scope| scope.spawn(|| runtime().block_on(answer)).join().unwrap())
    }
}
