//! A request as the handlers see it.
//!
//! Owns how method, headers, parameters and body are read, with their limits, and the time budget of the request.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use lambda_http::http::{HeaderMap, HeaderValue, Method, header::AsHeaderName};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, RequestExt as _};
use serde::de::DeserializeOwned;

use super::{AllowedOrigins, Error, Reply, Result, ReturnTo, Site, origin, reply};
use crate::budget::Budget;
use crate::json;
use crate::page::Page;

/// The largest accepted body in bytes (R32).
const MAX_BODY: usize = 8 * 1024;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The parameter with the address to which a visitor returns.
const RETURN_TO: &str = "return_to";

/// The parameter of the second of two requests, if the first one came from another site.
const HOP: &str = "hop";

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
    path: String,
    parameters: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Vec<u8>,
    source_ip: Option<String>,
    allowed_origins: AllowedOrigins,
    page: Option<Page>,
}

impl Request {
    /// Reads a converted event.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the body is larger than 8 KiB.
    pub(super) fn new(event: lambda_http::Request, context: &Context, site: Site, page: Option<Page>) -> Result<Self> {
        let owned = |parameters: QueryMap| {
            parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        let (parameters, query) = (owned(event.path_parameters()), owned(event.query_string_parameters()));
        let path = event.raw_http_path().to_owned();
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
        Ok(Self {
            method: parts.method,
            budget,
            headers: parts.headers,
            path,
            parameters,
            query,
            body,
            source_ip,
            allowed_origins: site.allowed_origins,
            page,
        })
    }

    /// Returns a request without a body and parameters, for the authorizer.
    pub(super) fn from_headers(method: Method, headers: HeaderMap, context: &Context) -> Self {
        let budget = Budget::new(store_deadline(context));
        Self {
            method,
            budget,
            headers,
            path: String::new(),
            parameters: vec![],
            query: vec![],
            body: vec![],
            source_ip: None,
            allowed_origins: AllowedOrigins::default(),
            page: None,
        }
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
        self.expect("application/json")?;
        json::object(&self.body)
            .map_err(|error| Error::invalid_request(format!("The body {}.", json::problem(&self.body, &error))))
    }

    /// Returns `true` if the body is a form of a page.
    #[must_use]
    pub fn has_form(&self) -> bool {
        self.has_media_type(FORM)
    }

    /// Returns the fields of a form of a page, which must be those of a `T`.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn form<T: DeserializeOwned>(&self) -> Result<T> {
        self.expect(FORM)?;
        let is_text = percent_encoding::percent_decode(&self.body).decode_utf8().is_ok();
        let form = is_text.then(|| serde_urlencoded::from_bytes(&self.body).ok()).flatten();
        form.ok_or_else(|| Error::invalid_request("A field of the form is missing, unknown, repeated or not valid."))
    }

    /// Accepts a body of this media type without a content encoding.
    fn expect(&self, expected: &'static str) -> Result<()> {
        if !self.has_media_type(expected) {
            return Err(Error::UnsupportedMediaType { expected });
        }
        self.content_encoding().map_or(Ok(()), |encoding| Err(Error::UnsupportedContentEncoding { encoding }))
    }

    fn has_media_type(&self, expected: &str) -> bool {
        let media_type = self.header(CONTENT_TYPE).unwrap_or_default();
        media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the pages for the client, or `None` if it prefers JSON.
    #[must_use]
    pub fn page(&self) -> Option<&Page> {
        self.page.as_ref()
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
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first parameter `name` of the query.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns where the visitor goes after the sign-in, or `None` if the request does not say it.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::error::Error::InvalidRequest) for an address that is neither a path of this
    /// service nor on an allowed origin, and if the parameter is repeated.
    pub fn return_to(&self) -> Result<Option<ReturnTo>> {
        let mut values = self.query.iter().filter(|(name, _)| name == RETURN_TO).map(|(_, value)| value.as_str());
        let Some(value) = values.next() else { return Ok(None) };
        let address = ReturnTo::parse(value, &self.allowed_origins).filter(|_| values.next().is_none());
        let problem = "The parameter `return_to` must be given once, as a path of this service such as /userinfo, or \
                       as an address of an allowed origin.";
        address.map(Some).ok_or_else(|| Error::invalid_request(problem))
    }

    /// Returns `true` if a link on another site led here, so that the browser did not send our cookies. Returns `false`
    /// for the request that follows after [`hop`](Self::hop).
    #[must_use]
    pub fn comes_from_elsewhere(&self) -> bool {
        origin::only(&self.headers, "sec-fetch-site") == Some("cross-site") && self.query(HOP).is_none()
    }

    /// Returns `true` if a page of ours led here, or a client that is not a browser.
    #[must_use]
    pub fn comes_from_us(&self) -> bool {
        let site = "sec-fetch-site";
        let is_ours = !self.headers.contains_key(site) || origin::only(&self.headers, site) == Some("same-origin");
        is_ours && self.query(HOP).is_none()
    }

    /// Returns the address to which a page of ours leads after a link on another site led here, so that the browser
    /// sends our cookies. `path` is the path of this request. Of its query, the address has only where the visitor
    /// returns to. So no foreign link chooses the language or a notice. The address has one parameter more. Without it,
    /// a browser may treat the same address as a reload, which still belongs to the visit from the other site.
    #[must_use]
    pub fn hop(&self, path: &str) -> String {
        let query = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query: Vec<_> = query.filter(|(name, _)| *name == RETURN_TO).chain([(HOP, "1")]).collect();
        format!("{path}?{}", serde_urlencoded::to_string(query).unwrap_or_default())
    }

    /// Sends a visitor who is not signed in to another page: 302 after a `GET`, 303 after a form.
    ///
    /// # Errors
    /// The given error, if it says anything else than that the visitor is not signed in.
    pub fn sign_in_first(&self, error: Error, location: &str) -> Result<Reply> {
        let lines = match error {
            Error::Service(crate::error::Error::NotAuthorized) => Vec::new(),
            Error::Service(crate::error::Error::NotAuthorizedClearCookies(lines)) => lines,
            other => return Err(other),
        };
        let reply = if self.method.is_safe() { reply::found(location) } else { reply::see_other(location) };
        reply::with_cookies(reply?, lines.into_iter().filter(|_| self.may_set_cookies()))
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

/// Returns the time by which the stores must have answered. Ignores a deadline in the past, because the local tools
/// send meaningless ones.
fn store_deadline(context: &Context) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left.saturating_sub(RESPONSE_RESERVE))
}
