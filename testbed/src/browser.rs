//! Chromium, controlled through chromedriver.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dev::processes::Process;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::local_stack::free_port;
use crate::workspace::root;

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=800,600",
];

/// The options of a browser.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrowserOptions<'a> {
    /// Records the events of the `DevTools` domains Network and Page, for [`recorded_events`].
    pub record_events: bool,
    /// Blocks the scripts of all pages.
    pub without_scripts: bool,
    /// The languages of the person, the preferred one first. English without it.
    pub languages: Option<&'static str>,
    /// The configuration of the fonts, in place of the one of the system.
    pub fonts: Option<&'a Path>,
    /// Where hosts are, in place of DNS: the rules of the flag `--host-resolver-rules`.
    pub hosts: Option<&'a str>,
}

/// Starts a driver and a browser, and returns both with the folder of the new profile.
pub async fn start_browser() -> (Process, Client, TempDir) {
    start_browser_with(BrowserOptions::default()).await
}

/// Starts a browser as [`start_browser`] does, with options.
pub async fn start_browser_with(options: BrowserOptions<'_>) -> (Process, Client, TempDir) {
    let port = free_port();
    let profile = tempfile::tempdir_in(root().join("target").canonicalize().unwrap()).unwrap();
    let mut driver = Command::new("chromedriver");
    driver.arg(format!("--port={port}")).stdout(Stdio::null());
    driver.envs(options.fonts.map(|file| ("FONTCONFIG_FILE", file)));
    let driver = Process::start("chromedriver", &mut driver).unwrap();
    let folder = format!("--user-data-dir={}", profile.path().display());
    let hosts = options.hosts.map(|rules| format!("--host-resolver-rules={rules}"));
    let flags: Vec<_> = FLAGS.into_iter().chain([folder.as_str()]).chain(hosts.as_deref()).collect();
    // 1 allows scripts, and 2 blocks them.
    let preferences = json!({
        "intl.accept_languages": options.languages.unwrap_or("en-US,en"),
        "profile.managed_default_content_settings.javascript": if options.without_scripts { 2 } else { 1 },
    });
    let capabilities = json!({
        "acceptInsecureCerts": true,
        "goog:chromeOptions": { "args": flags, "prefs": preferences },
        "goog:loggingPrefs": { "browser": "ALL", "performance": if options.record_events { "ALL" } else { "OFF" } },
    });
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities(capabilities.as_object().unwrap().clone());
    let url = format!("http://127.0.0.1:{port}");
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return (driver, builder.connect(&url).await.unwrap(), profile);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("chromedriver does not answer within ten seconds");
}

/// Returns the names of all cookies, sorted.
pub async fn cookie_names(browser: &Client) -> Vec<String> {
    let cookies = browser.get_all_cookies().await.unwrap();
    let mut names: Vec<_> = cookies.iter().map(|cookie| cookie.name().to_owned()).collect();
    names.sort();
    names
}

/// Sends a command of the Chrome `DevTools` Protocol, and returns its result.
pub async fn devtools(browser: &Client, method: &str, parameters: Value) -> Value {
    let command = Extension { path: "goog/cdp/execute", body: json!({ "cmd": method, "params": parameters }) };
    browser.issue_cmd(command).await.unwrap()
}

/// Returns the events of the `DevTools` domains Network and Page since the last call.
pub async fn recorded_events(browser: &Client) -> Vec<Value> {
    let event = |entry: &Value| {
        let mut entry: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
        entry["message"].take()
    };
    log(browser, "performance").await.iter().map(event).collect()
}

/// Returns the entries of a log since the last call: `browser` is the console, and `performance` has the requests.
pub async fn log(browser: &Client, name: &str) -> Vec<Value> {
    let log = browser.issue_cmd(Extension { path: "se/log", body: json!({ "type": name }) }).await.unwrap();
    log.as_array().unwrap().clone()
}

/// A command of chromedriver that `WebDriver` does not have.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base_url.join(&format!("session/{}/{}", session_id.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
