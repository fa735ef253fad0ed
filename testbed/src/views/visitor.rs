//! A browser that can be brought to each view, and the stacks that serve the views.

use std::time::Duration;

use dev::people::KIM;
use dev::processes::Process;
use fantoccini::{Client, Locator};
use hyper::Method;
use local::running::RunningStack;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::people::{PASSWORD, People};
use super::{Language, View};
use crate::browser::{BrowserOptions, devtools, start_browser_with};
use crate::contract::Stack;
use crate::local_stack::{self, Options};
use crate::outage::Outage;
use crate::workspace::root;

/// The longest time that a page may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session id that no session has.
const UNKNOWN_SESSION: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A page of another site, with a form that signs a user in.
const FOREIGN_PAGE: &str = "data:text/html,<meta charset=utf-8><title>Another site</title>";

/// The settings of the stack without tables. The colour is one that cannot be read on white.
const OTHER_BRAND: [(&str, &str); 2] = [("SERVICE_NAME", "Jeju Books 제주 책방"), ("ACCENT_COLOR", "#ffd400")];

/// Two stacks: one that works, and one without tables and with another brand.
pub struct Stage {
    stack: Stack,
    running: RunningStack,
    outage: Outage,
    _process: Process,
}

impl Stage {
    /// Starts both stacks.
    pub async fn start() -> Self {
        let options = Options { unlimited_sources: true, ..Options::default() };
        let (process, stack) = local_stack::start(options).await;
        let running = RunningStack::all(root()).into_iter().find(|running| running.url == stack.url).unwrap();
        let outage = Outage::beside(&running, &OTHER_BRAND).await;
        Self { stack, running, outage, _process: process }
    }
}

/// A browser on a stage, with users of its own. Several visitors do not disturb each other.
pub struct Visitor<'a> {
    /// The browser.
    pub browser: Client,
    stack: &'a Stack,
    outage: &'a Outage,
    people: People,
    user_agent: String,
    _running: (Process, TempDir),
}

impl<'a> Visitor<'a> {
    /// Starts a browser. The login names of its users end with `suffix`.
    pub async fn new(stage: &'a Stage, suffix: &str, options: BrowserOptions<'_>) -> Self {
        let people = People::add(stage.running.environment(), suffix).await;
        let (driver, browser, profile) = start_browser_with(options).await;
        let user_agent = browser.execute("return navigator.userAgent", vec![]).await.unwrap();
        let user_agent = user_agent.as_str().unwrap().to_owned();
        let Stage { stack, outage, .. } = stage;
        Self { browser, stack, outage, people, user_agent, _running: (driver, profile) }
    }

    /// Closes the browser.
    pub async fn leave(self) {
        self.browser.close().await.unwrap();
    }

    /// Shows a view in this language. Fails if the response does not have the status and the mark of the view.
    pub async fn open(&self, view: View, language: Language) {
        let (stack, outage) = (self.stack.url.as_str(), self.outage.url.as_str());
        self.forget_everything(language).await;
        match view {
            View::SignIn => self.visit("/login").await,
            View::SignInToReturn => self.visit("/login?return_to=%2Fpassword").await,
            View::WrongPassword => self.sign_in("a wrong password").await,
            View::TooManyAttempts => {
                self.people.lock(&self.people.mina.profile.user_id).await;
                self.sign_in(PASSWORD).await;
            }
            View::SignInDuringOutage => {
                self.browser.goto(&format!("{outage}/login")).await.unwrap();
                self.fill_and_submit("#sign-in", &[("userId", KIM.user_id), ("password", KIM.password)]).await;
            }
            View::Hop => self.show_hop(language).await,
            View::NewAccount => self.account(1, "/userinfo").await,
            View::Account => self.account(3, "/userinfo").await,
            View::AccountWithManySessions => self.account(14, "/userinfo").await,
            View::AccountWithLongTexts => {
                self.use_session(&self.people.sign_in(&self.people.long, 2).await).await;
                self.visit("/userinfo").await;
            }
            View::SessionEnded => self.notice("session-ended", 2).await,
            View::OthersEnded => self.notice("others-ended", 1).await,
            View::PasswordChanged => self.notice("password-changed", 1).await,
            View::PressAgain => self.notice("press-again", 2).await,
            View::ChangePassword => self.account(1, "/password").await,
            View::WrongCurrentPassword => self.change_password("a wrong password", "kites over the harbour").await,
            View::ShortPassword => self.change_password(PASSWORD, "short").await,
            View::SamePassword => self.change_password(PASSWORD, PASSWORD).await,
            View::PersonalPassword => self.change_password(PASSWORD, &self.people.mina.profile.email).await,
            View::CommonPassword => self.change_password(PASSWORD, "passwordpassword").await,
            View::RepetitivePassword => self.change_password(PASSWORD, "1234567890123456").await,
            View::TooManyChanges => {
                self.people.lock(&self.people.mina.profile.user_id).await;
                self.change_password(PASSWORD, "kites over the harbour").await;
            }
            View::BadRequest => self.visit("/login?return_to=%2F%2Fexample.com").await,
            View::NotEverywhere => {
                self.visit("/login").await;
                self.post(&format!("{stack}/logout?everywhere=true"), &json!({}), "").await;
            }
            View::Forbidden => {
                self.browser.goto(FOREIGN_PAGE).await.unwrap();
                self.post(&format!("{stack}/login"), &json!({ "userId": KIM.user_id, "password": KIM.password }), "")
                    .await;
            }
            View::NoSuchSession => {
                self.account(1, "/userinfo").await;
                self.post(&format!("{stack}/sessions/end"), &json!({ "id": UNKNOWN_SESSION }), "").await;
            }
            View::TooLarge => {
                self.visit("/login").await;
                self.post(&format!("{stack}/login"), &json!({ "userId": "x".repeat(10_000) }), "").await;
            }
            View::UnsupportedForm => {
                self.visit("/login").await;
                self.post(
                    &format!("{stack}/login"),
                    &json!({ "userId": KIM.user_id, "password": KIM.password }),
                    "text/plain",
                )
                .await;
            }
            View::Fault => {
                self.use_session(&self.people.sign_in(&self.people.unreadable, 1).await).await;
                self.visit("/userinfo").await;
            }
            View::Outage => {
                self.use_session(&self.people.sign_in(&self.people.mina, 1).await).await;
                self.browser.goto(&format!("{outage}/userinfo")).await.unwrap();
            }
        }
        if view != View::Hop {
            let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
            let status = self.browser.execute(script, vec![]).await.unwrap();
            assert_eq!(status, view.status(), "{}", view.name());
        }
        let mark = self.browser.find(Locator::Css(view.mark())).await;
        assert!(mark.is_ok(), "{} has no {}", view.name(), view.mark());
        let lang = self.browser.execute("return document.documentElement.lang", vec![]).await.unwrap();
        assert_eq!(lang, language.tag(), "{}", view.name());
    }

    /// Deletes all cookies and all counted wrong passwords, and sets the language of the browser.
    async fn forget_everything(&self, language: Language) {
        self.people.unlock(&self.people.mina.profile.user_id).await;
        devtools(&self.browser, "Network.clearBrowserCookies", json!({})).await;
        let agent = json!({ "userAgent": self.user_agent, "acceptLanguage": language.tag() });
        devtools(&self.browser, "Network.setUserAgentOverride", agent).await;
    }

    async fn visit(&self, path: &str) {
        self.browser.goto(&format!("{}{path}", self.stack.url)).await.unwrap();
    }

    async fn use_session(&self, access: &str) {
        let cookie = json!({
            "name": "access_jwt", "value": access, "url": self.stack.url,
            "secure": true, "httpOnly": true, "sameSite": "Strict",
        });
        devtools(&self.browser, "Network.setCookie", cookie).await;
    }

    async fn sign_in(&self, password: &str) {
        self.visit("/login").await;
        let name = self.people.mina.profile.user_id.as_str();
        self.fill_and_submit("#sign-in", &[("userId", name), ("password", password)]).await;
    }

    /// Shows a page to a user with this number of sessions.
    async fn account(&self, sessions: usize, path: &str) {
        let user = if path == "/userinfo" && sessions == 1 { &self.people.newcomer } else { &self.people.mina };
        self.use_session(&self.people.sign_in(user, sessions).await).await;
        self.visit(path).await;
    }

    /// Shows a notice on the account page. Only a page of the service can do that.
    async fn notice(&self, name: &str, sessions: usize) {
        self.account(sessions, "/password").await;
        let script = "
            document.documentElement.dataset.left = '';
            location.assign(`/userinfo?notice=${arguments[0]}`);";
        self.browser.execute(script, vec![json!(name)]).await.unwrap();
        self.arrive().await;
    }

    async fn change_password(&self, current: &str, new: &str) {
        self.account(1, "/password").await;
        self.fill_and_submit("#change-password", &[("currentPassword", current), ("newPassword", new)]).await;
    }

    /// Types into a form of the page, and submits it with its button.
    async fn fill_and_submit(&self, form: &str, fields: &[(&str, &str)]) {
        for (name, value) in fields {
            let input = self.browser.find(Locator::Css(&format!("{form} [name={name}]"))).await.unwrap();
            input.send_keys(value).await.unwrap();
        }
        let script = "
            document.documentElement.dataset.left = '';
            document.querySelector(`${arguments[0]} [type=submit]`).click();";
        self.browser.execute(script, vec![json!(form)]).await.unwrap();
        self.arrive().await;
    }

    /// Posts a form that the page does not have.
    async fn post(&self, action: &str, fields: &Value, encoding: &str) {
        let script = "
            const [action, fields, encoding] = arguments, form = document.createElement('form');
            Object.assign(form, { method: 'post', action, enctype: encoding });
            for (const [name, value] of Object.entries(fields)) {
              form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
            }
            document.documentElement.dataset.left = '';
            document.body.append(form);
            form.submit();";
        self.browser.execute(script, vec![json!(action), fields.clone(), json!(encoding)]).await.unwrap();
        self.arrive().await;
    }

    /// Waits until the next page is there.
    async fn arrive(&self) {
        self.browser.wait().at_most(PATIENCE).for_element(Locator::Css("html:not([data-left])")).await.unwrap();
    }

    /// Shows the hop page without its refresh, which would replace it at once.
    async fn show_hop(&self, language: Language) {
        let request = self.stack.request(Method::GET, "/userinfo").header("accept", "text/html");
        let page = request.header("sec-fetch-site", "cross-site").header("accept-language", language.tag());
        let page = page.send().await.unwrap().text().await.unwrap();
        assert!(page.contains(r#"http-equiv="refresh""#), "{page}");
        self.visit("/login").await;
        let tree = devtools(&self.browser, "Page.getFrameTree", json!({})).await;
        let html = page.replace(r#"http-equiv="refresh""#, r#"name="refresh""#);
        let document = json!({ "frameId": tree["frameTree"]["frame"]["id"], "html": html });
        devtools(&self.browser, "Page.setDocumentContent", document).await;
    }

    /// Follows a link from another site to the account page, without a session. Arrives at the sign-in page.
    pub async fn follow_a_link_from_another_site(&self) {
        self.browser.goto(FOREIGN_PAGE).await.unwrap();
        let script = "
            const link = Object.assign(document.createElement('a'), { href: arguments[0] });
            document.body.append(link);
            link.click();";
        let address = json!(format!("{}/userinfo", self.stack.url));
        self.browser.execute(script, vec![address]).await.unwrap();
        self.browser.wait().at_most(PATIENCE).for_element(Locator::Css("#sign-in")).await.unwrap();
    }
}
