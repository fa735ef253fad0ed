//! Chromium, controlled through chromedriver.

use std::process::Stdio;
use std::time::Duration;

use dev::processes::Process;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use testbed::local_stack::free_port;
use testbed::workspace::root;
use tokio::net::TcpStream;
use tokio::process::Command;
use url::{ParseError, Url};

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

/// What a person has set in the browser.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preferences {
    /// The languages, the preferred one first.
    pub(crate) languages: &'static str,
    /// Whether pages may run scripts.
    pub(crate) scripts: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { languages: "en-US,en", scripts: true }
    }
}

impl Preferences {
    /// Returns the settings of a profile of Chromium. 1 allows scripts, and 2 blocks them.
    fn profile(self) -> Value {
        let scripts = if self.scripts { 1 } else { 2 };
        json!({
            "intl.accept_languages": self.languages,
            "profile.managed_default_content_settings.javascript": scripts,
        })
    }
}

/// Starts a driver and a browser, and returns both with the folder of the new profile.
pub(crate) async fn start_browser() -> (Process, Client, tempfile::TempDir) {
    start_browser_with(Preferences::default()).await
}

/// Starts a driver and a browser with these preferences, and returns both with the folder of the new profile.
pub(crate) async fn start_browser_with(preferences: Preferences) -> (Process, Client, tempfile::TempDir) {
    let port = free_port();
    let profile = tempfile::tempdir_in(root().join("target").canonicalize().unwrap()).unwrap();
    let mut driver = Command::new("chromedriver");
    driver.arg(format!("--port={port}")).stdout(Stdio::null());
    let driver = Process::start("chromedriver", &mut driver).unwrap();
    let folder = format!("--user-data-dir={}", profile.path().display());
    let flags: Vec<_> = FLAGS.into_iter().chain([folder.as_str()]).collect();
    let capabilities = json!({
        "acceptInsecureCerts": true,
        "goog:chromeOptions": { "args": flags, "prefs": preferences.profile() },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
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
pub(crate) async fn cookie_names(browser: &Client) -> Vec<String> {
    let cookies = browser.get_all_cookies().await.unwrap();
    let mut names: Vec<_> = cookies.iter().map(|cookie| cookie.name().to_owned()).collect();
    names.sort();
    names
}

/// A command that chromedriver has beside those of `WebDriver`.
#[derive(Debug)]
pub(crate) struct DriverCommand {
    path: &'static str,
    body: Value,
}

impl DriverCommand {
    /// A command of the Chrome `DevTools` Protocol.
    pub(crate) fn devtools(method: &str, parameters: &Value) -> Self {
        Self { path: "goog/cdp/execute", body: json!({ "cmd": method, "params": parameters }) }
    }

    /// Returns the entries that were added to a log since the last call: `browser` is the console, and `performance`
    /// has the requests.
    pub(crate) fn log(name: &str) -> Self {
        Self { path: "se/log", body: json!({ "type": name }) }
    }
}

impl WebDriverCompatibleCommand for DriverCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
