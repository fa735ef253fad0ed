//! Sends an event of `events/` to a function of the running stack, with real tokens.
//!
//! The event goes to the function itself, in the form in which API Gateway sends it. It does not pass the local
//! gateway.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::Event;
use crate::people::{KIM, Login};
use crate::target::Target;
use crate::terminal;

/// The functions of a running stack.
pub(crate) struct Functions {
    address: SocketAddr,
    client: reqwest::Client,
}

/// A response in the form in which a function returns it to API Gateway.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reply {
    #[serde(rename = "statusCode")]
    pub(crate) status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    body: Option<String>,
}

/// Sends the event `name` with the cookies of a new login of `kimcoding`. Returns the response as text. An event that
/// changes a password gets a new user, so that the demonstration users keep their passwords.
///
/// # Errors
/// Fails if the event does not exist, if the stack does not run in this checkout, or if the function fails.
pub async fn invoke(root: &Path, name: &str, url: Option<&str>) -> Result<String> {
    let event = Event::read(root, name)?;
    let target = Target::find(root, url)?;
    let functions = target.functions()?;
    let function = event.function().to_owned();
    let login = match event.current_password() {
        Some(password) => target.add_guest(&password).await?,
        None => Login::of(KIM),
    };
    let reply = functions.invoke(&function, &event.live(&target, &login).await?).await?;
    match serde_json::from_value::<Reply>(reply.clone()) {
        Ok(reply) => Ok(reply.to_text()),
        // The response of the authorizer.
        Err(_) => Ok(serde_json::to_string_pretty(&reply)?),
    }
}

impl Functions {
    pub(crate) fn at(address: SocketAddr, client: reqwest::Client) -> Self {
        Self { address, client }
    }

    /// Sends an event to a function and returns what the function returns.
    ///
    /// # Errors
    /// Fails if the function does not exist or reports an error.
    pub(crate) async fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        // The path of Lambda's `Invoke` operation, which `cargo lambda watch` serves.
        let url = format!("http://{}/2015-03-31/functions/{function}/invocations", self.address);
        let response = self.client.post(url).body(event.to_string()).send().await;
        let response = response.with_context(|| format!("the function {function} does not respond"))?;
        let status = response.status();
        let body: Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        if !status.is_success() {
            bail!("the function {function} failed ({status}): {}", body["errorMessage"].as_str().unwrap_or_default());
        }
        Ok(body)
    }
}

impl Reply {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(Value::as_str)
    }

    /// Returns the cookies, each as `name=value`.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = &str> {
        self.cookies.iter().filter_map(|line| line.split(';').next())
    }

    /// Returns status, headers and body, as HTTP/1.1 writes them.
    fn to_text(&self) -> String {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let status = format!("{} {}", self.status, reason.unwrap_or_default());
        let mut text = format!("{}\n", terminal::with_coloured_status(status.trim_end()));
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
        for (name, value) in headers.chain(self.cookies.iter().map(|cookie| ("set-cookie", cookie.as_str()))) {
            writeln!(text, "{name}: {value}").ok();
        }
        if let Some(body) = self.body.as_deref().filter(|body| !body.is_empty()) {
            write!(text, "\n{body}").ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_is_written_like_http() {
        let reply = json!({
            "statusCode": 200,
            "headers": { "content-type": "application/json" },
            "multiValueHeaders": {},
            "cookies": ["access_jwt=ey; Path=/", "refresh_jwt=ey; Path=/"],
            "body": "{\"id\":\"0\"}",
            "isBase64Encoded": false,
        });
        let reply: Reply = serde_json::from_value(reply).unwrap();
        let expected = "\u{1b}[32m200\u{1b}[0m OK\ncontent-type: application/json\nset-cookie: access_jwt=ey; Path=/\n\
                        set-cookie: refresh_jwt=ey; Path=/\n\n{\"id\":\"0\"}";
        assert_eq!(reply.to_text(), expected);
        assert_eq!(reply.cookies().collect::<Vec<_>>(), ["access_jwt=ey", "refresh_jwt=ey"]);
    }

    #[test]
    fn a_reply_may_have_neither_headers_nor_a_body() {
        for reply in [json!({ "statusCode": 205 }), json!({ "statusCode": 205, "headers": {}, "body": "" })] {
            let reply: Reply = serde_json::from_value(reply).unwrap();
            assert_eq!(reply.to_text(), "\u{1b}[32m205\u{1b}[0m Reset Content\n");
        }
    }
}
