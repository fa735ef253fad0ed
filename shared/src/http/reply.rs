//! The responses that there are.
//!
//! Owns every status code, every response header and the one place where an error becomes a response. What caused an
//! error goes to the log and stays out of the answer (R93).

use lambda_http::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use serde::Serialize;

use super::Reply;
use crate::error::{Error, Result};

/// Seconds after which a store that did not answer may be asked again.
const TRY_AGAIN_AFTER: u64 = 1;

/// What every response of every function says (R88, R89). `same-origin` and not `no-referrer`: under the latter a form
/// of our own would be posted with `Origin: null`.
const ON_EVERY_RESPONSE: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("content-security-policy"), "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("referrer-policy"), "same-origin"),
    (HeaderName::from_static("strict-transport-security"), "max-age=63072000"),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
];

/// 200 with a JSON body.
///
/// # Errors
/// [`Error::Unexpected`] for what cannot be written as JSON.
pub fn json(value: &impl Serialize) -> Result<Reply> {
    let body = serde_json::to_string(value).map_err(|error| Error::Unexpected(error.into()))?;
    Ok(typed(StatusCode::OK, "application/json", body))
}

/// 302: what was asked for is over there.
#[must_use]
pub fn found(location: &'static str) -> Reply {
    let mut response = empty(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    response
}

/// 204: it is done.
#[must_use]
pub fn no_content() -> Reply {
    empty(StatusCode::NO_CONTENT)
}

/// 205: it is done, and there is nothing to show any more (RFC 9110 §15.3.6).
#[must_use]
pub fn reset_content() -> Reply {
    empty(StatusCode::RESET_CONTENT)
}

/// 401, as old as the first client: plain text, and always the same.
#[must_use]
pub fn not_authorized() -> Reply {
    let mut response = typed(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", Error::NotAuthorized.to_string());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Adds `Set-Cookie` lines to a response, each as a line of its own (R84).
///
/// # Errors
/// [`Error::Unexpected`] for a line that cannot stand in a header.
pub fn with_cookies(mut response: Reply, lines: impl IntoIterator<Item = String>) -> Result<Reply> {
    for line in lines {
        let line = HeaderValue::try_from(line).map_err(|error| Error::Unexpected(error.into()))?;
        response.headers_mut().append(SET_COOKIE, line);
    }
    Ok(response)
}

/// Problem details (RFC 9457 §3.1). The type is `about:blank`: there is no more to know than what the status says.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    request_id: &'a str,
}

/// The response to a request that failed: problem details (RFC 9457), or the plain 401.
pub(super) fn from_error(error: &Error, request_id: &str) -> Reply {
    let status = match error {
        Error::NotAuthorized => return not_authorized(),
        Error::Malformed(_) => StatusCode::BAD_REQUEST,
        Error::ForeignOrigin => StatusCode::FORBIDDEN,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Error::Taken(_) => StatusCode::CONFLICT,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Unavailable(_) | Error::Overtaken(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Corrupt(_) | Error::Setting { .. } | Error::Misconfigured(_) | Error::Unexpected(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let problem = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: error.to_string(),
        request_id,
    };
    let problem = serde_json::to_string(&problem).unwrap_or_default();
    let mut response = typed(status, "application/problem+json", problem);
    let (name, value) = match error {
        Error::MethodNotAllowed { allowed } => (ALLOW, HeaderValue::from_static(allowed)),
        Error::TooManyAttempts { wait } => (RETRY_AFTER, wait.as_secs().into()),
        Error::Unavailable(_) | Error::Overtaken(_) => (RETRY_AFTER, TRY_AGAIN_AFTER.into()),
        _ => return response,
    };
    response.headers_mut().insert(name, value);
    response
}

/// Adds what every response says, and takes the body off an answer to `HEAD`.
pub(super) fn finished(mut response: Reply, to_head: bool) -> Reply {
    for (name, value) in ON_EVERY_RESPONSE {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if to_head {
        *response.body_mut() = Body::Empty;
    }
    response
}

fn typed(status: StatusCode, media_type: &'static str, body: String) -> Reply {
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn empty(status: StatusCode) -> Reply {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}
