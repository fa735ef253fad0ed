//! An event with tokens that are good now: those in `events/` are placeholders, since a token expires.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use reqwest::Certificate;
use reqwest::header::SET_COOKIE;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::people::KIM;
use crate::running;

/// The event in `events/<name>.json` with the cookies of a demonstration user who signs in to the local stack at `url`.
///
/// # Errors
/// Where there is no such event, or the local stack does not run there.
pub async fn live(root: &Path, name: &str, url: &str, certificate: &Path) -> Result<String> {
    let folder = root.join("events");
    let Ok(event) = fs::read_to_string(folder.join(name).with_extension("json")) else {
        bail!("there is no event `{name}`, but there are: {}", names(&folder)?.join(", "));
    };
    let mut event: Value = serde_json::from_str(&event)?;
    if event.get("cookies").is_some() {
        event["cookies"] = json!(cookies(url, certificate).await?);
    }
    Ok(serde_json::to_string_pretty(&event)?)
}

/// The names of the events that there are.
fn names(folder: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let mut names: Vec<_> = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// A client that trusts the local stack and takes every answer as it is.
pub(crate) fn client(certificate: &Path) -> Result<reqwest::Client> {
    let mut client = reqwest::Client::builder().redirect(Policy::none()).no_proxy();
    if let Ok(pem) = fs::read(certificate) {
        client = client.add_root_certificate(Certificate::from_pem(&pem)?);
    }
    Ok(client.build()?)
}

/// The cookies of a login, each `name=value`.
pub(crate) async fn cookies(url: &str, certificate: &Path) -> Result<Vec<String>> {
    let form = json!({ "loginInfo": { "userId": KIM.user_id, "password": KIM.password }, "checkedKeepLogin": true });
    let login = client(certificate)?.post(format!("{url}/login")).header("content-type", "application/json");
    let answer = login.body(form.to_string()).send().await;
    let answer = answer.with_context(|| running::not_running(url))?;
    let cookies = cookies_of(&answer);
    if cookies.is_empty() {
        bail!("{url}/login answered {} to {}", answer.status(), KIM.user_id);
    }
    Ok(cookies)
}

/// What the `Set-Cookie` lines of an answer say, each `name=value`.
pub(crate) fn cookies_of(answer: &reqwest::Response) -> Vec<String> {
    let lines = answer.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.filter_map(|line| line.split(';').next()).map(str::to_owned).collect()
}
