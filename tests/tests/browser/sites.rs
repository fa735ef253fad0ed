//! On which sites a front end works, and how two stacks share a browser. Chromium finds the domains on this machine.

use dev::certificate::Certificate;
use dev::processes::Process;
use fantoccini::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::browser::{BrowserOptions, cookie_names, start_browser_with};
use testbed::contract::Stack;
use testbed::local_stack::{self, Options, free_port};
use testbed::workspace::root;

use crate::old_front_end::{ask, serve_page};

/// Host-only cookies are enough for a page on another host of the site. A page on another site cannot sign in.
#[tokio::test]
async fn a_page_on_the_same_site_signs_in_and_a_page_on_another_site_does_not() {
    let port = free_port();
    let page = |host: &str| format!("https://{host}:{port}");
    let (same_site, cross_site) = (page("app.example.com"), page("app.example.net"));
    let origins = format!("{same_site},{cross_site}");
    let options = Options { host_only: true, allowed_origin: Some(&origins), ..Options::default() };
    let (_stack_process, stack) = local_stack::start(options).await;
    serve_page(port, &Certificate::in_folder(&root().join("target/dev")).unwrap()).await;
    let (_driver, browser, _profile) = start().await;

    browser.goto(&same_site).await.unwrap();
    assert_eq!(login(&browser, &stack, "login.example.com").await, json!([200, "/userinfo"]));
    assert_eq!(userinfo(&browser, &stack, "login.example.com").await, 200);
    assert_eq!(cookie_names(&browser).await, Vec::<String>::new(), "the host of the page gets no cookies");
    browser.goto(&at(&stack, "login.example.com", "/userinfo")).await.unwrap();
    assert_eq!(cookie_names(&browser).await, ["__Host-access_jwt", "__Host-refresh_jwt"]);

    browser.goto(&page("other.example.com")).await.unwrap();
    let hidden = ask(&browser, "GET", at(&stack, "login.example.com", "/userinfo"), Value::Null).await;
    assert_eq!(hidden, "TypeError: Failed to fetch", "an origin that is not in the list");

    browser.goto(&cross_site).await.unwrap();
    assert_eq!(userinfo(&browser, &stack, "login.example.com").await, 401, "the browser sends no cookies");
    assert_eq!(login(&browser, &stack, "login.example.com").await, json!([401, "/userinfo"]));
    browser.close().await.unwrap();
}

/// With a cookie domain, a second stack below the same domain has cookies of the same names.
#[tokio::test]
async fn two_stacks_below_one_cookie_domain_sign_each_others_users_out() {
    let port = free_port();
    let page = |host: &str| format!("https://{host}:{port}");
    let (app, staging_app) = (page("app.example.com"), page("app.staging.example.com"));
    let options = Options { cookie_domain: Some("example.com"), allowed_origin: Some(&app), ..Options::default() };
    let (_process, production) = local_stack::start(options).await;
    let staging = Options {
        cookie_domain: Some("staging.example.com"),
        allowed_origin: Some(&staging_app),
        ..Options::default()
    };
    let (_staging_process, staging) = local_stack::start(staging).await;
    serve_page(port, &Certificate::in_folder(&root().join("target/dev")).unwrap()).await;
    let (_driver, browser, _profile) = start().await;

    browser.goto(&app).await.unwrap();
    assert_eq!(login(&browser, &production, "login.example.com").await, json!([200, "/userinfo"]));
    browser.goto(&page("api.example.com")).await.unwrap();
    assert_eq!(
        cookie_names(&browser).await,
        ["access_jwt", "refresh_jwt"],
        "every host of the domain gets the cookies"
    );

    browser.goto(&staging_app).await.unwrap();
    assert_eq!(cookie_names(&browser).await, ["access_jwt", "refresh_jwt"], "the other stack gets them, too");
    assert_eq!(login(&browser, &staging, "login.staging.example.com").await, json!([200, "/userinfo"]));
    browser.goto(&app).await.unwrap();
    assert_eq!(userinfo(&browser, &production, "login.example.com").await, 401, "the other login cleared the cookies");

    assert_eq!(login(&browser, &production, "login.example.com").await, json!([200, "/userinfo"]));
    browser.goto(&staging_app).await.unwrap();
    assert_eq!(userinfo(&browser, &staging, "login.staging.example.com").await, 401, "two cookies of one name");
    browser.goto(&app).await.unwrap();
    assert_eq!(userinfo(&browser, &production, "login.example.com").await, 401, "the other stack cleared both");
    browser.close().await.unwrap();
}

/// Starts a browser that finds the hosts of two domains on this machine.
async fn start() -> (Process, Client, TempDir) {
    let hosts = Some("MAP *.example.com 127.0.0.1,MAP *.example.net 127.0.0.1");
    start_browser_with(BrowserOptions { hosts, ..BrowserOptions::default() }).await
}

/// Returns the address of a path on the stack, under this name of this machine.
fn at(stack: &Stack, host: &str, path: &str) -> String {
    let (_, port) = stack.url.rsplit_once(':').unwrap();
    format!("https://{host}:{port}{path}")
}

/// Signs in from the page. Returns the status and the path of the last response.
async fn login(browser: &Client, stack: &Stack, host: &str) -> Value {
    let form = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" }, "checkedKeepLogin": true });
    let answer = ask(browser, "POST", at(stack, host, "/login"), form).await;
    json!([answer["status"], answer["path"]])
}

/// Returns the status of `GET /userinfo` from the page.
async fn userinfo(browser: &Client, stack: &Stack, host: &str) -> Value {
    ask(browser, "GET", at(stack, host, "/userinfo"), Value::Null).await["status"].take()
}
