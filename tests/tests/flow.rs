//! Whole flows: sign in, use the session, sign out. Each test calls the real functions over real tables, and keeps the
//! cookies in a jar that follows the browsers' rules.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::Duration;

use cookie_store::CookieStore;
use futures_util::future::{join, join_all};
use login::Login;
use logout::Logout;
use password::PasswordChange;
use sessions::OwnSessions;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::id::UserId;
use shared::store::{self, Users};
use testbed::{Event, Reply, Tables};
use url::Url;
use userinfo::Userinfo;

const DAY: Duration = Duration::from_hours(24);

/// The functions over the same tables.
struct Service {
    env: Environment,
    login: Login,
    userinfo: Userinfo,
    logout: Logout,
    sessions: OwnSessions,
    password: PasswordChange,
    _tables: Tables,
}

impl Service {
    async fn new(changes: &[(&str, &str)]) -> Self {
        let tables = Tables::new().await;
        let env = tables.environment(changes);
        testbed::add_kim(&env).await;
        let client = || store::connect(&env).unwrap();
        Self {
            login: Login::from_env(client(), &env).unwrap(),
            userinfo: Userinfo::from_env(client(), &env).unwrap(),
            logout: Logout::from_env(client(), &env).unwrap(),
            sessions: OwnSessions::from_env(client(), &env).unwrap(),
            password: PasswordChange::from_env(client(), &env).unwrap(),
            env,
            _tables: tables,
        }
    }

    fn site(&self) -> Site {
        Site::from_env(&self.env).unwrap()
    }
}

/// A browser: a cookie jar, and a clock that a test can set.
struct Browser<'a> {
    service: &'a Service,
    jar: CookieStore,
    now: Timestamp,
}

impl<'a> Browser<'a> {
    fn new(service: &'a Service) -> Self {
        Self { service, jar: CookieStore::default(), now: Timestamp::now() }
    }

    async fn log_in(&mut self, persistent: bool) -> Reply {
        self.log_in_as("kimcoding", "1234", persistent).await
    }

    async fn log_in_as(&mut self, user_id: &str, password: &str, persistent: bool) -> Reply {
        let login = format!(r#"{{"userId":"{user_id}","password":"{password}"}}"#);
        let body = format!(r#"{{"loginInfo":{login},"checkedKeepLogin":{persistent}}}"#);
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("login").body(body));
        let handler = |request| service.login.handle(request, now);
        let reply = event.send(&mut http::service(service.site(), handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    async fn userinfo(&mut self) -> Reply {
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("userinfo-without"));
        let handler = |request| service.userinfo.handle(request, now);
        let reply = event.send(&mut http::service(service.site(), handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    /// Lists or ends this user's sessions.
    async fn sessions(&mut self, event: Event) -> Reply {
        let (service, now) = (self.service, self.now);
        let handler = |request| service.sessions.handle(request, now);
        let event = self.with_cookies(event);
        let reply = event.send(&mut http::service(service.site(), handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    async fn change_password(&mut self, current: &str, new: &str) -> Reply {
        let body = format!(r#"{{"currentPassword":"{current}","newPassword":"{new}"}}"#);
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("password").cookies::<String>([]).body(body));
        let handler = |request| service.password.handle(request, now);
        let reply = event.send(&mut http::service(service.site(), handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    async fn log_out(&mut self, query: &str) -> Reply {
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("logout-without").query(query));
        let handler = |request| service.logout.handle(request, now);
        let reply = event.send(&mut http::service(service.site(), handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    /// Returns another browser with a copy of all cookies, as an attacker would use them.
    fn copy(&self) -> Self {
        Self { service: self.service, jar: self.jar.clone(), now: self.now }
    }

    /// Returns a copy without the cookies whose name contains `without`.
    fn copy_without(&self, without: &str) -> Self {
        let mut copy = self.copy();
        for name in self.cookie_names().into_iter().filter(|name| name.contains(without)) {
            copy.jar.remove("localhost", "/", &name);
        }
        copy
    }

    fn cookie_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.jar.iter_unexpired().map(|cookie| cookie.name().to_owned()).collect();
        names.sort();
        names
    }

    fn with_cookies(&self, event: Event) -> Event {
        let pairs: Vec<_> =
            self.jar.get_request_values(&origin()).map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { event } else { event.cookies(pairs) }
    }

    fn keep_cookies(&mut self, reply: &Reply) {
        for line in &reply.cookies {
            self.jar.parse(line, &origin()).ok(); // A cleared cookie is reported as expired.
        }
    }
}

fn origin() -> Url {
    Url::parse("https://localhost:4000/").unwrap()
}

const MODES: [&[(&str, &str)]; 2] = [&[], &[("COOKIE_DOMAIN", "")]];

/// R74, R75: in both cookie modes, for persistent and other sessions, and for copies of either token.
#[tokio::test]
async fn a_logout_invalidates_every_copy_of_every_token() {
    for mode in MODES {
        let service = Service::new(mode).await;
        for (persistent, cookies) in [(true, 2), (false, 1)] {
            let mut browser = Browser::new(&service);
            assert_eq!(browser.userinfo().await.status, 401);

            let signed_in = browser.log_in(persistent).await;
            assert_eq!((signed_in.status, signed_in.header("location")), (302, Some("/userinfo")));
            assert_eq!(browser.cookie_names().len(), cookies, "{mode:?} {persistent}");
            assert_eq!(browser.userinfo().await.json()["userId"], "kimcoding");

            let mut copies = [browser.copy_without("refresh"), browser.copy_without("access"), browser.copy()];
            assert_eq!(copies[0].userinfo().await.status, 200);
            assert_eq!(copies[1].userinfo().await.status, if persistent { 200 } else { 401 });

            let signed_out = browser.log_out("").await;
            assert_eq!((signed_out.status, signed_out.body()), (205, ""));
            assert!(browser.cookie_names().is_empty(), "both cookies are cleared");
            assert_eq!(browser.userinfo().await.status, 401);
            for copy in &mut copies {
                assert_eq!(copy.userinfo().await.status, 401, "{mode:?} {persistent}");
            }
        }
    }
}

#[tokio::test]
async fn a_persistent_session_renews_after_a_day_and_expires_after_seven() {
    let service = Service::new(&[]).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    for days in [1, 6] {
        browser.now = browser.now + days * DAY + Duration::from_secs(10);
        let renewed = browser.userinfo().await;
        assert_eq!((renewed.status, renewed.cookies.len()), (200, 2), "{days}");
        assert_eq!(browser.userinfo().await.cookies.len(), 0, "the new access token is valid");
    }
    browser.now = browser.now + 7 * DAY;
    assert_eq!(browser.userinfo().await.status, 401);
}

#[tokio::test]
async fn a_logout_does_not_end_other_sessions() {
    let service = Service::new(&[]).await;
    let (mut phone, mut laptop) = (Browser::new(&service), Browser::new(&service));
    phone.log_in(true).await;
    laptop.log_in(true).await;
    assert_eq!(phone.log_out("").await.status, 205);
    assert_eq!((phone.userinfo().await.status, laptop.userinfo().await.status), (401, 200));
}

/// R76.
#[tokio::test]
async fn a_logout_everywhere_ends_every_session_but_not_later_ones() {
    let service = Service::new(&[]).await;
    let (mut phone, mut laptop) = (Browser::new(&service), Browser::new(&service));
    phone.log_in(true).await;
    laptop.log_in(false).await;
    assert_eq!(phone.log_out("everywhere=true").await.status, 205);
    assert_eq!((phone.userinfo().await.status, laptop.userinfo().await.status), (401, 401));
    laptop.log_in(false).await;
    assert_eq!(laptop.userinfo().await.status, 200);
}

/// R76: the user loses a laptop. From the phone the user ends the session of the laptop and then all other sessions.
/// The session of the phone stays active and renews.
#[tokio::test]
async fn ending_other_sessions_keeps_the_own_session_active() {
    let service = Service::new(&[]).await;
    let (mut phone, mut laptop, mut desktop) = (Browser::new(&service), Browser::new(&service), Browser::new(&service));
    for browser in [&mut phone, &mut laptop, &mut desktop] {
        browser.log_in(true).await;
    }
    let list = laptop.sessions(Event::recorded("sessions").without_cookies()).await.json();
    let list = list["sessions"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    let id = list.iter().find(|session| session["current"] == true).unwrap()["id"].clone();
    let end = Event::recorded("sessions-end").without_cookies().with("/pathParameters/id", id);
    assert_eq!(phone.sessions(end).await.status, 204);
    assert_eq!((laptop.userinfo().await.status, desktop.userinfo().await.status), (401, 200));

    let others = Event::recorded("sessions-end-others").without_cookies();
    assert_eq!(phone.sessions(others).await.status, 204);
    assert_eq!((desktop.userinfo().await.status, phone.userinfo().await.status), (401, 200));
    phone.now = phone.now + DAY + Duration::from_secs(10);
    assert_eq!((phone.userinfo().await.cookies.len(), phone.userinfo().await.status), (2, 200));
}

/// R76: one call ends all sessions, however many there are.
#[tokio::test]
async fn one_call_ends_a_hundred_sessions() {
    let service = Service::new(&[]).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    let (users, budget) =
        (Users::from_env(store::connect(&service.env).unwrap(), &service.env).unwrap(), Budget::new(None));
    let kim = users.find(&UserId::parse("0").unwrap(), &budget).await.unwrap().unwrap();
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(testbed::sign_in(&service.env, &kim, true, browser.now).await);
    }
    let is_signed_in = async |name: &str, token: &str| {
        let mut other = Browser::new(&service);
        other.jar.parse(&format!("{name}={token}; Path=/; Secure"), &origin()).unwrap();
        other.userinfo().await.status == 200
    };
    assert!(is_signed_in("access_jwt", &others[99].0).await && is_signed_in("refresh_jwt", &others[99].1).await);
    assert_eq!(browser.log_out("everywhere=true").await.status, 205);
    for (access, refresh) in &others {
        assert!(!is_signed_in("access_jwt", access).await && !is_signed_in("refresh_jwt", refresh).await);
    }
}

/// R28: the second login sets no refresh cookie. It ends the session of the first user, so that the refresh cookie of
/// that session cannot sign the first user in again.
#[tokio::test]
async fn a_second_user_of_a_browser_never_becomes_the_first() {
    let service = Service::new(&[]).await;
    testbed::add_park(&service.env).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    let mut before = browser.copy();
    assert_eq!(browser.log_in_as("parkhacker", "5678", false).await.status, 302);
    assert_eq!(browser.userinfo().await.json()["userId"], "parkhacker");
    let mut reopened = browser.copy_without("access");
    assert_eq!((reopened.userinfo().await.status, before.userinfo().await.status), (401, 401));
}

/// Neither mode reads the cookies of the other, even if their tokens are valid.
#[tokio::test]
async fn cookies_of_one_mode_are_ignored_in_the_other() {
    let service = Service::new(&[]).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    let mut other_mode = Service::new(&[("COOKIE_DOMAIN", "")]).await;
    other_mode.userinfo.renewal.access.identities = service.userinfo.renewal.access.identities.clone();
    let mut elsewhere = Browser { service: &other_mode, jar: browser.jar.clone(), now: browser.now };
    assert_eq!(browser.userinfo().await.status, 200);
    assert_eq!(elsewhere.userinfo().await.status, 401);
}

/// R16: the owner changes the password. An attacker who signed in with the old password, or who has a copy of the
/// owner's cookies, is signed out.
#[tokio::test]
async fn a_change_of_password_ends_all_older_sessions() {
    let service = Service::new(&[]).await;
    let [mut owner, mut attacker] = [Browser::new(&service), Browser::new(&service)];
    assert_eq!((owner.log_in(true).await.status, attacker.log_in(true).await.status), (302, 302));
    let [mut copy, mut copy_of_refresh_token] = [owner.copy(), owner.copy_without("access")];
    assert_eq!(owner.change_password("1234", "paper boats in the rain").await.status, 204);
    let mut with_refresh_token_only = attacker.copy_without("access");
    assert_eq!((attacker.userinfo().await.status, with_refresh_token_only.userinfo().await.status), (401, 401));
    assert_eq!((copy.userinfo().await.status, copy_of_refresh_token.userinfo().await.status), (401, 401));
    assert_eq!(owner.userinfo().await.status, 200);
    let mut renewing = owner.copy_without("access");
    assert_eq!(renewing.userinfo().await.status, 200, "the owner's session renews");
    assert_eq!(attacker.log_in(true).await.status, 401);
    assert_eq!(attacker.log_in_as("kimcoding", "paper boats in the rain", true).await.status, 302);
}

/// F15: a renewal that read the session before the change may still succeed. Its tokens are invalid.
#[tokio::test]
async fn no_other_session_survives_a_concurrent_change_of_password() {
    let service = Service::new(&[("REFRESH_GRACE", "60")]).await;
    let mut owner = Browser::new(&service);
    owner.log_in(true).await;
    let passwords = ["1234", "paper boats in the rain", "three sails on a lake"];
    for change in passwords.windows(2) {
        let mut others: Vec<_> = (0..8).map(|_| Browser::new(&service)).collect();
        for other in &mut others {
            assert_eq!(other.log_in_as("kimcoding", change[0], true).await.status, 302);
            *other = other.copy_without("access");
        }
        let renewals = join_all(others.iter_mut().map(Browser::userinfo));
        let (changed, renewals) = join(owner.change_password(change[0], change[1]), renewals).await;
        assert_eq!(changed.status, 204);
        assert!(renewals.iter().all(|reply| matches!(reply.status, 200 | 401)));
        for other in &mut others {
            assert_eq!(other.userinfo().await.status, 401);
        }
    }
    assert_eq!(owner.userinfo().await.status, 200);
}
