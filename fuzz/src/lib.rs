//! What the targets share: settings, a way to send events to a function, and a second JSON reader to compare ours with.
//!
//! A target states what must be true of an input and its result. It takes this from the requirements and not from the
//! code, with a simple model of its own. A panic is a finding.
#![expect(clippy::missing_panics_doc, reason = "a panic is a finding")]

use std::convert::Infallible;
use std::fmt;
use std::panic;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use lambda_http::request::LambdaRequest;
use lambda_http::{Context, LambdaEvent, Service};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::store::{self, Client};

/// The current time in all targets.
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Settings with which every function starts.
pub const SETTINGS: [(&str, &str); 12] = [
    ("USERS_TABLE", "users"),
    ("SESSIONS_TABLE", "sessions"),
    ("ATTEMPTS_TABLE", "attempts"),
    ("ACCESS_SECRET", "access-secret-for-fuzzing-0123456789"),
    ("REFRESH_SECRET", "refresh-secret-for-fuzzing-012345678"),
    ("DEVICE_SECRET", "device-secret-for-fuzzing-0123456789"),
    ("THROTTLE_SECRET", "throttle-secret-for-fuzzing-01234567"),
    ("COOKIE_DOMAIN", "localhost"),
    ("ALLOWED_ORIGINS", "https://localhost:3000"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "fuzz"),
    ("AWS_SECRET_ACCESS_KEY", "fuzz"),
];

/// Returns a setting of [`SETTINGS`].
#[must_use]
pub fn setting(name: &str) -> &'static str {
    SETTINGS.iter().find(|(key, _)| *key == name).expect("a setting").1
}

/// Returns an environment with `changes` to [`SETTINGS`].
#[must_use]
pub fn env(changes: &[(&str, &str)]) -> Environment {
    let settings = changes.iter().chain(&SETTINGS);
    let settings: Vec<_> = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment::new(move |name| settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}

/// An HTTP client that fails every call to DynamoDB.
#[derive(Clone, Debug)]
struct Unreachable;

impl HttpConnector for Unreachable {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::io("no server".into())))
    }
}

impl HttpClient for Unreachable {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Returns a client that reaches no DynamoDB. Every call fails at once.
#[must_use]
pub fn unreachable_client(env: &Environment) -> Client {
    let client = store::connect(env).expect("good settings");
    let unreachable = client.config().to_builder().http_client(SharedHttpClient::new(Unreachable));
    Client::from_conf(unreachable.retry_config(RetryConfig::disabled()).build())
}

/// Encodes bytes as API Gateway encodes a body.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Sends an event to a function, as bytes and as Lambda does, and returns the status of the response.
pub async fn status<S>(service: &mut S, event: &Value, deadline: u64) -> u16
where
    S: Service<LambdaEvent<LambdaRequest>, Response: Serialize, Error = Infallible>,
{
    let event = event.to_string();
    let payload: LambdaRequest = serde_json::from_str(&event).expect("an event of payload version 2.0");
    let mut context = Context::default();
    context.deadline = deadline;
    let Ok(response) = service.call(LambdaEvent::new(payload, context)).await;
    let response = serde_json::to_value(&response).expect("a response");
    response["statusCode"].as_u64().and_then(|status| status.try_into().ok()).expect("a status")
}

/// Does the same for a handler that never waits.
pub fn status_now<S>(service: &mut S, event: &Value) -> u16
where
    S: Service<LambdaEvent<LambdaRequest>, Response: Serialize, Error = Infallible>,
{
    status(service, event, 0).now_or_never().expect("the handler must not wait")
}

/// Ignores panics in the adapter of `lambda_http`, because our guard catches them. Every other panic ends the run, even
/// if the guard would turn it into a 500.
pub fn ignore_panics_of_the_adapter() {
    let fatal = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let file = panicked.location().map(panic::Location::file).unwrap_or_default();
        if !["/lambda_http-", "/aws_lambda_events-"].iter().any(|adapter| file.contains(adapter)) {
            fatal(panicked);
        }
    }));
}

/// Returns the members of a JSON object in their order, repeated ones included, or `None` for any other text. Does not
/// read the values.
#[must_use]
pub fn members(json: &str) -> Option<Vec<(String, Box<RawValue>)>> {
    serde_json::from_str(json).ok().map(|Members(members)| members)
}

struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// Returns the value of a member, or `None` if the name is missing or repeated.
#[must_use]
pub fn member(members: &[(String, Box<RawValue>)], name: &str) -> Option<Value> {
    let mut found = members.iter().filter(|(key, _)| key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => serde_json::from_str(value.get()).ok(),
        _ => None,
    }
}
