//! API Gateway as a function sees it: an event in, a response out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::request::LambdaRequest;
use lambda_http::{Context, LambdaEvent, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::workspace;

/// An event of payload version 2.0. It is read from `events/`, and a test changes it.
#[derive(Clone, Debug)]
pub struct Event {
    json: Value,
    deadline: u64,
}

impl Event {
    /// Reads `events/<name>.json`.
    #[must_use]
    pub fn recorded(name: &str) -> Self {
        let event = workspace::read(&format!("events/{name}.json"));
        Self { json: serde_json::from_str(&event).unwrap(), deadline: 0 }
    }

    /// Returns an event that a gateway sent.
    #[must_use]
    pub fn sent(json: Value) -> Self {
        Self { json, deadline: 0 }
    }

    /// Sets the method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.json["requestContext"]["http"]["method"] = json!(method);
        self
    }

    /// Sets a header. The gateway sends names in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.json["headers"][name] = json!(value);
        self
    }

    /// Removes a header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.json["headers"].as_object_mut().unwrap().remove(name);
        self
    }

    /// Replaces all cookies. Each is `name=value`.
    #[must_use]
    pub fn cookies<C: Into<String>>(mut self, cookies: impl IntoIterator<Item = C>) -> Self {
        self.json["cookies"] = cookies.into_iter().map(Into::into).collect::<Vec<String>>().into();
        self
    }

    /// Removes all cookies.
    #[must_use]
    pub fn without_cookies(mut self) -> Self {
        self.json.as_object_mut().unwrap().remove("cookies");
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.json["body"] = json!(body.into());
        self.json["isBase64Encoded"] = json!(false);
        self
    }

    /// Sets method and path.
    #[must_use]
    pub fn at(mut self, method: &str, path: &str) -> Self {
        self.json["rawPath"] = json!(path);
        self.json["requestContext"]["http"]["path"] = json!(path);
        self.json["requestContext"]["routeKey"] = json!(format!("{method} {path}"));
        self.method(method)
    }

    /// Sets the headers of a browser in which a person opens an address. The body is empty.
    #[must_use]
    pub fn opened(self) -> Self {
        let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let event = self.header("accept", accept).header("sec-fetch-mode", "navigate");
        event
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "none")
            .without_header("content-type")
            .body("")
    }

    /// Sets the headers and the body of a browser in which a person sends a form of our own page.
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let event = self.opened().header("sec-fetch-site", "same-origin");
        event.form_body(serde_urlencoded::to_string(fields).unwrap())
    }

    /// Sets the body to a form. API Gateway encodes a form as base64.
    #[must_use]
    pub fn form_body(mut self, fields: impl AsRef<[u8]>) -> Self {
        self.json["body"] = json!(STANDARD.encode(fields));
        self.json["isBase64Encoded"] = json!(true);
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// Sets the query string.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        self.json["rawQueryString"] = json!(query);
        self
    }

    /// Sets the value at a JSON pointer.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.json.pointer_mut(parent).unwrap()[name] = value;
        self
    }

    /// Sets the deadline of the invocation, in milliseconds since 1970.
    #[must_use]
    pub fn deadline(mut self, deadline: u64) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the event as JSON.
    #[must_use]
    pub fn payload(&self) -> Value {
        self.json.clone()
    }

    /// Sends the event to a function. It is serialized and parsed, as in Lambda.
    pub async fn send<S>(&self, service: &mut S) -> Reply
    where
        S: Service<LambdaEvent<LambdaRequest>, Response: Serialize, Error = std::convert::Infallible>,
    {
        let payload: LambdaRequest = serde_json::from_slice(self.json.to_string().as_bytes()).unwrap();
        let mut context = Context::default();
        context.deadline = self.deadline;
        "8476a536-e9f4-11e8-9739-2dfe598c3fcd".clone_into(&mut context.request_id);
        let Ok(answer) = service.call(LambdaEvent::new(payload, context)).await;
        serde_json::from_slice(&serde_json::to_vec(&answer).unwrap()).unwrap()
    }

    /// Sends the event to an authorizer. Returns its decision, or `None` if the invocation fails. The event is
    /// serialized and parsed, as in Lambda.
    pub async fn authorize<S>(&self, service: &mut S) -> Option<Value>
    where
        S: Service<LambdaEvent<Value>, Response: Serialize>,
    {
        let payload = serde_json::from_slice(self.json.to_string().as_bytes()).unwrap();
        let answer = service.call(LambdaEvent::new(payload, Context::default())).await.ok()?;
        Some(serde_json::to_value(answer).unwrap())
    }
}

/// A response, as API Gateway receives it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The status.
    #[serde(rename = "statusCode")]
    pub status: u16,
    headers: Map<String, Value>,
    /// The `Set-Cookie` lines.
    #[serde(default)]
    pub cookies: Vec<String>,
    body: Option<String>,
}

impl Reply {
    /// Returns the value of a header, or `None` if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str().unwrap())
    }

    /// Returns the names of all headers except `Set-Cookie`, in lower case.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.keys().map(String::as_str)
    }

    /// Returns the status, and the address to which the response leads. The address is empty if there is none.
    #[must_use]
    pub fn leads_to(&self) -> (u16, &str) {
        (self.status, self.header("location").unwrap_or_default())
    }

    /// Returns the body. It is empty if it is absent.
    #[must_use]
    pub fn body(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }

    /// Parses the body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap()
    }

    /// Returns the value of a cookie that the response sets, or `None`.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let of_name = |line: &'_ String| line.starts_with(&format!("{name}="));
        let line = self.cookies.iter().find(|line| of_name(line))?;
        line[name.len() + 1..].split(';').next()
    }
}
