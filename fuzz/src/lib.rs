//! What the targets stand on: settings, a way in as Lambda's own, and a second reading of JSON to hold ours against.
//!
//! A target states what must be true of an input and its outcome, from the requirements and not from the code: each has a
//! naive model of its own. A panic is a find.
#![expect(clippy::missing_panics_doc, reason = "a panic is a find")]

use std::convert::Infallible;
use std::fmt;
use std::panic;

use futures_util::FutureExt as _;
use lambda_http::request::LambdaRequest;
use lambda_http::{Context, LambdaEvent, Service};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use shared::clock::Timestamp;
use shared::config::Config;

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Settings that a function starts with.
pub const SETTINGS: [(&str, &str); 13] = [
    ("USERS_TABLE", "users"),
    ("SESSIONS_TABLE", "sessions"),
    ("ATTEMPTS_TABLE", "attempts"),
    ("ACCESS_SECRET", "access-secret-for-fuzzing-0123456789"),
    ("REFRESH_SECRET", "refresh-secret-for-fuzzing-012345678"),
    ("PREVIOUS_ACCESS_SECRET", "previous-access-secret-for-fuzzing-0"),
    ("PREVIOUS_REFRESH_SECRET", "previous-refresh-secret-for-fuzzing"),
    ("THROTTLE_SECRET", "throttle-secret-for-fuzzing-01234567"),
    ("COOKIE_DOMAIN", "localhost"),
    ("ALLOWED_ORIGINS", "https://localhost:3000"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "fuzz"),
    ("AWS_SECRET_ACCESS_KEY", "fuzz"),
];

/// The configuration of these settings, but for `changes`.
#[must_use]
pub fn config(changes: &[(&str, &str)]) -> Config {
    let lookup = |name: &str| {
        let found = changes.iter().chain(&SETTINGS).find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::from_lookup(lookup).expect("the settings are good")
}

/// The status that a function answers an event with, which goes in as bytes as Lambda would send them.
pub async fn status<S>(service: &mut S, event: &Value, deadline: u64) -> u16
where
    S: Service<LambdaEvent<LambdaRequest>, Response: Serialize, Error = Infallible>,
{
    let event = event.to_string();
    let payload: LambdaRequest = serde_json::from_str(&event).expect("an event of payload version 2.0");
    let mut context = Context::default();
    context.deadline = deadline;
    let Ok(answer) = service.call(LambdaEvent::new(payload, context)).await;
    let answer = serde_json::to_value(&answer).expect("a response");
    answer["statusCode"].as_u64().and_then(|status| status.try_into().ok()).expect("a status")
}

/// The same, for a handler that waits for nothing.
pub fn status_now<S>(service: &mut S, event: &Value) -> u16
where
    S: Service<LambdaEvent<LambdaRequest>, Response: Serialize, Error = Infallible>,
{
    status(service, event, 0).now_or_never().expect("nothing to wait for")
}

/// Lets a panic in the adapter of `lambda_http` pass, which our guard is there for; every other one ends the run, also where the
/// guard would turn it into a 500.
pub fn expect_panics_of_the_adapter() {
    let fatal = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let file = panicked.location().map(panic::Location::file).unwrap_or_default();
        if !["/lambda_http-", "/aws_lambda_events-"].iter().any(|adapter| file.contains(adapter)) {
            fatal(panicked);
        }
    }));
}

/// The members of a JSON object in their order, those said twice twice; nothing for anything else. Their values are not looked at.
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

/// The value of the member of that name, where it is there once.
#[must_use]
pub fn member(members: &[(String, Box<RawValue>)], name: &str) -> Option<Value> {
    let mut found = members.iter().filter(|(key, _)| key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => serde_json::from_str(value.get()).ok(),
        _ => None,
    }
}
