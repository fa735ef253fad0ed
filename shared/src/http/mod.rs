//! The only HTTP in the service.
//!
//! Owns what happens between Lambda and a handler: the event becomes a [`Request`], an error becomes a response, and
//! nothing that a request brings can stop the function. Handlers never see an event; the runtime never sees an `Err`,
//! which it would turn into a failed invocation.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use futures_util::FutureExt as _;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::http::Method;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, Body, LambdaEvent, RequestExt as _, Response, Service, service_fn};
use serde::Serialize;

use crate::error::{Error, Result};

mod origin;
pub mod reply;
mod request;

pub use request::Request;

/// What a handler answers with.
pub type Reply = Response<Body>;

/// Serves requests until Lambda stops the environment.
///
/// # Errors
/// [`Error::Unexpected`] where the Lambda runtime cannot be reached.
pub async fn serve<'a, H, F>(allowed_origins: &'a [String], handler: H) -> Result<()>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Reply>> + Send + 'a,
{
    lambda_runtime::run(service(allowed_origins, handler)).await.map_err(Error::Unexpected)
}

/// A function as Lambda calls it: a guard around `lambda_http`'s adapter around a handler.
///
/// The adapter panics on hostile headers before any handler runs, so the guard stands in front of it: it takes out what
/// would make the adapter drop our cookies, and answers 400 where the event cannot be converted and 500 where the
/// handler panics. Either way the next request is served.
pub fn service<'a, H, F>(
    allowed_origins: &'a [String],
    handler: H,
) -> impl Service<LambdaEvent<LambdaRequest>, Response = impl Serialize, Error = Infallible>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Reply>> + Send + 'a,
{
    let adapter = Adapter::from(service_fn(move |event| answer(event, allowed_origins, handler.clone())));
    service_fn(move |LambdaEvent { payload, context }: LambdaEvent<LambdaRequest>| {
        let mut adapter = adapter.clone();
        async move {
            let request_id = context.request_id.clone();
            let event = LambdaEvent::new(with_readable_cookies(payload), context);
            let error = match catch_unwind(AssertUnwindSafe(|| adapter.call(event))) {
                Ok(answer) => match AssertUnwindSafe(answer).catch_unwind().await {
                    Ok(Ok(response)) => return Ok(Outcome::Answered(response)),
                    Ok(Err(never)) => match never {},
                    Err(_) => Error::Unexpected("the handler panicked".into()),
                },
                Err(_) => Error::Malformed("The request has a header, a query or a body that cannot be read.".into()),
            };
            log(&error, &request_id);
            let response = reply::finished(reply::from_error(&error, &request_id), false);
            Ok(Outcome::Stopped(Box::new(into_gateway(response))))
        }
    })
}

/// What Lambda sends back: the adapter's response, whose type has no public name, or the guard's own.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<R> {
    Answered(R),
    Stopped(Box<ApiGatewayV2httpResponse>),
}

/// From an event that could be converted to a response, whatever happens on the way.
async fn answer<H, F>(event: lambda_http::Request, allowed_origins: &[String], handler: H) -> Result<Reply, Infallible>
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Reply>>,
{
    let started = Instant::now();
    let context = event.lambda_context();
    let (method, route) = (event.method().clone(), route(&event));
    let outcome = async {
        origin::check(event.method(), event.headers(), allowed_origins)?;
        handler(Request::new(event, &context)?).await
    };
    let response = outcome.await.unwrap_or_else(|error| {
        log(&error, &context.request_id);
        reply::from_error(&error, &context.request_id)
    });
    let response = reply::finished(response, method == Method::HEAD);
    tracing::info!(
        route,
        status = response.status().as_u16(),
        milliseconds = started.elapsed().as_millis(),
        request_id = context.request_id,
        "A request was answered."
    );
    Ok(response)
}

/// The route that matched, such as `GET /userinfo`: the gateway's word, with nothing of the caller's in it.
fn route(event: &lambda_http::Request) -> Option<String> {
    match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.clone(),
        _ => None,
    }
}

/// Writes what a person should act on, with its causes, once.
fn log(error: &Error, request_id: &str) {
    match error {
        Error::Unavailable(_)
        | Error::Corrupt(_)
        | Error::Setting { .. }
        | Error::Misconfigured(_)
        | Error::Unexpected(_) => {
            tracing::error!(%error, causes = error.causes(), request_id, "A request failed on our side.");
        }
        Error::Malformed(_)
        | Error::NotAuthorized
        | Error::ForeignOrigin
        | Error::MethodNotAllowed { .. }
        | Error::TooLarge { .. }
        | Error::UnsupportedMediaType { .. }
        | Error::Taken(_) => {}
    }
}

/// Leaves out the cookies with a byte that cannot stand in a header: one such foreign cookie would make the adapter drop them all (R82). The
/// header of that name only counts where there is no list.
fn with_readable_cookies(payload: LambdaRequest) -> LambdaRequest {
    let LambdaRequest::ApiGatewayV2(mut event) = payload else { return payload };
    let is_readable = |cookie: &String| !cookie.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t');
    if let Some(cookies) = &mut event.cookies {
        cookies.retain(is_readable);
    }
    LambdaRequest::ApiGatewayV2(event)
}

/// A response in the form of payload version 2.0; the guard's own responses set no cookie.
fn into_gateway(response: Reply) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut gateway = ApiGatewayV2httpResponse::default();
    gateway.status_code = i64::from(parts.status.as_u16());
    gateway.headers = parts.headers;
    gateway.body = Some(body);
    gateway
}
