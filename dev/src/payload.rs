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

use crate::route_key::RouteKey;

/// Returns the event of a request.
pub(crate) fn event(route: &RouteKey, request: &Parts, body: &[u8], source_ip: IpAddr, id: &str) -> Value {
    let (method, path) = (request.method.as_str(), request.uri.path());
    let headers = &request.headers;
    let route_key = route.to_string();
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
            "time": time(now),
            "timeEpoch": now.unix_timestamp() * 1000 + i64::from(now.millisecond()),
        },
        "isBase64Encoded": false,
    });
    let parameters = route.parameters(path);
    if !parameters.is_empty() {
        event["pathParameters"] = json!(parameters);
    }
    let query = query(request.uri.query().unwrap_or_default());
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query);
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

/// Returns the decoded parameters. The values of a repeated parameter are joined with a comma.
fn query(query: &str) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut parameters = BTreeMap::<String, String>::new();
    for (name, value) in pairs {
        let joined = parameters.get(&name).map(|earlier| format!("{earlier},{value}"));
        parameters.insert(name, joined.unwrap_or(value));
    }
    parameters
}

/// Returns a time in the form of API Gateway: `23/Nov/2026:09:28:36 +0000`.
fn time(now: OffsetDateTime) -> String {
    let month = now.month().to_string();
    let (day, month, year) = (now.day(), month.get(..3).unwrap_or_default(), now.year());
    format!("{day:02}/{month}/{year}:{:02}:{:02}:{:02} +0000", now.hour(), now.minute(), now.second())
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
    headers: Option<BTreeMap<String, Value>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Returns the response of a function of a developer, without its CORS headers. JSON without a `statusCode` is the body
/// of a response with 200, as in API Gateway.
///
/// # Errors
/// Fails if the answer is no response, or if it is the error of a function. AWS's Runtime Interface Emulator does not
/// mark errors in another way.
pub(crate) fn any_response(answer: &[u8]) -> Result<Response<Full<Bytes>>> {
    let Ok(json) = serde_json::from_slice::<Value>(answer) else { bail!("the function returned no JSON") };
    if json.get("statusCode").is_some() {
        return response(answer);
    }
    if json.get("errorType").is_some() && json.get("errorMessage").is_some() {
        bail!("the function failed");
    }
    let body = json.as_str().map_or_else(|| answer.to_vec(), |text| text.as_bytes().to_vec());
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
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
    if response.status().is_informational() {
        bail!("the function returned the status {}", answer.status_code);
    }
    for (name, value) in answer.headers.unwrap_or_default() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        response.headers_mut().append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    for line in answer.cookies.unwrap_or_default() {
        response.headers_mut().append(SET_COOKIE, HeaderValue::try_from(line)?);
    }
    without_cors(response.headers_mut());
    Ok(response)
}

/// Removes the CORS headers of a response. API Gateway sets its own.
pub(crate) fn without_cors(headers: &mut HeaderMap) {
    let is_cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let cors: Vec<_> = headers.keys().filter(is_cors).cloned().collect();
    for name in cors {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper::Request;

    use super::*;

    /// The fields that a function of a developer reads, and that ours do not read.
    #[test]
    fn an_event_has_parameters_and_a_time_as_in_api_gateway() {
        let request = Request::get("/orders/a/b?tag=x&tag=y%2Cz&empty=&name=%EA%B9%80").body(()).unwrap();
        let key = RouteKey::new("ANY", "/orders/{proxy+}");
        let event = event(&key, &request.into_parts().0, b"", [127, 0, 0, 1].into(), "id");
        assert_eq!(event["queryStringParameters"], json!({ "tag": "x,y,z", "empty": "", "name": "김" }));
        assert_eq!(event["pathParameters"], json!({ "proxy": "a/b" }));
        assert_eq!(event["routeKey"], "ANY /orders/{proxy+}");
        assert!(event["requestContext"].get("authorizer").is_none());
        let moment = OffsetDateTime::from_unix_timestamp(1_795_426_116).unwrap();
        assert_eq!(time(moment), "23/Nov/2026:09:28:36 +0000");
        assert_eq!(event["requestContext"]["time"].as_str().unwrap().len(), time(moment).len());
    }

    async fn answered(answer: &str) -> Result<(u16, Vec<String>, String)> {
        let (parts, body) = any_response(answer.as_bytes())?.into_parts();
        let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Ok((parts.status.as_u16(), parts.headers.iter().map(line).collect(), body))
    }

    #[tokio::test]
    async fn an_answer_without_a_status_is_the_body() {
        let json = vec!["content-type: application/json".to_owned()];
        for (answer, body) in [(r#"{"a": 1}"#, r#"{"a": 1}"#), ("\"hello\"", "hello"), ("[1]", "[1]"), ("null", "null")]
        {
            assert_eq!(answered(answer).await.unwrap(), (200, json.clone(), body.to_owned()));
        }
    }

    #[tokio::test]
    async fn headers_of_an_answer_may_be_null_or_numbers() {
        let answer = r#"{"statusCode":201,"headers":{"X-Count":7},"cookies":null,"body":null}"#;
        assert_eq!(answered(answer).await.unwrap(), (201, vec!["x-count: 7".to_owned()], String::new()));
        let answer = r#"{"statusCode":204,"headers":null,"cookies":["a=1","b=2"]}"#;
        let cookies = ["set-cookie: a=1", "set-cookie: b=2"].map(str::to_owned).to_vec();
        assert_eq!(answered(answer).await.unwrap(), (204, cookies, String::new()));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_response_is_an_error() {
        for answer in [
            "",
            "text",
            r#"{"statusCode":"ok"}"#,
            r#"{"errorType":"ValueError","errorMessage":"a"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":101}"#,
            r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#,
            r#"{"statusCode":200,"headers":{"a b":"1"}}"#,
            r#"{"statusCode":200,"headers":{"a":"1\n2"}}"#,
        ] {
            assert!(answered(answer).await.is_err(), "{answer}");
        }
    }
}
