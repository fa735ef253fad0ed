//! A request as the handlers see it: already read, bounded, and carrying the time it may take.
//!
//! Owns how method, headers and body are read, each in one place. Knows nothing of what they are for.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, USER_AGENT};
use lambda_http::http::{HeaderMap, HeaderValue, Method, header::AsHeaderName};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, RequestExt as _};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::origin;
use crate::error::{Error, Result};
use crate::json;
use crate::store::Budget;

/// The largest body that is read, in bytes (R32).
const LARGEST_BODY: usize = 8 * 1024;

/// What is kept of an invocation's time for the answer itself.
const TIME_TO_ANSWER: Duration = Duration::from_millis(400);

/// A request to one of our functions.
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// How long the stores may take.
    pub budget: Budget,
    headers: HeaderMap,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Vec<u8>,
    source_ip: Option<String>,
}

impl Request {
    /// Takes over what API Gateway sent.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over 8 KiB of body.
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
        if body.len() > LARGEST_BODY {
            return Err(Error::TooLarge { limit: LARGEST_BODY });
        }
        let budget = Budget::new(answer_by(context));
        Ok(Self { method: parts.method, budget, headers: parts.headers, path, query, body, source_ip })
    }

    /// A request that is only asked about, by its headers.
    pub(super) fn about(method: Method, headers: HeaderMap, context: &Context) -> Self {
        let budget = Budget::new(answer_by(context));
        Self { method, budget, headers, path: vec![], query: vec![], body: vec![], source_ip: None }
    }

    /// Lets the request pass if its method is one of `allowed`, a list such as `"GET, HEAD"`.
    ///
    /// # Errors
    /// [`Error::MethodNotAllowed`] for any other (R90).
    pub fn accept(&self, allowed: &'static str) -> Result<()> {
        if allowed.split(", ").any(|method| method == self.method.as_str()) {
            return Ok(());
        }
        Err(Error::MethodNotAllowed { allowed })
    }

    /// The body as JSON of exactly the form of `T`.
    ///
    /// # Errors
    /// [`Error::UnsupportedMediaType`] where it is not said to be JSON; [`Error::Malformed`] where it is none, or has
    /// another form. The body is never quoted: it holds a password.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let media_type = self.header(CONTENT_TYPE).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Error::UnsupportedMediaType { expected: "application/json" });
        }
        json::object(&self.body).map_err(|error| {
            let problem = match error.classify() {
                _ if self.body.is_empty() => "is empty",
                Category::Data => "has a field that is unknown, missing, given twice or of the wrong type",
                Category::Eof => "ends too early",
                Category::Syntax | Category::Io => "is not valid JSON",
            };
            let (line, column) = (error.line(), error.column());
            Error::Malformed(format!("The body {problem} (line {line}, column {column}).").into())
        })
    }

    /// The lines of the `Cookie` header, byte by byte.
    pub fn cookie_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes)
    }

    /// What follows `Bearer` in the `Authorization` header (RFC 6750 §2.1); empty where nothing does.
    #[must_use]
    pub fn bearer(&self) -> Option<&[u8]> {
        let value = self.headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, rest) = value.split_at_checked(6)?;
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_none_or(|&byte| byte == b' ');
        is_bearer.then(|| rest.trim_ascii())
    }

    /// Whether the answer may renew a session: somebody is there to receive it, and our own page asked (R86).
    #[must_use]
    pub fn may_renew(&self) -> bool {
        let absent_or = |name: &str, says: fn(&str) -> bool| {
            !self.headers.contains_key(name) || origin::only(&self.headers, name).is_some_and(says)
        };
        self.method != Method::HEAD
            && absent_or("sec-fetch-site", |site| matches!(site, "same-origin" | "same-site" | "none"))
            && absent_or("sec-fetch-dest", |dest| matches!(dest, "empty" | "document"))
            && absent_or("sec-purpose", |purpose| !purpose.contains("prefetch"))
            && absent_or("purpose", |purpose| !purpose.contains("prefetch"))
    }

    /// What stands in the path where the route has `{name}`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the query says `name=true`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it says anything but `true` or `false`.
    pub fn flag(&self, name: &'static str) -> Result<bool> {
        let said = self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        said.map(str::parse)
            .try_fold(false, |_, value| value)
            .map_err(|_| Error::Malformed(format!("The parameter `{name}` is true or false.").into()))
    }

    /// What the browser says it is.
    #[must_use]
    pub fn user_agent(&self) -> Option<String> {
        let value = self.headers.get(USER_AGENT)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The address at the other end of the connection, as the gateway saw it: never what a header claims (R25).
    #[must_use]
    pub fn source_ip(&self) -> Option<String> {
        self.source_ip.clone()
    }

    fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Request {
    /// Headers and body hold passwords and tokens (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// When the stores must be done for the answer to arrive in time. A deadline in the past is none: the local tools send
/// one that means nothing.
fn answer_by(context: &Context) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left.saturating_sub(TIME_TO_ANSWER))
}
