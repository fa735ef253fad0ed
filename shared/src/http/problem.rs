//! The responses of errors.
//!
//! Owns the mapping from errors to status codes, and the three forms: problem details, the plain text of a 401, and a
//! page. The cause of an error goes to the log and never into the response (R93).

use lambda_http::http::header::{ACCEPT_ENCODING, ALLOW, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use lambda_http::http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::accept::ErrorFormat;
use super::{Error, Reply, reply};
use crate::error::Error as ServiceError;
use crate::page;

/// The `Retry-After` of a 503 in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

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

/// Returns the response of an error: problem details (RFC 9457), or a page for a client that prefers HTML. A 401 is
/// always the same plain text, as the first clients expect it, unless the client accepts problem details by name, or
/// the handler explains it in a page. It has no `Vary`, because no cache may store it (RFC 9110 §12.5.5).
pub(super) fn response(error: &Error, request_id: &str, format: &ErrorFormat) -> Reply {
    if let Error::AfterRenewal { cookies, location, .. } = error
        && let Ok(response) = reply::see_other(location).and_then(|reply| reply::with_cookies(reply, cookies.clone()))
    {
        return response;
    }
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
        Error::Service(error) | Error::InPage { error, .. } | Error::AfterRenewal { error, .. } => match error {
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
    let detail = error.to_string();
    let page = match (error, format) {
        (Error::InPage { page, .. }, _) => reply::html(status, page).ok(),
        (_, ErrorFormat::Page(page)) => problem_of(error).and_then(|problem| {
            let details = page::Details { status: status.as_u16(), detail: &detail, request_id };
            reply::html(status, &page.problem(problem, Some(details)).ok()?).ok()
        }),
        (_, ErrorFormat::Problem | ErrorFormat::Plain) => None,
    };
    let is_plain = status == StatusCode::UNAUTHORIZED && !matches!(format, ErrorFormat::Problem);
    let mut response = match page {
        Some(page) => page,
        None if is_plain => reply::typed(status, "text/plain; charset=utf-8", detail),
        None => details(status, detail, request_id),
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    if let Error::Service(error) | Error::InPage { error, .. } = error
        && let ServiceError::NotAuthorizedClearCookies(lines) = error
    {
        for line in lines.iter().filter_map(|line| HeaderValue::try_from(line).ok()) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
    response
}

fn details(status: StatusCode, detail: String, request_id: &str) -> Reply {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem { kind: "about:blank", title, status: status.as_u16(), detail, request_id };
    reply::typed(status, "application/problem+json", serde_json::to_string(&problem).unwrap_or_default())
}

/// Returns the problem that a page explains, or `None` for a 401. A visitor who is not signed in is led to the sign-in
/// page instead, and a wrong password is explained above its form.
fn problem_of(error: &Error) -> Option<page::Problem> {
    Some(match error {
        Error::ForeignOrigin => page::Problem::Forbidden,
        Error::MethodNotAllowed { .. } => page::Problem::MethodNotAllowed,
        Error::TooLarge { .. } => page::Problem::TooLarge,
        Error::UnsupportedMediaType { .. } | Error::UnsupportedContentEncoding { .. } => page::Problem::Unsupported,
        Error::Service(error) | Error::InPage { error, .. } | Error::AfterRenewal { error, .. } => match error {
            ServiceError::NotAuthorized | ServiceError::NotAuthorizedClearCookies(_) => return None,
            ServiceError::InvalidRequest(_) | ServiceError::Taken(_) => page::Problem::InvalidRequest,
            ServiceError::NotFound(_) => page::Problem::NotFound,
            ServiceError::TooManyAttempts { wait } => page::Problem::TooManyAttempts(*wait),
            ServiceError::Unavailable(_) | ServiceError::ConcurrentUpdate(_) => page::Problem::Unavailable,
            ServiceError::Corrupt(_)
            | ServiceError::Setting { .. }
            | ServiceError::Misconfigured(_)
            | ServiceError::Unexpected(_) => page::Problem::Fault,
        },
    })
}
