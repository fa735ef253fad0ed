//! The page in `examples/web`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev::people::{KIM, PARK, Person};
use dev::processes::Process;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use testbed::browser::{cookie_names, start_browser};
use testbed::local_stack::{self, Options, free_port};
use testbed::workspace::read;
use tokio::process::Command;

use crate::vite::{self, Service};

/// The types of the page are correct, and its generated types are those of `openapi.yaml`.
#[tokio::test]
async fn the_types_of_the_example_are_current() {
    let mut check = Command::new("npm");
    check.current_dir(vite::example().await).args(["run", "check"]);
    Process::start("npm run check", &mut check).unwrap().finish().await.unwrap();
}

#[tokio::test]
async fn the_example_works_through_the_proxy_of_vite() {
    let port = free_port();
    let (_stack_process, stack) = local_stack::start(Options::default()).await;
    let _vite = vite::serve(port, Service::BehindProxy(&stack.url)).await;
    check(port, "").await;
}

/// The snippet of the README, on the page behind the proxy.
#[tokio::test]
async fn the_snippet_of_the_readme_signs_in() {
    let port = free_port();
    let (_stack_process, stack) = local_stack::start(Options::default()).await;
    let _vite = vite::serve(port, Service::BehindProxy(&stack.url)).await;
    let (_driver, browser, _profile) = start_browser().await;
    browser.goto(&url(port)).await.unwrap();
    let readme = read("README.md");
    let mut snippets = readme.split("```js\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let snippet = snippets.find(|snippet| snippet.contains("fetch(")).unwrap();
    let run = async |snippet: &str| {
        let script = format!(
            "const done = arguments[0], console = {{ log: done }};
            (async () => {{ {snippet} }})().catch((error) => done(String(error)));"
        );
        browser.execute_async(&script, vec![]).await.unwrap()
    };
    assert_eq!(run(snippet).await["userId"], KIM.user_id);
    let wrong = snippet.replace(KIM.password, "4321");
    assert_eq!(run(&wrong).await, "wrong name or password");
    for _ in 0..20 {
        let answer = run(&wrong).await;
        if let Some(rest) = answer.as_str().unwrap().strip_prefix("try again in ") {
            assert!(rest.strip_suffix(" s").unwrap().parse::<u32>().unwrap() > 0, "{rest}");
            browser.close().await.unwrap();
            return;
        }
    }
    panic!("20 wrong passwords were accepted");
}

#[tokio::test]
async fn the_example_works_without_a_proxy_on_plain_http() {
    let port = free_port();
    let page = url(port);
    let options = Options { allowed_origin: Some(&page), http: true, ..Options::default() };
    let (_stack_process, stack) = local_stack::start(options).await;
    let _vite = vite::serve(port, Service::At(&stack.url)).await;
    check(port, &stack.url).await;
}

/// A page on `http` and a service on `https` are different sites, even on one host. The browser keeps no cookies.
#[tokio::test]
async fn the_example_says_that_the_browser_does_not_send_the_cookies_to_another_site() {
    let port = free_port();
    let page = url(port);
    let options = Options { allowed_origin: Some(&page), ..Options::default() };
    let (_stack_process, stack) = local_stack::start(options).await;
    let _vite = vite::serve(port, Service::At(&stack.url)).await;
    let (_driver, browser, _profile) = start_browser().await;
    browser.goto(&page).await.unwrap();
    sign_in(&browser, KIM.user_id, KIM.password).await;
    until(&browser, "#sign-in .reason", "The password is right, but the browser does not send the cookies.").await;
    browser.close().await.unwrap();
}

/// The service stops while a user is signed in, and starts again.
#[tokio::test]
async fn an_outage_does_not_sign_the_user_out_of_the_example() {
    let (port, service) = (free_port(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = Options { data: Some(&data), ..Options::default() };
    let (stack_process, stack) = local_stack::start_at(service, options).await;
    let _vite = vite::serve(port, Service::BehindProxy(&stack.url)).await;
    let (_driver, browser, _profile) = start_browser().await;
    browser.goto(&url(port)).await.unwrap();
    sign_in(&browser, KIM.user_id, KIM.password).await;
    until(&browser, "#name", KIM.name).await;

    drop(stack_process);
    click(&browser, "#sign-out").await;
    until(&browser, "#notice", "You are still signed in. The service cannot answer right now. Try again.").await;
    // As if the user had switched to another tab and back.
    browser.execute("document.dispatchEvent(new Event('visibilitychange'))", vec![]).await.unwrap();
    until(&browser, "#notice", "The service cannot answer right now. The page tries again in 5 s.").await;
    until(&browser, "#name", KIM.name).await;

    let (_stack_process, _) = local_stack::start_at(service, options).await;
    until(&browser, "#notice", "").await;
    assert_eq!(cookie_names(&browser).await, ["access_jwt", "refresh_jwt"]);
    click(&browser, "#sign-out").await;
    until(&browser, "#notice", "You are signed out.").await;
    browser.close().await.unwrap();
}

/// Uses the page as a person does. `service` is empty if the service is on the page's own origin.
async fn check(port: u16, service: &str) {
    let (_driver, browser, _profile) = start_browser().await;
    browser.goto(&url(port)).await.unwrap();

    sign_in(&browser, KIM.user_id, "4321").await;
    until(&browser, "#sign-in .reason", "The user name or the password is wrong.").await;
    sign_in(&browser, KIM.user_id, KIM.password).await;
    until(&browser, "#name", KIM.name).await;
    assert_eq!(cookie_names(&browser).await, ["access_jwt", "refresh_jwt"]);
    let readable = "return document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })";
    assert_eq!(browser.execute(readable, vec![]).await.unwrap(), "{}", "no script can read a token");

    parallel_requests_share_one_renewal(&browser).await;
    sessions_are_listed_and_ended(&browser, service).await;
    a_sign_out_reaches_the_other_tab(&browser, port).await;
    the_password_is_changed(&browser).await;
    too_many_wrong_passwords_start_a_countdown(&browser).await;
    browser.close().await.unwrap();
}

/// Sends three requests after the access cookie has gone. The second 401 reaches the page while the session is being
/// renewed, and the third one after that.
async fn parallel_requests_share_one_renewal(browser: &Client) {
    let before = generation(browser).await;
    browser.delete_cookie("access_jwt").await.unwrap();
    let script = "
        const done = arguments[0], send = window.fetch, paths = [], release = {};
        const refused = new Promise((resolve) => { release.renewal = resolve; });
        const renewed = new Promise((resolve) => { release.third = resolve; });
        window.fetch = async (url, init) => {
          const number = paths.push(new URL(url, location).pathname);
          if (number === 5) release.third();
          const response = await send(url, init);
          if (number === 2) {
            const text = await response.text();
            response.text = async () => { setTimeout(release.renewal); return text; };
          }
          if (number === 3) await renewed;
          if (number === 4) await refused;
          return response;
        };
        import('/src/api.ts')
          .then((api) => Promise.all([api.listSessions(), api.listSessions(), api.listSessions()]))
          .then((lists) => done({ paths, found: lists.map((list) => list.length) }), (error) => done(String(error)))
          .finally(() => { window.fetch = send; });";
    let outcome = browser.execute_async(script, vec![]).await.unwrap();
    let paths = ["/sessions", "/sessions", "/sessions", "/userinfo", "/sessions", "/sessions", "/sessions"];
    assert_eq!(outcome, json!({ "paths": paths, "found": [1, 1, 1] }));
    assert_eq!(generation(browser).await, before + 1, "one renewal");
}

/// Returns how often the session has been renewed.
pub(crate) async fn generation(browser: &Client) -> u64 {
    let cookie = browser.get_named_cookie("refresh_jwt").await.unwrap();
    let claims = URL_SAFE_NO_PAD.decode(cookie.value().split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["gen"].as_u64().unwrap()
}

async fn sessions_are_listed_and_ended(browser: &Client, service: &str) {
    for _ in 0..3 {
        sign_in_elsewhere(browser, service, KIM).await;
    }
    browser.refresh().await.unwrap();
    until_sessions(browser, 4).await;
    until(browser, "#sessions li:has(.here:not([hidden])) strong", "Chrome on ").await;
    click(browser, "#sessions li:has(.here[hidden]) button").await;
    until(browser, "#notice", "The session has ended.").await;
    until_sessions(browser, 3).await;
    assert_eq!(focused(browser).await, "sessions-title", "the pressed button has gone");
    click(browser, "#end-others").await;
    until(browser, "#notice", "All other sessions have ended.").await;
    until_sessions(browser, 1).await;
}

/// Opens a session whose cookies the browser does not keep.
async fn sign_in_elsewhere(browser: &Client, service: &str, person: Person) {
    let script = "
        const [url, body, done] = arguments, headers = { 'content-type': 'application/json' };
        fetch(url, { method: 'POST', credentials: 'omit', redirect: 'manual', headers, body })
          .then((response) => done(response.type), (error) => done(String(error)));";
    let body = json!({ "loginInfo": { "userId": person.user_id, "password": person.password } }).to_string();
    let outcome = browser.execute_async(script, vec![json!(format!("{service}/login")), json!(body)]).await.unwrap();
    assert_eq!(outcome, "opaqueredirect");
}

async fn a_sign_out_reaches_the_other_tab(browser: &Client, port: u16) {
    let first = browser.window().await.unwrap();
    let second = browser.new_window(true).await.unwrap().handle;
    browser.switch_to_window(second).await.unwrap();
    browser.goto(&url(port)).await.unwrap();
    until(browser, "#name", KIM.name).await;
    click(browser, "#sign-out").await;
    until(browser, "#notice", "You are signed out.").await;
    assert_eq!(focused(browser).await, "signed-out-title");
    assert_eq!(cookie_names(browser).await, [""; 0]);
    browser.close_window().await.unwrap();
    browser.switch_to_window(first).await.unwrap();
    until(browser, "#notice", "You signed out in another tab.").await;
    until(browser, "#signed-out-title", "Sign in").await;
    let left = "
        const inputs = [...document.querySelectorAll('input:not([type=checkbox])')].map((input) => input.value);
        const texts = ['name', 'about', 'sessions'].map((id) => document.getElementById(id).innerHTML);
        return [...inputs, ...texts].join('');";
    assert_eq!(browser.execute(left, vec![]).await.unwrap(), "", "nothing of the user is left");
}

async fn the_password_is_changed(browser: &Client) {
    let new = "paper boats in the rain";
    sign_in(browser, PARK.user_id, PARK.password).await;
    until(browser, "#name", PARK.name).await;
    change_password(browser, "0000", new).await;
    until(browser, "#password .reason", "The current password is wrong.").await;
    assert_eq!(focused(browser).await, "current");
    change_password(browser, PARK.password, "parkhacker parkhacker").await;
    until(browser, "#password .reason", "The password is your name").await;
    assert_eq!(focused(browser).await, "new", "the focus is where the user must type");
    change_password(browser, PARK.password, new).await;
    until(browser, "#notice", "Your password is changed. All other sessions have ended.").await;
    until_sessions(browser, 1).await;
    browser.refresh().await.unwrap();
    until(browser, "#name", PARK.name).await;
    click(browser, "#sign-out").await;
    until(browser, "#notice", "You are signed out.").await;
    sign_in(browser, PARK.user_id, new).await;
    until(browser, "#name", PARK.name).await;
    click(browser, "#sign-out").await;
    until(browser, "#notice", "You are signed out.").await;
}

async fn change_password(browser: &Client, current: &str, new: &str) {
    fill(browser, "#password [name=current]", current).await;
    fill(browser, "#password [name=new]", new).await;
    click(browser, "#password button").await;
}

/// The countdown starts at `Retry-After`, which the sentence of the service repeats.
async fn too_many_wrong_passwords_start_a_countdown(browser: &Client) {
    let script = "
        const form = document.querySelector('#sign-in');
        window.seen = [];
        new MutationObserver(() => {
          const reason = form.querySelector('.reason').textContent;
          if (reason) window.seen.push([reason, form.querySelector('button').textContent]);
        }).observe(form, { subtree: true, childList: true });";
    browser.execute(script, vec![]).await.unwrap();
    for _ in 0..20 {
        browser.execute("window.seen = []", vec![]).await.unwrap();
        sign_in(browser, KIM.user_id, "4321").await;
        browser.wait().for_element(Locator::Css("#sign-in .reason:not(:empty)")).await.unwrap();
        let seen = browser.execute("return window.seen[0]", vec![]).await.unwrap();
        let (reason, button) = (seen[0].as_str().unwrap(), seen[1].as_str().unwrap());
        if let Some(wait) = reason.strip_prefix("There have been too many wrong passwords. Try again in ") {
            assert_eq!(format!("Try again in {wait}"), format!("{button}."));
            until(browser, "#sign-in button[aria-disabled=false]", "Sign in").await;
            until(browser, "#sign-in .reason", "").await;
            return;
        }
        assert_eq!((reason, button), ("The user name or the password is wrong.", "Sign in"));
    }
    panic!("20 wrong passwords were accepted");
}

fn url(port: u16) -> String {
    format!("http://localhost:{port}")
}

async fn sign_in(browser: &Client, name: &str, password: &str) {
    fill(browser, "#sign-in [name=userId]", name).await;
    fill(browser, "#sign-in [name=password]", password).await;
    let keep = browser.find(Locator::Css("#sign-in [name=keep]")).await.unwrap();
    if !keep.is_selected().await.unwrap() {
        keep.click().await.unwrap();
    }
    click(browser, "#sign-in button").await;
}

/// Waits for the input, and types the text in place of its value.
async fn fill(browser: &Client, selector: &str, text: &str) {
    let visible = format!("section:not([hidden]) {selector}");
    let input = browser.wait().for_element(Locator::Css(&visible)).await.unwrap();
    input.clear().await.unwrap();
    input.send_keys(text).await.unwrap();
}

/// Waits for the button, and clicks it.
async fn click(browser: &Client, selector: &str) {
    let enabled = format!("{selector}:not([hidden], [aria-disabled=true])");
    browser.wait().for_element(Locator::Css(&enabled)).await.unwrap().click().await.unwrap();
}

/// Waits until an element is visible and its text starts with `text`. An empty `text` means no text.
async fn until(browser: &Client, selector: &str, text: &str) {
    let condition = "
        const [selector, text] = arguments, element = document.querySelector(selector);
        if (text === '') return element?.textContent === '';
        return Boolean(element?.checkVisibility() && element.textContent.startsWith(text));";
    until_true(browser, condition, vec![json!(selector), json!(text)]).await;
}

async fn until_sessions(browser: &Client, count: usize) {
    let condition = "return document.querySelectorAll('#sessions li').length === arguments[0]";
    until_true(browser, condition, vec![json!(count)]).await;
}

/// Evaluates a condition in the page until it is `true`, for 25 seconds at most.
async fn until_true(browser: &Client, condition: &str, arguments: Vec<Value>) {
    let script = format!(
        "const done = arguments[arguments.length - 1], started = Date.now();
        const holds = function () {{ {condition} }}.bind(null, ...arguments);
        (function look() {{
          if (holds()) done('');
          else if (Date.now() - started > 25_000) done(document.body.innerText || 'an empty page');
          else setTimeout(look, 20);
        }})();"
    );
    let outcome = browser.execute_async(&script, arguments.clone()).await.unwrap();
    assert_eq!(outcome, "", "the page never shows {arguments:?}");
}

/// Returns the id or the name of the element that has the focus.
async fn focused(browser: &Client) -> String {
    let script = "const { id, name } = document.activeElement; return id || name";
    let id = browser.execute(script, vec![]).await.unwrap();
    id.as_str().unwrap().to_owned()
}
