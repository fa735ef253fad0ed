//! The operations of a request without I/O.
//!
//! Owns the list of operations that `cargo bench -p micro` measures and whose instructions `cargo counts` counts. Each
//! operation is code of a function, and checks its own result. Leaves the user, the session and the stored answers of
//! DynamoDB to `account`.

use std::hint::black_box;

use anyhow::{Context as _, Result, ensure};
use lambda_http::request::LambdaRequest;
use lambda_http::{Context, LambdaEvent, Service as _};
use serde_json::{Value, json};
use shared::auth::CredentialReader;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Request, Site, reply};
use shared::token::{Cookies, Kind, Signer, Verifier};
use tokio::runtime::{Builder, Runtime};
use userinfo::Userinfo;

mod account;
mod stored_answers;

use account::{identity, tokens};

/// The time of all operations.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The settings of a function.
const SETTINGS: [(&str, &str); 8] = [
    ("USERS_TABLE", "UsersTable"),
    ("SESSIONS_TABLE", "SessionsTable"),
    ("ACCESS_SECRET", "access-secret-for-tests-0123456789"),
    ("REFRESH_SECRET", "refresh-secret-for-tests-012345678"),
    ("COOKIE_DOMAIN", "example.com"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
];

/// The cookies of other programs on the same domain, which a browser also sends.
const OTHER_COOKIES: [&str; 4] =
    ["theme=dark", "_ga=GA1.1.1234567890.1800000000", "consent=necessary:true&statistics:false", "lang=en"];

/// One operation.
pub struct Operation {
    name: &'static str,
    run: Box<dyn FnMut() -> Result<()>>,
}

impl Operation {
    fn new(name: &'static str, run: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the operation once.
    ///
    /// # Errors
    /// If the result is not the expected one.
    pub fn run(&mut self) -> Result<()> {
        (self.run)()
    }
}

/// Returns the settings of the operations.
#[must_use]
pub fn environment() -> Environment {
    let value = |name: &str| SETTINGS.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Environment::new(value)
}

/// Returns all operations.
///
/// # Errors
/// If the code under measurement rejects its input.
pub fn operations() -> Result<Vec<Operation>> {
    Ok(vec![
        verify_access()?,
        sign_access()?,
        sign_refresh()?,
        read_cookies()?,
        userinfo_decision()?,
        userinfo_event("userinfo_event", Kind::Access, 0)?,
        userinfo_event("renewal_event", Kind::Refresh, 2)?,
    ])
}

/// Verifies an access token.
fn verify_access() -> Result<Operation> {
    let env = environment();
    let (verifier, token) = (Verifier::for_access_tokens(&env)?, tokens(&env)?.access);
    Ok(Operation::new("verify_access", move || {
        black_box(verifier.verify(black_box(token.as_bytes()), NOW)?);
        Ok(())
    }))
}

/// Signs an access token.
fn sign_access() -> Result<Operation> {
    let env = environment();
    let (signer, identity) = (Signer::from_env(&env)?, identity(&env)?);
    Ok(Operation::new("sign_access", move || {
        black_box(signer.access(&black_box(&identity).subject(), NOW, identity.session.ends_at())?);
        Ok(())
    }))
}

/// Signs a refresh token.
fn sign_refresh() -> Result<Operation> {
    let env = environment();
    let (signer, identity) = (Signer::from_env(&env)?, identity(&env)?);
    Ok(Operation::new("sign_refresh", move || {
        let generation = identity.session.current_generation().context("the session is not persistent")?;
        black_box(signer.refresh(&black_box(&identity).subject(), &generation)?);
        Ok(())
    }))
}

/// Finds both tokens between the other cookies of a request.
fn read_cookies() -> Result<Operation> {
    let env = environment();
    let (cookies, line) = (Cookies::from_env(&env)?, cookie_header(&env, &[Kind::Access, Kind::Refresh])?);
    Ok(Operation::new("read_cookies", move || {
        let presented = black_box(cookies.read([black_box(line.as_bytes())]));
        ensure!(presented.access_token().is_some() && presented.refresh_token().is_some(), "a token was not found");
        Ok(())
    }))
}

/// Decides about a request of `userinfo` with both tokens as cookies: reads the cookies, verifies both tokens, compares
/// them with the records, and makes the response. Neither reads an event nor calls the SDK.
fn userinfo_decision() -> Result<Operation> {
    let env = environment();
    let (reader, identity) = (CredentialReader::from_env(&env)?, identity(&env)?);
    let line = cookie_header(&env, &[Kind::Access, Kind::Refresh])?;
    Ok(Operation::new("userinfo_decision", move || {
        let credentials = reader.read(None, [black_box(line.as_bytes())], None);
        let claims = reader.access_claims(&credentials, NOW)?;
        ensure!(black_box(&identity).accepts(&claims, NOW), "the token was not accepted");
        let answer = reply::json(&identity.user.profile).map_err(|_| anyhow::anyhow!("no response"))?;
        black_box(reply::with_cookies(answer, Vec::new()).map_err(|_| anyhow::anyhow!("no response"))?);
        Ok(())
    }))
}

/// Answers an event of `userinfo` as the function does, with the real client of the SDK, and with stored answers of
/// DynamoDB in place of the network. The request has a token of one kind. The response sets that many cookies.
fn userinfo_event(name: &'static str, kind: Kind, set_cookies: usize) -> Result<Operation> {
    let env = environment();
    let userinfo = std::sync::Arc::new(Userinfo::from_env(stored_answers::client(&env)?, &env)?);
    let handler = move |request: Request| {
        let userinfo = std::sync::Arc::clone(&userinfo);
        async move { userinfo.handle(request, NOW).await }
    };
    let mut service = http::service(Site::from_env(&env)?, handler);
    let event = event(&env, kind)?;
    let runtime: Runtime = Builder::new_current_thread().enable_time().build()?;
    Ok(Operation::new(name, move || {
        let payload: LambdaRequest = serde_json::from_slice(black_box(event.as_bytes()))?;
        let Ok(answer) = runtime.block_on(service.call(LambdaEvent::new(payload, Context::default())));
        let answer = black_box(serde_json::to_string(&answer)?);
        ensure!(answer.starts_with(r#"{"statusCode":200,"#), "unexpected response: {answer}");
        ensure!(answer.matches("Max-Age=").count() == set_cookies, "unexpected cookies: {answer}");
        Ok(())
    }))
}

/// Returns an event of API Gateway with a token of this kind.
fn event(env: &Environment, kind: Kind) -> Result<String> {
    let mut event: Value = serde_json::from_str(include_str!("../../../events/userinfo.json"))?;
    event["cookies"] = json!(cookie_header(env, &[kind])?.split("; ").collect::<Vec<_>>());
    Ok(event.to_string())
}

/// Returns the `Cookie` header of a browser that has tokens of these kinds.
fn cookie_header(env: &Environment, kinds: &[Kind]) -> Result<String> {
    let (cookies, tokens) = (Cookies::from_env(env)?, tokens(env)?);
    let ours = kinds.iter().map(|kind| format!("{}={}", cookies.name(*kind), tokens.of(*kind)));
    Ok(OTHER_COOKIES.into_iter().map(str::to_owned).chain(ours).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_the_expected_result_each_time() {
        for mut operation in operations().unwrap() {
            for _ in 0..2 {
                operation.run().unwrap_or_else(|error| panic!("{}: {error:#}", operation.name()));
            }
        }
    }
}
