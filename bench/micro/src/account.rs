//! The user, the session and the tokens of all operations.
//!
//! Owns them in two forms: as the types of `shared`, and as DynamoDB returns them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use shared::auth::Identity;
use shared::config::Environment;
use shared::token::{Kind, Signer};

use crate::NOW;

const USER_ID: &str = "4f1c2b0e8d7a46c39b5e0f6a1d2c3b4a";
const SESSION_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The tokens of the user.
pub(crate) struct Tokens {
    pub(crate) access: String,
    refresh: String,
}

impl Tokens {
    pub(crate) fn of(&self, kind: Kind) -> &str {
        match kind {
            Kind::Access => &self.access,
            Kind::Refresh => &self.refresh,
        }
    }
}

/// Returns the tokens of the user.
pub(crate) fn tokens(env: &Environment) -> Result<Tokens> {
    let (signer, identity) = (Signer::from_env(env)?, identity(env)?);
    let generation = identity.session.current_generation().context("the session is not persistent")?;
    let access = signer.access(&identity.subject(), NOW, identity.session.ends_at())?.expose().to_owned();
    let refresh = signer.refresh(&identity.subject(), &generation)?.expose().to_owned();
    Ok(Tokens { access, refresh })
}

/// Returns the user and the session.
pub(crate) fn identity(env: &Environment) -> Result<Identity> {
    Ok(Identity { user: serde_json::from_value(user())?, session: serde_json::from_value(session(env)?)? })
}

/// Returns the answer of DynamoDB to a read of the user and the session.
pub(crate) fn records(env: &Environment) -> Result<String> {
    let (mut user, mut session) = (user(), session(env)?);
    user["pk"] = json!(format!("user#{USER_ID}"));
    user["v"] = json!(1);
    session["v"] = json!(1);
    let responses = json!({ "UsersTable": [item(&user)], "SessionsTable": [item(&session)] });
    Ok(json!({ "Responses": responses, "UnprocessedKeys": {} }).to_string())
}

fn user() -> Value {
    json!({
        "id": USER_ID, "userId": "kimcoding", "email": "kim@example.com", "name": "Kim Coding",
        "position": "Software Engineer", "location": "Seoul", "bio": "Writes programs and bakes bread.",
        "roles": ["member", "editor"], "disabled": false, "session_epoch": 1, "password_version": 1,
    })
}

fn session(env: &Environment) -> Result<Value> {
    let kid = Signer::from_env(env)?.refresh_kid(NOW);
    let day = Duration::from_hours(24);
    Ok(json!({
        "user_id": USER_ID, "session_id": SESSION_ID, "epoch": 1, "persistent": true, "created_at": NOW, "gen": 1,
        "issued_at": NOW, "kid": kid, "idle_exp": NOW + 7 * day, "abs_exp": NOW + 30 * day,
        "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
        "source_ip": "203.0.113.7",
    }))
}

/// Returns a record as DynamoDB returns it.
fn item(record: &Value) -> Map<String, Value> {
    let attributes = record.as_object().into_iter().flatten();
    attributes.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(value) => json!({ "BOOL": value }),
        Value::Number(number) => json!({ "N": number.to_string() }),
        Value::String(text) => json!({ "S": text }),
        Value::Array(values) => json!({ "L": values.iter().map(attribute).collect::<Vec<_>>() }),
        Value::Object(_) => json!({ "M": item(value) }),
    }
}
