//! A Lambda authorizer of an HTTP API: payload version 2.0 with simple responses.
//!
//! Owns the event and the response of API Gateway's authorizer call. The event type of `aws_lambda_events` rejects the
//! whole event if one header is unreadable, and the gateway then answers 500. So this module reads only the fields that
//! it needs.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lambda_http::http::header::AUTHORIZATION;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::{LambdaEvent, Service, service_fn};
use lambda_runtime::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AllowedOrigins, Error, Request, Result, is_readable, log};
use crate::config::Environment;
use crate::error::Error as ServiceError;

/// The longest `REQUIRED_ROLE` in bytes.
const MAX_ROLE: usize = 255;

/// Reads `REQUIRED_ROLE`: the role that a user must have. `None` means that every signed-in user is allowed.
///
/// # Errors
/// [`Error::Setting`](ServiceError::Setting) if it is blank or longer than 255 bytes.
pub fn required_role(env: &Environment) -> crate::error::Result<Option<String>> {
    env.text("REQUIRED_ROLE", MAX_ROLE)
}

/// The fields of the event that the authorizer needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    route_key: Option<String>,
    headers: Option<HashMap<String, String>>,
    cookies: Option<Vec<String>>,
    request_context: RequestContext,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// The response to API Gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    is_authorized: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Caller>,
}

/// The caller. A function behind the gateway finds these fields under `requestContext.authorizer.lambda`. `id`,
/// `userId`, `email` and `roles` mean the same as in the JSON of `/userinfo`. The gateway does not accept `null`, so
/// that empty fields are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// The permanent id of the user.
    pub id: String,
    /// The login name as the user writes it.
    pub user_id: String,
    /// The session.
    pub session_id: String,
    /// The user's e-mail address.
    pub email: String,
    /// The user's roles, as stored now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl Decision {
    /// Allows the request.
    #[must_use]
    pub fn allow(caller: Caller) -> Self {
        Self { is_authorized: true, context: Some(caller) }
    }

    /// Denies the request. The gateway answers 403.
    #[must_use]
    pub fn deny() -> Self {
        Self { is_authorized: false, context: None }
    }
}

/// Answers authorizer calls until Lambda stops the instance.
///
/// # Errors
/// [`Error::Unexpected`](ServiceError::Unexpected) if the Lambda runtime cannot be reached.
pub async fn serve<'a, H, F>(allowed_origins: AllowedOrigins, handler: H) -> crate::error::Result<()>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Decision>> + Send + 'a,
{
    lambda_runtime::run(service(allowed_origins, handler)).await.map_err(ServiceError::Unexpected)
}

/// Returns the authorizer that Lambda calls. Denies unsafe requests from foreign origins, because the function behind
/// the gateway perhaps does not check the origin.
///
/// An error or a panic fails the invocation, and the gateway answers 500. If a store is unavailable, the result is
/// therefore 500 and not a denial.
pub fn service<'a, H, F>(
    allowed_origins: AllowedOrigins,
    handler: H,
) -> impl Service<LambdaEvent<Value>, Response = Decision, Error = Error, Future = BoxFuture<'a, Result<Decision>>>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Decision>> + Send + 'a,
{
    service_fn(move |LambdaEvent { payload, context }: LambdaEvent<Value>| {
        let (allowed_origins, handler) = (allowed_origins.clone(), handler.clone());
        async move {
            let started = Instant::now();
            let (function, request_id) = (context.env_config.function_name.clone(), context.request_id.clone());
            let Ok(event) = serde_json::from_value::<Event>(payload) else {
                write_line(&function, None, &Ok(Decision::deny()), started, &request_id);
                return Ok(Decision::deny());
            };
            let headers = headers(event.headers.unwrap_or_default(), event.cookies.unwrap_or_default());
            // An invalid method counts as an unsafe one, so that the origin is checked.
            let method = event.request_context.http.method.parse().unwrap_or(Method::POST);
            let decision = match allowed_origins.check(&method, &headers) {
                Ok(()) => {
                    let decision = AssertUnwindSafe(handler(Request::from_headers(method, headers, &context)));
                    let panicked = |_| Err(ServiceError::unexpected("the handler panicked").into());
                    decision.catch_unwind().await.unwrap_or_else(panicked)
                }
                Err(error) => {
                    log::failed(&error, &function, &request_id);
                    Ok(Decision::deny())
                }
            };
            write_line(&function, event.route_key.as_deref(), &decision, started, &request_id);
            decision.inspect_err(|error| log::failed(error, &function, &request_id))
        }
        .boxed()
    })
}

fn write_line(function: &str, route: Option<&str>, decision: &Result<Decision>, started: Instant, request_id: &str) {
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let is_authorized = decision.as_ref().ok().map(|decision| decision.is_authorized);
    tracing::info!(function, route, is_authorized, milliseconds, request_id, "A request was authorized or denied.");
}

/// The error of a failed invocation, without its cause.
impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: "NoDecision".to_owned(), error_message: error.to_string() }
    }
}

/// Returns the readable headers, with one `cookie` header for each cookie. As in the other functions, a `cookie` header
/// of the event counts only if the event has no list of cookies. Skips unreadable headers and cookies, and keeps all
/// others (R82).
fn headers(headers: HashMap<String, String>, cookies: Vec<String>) -> HeaderMap {
    let cookies: Vec<_> = cookies.into_iter().filter(|cookie| is_readable(cookie)).collect();
    let has_list = !cookies.is_empty();
    let cookies = cookies.into_iter().map(|cookie| ("cookie".to_owned(), cookie));
    let counts = |(name, _): &(String, String)| !(has_list && name.eq_ignore_ascii_case("cookie"));
    let all = headers.into_iter().filter(counts).chain(cookies);
    let readable = all.filter_map(|(name, value)| {
        let (name, value) = (HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value.as_bytes()));
        // Without its unreadable `Authorization`, a request would be judged by its cookies.
        let value =
            if name == AUTHORIZATION { value.unwrap_or(HeaderValue::from_static("Bearer")) } else { value.ok()? };
        Some((name, value))
    });
    let mut map = HeaderMap::new();
    for (name, value) in readable {
        map.append(name, value);
    }
    map
}
