//! A person at a browser: opens pages, fills in forms, presses buttons, and sees what is shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dev::processes::Process;
use fantoccini::elements::Element;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::browser::{self, BrowserOptions, start_browser_with};

use super::service::{Account, Service};

/// How long a person waits for a page.
const PATIENCE: Duration = Duration::from_secs(20);

/// A person at a browser with a profile of its own.
pub(crate) struct Visitor {
    pub(crate) service: Arc<Service>,
    pub(crate) browser: Client,
    _driver: Process,
    _profile: TempDir,
}

/// A cookie of the browser, as its developer tools show it.
#[derive(Debug)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    /// `HttpOnly`, `Secure`, `SameSite=…` and `Path=…`.
    pub(crate) attributes: [String; 4],
    /// The seconds until the cookie expires, or `None` if it ends with the browser.
    pub(crate) expires_in: Option<u64>,
}

impl Visitor {
    /// Starts a browser whose language is English.
    pub(crate) async fn arrive(service: &Arc<Service>) -> Self {
        Self::with(service, BrowserOptions::default()).await
    }

    /// Starts a browser with these options.
    pub(crate) async fn with(service: &Arc<Service>, options: BrowserOptions<'_>) -> Self {
        let options = BrowserOptions { record_events: true, ..options };
        let (driver, browser, profile) = start_browser_with(options).await;
        Self { service: Arc::clone(service), browser, _driver: driver, _profile: profile }
    }

    /// Closes the browser.
    pub(crate) async fn leave(self) {
        self.browser.close().await.unwrap();
    }

    /// Types an address. A path is a path of the service.
    pub(crate) async fn open(&self, address: &str) {
        let base = if address.starts_with('/') { self.service.url.as_str() } else { "" };
        self.browser.goto(&format!("{base}{address}")).await.unwrap();
    }

    /// Opens the sign-in page and signs in.
    pub(crate) async fn sign_in(&self, account: &Account, keep: bool) {
        self.open("/login").await;
        self.submit_sign_in(account.login(), account.password, keep).await;
        assert_eq!(self.place().await, "/userinfo");
    }

    /// Fills in the sign-in form of this page, and presses its button.
    pub(crate) async fn submit_sign_in(&self, login: &str, password: &str, keep: bool) {
        self.fill("#userId", login).await;
        self.fill("#password", password).await;
        self.tick("#keep", keep).await;
        self.press("#sign-in [type=submit]").await;
    }

    /// Waits for the input, and types the text in place of its value.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let input = self.find(selector).await;
        input.clear().await.unwrap();
        input.send_keys(text).await.unwrap();
    }

    /// Ticks a checkbox, or removes the tick.
    pub(crate) async fn tick(&self, selector: &str, ticked: bool) {
        let checkbox = self.find(selector).await;
        if checkbox.is_selected().await.unwrap() != ticked {
            checkbox.click().await.unwrap();
        }
    }

    /// Returns `true` if the checkbox is ticked.
    pub(crate) async fn is_ticked(&self, selector: &str) -> bool {
        self.find(selector).await.is_selected().await.unwrap()
    }

    /// Clicks an element that leads to a new document, and waits until that document is complete.
    pub(crate) async fn press(&self, selector: &str) {
        let before = self.document().await;
        self.find(selector).await.click().await.unwrap();
        self.until_new(&before).await;
    }

    /// Sends keys to an element that lead to a new document, and waits until that document is complete.
    pub(crate) async fn type_and_leave(&self, selector: &str, keys: &str) {
        let before = self.document().await;
        self.find(selector).await.send_keys(keys).await.unwrap();
        self.until_new(&before).await;
    }

    async fn until_new(&self, before: &Value) {
        self.until("a new document", async || {
            let loaded = "return document.readyState === 'complete' && performance.timeOrigin !== arguments[0]";
            self.try_script(loaded, vec![before.clone()]).await == Some(json!(true))
        })
        .await;
    }

    /// Returns a number that differs between documents.
    async fn document(&self) -> Value {
        self.script("return performance.timeOrigin", vec![]).await
    }

    /// Waits until the element is visible. Returns its text.
    pub(crate) async fn see(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    /// Waits until the element is visible.
    async fn find(&self, selector: &str) -> Element {
        self.until(selector, async || self.shows(selector).await).await;
        self.browser.find(Locator::Css(selector)).await.unwrap()
    }

    /// Returns `true` if an element of this page is visible.
    pub(crate) async fn shows(&self, selector: &str) -> bool {
        let script = "return [...document.querySelectorAll(arguments[0])].some((element) => element.checkVisibility())";
        self.try_script(script, vec![json!(selector)]).await == Some(json!(true))
    }

    /// Returns how many elements the page has.
    pub(crate) async fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.script(script, vec![json!(selector)]).await.as_u64().unwrap()
    }

    /// Waits until the address is this path and query of the service. The mark of the hop from another site does not
    /// count.
    pub(crate) async fn until_at(&self, place: &str) {
        let marked = [format!("{place}?hop=1"), format!("{place}&hop=1")];
        let is_there = |current: String| current == place || marked.contains(&current);
        self.until(place, async || self.try_place().await.is_some_and(is_there)).await;
    }

    /// Waits until the condition holds.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let start = Instant::now();
        while !holds().await {
            if start.elapsed() > PATIENCE {
                let shown = self.try_script("return location + ' ' + document.body.innerText", vec![]).await;
                panic!("{what} does not appear: {}", shown.unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the path and the query of the page. For a page of another site, returns its whole address.
    pub(crate) async fn place(&self) -> String {
        self.try_place().await.unwrap()
    }

    async fn try_place(&self) -> Option<String> {
        let address = self.browser.current_url().await.ok()?.to_string();
        Some(address.strip_prefix(&self.service.url).map(str::to_owned).unwrap_or(address))
    }

    /// Returns the status of the response that this document came with.
    pub(crate) async fn status(&self) -> u64 {
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
        self.script(script, vec![]).await.as_u64().unwrap()
    }

    /// Returns the language of the page.
    pub(crate) async fn language(&self) -> String {
        self.text_of("return document.documentElement.lang").await
    }

    /// Returns the id of the element that has the focus.
    pub(crate) async fn focused(&self) -> String {
        self.text_of("return document.activeElement.id").await
    }

    /// Returns the value of an input.
    pub(crate) async fn value(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0]).value";
        self.script(script, vec![json!(selector)]).await.as_str().unwrap().to_owned()
    }

    /// Asserts that nothing in the page is personal: neither the HTML nor the value of an input. The browser itself may
    /// fill in the login name that was typed at this page before.
    pub(crate) async fn sees_nothing_of(&self, account: &Account) {
        let script = "
            const values = [...document.querySelectorAll('input:not(#userId)')].map((input) => input.value);
            return [document.documentElement.outerHTML, ...values].join('\\n');";
        let page = self.text_of(script).await;
        for personal in account.personal() {
            assert!(!page.contains(personal), "{personal} is in the page:\n{page}");
        }
    }

    async fn text_of(&self, script: &str) -> String {
        self.script(script, vec![]).await.as_str().unwrap().to_owned()
    }

    /// Runs a script in the page.
    pub(crate) async fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.browser.execute(script, arguments).await.unwrap()
    }

    /// Runs a script in the page. Returns `None` if the page is going away.
    pub(crate) async fn try_script(&self, script: &str, arguments: Vec<Value>) -> Option<Value> {
        self.browser.execute(script, arguments).await.ok()
    }

    /// Sends a command of the Chrome `DevTools` Protocol.
    pub(crate) async fn devtools(&self, method: &str, parameters: &Value) -> Value {
        browser::devtools(&self.browser, method, parameters.clone()).await
    }

    /// Returns the new entries of a log of the browser.
    pub(crate) async fn log(&self, name: &str) -> Vec<Value> {
        browser::log(&self.browser, name).await
    }

    /// Returns all cookies of the browser, sorted by name.
    pub(crate) async fn jar(&self) -> Vec<Cookie> {
        let now = shared::clock::Timestamp::now().as_secs();
        let answer = self.devtools("Storage.getCookies", &json!({})).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let flag = |value: &Value, name: &str| if value == true { name.to_owned() } else { String::new() };
        let cookie = |cookie: &Value| Cookie {
            name: text(&cookie["name"]),
            value: text(&cookie["value"]),
            attributes: [
                flag(&cookie["httpOnly"], "HttpOnly"),
                flag(&cookie["secure"], "Secure"),
                format!("SameSite={}", text(&cookie["sameSite"])),
                format!("Path={}", text(&cookie["path"])),
            ],
            expires_in: expiry(&cookie["expires"]).map(|expiry| expiry.saturating_sub(now)),
        };
        let mut jar: Vec<_> = answer["cookies"].as_array().unwrap().iter().map(cookie).collect();
        jar.sort_by(|one, other| one.name.cmp(&other.name));
        jar
    }

    /// Returns the names of all cookies of the browser, sorted.
    pub(crate) async fn cookies(&self) -> Vec<String> {
        self.jar().await.into_iter().map(|cookie| cookie.name).collect()
    }

    /// Returns the value of a cookie.
    pub(crate) async fn cookie(&self, name: &str) -> String {
        self.jar().await.into_iter().find(|cookie| cookie.name == name).unwrap().value
    }

    /// Puts a cookie of the service into the jar.
    pub(crate) async fn set_cookie(&self, name: &str, value: &str) {
        let cookie = json!({
            "url": self.service.url, "name": name, "value": value,
            "path": "/", "secure": true, "httpOnly": true, "sameSite": "Strict",
        });
        assert_eq!(self.devtools("Network.setCookie", &cookie).await["success"], true, "{name}");
    }

    /// Removes a cookie of the service from the jar.
    pub(crate) async fn delete_cookie(&self, name: &str) {
        self.devtools("Network.deleteCookies", &json!({ "url": self.service.url, "name": name })).await;
    }
}

/// Returns the last whole second before an expiry, or `None` if there is none, which is -1.
fn expiry(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64().filter(|seconds| *seconds > 0.0)?;
    format!("{:.0}", seconds.floor()).parse().ok()
}
