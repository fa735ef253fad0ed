//! HTTP: the only module that names a status code, a header or a Lambda event.
//!
//! Owns what happens between Lambda and a handler: an event becomes a [`Request`], an error becomes a response, and no
//! request can stop the function. A handler never sees an event. The Lambda runtime never sees an `Err`, because it
//! would turn that into a failed invocation.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use futures_util::FutureExt as _;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequestContext, ApiGatewayV2httpResponse};
use lambda_http::http::{HeaderMap, Method};
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, Body, LambdaEvent, RequestExt as _, Response, Service, service_fn};
use serde::Serialize;

use crate::error::Error as ServiceError;
use crate::page::{Language, Pages};

mod accept;
pub mod authorizer;
mod error;
mod log;
mod origin;
mod problem;
pub mod reply;
mod request;
mod return_to;
mod site;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use origin::{AllowedOrigins, access_algorithm, issuer_url};
pub use request::Request;
pub use return_to::ReturnTo;
pub use site::Site;

use accept::ErrorFormat;
use log::RequestLog;

/// The response of a handler.
pub type Reply = Response<Body>;

/// Serves requests until Lambda stops the instance.
///
/// # Errors
/// [`Error::Unexpected`](ServiceError::Unexpected) if the Lambda runtime cannot be reached.
pub async fn serve<'a, H, F>(site: Site, handler: H) -> crate::error::Result<()>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Reply>> + Send + 'a,
{
    lambda_runtime::run(service(site, handler)).await.map_err(ServiceError::Unexpected)
}

/// Returns the service that Lambda calls. It has three layers, from outside to inside: the guard, the adapter of
/// `lambda_http`, the handler.
///
/// The adapter panics on some hostile headers before the handler runs. So the guard stands in front of it. It removes
/// cookies that would make the adapter drop all cookies. It answers 400 if the event cannot be converted and 500 if the
/// handler panics. In both cases the next request is served.
pub fn service<'a, H, F>(
    site: Site,
    handler: H,
) -> impl Service<LambdaEvent<LambdaRequest>, Response = impl Serialize, Error = Infallible>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'a,
    F: Future<Output = Result<Reply>> + Send + 'a,
{
    let pages = site.pages.clone();
    let adapter = Adapter::from(service_fn(move |event| answer(event, site.clone(), handler.clone())));
    service_fn(move |LambdaEvent { payload, context }: LambdaEvent<LambdaRequest>| {
        let mut adapter = adapter.clone();
        let format = format_of(&payload, &pages);
        async move {
            let started = Instant::now();
            let log = RequestLog::new(&context, context_of(&payload));
            let is_head = context_of(&payload).is_some_and(|event| event.http.method == Method::HEAD);
            let event = LambdaEvent::new(without_unreadable_cookies(payload), context);
            let error = match catch_unwind(AssertUnwindSafe(|| adapter.call(event))) {
                Ok(answer) => match AssertUnwindSafe(answer).catch_unwind().await {
                    Ok(Ok(response)) => return Ok(Outcome::Answered(response)),
                    Ok(Err(never)) => match never {},
                    Err(_) => ServiceError::unexpected("the handler panicked").into(),
                },
                Err(_) => Error::invalid_request("The request has a header, a query or a body that cannot be read."),
            };
            let response = reply::finish(log.failed(&error, &format), is_head);
            log.answered(&response, started);
            Ok(Outcome::Guarded(Box::new(into_gateway(response))))
        }
    })
}

/// Returns the response of an error that occurs in front of a function, in the form of a function's response. The local
/// gateway uses it. `headers` are those of the request.
#[must_use]
pub fn error_response(error: &Error, request_id: &str, headers: &HeaderMap, pages: &Pages) -> Reply {
    let format = ErrorFormat::of(headers, None, pages);
    reply::finish(problem::response(error, request_id, &format), false)
}

/// The response to Lambda, from the adapter or from the guard. The adapter's response type has no public name, so it is
/// a type parameter.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<R> {
    Answered(R),
    Guarded(Box<ApiGatewayV2httpResponse>),
}

/// Answers an event that could be converted.
async fn answer<H, F>(event: lambda_http::Request, site: Site, handler: H) -> Result<Reply, Infallible>
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Reply>>,
{
    let started = Instant::now();
    let context = event.lambda_context();
    let log = RequestLog::new(&context, event.request_context_ref().and_then(http_context));
    let is_head = event.method() == Method::HEAD;
    let may_set_cookies = request::may_set_cookies(event.method(), event.headers());
    let chosen = event.query_string_parameters_ref().and_then(|query| query.first("lang")).and_then(Language::of_tag);
    let format = ErrorFormat::of(event.headers(), chosen, &site.pages);
    let outcome = async {
        site.allowed_origins.check(event.method(), event.headers())?;
        handler(Request::new(event, &context, site, format.page().cloned())?).await
    };
    let response = match outcome.await {
        Ok(response) if may_set_cookies => reply::with_language(response, chosen),
        Ok(response) => response,
        Err(error) if may_set_cookies => log.failed(&error, &format),
        Err(error) => reply::without_cookies(log.failed(&error, &format)),
    };
    let response = reply::finish(response, is_head);
    log.answered(&response, started);
    Ok(response)
}

/// Returns the form in which the client of an event gets an error that occurs before the event is converted.
fn format_of(payload: &LambdaRequest, pages: &Pages) -> ErrorFormat {
    match payload {
        LambdaRequest::ApiGatewayV2(event) => ErrorFormat::of(&event.headers, None, pages),
        _ => ErrorFormat::Plain,
    }
}

/// Returns the request context of an event that has not been converted.
fn context_of(payload: &LambdaRequest) -> Option<&ApiGatewayV2httpRequestContext> {
    match payload {
        LambdaRequest::ApiGatewayV2(event) => Some(&event.request_context),
        _ => None,
    }
}

/// Returns the request context of an event that has been converted.
fn http_context(context: &RequestContext) -> Option<&ApiGatewayV2httpRequestContext> {
    match context {
        RequestContext::ApiGatewayV2(context) => Some(context),
        _ => None,
    }
}

/// Removes cookies with control bytes from the event's `cookies`. One of them would make the adapter drop all cookies
/// (R82). Removes an empty list, too: the adapter would prefer it to a `cookie` header.
fn without_unreadable_cookies(payload: LambdaRequest) -> LambdaRequest {
    let LambdaRequest::ApiGatewayV2(mut event) = payload else { return payload };
    if let Some(cookies) = &mut event.cookies {
        cookies.retain(|cookie| is_readable(cookie));
    }
    event.cookies = event.cookies.filter(|cookies| !cookies.is_empty());
    LambdaRequest::ApiGatewayV2(event)
}

/// Returns `false` for a cookie with a control byte other than a tab.
fn is_readable(cookie: &str) -> bool {
    !cookie.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

/// Returns a response in payload version 2.0. The guard's own responses have no cookies.
fn into_gateway(response: Reply) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut gateway = ApiGatewayV2httpResponse::default();
    gateway.status_code = i64::from(parts.status.as_u16());
    gateway.headers = parts.headers;
    gateway.body = Some(body);
    gateway
}
