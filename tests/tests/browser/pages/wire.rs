//! What the pages send and ask for: forms that a password manager recognises, nothing in the console, and no request
//! besides the page.

use serde_json::{Value, json};

use super::service::Service;
use super::visitor::Visitor;
use testbed::browser::BrowserOptions;

/// The key "Enter" in `WebDriver`.
const ENTER: &str = "\u{e007}";

/// What a password manager looks for.
#[tokio::test]
async fn a_password_manager_recognises_the_sign_in_form() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.open("/login").await;
    assert_eq!(
        fields(&visitor).await,
        json!([[
            ["username", "text", "userId"],
            ["current-password", "password", "password"],
            ["", "checkbox", "checkedKeepLogin"]
        ],]),
        "one form"
    );
    inputs_have_labels(&visitor).await;
    assert_eq!(visitor.focused().await, "userId", "the user can type at once");

    // The button shows the password, and the form is sent with a password field.
    visitor.fill("#password", account.password).await;
    let kind = "return document.querySelector('#password').type";
    for expected in ["text", "password", "text"] {
        visitor.browser.find(fantoccini::Locator::Css("[data-show=password]")).await.unwrap().click().await.unwrap();
        assert_eq!(visitor.script(kind, vec![]).await, expected);
    }
    visitor.fill("#userId", account.login()).await;
    visitor.type_and_leave("#password", ENTER).await;
    assert_eq!(visitor.place().await, "/userinfo", "Enter sends the form");
    assert_eq!(visitor.cookies().await, ["access_jwt"]);
    visitor.leave().await;
}

/// <https://www.w3.org/TR/change-password-url/>.
#[tokio::test]
async fn a_password_manager_finds_and_recognises_the_change_of_a_password() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    visitor.open("/.well-known/change-password").await;
    assert_eq!(visitor.place().await, "/password");
    assert_eq!(
        fields(&visitor).await,
        json!([[
            ["username", "text", ""],
            ["current-password", "password", "currentPassword"],
            ["new-password", "password", "newPassword"],
        ]]),
        "one form"
    );
    let name = "return document.querySelector('[autocomplete=username]').value";
    assert_eq!(visitor.script(name, vec![]).await, account.login(), "the manager knows whose password it is");
    assert!(!visitor.shows("[autocomplete=username]").await);
    inputs_have_labels(&visitor).await;
    visitor.fill("#currentPassword", account.password).await;
    visitor.fill("#newPassword", "paper boats in the rain").await;
    visitor.type_and_leave("#newPassword", ENTER).await;
    visitor.see("#notice").await;
    // A manager checks that the service does not answer every address with 200 before it trusts the redirect.
    visitor.open("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200").await;
    assert_eq!(visitor.status().await, 404);
    visitor.leave().await;
}

/// Returns the `autocomplete`, the type and the name of each input of each form.
async fn fields(visitor: &Visitor) -> Value {
    let script = "return [...document.forms].map((form) => [...form.querySelectorAll('input')].map((input) =>
        [input.getAttribute('autocomplete') ?? '', input.type, input.name]))";
    visitor.script(script, vec![]).await
}

async fn inputs_have_labels(visitor: &Visitor) {
    let script = "return [...document.querySelectorAll('input')].filter((input) => input.checkVisibility())
        .map((input) => [input.labels.length, input.labels[0]?.innerText.length > 0])";
    let labels = visitor.script(script, vec![]).await;
    let labels = labels.as_array().unwrap();
    assert!(labels.len() >= 2 && labels.iter().all(|label| *label == json!([1, true])), "{labels:?}");
}

/// Chromium itself says in its console what it dislikes about a form. So do violations of the policy.
#[tokio::test]
async fn each_page_is_one_request_and_leaves_the_console_empty() {
    let service = Service::shared();
    let account = service.new_user().await;
    for preferences in
        [BrowserOptions::default(), BrowserOptions { without_scripts: true, ..BrowserOptions::default() }]
    {
        let visitor = Visitor::with(&service, preferences).await;
        visitor.open("data:text/html,").await;
        visitor.log("performance").await;
        visitor.log("browser").await;
        for (page, status) in [("/login", 200), ("/login?lang=ko", 200), ("/login?return_to=//elsewhere.example", 400)]
        {
            visitor.open(page).await;
            is_quiet(&visitor, page, status).await;
        }
        visitor.open("/login?lang=en").await;
        visitor.submit_sign_in(account.login(), "4321", true).await;
        visitor.log("performance").await;
        is_quiet(&visitor, "a wrong password", 401).await;
        visitor.submit_sign_in(account.login(), account.password, true).await;
        for page in
            ["/userinfo", "/userinfo?sessions=all", "/userinfo?lang=ko", "/userinfo?notice=session-ended", "/password"]
        {
            visitor.log("performance").await;
            visitor.open(page).await;
            is_quiet(&visitor, page, 200).await;
        }
        visitor.leave().await;
    }
}

/// Neither a style nor a script that was injected has an effect.
#[tokio::test]
async fn what_is_injected_into_a_page_is_refused() {
    let service = Service::shared();
    let visitor = Visitor::arrive(&service).await;
    visitor.open("/login").await;
    let inject = "
        const refused = [];
        document.addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));
        const style = document.createElement('style');
        style.textContent = 'main { display: none }';
        const script = document.createElement('script');
        script.textContent = 'window.injected = true';
        document.head.append(style, script);
        const base = Object.assign(document.createElement('base'), { href: arguments[0] });
        document.head.append(base);
        const image = new Image();
        const loaded = new Promise((resolve) => { image.onload = image.onerror = resolve; });
        image.src = arguments[0];
        const sent = fetch(arguments[0]).catch(() => 0);
        return Promise.all([loaded, sent]).then(() => [refused.sort(), Boolean(window.injected), document.baseURI]);";
    let outcome = visitor.script(inject, vec![json!(service.stranger.cross_site())]).await;
    let refused = ["base-uri", "connect-src", "img-src", "script-src-elem", "style-src-elem"];
    assert_eq!(outcome, json!([refused, false, format!("{}/login", service.url)]));
    assert!(visitor.shows("main").await);
    let form = "
        const form = document.querySelector('#sign-in'), refused = [];
        form.action = arguments[0];
        const stopped = new Promise((resolve) => document.addEventListener('securitypolicyviolation', resolve));
        form.submit();
        return stopped.then((event) => event.effectiveDirective);";
    let outcome = visitor.script(form, vec![json!(format!("{}/stolen", service.stranger.cross_site()))]).await;
    assert_eq!(outcome, "form-action", "the form goes nowhere else");
    assert_eq!(service.stranger.requests("/stolen"), [""; 0]);
    visitor.leave().await;
}

/// Asserts that the page was the only request since the last call, and that Chromium has nothing to say about it
/// except its status.
async fn is_quiet(visitor: &Visitor, page: &str, status: u64) {
    assert_eq!(visitor.status().await, status, "{page}");
    assert_ne!(visitor.see("h1").await, "");
    let console = visitor.log("browser").await;
    // The script focuses the reason before the attribute `autofocus` does.
    let is_autofocus = |entry: &Value| entry["level"] == "INFO" && entry["source"] == "rendering";
    let is_status = |entry: &Value| entry["source"] == "network" && status != 200;
    let said: Vec<_> = console.iter().filter(|entry| !is_autofocus(entry) && !is_status(entry)).collect();
    assert_eq!(said, [&Value::Null; 0], "{page}");
    let log = visitor.log("performance").await;
    let requests: Vec<_> = log.iter().filter_map(request).collect();
    assert!(requests.iter().all(|url| url.starts_with(&visitor.service.url)), "{page}: {requests:?}");
    assert!(requests.len() <= 1, "{page}: {requests:?}");
    let resources =
        visitor.script("return performance.getEntriesByType('resource').map((entry) => entry.name)", vec![]).await;
    assert_eq!(resources, json!([]), "{page}");
}

/// Returns the address of a request in the log, except for those that are part of the page, such as its icon.
fn request(entry: &Value) -> Option<String> {
    let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
    let message = &message["message"];
    let url = message["params"]["request"]["url"].as_str().unwrap_or_default();
    (message["method"] == "Network.requestWillBeSent" && !url.starts_with("data:")).then(|| url.to_owned())
}
