//! Chromium, controlled through chromedriver.

use std::process::Stdio;
use std::time::Duration;

use dev::processes::Process;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use testbed::local_stack::free_port;
use testbed::workspace::root;
use tokio::net::TcpStream;
use tokio::process::Command;

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

/// Starts a driver and a browser, and returns both with the folder of the new profile.
pub(crate) async fn start_browser() -> (Process, Client, tempfile::TempDir) {
    let port = free_port();
    let profile = tempfile::tempdir_in(root().join("target").canonicalize().unwrap()).unwrap();
    let mut driver = Command::new("chromedriver");
    driver.arg(format!("--port={port}")).stdout(Stdio::null());
    let driver = Process::start("chromedriver", &mut driver).unwrap();
    let folder = format!("--user-data-dir={}", profile.path().display());
    let flags: Vec<_> = FLAGS.into_iter().chain([folder.as_str()]).collect();
    let capabilities = json!({ "acceptInsecureCerts": true, "goog:chromeOptions": { "args": flags } });
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
