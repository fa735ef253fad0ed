//! Events with valid tokens. The tokens in `events/` are placeholders, because tokens expire.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
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
        let body: Value = serde_json::from_str(self.event["body"].as_str()?).ok()?;
        Some(body["currentPassword"].as_str()?.to_owned())
    }

    /// Replaces the placeholders: the cookies by those of a new login, and the id of a session by that of another new
    /// session of the same user.
    ///
    /// # Errors
    /// Fails if the stack does not respond, or if it does not sign the user in.
    pub(crate) async fn live(self, target: &Target, login: &Login) -> Result<Value> {
        let mut event = self.event;
        if event.get("cookies").is_some() {
            event["cookies"] = json!(target.sign_in(login).await?);
        }
        if let Some(placeholder) = event["pathParameters"]["id"].as_str().map(str::to_owned) {
            let id = token::session_id(&target.sign_in(login).await?)?;
            for pointer in ["/rawPath", "/requestContext/http/path", "/pathParameters/id"] {
                if let Some(Value::String(text)) = event.pointer_mut(pointer) {
                    *text = text.replace(&placeholder, &id);
                }
            }
        }
        Ok(event)
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
