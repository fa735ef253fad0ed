//! The JSON that API Gateway and a function exchange: payload version 2.0.
//!
//! An HTTP request becomes an event, and the answer of a function becomes an HTTP response. An event is JSON and can
//! carry every byte that a client sends. A header with other bytes than UTF-8 is read as ISO-8859-1. The values of our
//! cookies are ASCII, so they arrive unchanged.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::template::Route;

/// Returns the event of a request. It does not have the fields that no function reads, such as `queryStringParameters`:
/// the functions read the parameters from `rawQueryString`.
pub(crate) fn event(route: &Route, request: &Parts, body: &[u8], source_ip: IpAddr, id: &str) -> Value {
    let (method, path) = (request.method.as_str(), request.uri.path());
    let headers = &request.headers;
    let route_key = format!("{} {}", route.method, route.path);
    let host = headers.get(HOST).map(text).unwrap_or_default();
    let domain = host.rsplit_once(':').map_or(host.as_str(), |(name, _port)| name);
    let now = OffsetDateTime::now_utc();
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": request.uri.query().unwrap_or_default(),
        "headers": joined(headers),
        "requestContext": {
            "accountId": "local",
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": method,
                "path": path,
                "protocol": format!("{:?}", request.version),
                "sourceIp": source_ip,
                "userAgent": headers.get(USER_AGENT).map(text),
            },
            "requestId": id,
            "routeKey": route_key,
            "stage": "$default",
            "timeEpoch": now.unix_timestamp() * 1000 + i64::from(now.millisecond()),
        },
        "isBase64Encoded": false,
    });
    let parameters = route.parameters(path);
    if !parameters.is_empty() {
        event["pathParameters"] = json!(parameters);
    }
    if headers.contains_key(COOKIE) {
        event["cookies"] = json!(cookies(headers));
    }
    if !body.is_empty() {
        let as_text = std::str::from_utf8(body).ok().filter(|_| is_text(headers));
        event["isBase64Encoded"] = as_text.is_none().into();
        event["body"] = as_text.map_or_else(|| STANDARD.encode(body), str::to_owned).into();
    }
    event
}

/// Returns all headers except `Cookie`. The values of a repeated header are joined with a comma.
fn joined(headers: &HeaderMap) -> Map<String, Value> {
    let others = headers.keys().filter(|name| *name != COOKIE);
    let joined = others.map(|name| {
        let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
        (name.as_str().to_owned(), values.join(",").into())
    });
    joined.collect()
}

/// Returns the pairs of all `Cookie` lines, in their order.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines: Vec<_> = headers.get_all(COOKIE).iter().map(text).collect();
    let pairs = lines.iter().flat_map(|line| line.split(';')).map(|pair| pair.trim_matches([' ', '\t']));
    pairs.filter(|pair| !pair.is_empty()).map(str::to_owned).collect()
}

fn text(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

/// Returns `true` for the media types that API Gateway does not encode as base64. A form is not one of them.
fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(text).unwrap_or_default().to_ascii_lowercase();
    let texts = ["text/", "application/json", "application/javascript", "application/xml"];
    texts.iter().any(|start| media_type.starts_with(start))
}

/// The answer of a function. Payload version 2.0 has no `multiValueHeaders`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Returns the response of a function, without its CORS headers.
///
/// # Errors
/// Fails if the invocation failed, or if the answer is no response.
pub(crate) fn response(answer: &[u8]) -> Result<Response<Full<Bytes>>> {
    let Ok(answer) = serde_json::from_slice::<Answer>(answer) else { bail!("the function returned no response") };
    let body = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded { STANDARD.decode(body)? } else { body.into_bytes() };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status_code)?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name)?;
        if !name.as_str().starts_with("access-control-") {
            response.headers_mut().append(name, HeaderValue::try_from(value)?);
        }
    }
    for line in answer.cookies {
        response.headers_mut().append(SET_COOKIE, HeaderValue::try_from(line)?);
    }
    Ok(response)
}
