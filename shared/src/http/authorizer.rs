//! API Gateway asks whether somebody may call a function of somebody else's: a Lambda authorizer of an HTTP API, payload
//! version 2.0, with simple responses.
//!
//! Owns the two forms, question and verdict. The question is read by a type of our own: the one for all its fields refuses
//! the whole event for one header that cannot be read, and a refused event is the gateway's 500.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::{LambdaEvent, Service, service_fn};
use lambda_runtime::Diagnostic;
use serde::{Deserialize, Serialize};

use super::{Request, log, origin};
use crate::error::{Error, Result};
use crate::identity::Identity;

/// What the gateway says of a request, as far as it tells who is asking.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    route_key: Option<String>,
    headers: Option<HashMap<String, String>>,
    cookies: Option<Vec<String>>,
    request_context: Context,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// What the gateway is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    is_authorized: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Caller>,
}

/// What the function behind the gateway learns, under `requestContext.authorizer.lambda`. What there is nothing to say of
/// is left out: the gateway does not take a `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Caller {
    user_id: String,
    session_id: String,
    email: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

impl Verdict {
    /// Somebody may pass.
    #[must_use]
    pub fn pass(identity: &Identity) -> Self {
        let profile = &identity.user.profile;
        let caller = Caller {
            user_id: profile.id.to_string(),
            session_id: identity.session.id.to_string(),
            email: profile.email.clone(),
            roles: profile.roles.clone(),
        };
        Self { is_authorized: true, context: Some(caller) }
    }

    /// Somebody may not, whatever the reason: the gateway answers 403.
    #[must_use]
    pub fn refuse() -> Self {
        Self { is_authorized: false, context: None }
    }
}

/// Answers questions until Lambda stops the environment.
///
/// # Errors
/// [`Error::Unexpected`] where the Lambda runtime cannot be reached.
pub async fn serve<'a, H, F>(allowed_origins: &'a [String], handler: H) -> Result<()>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Verdict>> + Send + 'a,
{
    lambda_runtime::run(service(allowed_origins, handler)).await.map_err(Error::Unexpected)
}

/// An authorizer as Lambda calls it. A request that changes something and comes from a foreign page is refused here, since
/// the function behind cannot be expected to know who may post.
///
/// An error, and a panic, is a failed invocation, for which the gateway answers 500: who cannot be asked about is not refused.
pub fn service<'a, H, F>(
    allowed_origins: &'a [String],
    handler: H,
) -> impl Service<LambdaEvent<serde_json::Value>, Response = Verdict, Error = Error, Future = BoxFuture<'a, Result<Verdict>>>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Verdict>> + Send + 'a,
{
    service_fn(move |LambdaEvent { payload, context }: LambdaEvent<serde_json::Value>| {
        let handler = handler.clone();
        async move {
            let started = Instant::now();
            let function = context.env_config.function_name.clone();
            let request_id = context.request_id.clone();
            let (route, verdict) = match serde_json::from_value::<Question>(payload) {
                Ok(question) => {
                    let headers = headers(question.headers.unwrap_or_default(), question.cookies.unwrap_or_default());
                    let method = question.request_context.http.method.parse().unwrap_or(Method::POST);
                    let verdict = match origin::check(&method, &headers, allowed_origins) {
                        Ok(()) => {
                            let verdict = AssertUnwindSafe(handler(Request::about(method, headers, &context)));
                            let panicked = |_| Err(Error::Unexpected("the handler panicked".into()));
                            verdict.catch_unwind().await.unwrap_or_else(panicked)
                        }
                        Err(error) => {
                            log::failure(&error, &function, &request_id);
                            Ok(Verdict::refuse())
                        }
                    };
                    (question.route_key, verdict)
                }
                Err(_) => (None, Ok(Verdict::refuse())),
            };
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let is_authorized = verdict.as_ref().ok().map(|verdict| verdict.is_authorized);
            tracing::info!(function, route, is_authorized, milliseconds, request_id, "A caller was judged.");
            verdict.inspect_err(|error| log::failure(error, &function, &request_id))
        }
        .boxed()
    })
}

/// What Lambda is told of an invocation that failed: no more than a stranger may know.
impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: "NoVerdict".to_owned(), error_message: error.to_string() }
    }
}

/// The headers that can be read, with each cookie as a line of its own: one that cannot be read hides no other (R82).
fn headers(headers: HashMap<String, String>, cookies: Vec<String>) -> HeaderMap {
    let cookies = cookies.into_iter().map(|cookie| ("cookie".to_owned(), cookie));
    let all = headers.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("cookie")).chain(cookies);
    let readable = all.filter_map(|(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in readable {
        map.append(name, value);
    }
    map
}
