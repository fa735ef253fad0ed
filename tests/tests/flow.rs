//! Whole flows: sign in, be somebody, sign out, be nobody. Over the real functions, a real table and a cookie jar that
//! follows the browsers' rules.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::Duration;

use cookie_store::CookieStore;
use futures_util::future::{join, join_all};
use login::Login;
use logout::Logout;
use password::PasswordChange;
use sessions::OwnSessions;
use shared::access::Access;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::cookies::Cookies;
use shared::id::UserId;
use shared::session::Rules;
use shared::sessions::Sessions;
use shared::store::Budget;
use shared::tokens::{Signer, Verifier};
use shared::users::Users;
use shared::{http, store};
use testbed::{Event, Reply, Tables};
use url::Url;
use userinfo::Userinfo;

const DAY: Duration = Duration::from_hours(24);

/// The functions over the same tables.
struct Service {
    config: Config,
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
        let config = Config::from_lookup(tables.settings(changes)).unwrap();
        testbed::add_kim(&config).await;
        let client = store::connect(&config);
        let (users, sessions) =
            (Users::new(client.clone(), &config.users_table), Sessions::new(client.clone(), &config));
        let cookies = Cookies::new(config.cookie_domain.clone());
        Self {
            login: Login::new(client.clone(), &config).unwrap(),
            userinfo: Userinfo {
                access: Access::new(client.clone(), &config),
                sessions: sessions.clone(),
                rules: Rules::new(&config),
                signer: Signer::new(&config),
            },
            sessions: OwnSessions { access: Access::new(client.clone(), &config), sessions: sessions.clone() },
            password: PasswordChange::new(client, &config).unwrap(),
            logout: Logout { users, sessions, verifier: Verifier::new(&config), cookies },
            config,
            _tables: tables,
        }
    }
}

/// A browser: a jar, and a clock that a test can set.
struct Browser<'a> {
    service: &'a Service,
    jar: CookieStore,
    now: Timestamp,
}

impl<'a> Browser<'a> {
    fn new(service: &'a Service) -> Self {
        Self { service, jar: CookieStore::default(), now: Timestamp::now() }
    }

    async fn log_in(&mut self, keep: bool) -> Reply {
        self.log_in_as("kimcoding", "1234", keep).await
    }

    async fn log_in_as(&mut self, user_id: &str, password: &str, keep: bool) -> Reply {
        let login = format!(r#"{{"userId":"{user_id}","password":"{password}"}}"#);
        let body = format!(r#"{{"loginInfo":{login},"checkedKeepLogin":{keep}}}"#);
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("login").body(body));
        let handler = |request| service.login.handle(request, now);
        let reply = event.send(&mut http::service(&service.config.allowed_origins, handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    async fn see_who(&mut self) -> Reply {
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("userinfo-without"));
        let handler = |request| service.userinfo.handle(request, now);
        let reply = event.send(&mut http::service(&service.config.allowed_origins, handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    /// Asks for, or ends, this user's sessions.
    async fn sessions(&mut self, event: Event) -> Reply {
        let (service, now) = (self.service, self.now);
        let handler = |request| service.sessions.handle(request, now);
        let reply = self.with_cookies(event).send(&mut http::service(&service.config.allowed_origins, handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    async fn change_password(&mut self, current: &str, new: &str) -> Reply {
        let body = format!(r#"{{"currentPassword":"{current}","newPassword":"{new}"}}"#);
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("password").cookies::<String>([]).body(body));
        let handler = |request| service.password.handle(request, now);
        event.send(&mut http::service(&service.config.allowed_origins, handler)).await
    }

    async fn log_out(&mut self, query: &str) -> Reply {
        let (service, now) = (self.service, self.now);
        let event = self.with_cookies(Event::recorded("logout-without").query(query));
        let handler = |request| service.logout.handle(request, now);
        let reply = event.send(&mut http::service(&service.config.allowed_origins, handler)).await;
        self.keep_cookies(&reply);
        reply
    }

    /// A copy of the jar in somebody else's hands, but for the cookies whose name contains `without`.
    fn stolen(&self, without: &str) -> Self {
        let mut jar = self.jar.clone();
        let left_out: Vec<_> = self.cookie_names().into_iter().filter(|name| name.contains(without)).collect();
        for name in left_out {
            jar.remove("localhost", "/", &name);
        }
        Self { service: self.service, jar, now: self.now }
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

/// R74, R75: for a session that is kept and one that is not, for a copy of either token, in both cookie modes.
#[tokio::test]
async fn who_signed_out_is_out_with_every_copy_of_every_token() {
    for mode in MODES {
        let service = Service::new(mode).await;
        for (keep, cookies) in [(true, 2), (false, 1)] {
            let mut browser = Browser::new(&service);
            assert_eq!(browser.see_who().await.status, 401);

            let signed_in = browser.log_in(keep).await;
            assert_eq!((signed_in.status, signed_in.header("location")), (302, Some("/userinfo")));
            assert_eq!(browser.cookie_names().len(), cookies, "{mode:?} {keep}");
            assert_eq!(browser.see_who().await.json()["userId"], "kimcoding");

            let mut thieves = [browser.stolen("refresh"), browser.stolen("access"), browser.stolen("nothing")];
            assert_eq!(thieves[0].see_who().await.status, 200);
            assert_eq!(thieves[1].see_who().await.status, if keep { 200 } else { 401 });

            let signed_out = browser.log_out("").await;
            assert_eq!((signed_out.status, signed_out.body()), (205, ""));
            assert!(browser.cookie_names().is_empty(), "the browser forgot both");
            assert_eq!(browser.see_who().await.status, 401);
            for thief in &mut thieves {
                assert_eq!(thief.see_who().await.status, 401, "{mode:?} {keep}");
            }
        }
    }
}

#[tokio::test]
async fn a_kept_session_is_renewed_after_a_day_and_ends_after_seven_without() {
    let service = Service::new(&[]).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    for days in [1, 6] {
        browser.now = browser.now + days * DAY + Duration::from_secs(10);
        let renewed = browser.see_who().await;
        assert_eq!((renewed.status, renewed.cookies.len()), (200, 2), "{days}");
        assert_eq!(browser.see_who().await.cookies.len(), 0, "the new access token serves");
    }
    browser.now = browser.now + 7 * DAY;
    assert_eq!(browser.see_who().await.status, 401);
}

#[tokio::test]
async fn one_login_does_not_end_another() {
    let service = Service::new(&[]).await;
    let (mut phone, mut laptop) = (Browser::new(&service), Browser::new(&service));
    phone.log_in(true).await;
    laptop.log_in(true).await;
    assert_eq!(phone.log_out("").await.status, 205);
    assert_eq!((phone.see_who().await.status, laptop.see_who().await.status), (401, 200));
}

/// R76.
#[tokio::test]
async fn signing_out_everywhere_ends_every_session_and_not_the_next() {
    let service = Service::new(&[]).await;
    let (mut phone, mut laptop) = (Browser::new(&service), Browser::new(&service));
    phone.log_in(true).await;
    laptop.log_in(false).await;
    assert_eq!(phone.log_out("everywhere=true").await.status, 205);
    assert_eq!((phone.see_who().await.status, laptop.see_who().await.status), (401, 401));
    laptop.log_in(false).await;
    assert_eq!(laptop.see_who().await.status, 200);
}

/// R76: the laptop is lost; its owner ends it from the phone, and then everything else, and stays signed in through a renewal.
#[tokio::test]
async fn who_ends_other_sessions_stays_signed_in() {
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
    assert_eq!((laptop.see_who().await.status, desktop.see_who().await.status), (401, 200));

    let others = Event::recorded("sessions-end-others").without_cookies();
    assert_eq!(phone.sessions(others).await.status, 204);
    assert_eq!((desktop.see_who().await.status, phone.see_who().await.status), (401, 200));
    phone.now = phone.now + DAY + Duration::from_secs(10);
    assert_eq!((phone.see_who().await.cookies.len(), phone.see_who().await.status), (2, 200));
}

/// R76: one call, however many there are.
#[tokio::test]
async fn a_hundred_sessions_are_over_after_one_call() {
    let service = Service::new(&[]).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    let (users, budget) = (Users::new(store::connect(&service.config), "UsersTable"), Budget::new(None));
    let kim = users.find(&UserId::parse("0").unwrap(), &budget).await.unwrap().unwrap();
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(testbed::sign_in(&service.config, &kim, true, browser.now).await);
    }
    let is_signed_in = async |name: &str, token: &str| {
        let mut thief = Browser::new(&service);
        thief.jar.parse(&format!("{name}={token}; Path=/; Secure"), &origin()).unwrap();
        thief.see_who().await.status == 200
    };
    assert!(is_signed_in("access_jwt", &others[99].0).await && is_signed_in("refresh_jwt", &others[99].1).await);
    assert_eq!(browser.log_out("everywhere=true").await.status, 205);
    for (access, refresh) in &others {
        assert!(!is_signed_in("access_jwt", access).await && !is_signed_in("refresh_jwt", refresh).await);
    }
}

/// R28: a login without a refresh cookie of its own leaves none behind that would turn one person into another.
#[tokio::test]
async fn who_signs_in_after_somebody_else_never_becomes_that_person() {
    let service = Service::new(&[]).await;
    testbed::add_park(&service.config).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    let mut before = browser.stolen("nothing");
    assert_eq!(browser.log_in_as("parkhacker", "5678", false).await.status, 302);
    assert_eq!(browser.see_who().await.json()["userId"], "parkhacker");
    let mut reopened = browser.stolen("access");
    assert_eq!((reopened.see_who().await.status, before.see_who().await.status), (401, 401));
}

/// Neither mode reads the cookies of the other: a token set under one is not a way in under the other.
#[tokio::test]
async fn the_cookies_of_one_mode_mean_nothing_in_the_other() {
    let service = Service::new(&[]).await;
    let mut browser = Browser::new(&service);
    browser.log_in(true).await;
    let mut other_mode = Service::new(&[("COOKIE_DOMAIN", "")]).await;
    other_mode.userinfo.access.identities = service.userinfo.access.identities.clone();
    let mut elsewhere = Browser { service: &other_mode, jar: browser.jar.clone(), now: browser.now };
    assert_eq!(browser.see_who().await.status, 200);
    assert_eq!(elsewhere.see_who().await.status, 401);
}

/// R16: the owner changes the password, and whoever had been let in by the old one is out.
#[tokio::test]
async fn who_changes_the_password_is_the_only_one_who_stays() {
    let service = Service::new(&[]).await;
    let [mut owner, mut thief] = [Browser::new(&service), Browser::new(&service)];
    assert_eq!((owner.log_in(true).await.status, thief.log_in(true).await.status), (302, 302));
    assert_eq!(owner.change_password("1234", "paper boats in the rain").await.status, 204);
    let mut with_refresh_token_alone = thief.stolen("access");
    assert_eq!((thief.see_who().await.status, with_refresh_token_alone.see_who().await.status), (401, 401));
    assert_eq!(owner.see_who().await.status, 200);
    let mut renewing = owner.stolen("access");
    assert_eq!(renewing.see_who().await.status, 200, "and the owner's session renews");
    assert_eq!(thief.log_in(true).await.status, 401);
    assert_eq!(thief.log_in_as("kimcoding", "paper boats in the rain", true).await.status, 302);
}

/// F15: a renewal that has read before the change may still be answered; its tokens are worth nothing.
#[tokio::test]
async fn no_other_session_outlives_a_change_of_password_that_it_races() {
    let service = Service::new(&[("REPLAY_WINDOW", "60")]).await;
    let mut owner = Browser::new(&service);
    owner.log_in(true).await;
    let passwords = ["1234", "paper boats in the rain", "three sails on a lake"];
    for change in passwords.windows(2) {
        let mut others: Vec<_> = (0..8).map(|_| Browser::new(&service)).collect();
        for other in &mut others {
            assert_eq!(other.log_in_as("kimcoding", change[0], true).await.status, 302);
            *other = other.stolen("access");
        }
        let renewals = join_all(others.iter_mut().map(Browser::see_who));
        let (changed, renewals) = join(owner.change_password(change[0], change[1]), renewals).await;
        assert_eq!(changed.status, 204);
        assert!(renewals.iter().all(|reply| matches!(reply.status, 200 | 401)));
        for other in &mut others {
            assert_eq!(other.see_who().await.status, 401);
        }
    }
    assert_eq!(owner.see_who().await.status, 200);
}
