//! Responses.
//!
//! Owns the headers of every response, and the responses of handlers that succeed. `problem` owns those of errors.

use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, SET_COOKIE,
};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use serde::Serialize;

use super::{Reply, Result, accept};
use crate::error::Error as ServiceError;
use crate::page::{Html, Language, Sources};

/// The media type of a page.
const HTML: &str = "text/html; charset=utf-8";

/// Keeps a page of another site that opened ours from reaching its window (ASVS 3.4.8).
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// How long a cache may keep a public response. A key is published for 900 s before it signs. An instance may have
/// read the keys 300 s before.
const PUBLIC: &str = "public, max-age=300";

/// The headers of every response (R88, R89), except that a public response has its own `Cache-Control`. The referrer
/// policy is `same-origin`, because under `no-referrer` a browser sends `Origin: null` when it submits a form.
const COMMON_HEADERS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
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

/// 200 with a JSON body that is the same for every client and that caches may keep for 300 s.
///
/// # Errors
/// [`ServiceError::Unexpected`] if the value cannot be serialized.
pub fn public(media_type: &'static str, value: &impl Serialize) -> Result<Reply> {
    let body = serde_json::to_string(value).map_err(ServiceError::unexpected)?;
    let mut response = typed(StatusCode::OK, media_type, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(PUBLIC));
    Ok(response)
}

/// 200 with a page.
///
/// # Errors
/// [`ServiceError::Unexpected`] if its content security policy is not a valid header value.
pub fn page(page: &Html) -> Result<Reply> {
    html(StatusCode::OK, page)
}

/// 302: a redirect to another path.
///
/// # Errors
/// [`ServiceError::Unexpected`] if the location is not a valid header value.
pub fn found(location: &str) -> Result<Reply> {
    redirect(StatusCode::FOUND, location)
}

/// 303: a redirect to another path, which the browser opens with `GET`.
///
/// # Errors
/// [`ServiceError::Unexpected`] if the location is not a valid header value.
pub fn see_other(location: &str) -> Result<Reply> {
    redirect(StatusCode::SEE_OTHER, location)
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

/// Returns a response with a page. Its content security policy allows the inline stylesheet and script by their hashes,
/// the logo, and forms that lead to our own origin. A browser also applies the last rule to the redirect after a form,
/// so that it names the origin to which a visitor returns (R89).
pub(super) fn html(status: StatusCode, page: &Html) -> Result<Reply> {
    let Sources { style, script, logo } = &*page.sources;
    let named = |source: Option<&str>| source.map(|source| format!(" {source}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:{}; form-action 'self'{}; \
         base-uri 'none'; frame-ancestors 'none'",
        named(logo.as_deref()),
        named(page.form_target.as_deref())
    );
    let policy = HeaderValue::try_from(policy).map_err(ServiceError::unexpected)?;
    let mut response = typed(status, HTML, page.text.clone());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// Keeps the language that a person chose on a page. Other responses stay as they are.
pub(super) fn with_language(mut response: Reply, chosen: Option<Language>) -> Reply {
    let is_page = response.headers().get(CONTENT_TYPE).is_some_and(|media_type| media_type == HTML);
    if let Some(line) = chosen.filter(|_| is_page).and_then(|chosen| accept::language_cookie(chosen).try_into().ok()) {
        response.headers_mut().append(SET_COOKIE, line);
    }
    response
}

/// Removes the `Set-Cookie` lines of a response.
pub(super) fn without_cookies(mut response: Reply) -> Reply {
    response.headers_mut().remove(SET_COOKIE);
    response
}

/// Adds the headers of every response, except those that the response has already: the content security policy of a
/// page, and the `Cache-Control` of a public response. Removes the body of a response to `HEAD`, and keeps its length
/// in `Content-Length` (RFC 9110 §8.6). Otherwise a server in front of the function would send the length 0.
pub(super) fn finish(mut response: Reply, is_head: bool) -> Reply {
    for (name, value) in COMMON_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_head {
        let length = std::mem::take(response.body_mut()).as_ref().len();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}

fn redirect(status: StatusCode, location: &str) -> Result<Reply> {
    let mut response = empty(status);
    let location = HeaderValue::try_from(location).map_err(ServiceError::unexpected)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

pub(super) fn typed(status: StatusCode, media_type: &'static str, body: String) -> Reply {
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
