//! Responses.
//!
//! Owns every status code, every response header, and the mapping from errors to responses. The cause of an error goes
//! to the log and never into the response (R93).

use lambda_http::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, SET_COOKIE,
    WWW_AUTHENTICATE,
};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use serde::Serialize;

use super::{Error, Reply, Result};
use crate::error::Error as ServiceError;

/// The `Retry-After` of a 503 in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The headers of every response (R88, R89). The referrer policy is `same-origin`, because under `no-referrer` a
/// browser sends `Origin: null` when it submits a form.
const COMMON_HEADERS: [(HeaderName, &str); 6] = [
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
/// [`ServiceError::Unexpected`] if the value cannot be serialized.
pub fn json(value: &impl Serialize) -> Result<Reply> {
    let body = serde_json::to_string(value).map_err(ServiceError::unexpected)?;
    Ok(typed(StatusCode::OK, "application/json", body))
}

/// 302: a redirect to another path.
#[must_use]
pub fn found(location: &'static str) -> Reply {
    let mut response = empty(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    response
}

/// 204: done, without a body.
#[must_use]
pub fn no_content() -> Reply {
    empty(StatusCode::NO_CONTENT)
}

/// 205: done, and the client resets its view (RFC 9110 §15.3.6).
#[must_use]
pub fn reset_content() -> Reply {
    empty(StatusCode::RESET_CONTENT)
}

/// Adds `Set-Cookie` lines to a response, one header for each (R84).
///
/// # Errors
/// [`ServiceError::Unexpected`] if a line is not a valid header value.
pub fn with_cookies(mut response: Reply, lines: impl IntoIterator<Item = String>) -> Result<Reply> {
    for line in lines {
        let line = HeaderValue::try_from(line).map_err(ServiceError::unexpected)?;
        response.headers_mut().append(SET_COOKIE, line);
    }
    Ok(response)
}

/// Problem details (RFC 9457 §3.1). The type is `about:blank`, because the status says everything.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    request_id: &'a str,
}

/// Returns the response of an error: problem details (RFC 9457). A 401 is always the same plain text, as the first
/// clients expect it, unless the client accepts problem details by name. It has no `Vary`, because no cache may store
/// it (RFC 9110 §12.5.5).
pub(super) fn from_error(error: &Error, request_id: &str, accepts_problem: bool) -> Reply {
    let (status, header) = match error {
        Error::ForeignOrigin => (StatusCode::FORBIDDEN, None),
        Error::MethodNotAllowed { allowed } => {
            (StatusCode::METHOD_NOT_ALLOWED, Some((ALLOW, HeaderValue::from_static(allowed))))
        }
        Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, None),
        Error::UnsupportedMediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
        // This header tells a client that the encoding is the problem, and not the media type (RFC 9110 §12.5.3).
        Error::UnsupportedContentEncoding { .. } => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some((ACCEPT_ENCODING, HeaderValue::from_static("identity"))))
        }
        Error::Service(error) => match error {
            ServiceError::NotAuthorized | ServiceError::NotAuthorizedClearCookies(_) => {
                (StatusCode::UNAUTHORIZED, Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))))
            }
            ServiceError::InvalidRequest(_) => (StatusCode::BAD_REQUEST, None),
            ServiceError::NotFound(_) => (StatusCode::NOT_FOUND, None),
            ServiceError::Taken(_) => (StatusCode::CONFLICT, None),
            ServiceError::TooManyAttempts { wait } => {
                (StatusCode::TOO_MANY_REQUESTS, Some((RETRY_AFTER, wait.as_secs().into())))
            }
            ServiceError::Unavailable(_) | ServiceError::ConcurrentUpdate(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Some((RETRY_AFTER, RETRY_AFTER_SECONDS.into())))
            }
            ServiceError::Corrupt(_)
            | ServiceError::Setting { .. }
            | ServiceError::Misconfigured(_)
            | ServiceError::Unexpected(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
        },
    };
    let mut response = if status == StatusCode::UNAUTHORIZED && !accepts_problem {
        typed(status, "text/plain; charset=utf-8", error.to_string())
    } else {
        problem(status, error.to_string(), request_id)
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    if let Error::Service(ServiceError::NotAuthorizedClearCookies(lines)) = error {
        for line in lines.iter().filter_map(|line| HeaderValue::try_from(line).ok()) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
    response
}

fn problem(status: StatusCode, detail: String, request_id: &str) -> Reply {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem { kind: "about:blank", title, status: status.as_u16(), detail, request_id };
    typed(status, "application/problem+json", serde_json::to_string(&problem).unwrap_or_default())
}

/// Removes the `Set-Cookie` lines of a response.
pub(super) fn without_cookies(mut response: Reply) -> Reply {
    response.headers_mut().remove(SET_COOKIE);
    response
}

/// Adds the headers of every response. Removes the body of a response to `HEAD`, and keeps its length in
/// `Content-Length` (RFC 9110 §8.6). Otherwise a server in front of the function would send the length 0.
pub(super) fn finish(mut response: Reply, is_head: bool) -> Reply {
    for (name, value) in COMMON_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if is_head {
        let length = std::mem::take(response.body_mut()).as_ref().len();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
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
