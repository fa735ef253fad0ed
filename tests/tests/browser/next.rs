//! The page in `examples/next`: a server that reads the session.

use dev::people::KIM;
use dev::processes::Process;
use fantoccini::cookies::Cookie;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use testbed::browser::{cookie_names, start_browser};
use testbed::local_stack::{self, Options, free_port};
use testbed::workspace::root;
use tokio::process::Command;

use crate::example::generation;
use crate::npm;

/// A visitor signs in on the page of the service, through the rewrites of Next.js. The server of the page then reads
/// the session, renews it, and sees that it has ended.
#[tokio::test]
async fn the_next_example_reads_renews_and_ends_the_session_on_the_server() {
    let port = free_port();
    let page = format!("http://localhost:{port}/");
    let (_stack_process, stack) = local_stack::start(Options::default()).await;
    let _next = serve(port, &stack.url).await;
    let (_driver, browser, _profile) = start_browser().await;
    browser.goto(&page).await.unwrap();
    assert_eq!(heading(&browser).await, "Welcome");
    assert_eq!(greeting(&browser).await, json!([401, "no-store", "Not Authorized"]));

    browser.find(Locator::LinkText("Sign in")).await.unwrap().click().await.unwrap();
    let form = browser.wait().for_element(Locator::Css("form:has([name=password])")).await.unwrap();
    for (name, text) in [("userId", KIM.user_id), ("password", KIM.password)] {
        let input = form.find(Locator::Css(&format!("[name={name}]"))).await.unwrap();
        input.send_keys(text).await.unwrap();
    }
    form.find(Locator::Css("[name=checkedKeepLogin]")).await.unwrap().click().await.unwrap();
    form.find(Locator::Css("button[type=submit]")).await.unwrap().click().await.unwrap();
    let hello = format!("Hello, {}", KIM.name);
    until_heading(&browser, &hello).await;
    assert_eq!(browser.current_url().await.unwrap().as_str(), page);
    let body = json!({ "greeting": hello }).to_string();
    assert_eq!(greeting(&browser).await, json!([200, "private, no-store", body]));
    assert_eq!(generation(&browser).await, 1, "the server of the page renews no session with an access token");

    // The browser deletes the access cookie when the access token expires.
    browser.delete_cookie("access_jwt").await.unwrap();
    browser.refresh().await.unwrap();
    until_heading(&browser, &hello).await;
    assert_eq!(generation(&browser).await, 2, "one renewal, and the browser has its cookies");
    let access = browser.get_named_cookie("access_jwt").await.unwrap().value().to_owned();
    browser.delete_cookie("access_jwt").await.unwrap();
    assert_eq!(greeting(&browser).await, json!([200, "private, no-store", body]), "also for a route handler");
    assert_eq!(generation(&browser).await, 3);

    // A server component cannot pass new cookies on. With a renewal there, the browser would keep an old refresh token.
    add_access_cookie(&browser, "invalid").await;
    browser.refresh().await.unwrap();
    until_heading(&browser, "Welcome").await;
    assert_eq!(generation(&browser).await, 3);
    add_access_cookie(&browser, &access).await;
    browser.refresh().await.unwrap();
    until_heading(&browser, &hello).await;

    sign_out(&browser).await;
    let names = cookie_names(&browser).await;
    assert!(!names.iter().any(|name| name.ends_with("_jwt")), "{names:?}");
    add_access_cookie(&browser, &access).await;
    browser.refresh().await.unwrap();
    assert_eq!(heading(&browser).await, "Welcome", "the session has ended");
    assert_eq!(greeting(&browser).await[0], 401);
    browser.close().await.unwrap();
}

/// Serves the example with `next dev`. The server of the page trusts the certificate of the local stack.
async fn serve(port: u16, service: &str) -> Process {
    let folder = root().canonicalize().unwrap().join("examples/next");
    npm::install(&folder).await;
    let certificate = root().canonicalize().unwrap().join("target/dev/localhost.pem");
    let mut next = Command::new("node");
    next.current_dir(&folder).args(["node_modules/next/dist/bin/next", "dev", "--hostname", "localhost"]);
    next.args(["--port", &port.to_string()]).env("NEXT_TELEMETRY_DISABLED", "1");
    next.env("LATCHKEY_URL", service).env("NODE_EXTRA_CA_CERTS", certificate);
    npm::serve("next", &mut next, "Ready in").await
}

async fn add_access_cookie(browser: &Client, value: &str) {
    let cookie = Cookie::build(("access_jwt", value)).domain("localhost").path("/").secure(true).build();
    browser.add_cookie(cookie.into_owned()).await.unwrap();
}

async fn heading(browser: &Client) -> String {
    browser.wait().for_element(Locator::Css("h1")).await.unwrap().text().await.unwrap()
}

/// Waits until a page of Next.js has this heading. The first request compiles the page.
async fn until_heading(browser: &Client, text: &str) {
    let condition = format!("//main/h1[.={text:?}]");
    browser.wait().for_element(Locator::XPath(&condition)).await.unwrap();
}

/// Clicks until the session has ended. The button does nothing before its script has loaded.
async fn sign_out(browser: &Client) {
    let script = "
        const done = arguments[0], started = Date.now();
        (function click() {
          const text = document.querySelector('h1').textContent;
          if (text === 'Welcome' || Date.now() - started > 25_000) return done(text);
          document.querySelector('main button')?.click();
          setTimeout(click, 500);
        })();";
    let text = browser.execute_async(script, vec![]).await.unwrap();
    assert_eq!(text, "Welcome");
}

/// Calls the route handler of the example. Returns the status, `Cache-Control` and the body.
async fn greeting(browser: &Client) -> Value {
    let script = "
        const done = arguments[0];
        fetch('/greeting').then(async (response) => {
          done([response.status, response.headers.get('cache-control'), await response.text()]);
        }, (error) => done(String(error)));";
    browser.execute_async(script, vec![]).await.unwrap()
}
