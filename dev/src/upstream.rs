//! Requests to a server of the developer, as an HTTP integration of API Gateway sends them.
//!
//! The server gets method, path, query, headers and body. The user comes in headers with the prefix `x-latchkey-`. A
//! client cannot set these headers.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

use crate::authorizer::Caller;
use crate::gateway::MAX_BODY;
use crate::payload::without_cors;
use crate::reply::Reply;
use crate::routes::Server;

/// The prefix of the headers with the user.
const PREFIX: &str = "x-latchkey-";

/// The headers that are about one connection (RFC 9110 §7.6.1). `Proxy-*` and `Keep-Alive` are older ones.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The headers that the gateway or its HTTP client sets itself. API Gateway reserves the last four.
const REPLACED: [HeaderName; 7] = [
    HOST,
    CONTENT_LENGTH,
    EXPECT,
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// The client of the developer's servers.
pub(crate) struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A request to forward.
pub(crate) struct Forwarded<'a> {
    pub(crate) request: &'a Parts,
    pub(crate) body: Bytes,
    pub(crate) caller: &'a Caller,
    pub(crate) source_ip: IpAddr,
    /// `https` or `http`: what the client of the gateway uses.
    pub(crate) scheme: &'a str,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        // A server may close an idle connection at the moment of the next request.
        Self { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http() }
    }

    /// Sends a request to the server and returns the response, without CORS headers. Passes the `Cookie` header on only
    /// if `cookies` is `true`.
    ///
    /// # Errors
    /// Fails if the server does not send a response in time, or if the response is larger than [`MAX_BODY`].
    pub(crate) async fn send(
        &self,
        server: &Server,
        forwarded: Forwarded<'_>,
        cookies: bool,
        limit: Duration,
    ) -> Result<Reply> {
        let rest = forwarded.request.uri.path_and_query().map_or("/", |rest| rest.as_str());
        let uri: Uri = format!("{server}{rest}").parse().context("the path is not valid")?;
        let headers = forwarded.headers(cookies)?;
        let mut request = Request::new(Full::from(forwarded.body));
        *request.method_mut() = forwarded.request.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let answer = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
            Ok::<_, anyhow::Error>(Response::from_parts(parts, Full::from(body)))
        };
        let late = |_| anyhow!("{server} did not respond within {} s", limit.as_secs());
        let mut response = timeout(limit, answer).await.map_err(late)?.map_err(|error| failed(server, &error))?;
        *response.version_mut() = Version::HTTP_11;
        *response.headers_mut() = end_to_end(response.headers(), &[]);
        without_cors(response.headers_mut());
        Ok(response)
    }
}

impl Forwarded<'_> {
    /// Returns the headers for the server.
    ///
    /// # Errors
    /// Fails if a header cannot contain a value of the authorizer.
    fn headers(&self, cookies: bool) -> Result<HeaderMap> {
        let mut headers = end_to_end(&self.request.headers, &REPLACED);
        let forged: Vec<_> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
        if !cookies {
            headers.remove(COOKIE);
        }
        for (name, value) in self.caller {
            let (name, value) = (format!("{PREFIX}{}", kebab_case(name)), text(value));
            let value = HeaderValue::from_bytes(value.as_bytes());
            headers.insert(
                HeaderName::try_from(&name)?,
                value.with_context(|| format!("{name} cannot contain this value"))?,
            );
        }
        headers.insert(FORWARDED, self.forwarded()?);
        Ok(headers)
    }

    /// Returns the `Forwarded` header (RFC 7239).
    fn forwarded(&self) -> Result<HeaderValue> {
        let client = match self.source_ip {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let host = self.request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.filter(|host| !host.contains(['"', '\\'])).unwrap_or_default();
        Ok(HeaderValue::try_from(format!("for={client};host=\"{host}\";proto={}", self.scheme))?)
    }
}

/// Returns the error for the log: the server, and the last cause.
fn failed(server: &Server, error: &anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<LengthLimitError>().is_some() {
        return anyhow!("the response of {server} is larger than {MAX_BODY} bytes");
    }
    anyhow!("{server} did not respond: {}", error.root_cause())
}

/// Returns the headers that are not about the connection, and not in `others`.
fn end_to_end(headers: &HeaderMap, others: &[HeaderName]) -> HeaderMap {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|list| list.to_str().ok());
    let named: Vec<_> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    let is_dropped = |name: &HeaderName| {
        HOP_BY_HOP.contains(name)
            || others.contains(name)
            || named.iter().any(|named| named.eq_ignore_ascii_case(name.as_str()))
    };
    let kept = headers.iter().filter(|(name, _)| !is_dropped(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns `true` if a server can read this header as one of ours. CGI and WSGI make no difference between `-` and `_`
/// in a name, and PHP makes none between `-` and any other sign.
fn is_ours(name: &HeaderName) -> bool {
    let is_sign = |character: char| !character.is_ascii_alphanumeric();
    name.as_str().replace(is_sign, "-").starts_with(PREFIX)
}

/// Returns `user-id` for `userId`.
fn kebab_case(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            words.push('-');
        }
        words.push(character.to_ascii_lowercase());
    }
    words
}

/// Returns a text as it is, and every other value as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use serde_json::json;

    use super::*;

    /// Returns the headers that the server gets, sorted, each as `name: value`.
    fn headers(sent: &[(&str, &str)], caller: &Value, cookies: bool, source_ip: IpAddr) -> Result<Vec<String>> {
        let mut request = Request::get("/orders").header("host", "localhost:4000");
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        let caller = caller.as_object().unwrap();
        let forwarded = Forwarded { request: &request, body: Bytes::new(), caller, source_ip, scheme: "https" };
        let headers = forwarded.headers(cookies)?;
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        let mut lines: Vec<_> = headers.iter().map(line).collect();
        lines.sort();
        Ok(lines)
    }

    const FORWARDED_LINE: &str = "forwarded: for=127.0.0.1;host=\"localhost:4000\";proto=https";

    #[test]
    fn each_value_of_the_authorizer_is_a_header() {
        let caller =
            json!({ "id": "0", "userId": "김", "sessionId": "s", "roles": ["a", "b"], "age": 7, "isOld": false });
        let expected = [
            FORWARDED_LINE,
            "x-latchkey-age: 7",
            "x-latchkey-id: 0",
            "x-latchkey-is-old: false",
            "x-latchkey-roles: [\"a\",\"b\"]",
            "x-latchkey-session-id: s",
            "x-latchkey-user-id: 김",
        ];
        assert_eq!(headers(&[], &caller, false, Ipv4Addr::LOCALHOST.into()).unwrap(), expected);
    }

    #[test]
    fn a_client_cannot_set_a_header_with_our_prefix() {
        let forged = [
            ("x-latchkey-id", "1"),
            ("X-Latchkey-Id", "2"),
            ("x-latchkey-roles", "admin"),
            ("x-latchkey-other", "3"),
            ("x_latchkey_roles", "admin"),
            ("x.latchkey.roles", "admin"),
            ("X_Latchkey-Roles", "admin"),
            ("connection", "x-latchkey-id"),
            ("x-latchke", "theirs"),
        ];
        let lines = headers(&forged, &json!({ "id": "0" }), true, Ipv4Addr::LOCALHOST.into()).unwrap();
        assert_eq!(lines, [FORWARDED_LINE, "x-latchke: theirs", "x-latchkey-id: 0"]);
    }

    #[test]
    fn headers_of_the_connection_and_of_a_proxy_are_not_forwarded() {
        let sent = [
            ("connection", "close, X-Private"),
            ("connection", "x-other"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic a"),
            ("te", "trailers"),
            ("trailer", "x-end"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
            ("content-length", "7"),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("accept", "text/html"),
            ("accept", "text/plain"),
        ];
        let expected =
            ["accept: text/html", "accept: text/plain", "forwarded: for=\"[::1]\";host=\"localhost:4000\";proto=https"];
        assert_eq!(headers(&sent, &json!({}), false, Ipv6Addr::LOCALHOST.into()).unwrap(), expected);
    }

    #[test]
    fn cookies_are_forwarded_only_on_request_and_authorization_always() {
        let sent = [("cookie", "access_jwt=a; theme=dark"), ("cookie", "device=d"), ("authorization", "Bearer a")];
        let with = |cookies| headers(&sent, &json!({}), cookies, Ipv4Addr::LOCALHOST.into()).unwrap();
        assert_eq!(with(false), ["authorization: Bearer a", FORWARDED_LINE]);
        let expected =
            ["authorization: Bearer a", "cookie: access_jwt=a; theme=dark", "cookie: device=d", FORWARDED_LINE];
        assert_eq!(with(true), expected);
    }

    #[test]
    fn a_value_that_no_header_can_contain_is_an_error() {
        let error = headers(&[], &json!({ "userId": "a\nb" }), false, Ipv4Addr::LOCALHOST.into()).unwrap_err();
        assert_eq!(error.to_string(), "x-latchkey-user-id cannot contain this value");
    }
}
