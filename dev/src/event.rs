//! Events with valid tokens. The tokens in `events/` are placeholders, because tokens expire.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::people::{KIM, Login};
use crate::target::Target;
use crate::token;

/// An event of `events/`.
pub(crate) struct Event {
    name: String,
    event: Value,
}

/// Returns the event `events/<name>.json` with the cookies of a new login of `kimcoding`.
///
/// # Errors
/// Fails if the event does not exist, or if the stack does not respond.
pub async fn with_valid_cookies(root: &Path, name: &str, url: Option<&str>) -> Result<String> {
    let event = Event::read(root, name)?;
    let event = event.live(&Target::find(root, url)?, &Login::of(KIM)).await?;
    Ok(serde_json::to_string_pretty(&event)?)
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// Fails if the event does not exist. The error lists the names of all events.
    pub(crate) fn read(root: &Path, name: &str) -> Result<Self> {
        let name = name.strip_suffix(".json").unwrap_or(name).to_owned();
        let names = names(&root.join("events"))?;
        if !names.contains(&name) {
            bail!("there is no event `{name}`. The events are: {}", names.join(", "));
        }
        let text = fs::read_to_string(root.join(format!("events/{name}.json")))?;
        let event = serde_json::from_str(&text).with_context(|| format!("events/{name}.json is not JSON"))?;
        Ok(Self { name, event })
    }

    /// Returns the function that the event is for. The name of the event starts with it: `sessions-end` is for
    /// `sessions`.
    pub(crate) fn function(&self) -> &str {
        self.name.split('-').next().unwrap_or(&self.name)
    }

    /// Returns the event of this login from another source address.
    pub(crate) fn of_login(self, login: &Login, source_ip: &str, cookie: Option<&str>) -> Value {
        let mut event = self.event;
        event["body"] = json!(login.form());
        event["requestContext"]["http"]["sourceIp"] = json!(source_ip);
        if let Some(cookie) = cookie {
            event["cookies"] = json!([cookie]);
        }
        event
    }

    /// Returns the password that this event changes, or `None` if it changes no password.
    pub(crate) fn current_password(&self) -> Option<String> {
        self.field("currentPassword")
    }

    /// Replaces the placeholders: the cookies by those of a new login, and the id of a session by that of another new
    /// session of the same user.
    ///
    /// # Errors
    /// Fails if the stack does not respond, or if it does not sign the user in.
    pub(crate) async fn live(mut self, target: &Target, login: &Login) -> Result<Value> {
        if self.event.get("cookies").is_some() {
            self.event["cookies"] = json!(target.sign_in(login).await?);
        }
        let in_path = self.event["pathParameters"]["id"].as_str().map(str::to_owned);
        if let Some(placeholder) = in_path.or_else(|| self.field("id")) {
            self.replace(&placeholder, &token::session_id(&target.sign_in(login).await?)?);
        }
        Ok(self.event)
    }

    /// Returns a field of the body, which is JSON or a form.
    fn field(&self, name: &str) -> Option<String> {
        let body = self.body()?;
        let fields: Value = serde_json::from_str(&body).ok().or_else(|| serde_urlencoded::from_str(&body).ok())?;
        Some(fields[name].as_str()?.to_owned())
    }

    /// Returns the body as text. API Gateway encodes a form as base64.
    fn body(&self) -> Option<String> {
        let body = self.event["body"].as_str()?;
        if self.event["isBase64Encoded"] == true {
            String::from_utf8(STANDARD.decode(body).ok()?).ok()
        } else {
            Some(body.to_owned())
        }
    }

    /// Replaces an id in the path and in the body.
    fn replace(&mut self, placeholder: &str, id: &str) {
        let body = self.body().map(|body| body.replace(placeholder, id));
        for pointer in ["/rawPath", "/requestContext/http/path", "/pathParameters/id"] {
            if let Some(Value::String(text)) = self.event.pointer_mut(pointer) {
                *text = text.replace(placeholder, id);
            }
        }
        if let Some(body) = body {
            let is_encoded = self.event["isBase64Encoded"] == true;
            self.event["body"] = json!(if is_encoded { STANDARD.encode(body) } else { body });
        }
    }
}

/// Returns the names of all events.
fn names(folder: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let names = paths.filter_map(|path| Some(path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str) -> Event {
        Event::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), name).unwrap()
    }

    #[test]
    fn a_field_is_found_in_json_and_in_a_form() {
        for name in ["password", "password-form"] {
            assert_eq!(recorded(name).current_password().as_deref(), Some("1234"), "{name}");
        }
        for name in ["login", "login-form", "sessions-end-form", "userinfo", "logout-form"] {
            assert_eq!(recorded(name).current_password(), None, "{name}");
        }
    }

    #[test]
    fn the_id_of_a_session_is_replaced_in_the_path_and_in_a_form() {
        for (name, pointer) in [("sessions-end", "/rawPath"), ("sessions-end-form", "/body")] {
            let mut event = recorded(name);
            event.replace("AAAAAAAAAAAAAAAAAAAAAA", "the-new-id");
            let text = event.body().unwrap_or_else(|| event.event.pointer(pointer).unwrap().to_string());
            assert!(text.contains("the-new-id") && !text.contains("AAAA"), "{name}: {text}");
        }
    }
}
