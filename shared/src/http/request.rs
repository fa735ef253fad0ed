//! A request as the handlers see it.
//!
//! Owns how method, headers, parameters and body are read, with their limits, and the time budget of the request.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use lambda_http::http::{HeaderMap, HeaderValue, Method, header::AsHeaderName};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, RequestExt as _};
use serde::de::DeserializeOwned;

use super::{Error, Result, origin};
use crate::budget::Budget;
use crate::json;

/// The largest accepted body in bytes (R32).
const MAX_BODY: usize = 8 * 1024;

/// The longest name of a content encoding that an error repeats, in bytes.
const MAX_CODING: usize = 32;

/// The time before the deadline of the invocation that is reserved for the response.
const RESPONSE_RESERVE: Duration = Duration::from_millis(400);

/// A request to one of our functions.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The time budget for the stores.
    pub budget: Budget,
    headers: HeaderMap,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Vec<u8>,
    source_ip: Option<String>,
}

impl Request {
    /// Reads a converted event.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the body is larger than 8 KiB.
    pub(super) fn new(event: lambda_http::Request, context: &Context) -> Result<Self> {
        let owned = |parameters: QueryMap| {
            parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        let (path, query) = (owned(event.path_parameters()), owned(event.query_string_parameters()));
        let source_ip = match event.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
            _ => None,
        };
        let (parts, body) = event.into_parts();
        let body = match body {
            Body::Text(text) => text.into_bytes(),
            Body::Binary(bytes) => bytes,
            _ => Vec::new(),
        };
        if body.len() > MAX_BODY {
            return Err(Error::TooLarge { limit: MAX_BODY });
        }
        let budget = Budget::new(store_deadline(context));
        Ok(Self { method: parts.method, budget, headers: parts.headers, path, query, body, source_ip })
    }

    /// Returns a request without a body and parameters, for the authorizer.
    pub(super) fn from_headers(method: Method, headers: HeaderMap, context: &Context) -> Self {
        let budget = Budget::new(store_deadline(context));
        Self { method, budget, headers, path: vec![], query: vec![], body: vec![], source_ip: None }
    }

    /// Accepts the methods in `allowed`, a list such as `"GET, HEAD"` (R90).
    ///
    /// # Errors
    /// [`Error::MethodNotAllowed`] for any other method.
    pub fn accept(&self, allowed: &'static str) -> Result<()> {
        if allowed.split(", ").any(|method| method == self.method.as_str()) {
            return Ok(());
        }
        Err(Error::MethodNotAllowed { allowed })
    }

    /// Returns the body, which must be the JSON of a `T`.
    ///
    /// # Errors
    /// [`Error::UnsupportedMediaType`] for another media type; [`Error::UnsupportedContentEncoding`] for an encoded
    /// body; [`InvalidRequest`](crate::error::Error::InvalidRequest) for any other body. The error never quotes the
    /// body, which may hold a password.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let media_type = self.header(CONTENT_TYPE).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Error::UnsupportedMediaType { expected: "application/json" });
        }
        if let Some(encoding) = self.content_encoding() {
            return Err(Error::UnsupportedContentEncoding { encoding });
        }
        json::object(&self.body)
            .map_err(|error| Error::invalid_request(format!("The body {}.", json::problem(&self.body, &error))))
    }

    /// Returns the lines of the `Cookie` header as bytes.
    pub fn cookie_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes)
    }

    /// Returns the text after `Bearer` in the `Authorization` header (RFC 6750 §2.1). Returns an empty text, which is
    /// an invalid token, if `Bearer` is one of several credentials. The gateway joins several headers with commas.
    /// Returns `None` for another scheme or without the header.
    #[must_use]
    pub fn bearer(&self) -> Option<&[u8]> {
        let credentials = self.headers.get_all(AUTHORIZATION).iter().flat_map(|value| {
            value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
        });
        let credentials: Vec<_> = credentials.collect();
        let token = credentials.iter().find_map(|credential| bearer_token(credential))?;
        if credentials.len() == 1 { Some(token) } else { Some(b"") }
    }

    /// Returns the `Host` header.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.header(HOST)
    }

    /// Returns `true` if the response may set cookies. `false` for `HEAD`, for a prefetch, for a cross-site request,
    /// and for a request for anything but a document or a fetch (R86).
    #[must_use]
    pub fn may_set_cookies(&self) -> bool {
        may_set_cookies(&self.method, &self.headers)
    }

    /// Returns the path parameter `{name}` of the route.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the parameter `name` of the query, or `false` without it.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::error::Error::InvalidRequest) for any value other than `true` and `false`, and if the
    /// parameter is repeated.
    pub fn flag(&self, name: &'static str) -> Result<bool> {
        let values: Vec<_> =
            self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
        match values[..] {
            [] | ["false"] => Ok(false),
            ["true"] => Ok(true),
            _ => Err(Error::invalid_request(format!("The parameter `{name}` must be given once, as true or false."))),
        }
    }

    /// Returns the `User-Agent` header.
    #[must_use]
    pub fn user_agent(&self) -> Option<String> {
        let value = self.headers.get(USER_AGENT)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Returns the source address as API Gateway reports it, never from a header (R25).
    #[must_use]
    pub fn source_ip(&self) -> Option<String> {
        self.source_ip.clone()
    }

    /// Returns the first content encoding other than `identity`, or `None` if the body is not encoded.
    fn content_encoding(&self) -> Option<String> {
        let values = self.headers.get_all(CONTENT_ENCODING).iter();
        let codings = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
        let encoding =
            codings.into_iter().find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))?;
        let is_name =
            encoding.len() <= MAX_CODING && encoding.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let name = String::from_utf8_lossy(encoding).into_owned();
        Some(if is_name { name } else { "an unknown one".to_owned() })
    }

    fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Returns the text after the scheme `Bearer`, which may be empty, or `None` for another scheme. Any byte that cannot
/// be part of a scheme ends the scheme, so that `Bearer` and a tab is not taken for another scheme.
fn bearer_token(credential: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = credential.split_at_checked(6)?;
    let ends = rest.first().is_none_or(|&byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(&byte));
    (scheme.eq_ignore_ascii_case(b"bearer") && ends).then(|| rest.trim_ascii())
}

/// The headers in which browsers announce a prefetch: the standard one, and those of older browsers.
const PREFETCH_HEADERS: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// Returns `false` for a `HEAD`, a prefetch, a cross-site request, and one whose `Sec-Fetch-Dest` is neither `empty`
/// nor `document` (R86). Without these headers, as from a client that is not a browser, it returns `true`.
pub(super) fn may_set_cookies(method: &Method, headers: &HeaderMap) -> bool {
    let is_absent_or = |name: &str, is_accepted: fn(&str) -> bool| {
        !headers.contains_key(name) || origin::only(headers, name).is_some_and(is_accepted)
    };
    method != Method::HEAD
        && is_absent_or("sec-fetch-site", |site| matches!(site, "same-origin" | "same-site" | "none"))
        && is_absent_or("sec-fetch-dest", |dest| matches!(dest, "empty" | "document"))
        && PREFETCH_HEADERS.iter().all(|name| is_absent_or(name, |purpose| !is_prefetch(purpose)))
}

/// Returns `true` for a value such as `prefetch`, `Preview` or `prefetch;prerender`.
fn is_prefetch(purpose: &str) -> bool {
    let purpose = purpose.to_ascii_lowercase();
    purpose.contains("prefetch") || purpose.contains("preview")
}

impl fmt::Debug for Request {
    /// Prints neither headers nor body, which hold passwords and tokens (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Returns `true` if the client names `application/problem+json` in `Accept` and does not exclude it with `q=0` (RFC
/// 9110 §12.5.1). A wildcard is not enough, because the first clients send one and expect the plain text of a 401.
pub(super) fn accepts_problem(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/problem+json"));
        let quality =
            parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        is_named && quality.is_none_or(|(_, quality)| quality.trim().parse::<f32>().is_ok_and(|quality| quality > 0.0))
    })
}

/// Returns the time by which the stores must have answered. Ignores a deadline in the past, because the local tools
/// send meaningless ones.
fn store_deadline(context: &Context) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left.saturating_sub(RESPONSE_RESERVE))
}
