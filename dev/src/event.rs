//! Events with valid tokens. The tokens in `events/` are placeholders, because tokens expire.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use reqwest::Certificate;
use reqwest::header::SET_COOKIE;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::people::KIM;
use crate::running;

/// Signs in to the local stack at `url` and returns the event `events/<name>.json` with the cookies of this login.
///
/// # Errors
/// Fails if the event does not exist, or if the local stack does not run at `url`.
pub async fn with_valid_cookies(root: &Path, name: &str, url: &str, certificate: &Path) -> Result<String> {
    let folder = root.join("events");
    let Ok(event) = fs::read_to_string(folder.join(name).with_extension("json")) else {
        bail!("there is no event `{name}`. The events are: {}", names(&folder)?.join(", "));
    };
    let mut event: Value = serde_json::from_str(&event)?;
    if event.get("cookies").is_some() {
        event["cookies"] = json!(cookies(url, certificate).await?);
    }
    Ok(serde_json::to_string_pretty(&event)?)
}

/// Returns the names of all events.
fn names(folder: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let mut names: Vec<_> = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Returns a client that trusts the certificate of the local stack and follows no redirect.
pub(crate) fn client(certificate: &Path) -> Result<reqwest::Client> {
    let mut client = reqwest::Client::builder().redirect(Policy::none()).no_proxy();
    if let Ok(pem) = fs::read(certificate) {
        client = client.add_root_certificate(Certificate::from_pem(&pem)?);
    }
    Ok(client.build()?)
}

/// Signs in and returns the cookies of the login, each as `name=value`.
pub(crate) async fn cookies(url: &str, certificate: &Path) -> Result<Vec<String>> {
    let form = json!({ "loginInfo": { "userId": KIM.user_id, "password": KIM.password }, "checkedKeepLogin": true });
    let login = client(certificate)?.post(format!("{url}/login")).header("content-type", "application/json");
    let response = login.body(form.to_string()).send().await;
    let response = response.with_context(|| running::not_running(url))?;
    let cookies = cookies_of(&response);
    if cookies.is_empty() {
        bail!("{url}/login returned {} for {}", response.status(), KIM.user_id);
    }
    Ok(cookies)
}

/// Returns the cookies of the `Set-Cookie` headers, each as `name=value`.
pub(crate) fn cookies_of(response: &reqwest::Response) -> Vec<String> {
    let lines = response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.filter_map(|line| line.split(';').next()).map(str::to_owned).collect()
}
