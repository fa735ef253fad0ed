//! `POST /login`: check credentials, open a session.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::attempts::{Attempt, Way};
use shared::authentication::{Authentication, Proven};
use shared::claims::Kind;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::cookies::Cookies;
use shared::device::{Device, Devices};
use shared::error::{Error, Result};
use shared::http::{Reply, Request, reply};
use shared::identity::Identity;
use shared::json::Object;
use shared::passwords::Password;
use shared::session::{Opening, Rules, Session};
use shared::sessions::Sessions;
use shared::store::{Budget, Client};
use shared::tokens::{Signer, Verifier};
use shared::users::Account;

/// Everything that a login needs, and all that it can touch.
pub struct Login {
    /// Says whose name and password these are.
    pub authentication: Authentication,
    /// Knows the devices on which somebody has been signed in; nothing where that is switched off.
    pub devices: Option<Devices>,
    /// Where a session is opened.
    pub sessions: Sessions,
    /// How long it lives, and how many there may be.
    pub rules: Rules,
    /// Signs the tokens.
    pub signer: Signer,
    /// Reads the tokens of a session that was there before.
    pub verifier: Verifier,
    /// Puts tokens into cookies, and finds them there.
    pub cookies: Cookies,
}

/// The body of the contract, to the letter: a name that is unknown or given twice is refused (R30).
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Form {
    login_info: Object<LoginInfo>,
    #[serde(default)]
    checked_keep_login: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LoginInfo {
    user_id: String,
    password: SecretString,
}

impl Login {
    /// The tables, secrets and rules of this configuration.
    ///
    /// # Errors
    /// As [`Authentication::new`].
    pub fn new(client: Client, config: &Config) -> Result<Self> {
        Ok(Self {
            authentication: Authentication::new(client.clone(), config)?,
            devices: Devices::configured(config),
            sessions: Sessions::new(client, config),
            rules: Rules::new(config),
            signer: Signer::new(config),
            verifier: Verifier::new(config),
            cookies: Cookies::new(config.cookie_domain.clone()),
        })
    }

    /// Signs somebody in: 302 to the user's own page, with the cookies of a new session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where name and password are not those of a user who may sign in;
    /// [`Error::TooManyAttempts`] where too many were wrong; whatever a malformed request or a store that cannot answer gives.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("POST")?;
        let Form { login_info, checked_keep_login } = request.json()?;
        let keep = checked_keep_login.unwrap_or(false);
        let password = Password::new(login_info.password.expose_secret())?;
        let account = Account::named(&login_info.user_id);

        let device = self.known_device(&request, &account, now);
        let proven = self.authenticate(&request, &account, &password, device.as_ref(), now).await?;

        let opening = Opening {
            user_id: &proven.user.profile.id,
            epoch: proven.user.session_epoch,
            keep,
            kid: self.signer.refresh_kid(),
            user_agent: request.user_agent(),
            source_ip: request.source_ip(),
        };
        let session = self.rules.begin(opening, now)?;
        let identity = Identity { user: proven.user.clone(), session };
        let mut cookies = self.cookies.of_session(&identity.session, &identity.subject(), &self.signer, now)?;
        if let Some(devices) = self.devices.as_ref().filter(|_| keep) {
            let cookie = devices.issue(device, account.as_str(), proven.credentials.password_version, now)?;
            cookies.push(self.cookies.set_device(&cookie, now));
        }

        self.sessions.open(&identity.session, &request.budget).await?;
        if let Some(cap) = self.rules.sessions_per_user {
            self.keep_to(cap, &identity.session, &request.budget, now).await?;
        }
        self.end_presented(&request, now).await?;
        self.authentication.renew_hash(&proven, &password, &request.budget).await;

        let reply = reply::with_cookies(reply::found("/userinfo"), cookies)?;
        let (user, session) = (identity.user.profile.id.as_str(), identity.session.id.fingerprint());
        tracing::info!(event = "login_succeeded", user, session, keep, "Somebody signed in.");
        Ok(reply)
    }

    /// The device that the request comes from, if this account was kept signed in on it before.
    fn known_device(&self, request: &Request, account: &Account<'_>, now: Timestamp) -> Option<Device> {
        let presented = self.cookies.read(request.cookie_lines());
        self.devices.as_ref()?.recognise(presented.devices(), account.as_str(), now)
    }

    /// The user whose name and password these are. A known device has a count of its own (R22).
    async fn authenticate(
        &self,
        request: &Request,
        account: &Account<'_>,
        password: &Password,
        device: Option<&Device>,
        now: Timestamp,
    ) -> Result<Proven> {
        let source_ip = request.source_ip();
        let way = device.map_or(Way::Outside, Way::Device);
        let attempt = Attempt { account, way, source_ip: source_ip.as_deref() };
        self.authentication.prove(attempt, password, now, &request.budget).await
    }

    /// Ends the oldest sessions where there are more than `cap`. Where that cannot be done, or newer logins have taken the place
    /// of this one, nobody is signed in by it: nobody gets cookies of a session that is over, and no session without an owner
    /// outlives those that have one.
    async fn keep_to(&self, cap: usize, opened: &Session, budget: &Budget, now: Timestamp) -> Result<()> {
        let outcome = self.sessions.end_oldest(opened, cap, now, budget).await;
        if let Ok(true) = outcome {
            return Ok(());
        }
        // As far as possible: it ends by itself, too.
        self.sessions.end(&opened.user_id, &opened.id, now, budget).await.ok();
        outcome?;
        Err(Error::Overtaken("newer logins have taken the place of this one".into()))
    }

    /// Ends the sessions that the browser brought along (R28): else a refresh cookie of somebody else, left in the jar by a
    /// login that sets none, would turn one person into another. An outage here leaves them all alive, cookies untouched.
    async fn end_presented(&self, request: &Request, now: Timestamp) -> Result<()> {
        let presented = self.cookies.read(request.cookie_lines());
        for claims in presented.claims(&[Kind::Access, Kind::Refresh], &self.verifier) {
            let ended = self.sessions.end(&claims.sub, &claims.sid, now, &request.budget).await?;
            if ended.is_some_and(|ended| ended.just_now) {
                let (user, session) = (claims.sub.as_str(), claims.sid.fingerprint());
                tracing::info!(
                    event = "sessions_ended",
                    reason = "login",
                    user,
                    session,
                    "Another login took its place."
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use futures_util::future::join_all;
    use serde_json::{Value, json};
    use shared::{http, store};
    use testbed::{Calls, Event, Fault, Reply, Tables};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn config(tables: &Tables, changes: &[(&str, &str)]) -> Config {
        Config::from_lookup(tables.settings(changes)).unwrap()
    }

    fn login(config: &Config, client: Client) -> Login {
        Login::new(client, config).unwrap()
    }

    async fn send(config: &Config, event: Event) -> Reply {
        send_at(config, event, NOW).await
    }

    async fn send_at(config: &Config, event: Event, now: Timestamp) -> Reply {
        let login = login(config, store::connect(config));
        event.send(&mut http::service(&config.allowed_origins, |request| login.handle(request, now))).await
    }

    fn form(user_id: &str, password: &str) -> Event {
        let body = json!({ "loginInfo": { "userId": user_id, "password": password } });
        Event::recorded("login").body(body.to_string())
    }

    async fn with_kim() -> (Tables, Config) {
        let tables = Tables::new().await;
        let config = config(&tables, &[]);
        testbed::add_kim(&config).await;
        (tables, config)
    }

    /// Changes a string, number or flag of an item in the users table.
    fn change(tables: &Tables, pk: &str, name: &str, value: Value) {
        let mut item = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == pk).unwrap();
        item[name] = value;
        tables.put("UsersTable", &item);
    }

    #[tokio::test]
    async fn somebody_to_be_kept_signed_in_gets_two_cookies_that_last() {
        let (tables, config) = with_kim().await;
        let reply = send(&config, Event::recorded("login")).await;
        assert_eq!((reply.status, reply.header("location"), reply.body()), (302, Some("/userinfo"), ""));
        let [access, refresh] = &reply.cookies[..] else { panic!("{:?}", reply.cookies) };
        let attributes = "; Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost";
        assert!(access.starts_with("access_jwt=ey") && refresh.starts_with("refresh_jwt=ey"));
        assert!(
            access.ends_with(&format!("{attributes}; Max-Age=86400; Expires=Sat, 16 Jan 2027 08:00:00 GMT")),
            "{access}"
        );
        assert!(
            refresh.ends_with(&format!("{attributes}; Max-Age=604800; Expires=Fri, 22 Jan 2027 08:00:00 GMT")),
            "{refresh}"
        );
        assert_eq!(tables.items("SessionsTable").len(), 1);
    }

    #[tokio::test]
    async fn everybody_else_gets_one_cookie_that_ends_with_the_browser() {
        let (tables, config) = with_kim().await;
        for flag in [json!({}), json!({ "checkedKeepLogin": false }), json!({ "checkedKeepLogin": null })] {
            let mut body = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" } });
            body.as_object_mut().unwrap().extend(flag.as_object().unwrap().clone());
            let reply = send(&config, Event::recorded("login").body(body.to_string())).await;
            assert_eq!((reply.status, reply.cookies.len()), (302, 1), "{flag}");
            assert!(reply.cookies[0].ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost"));
        }
        assert!(tables.items("SessionsTable").iter().all(|session| session["keep"] == json!({ "BOOL": false })));
    }

    #[tokio::test]
    async fn without_a_domain_the_cookies_are_host_only() {
        let tables = Tables::new().await;
        let config = config(&tables, &[("COOKIE_DOMAIN", "")]);
        testbed::add_kim(&config).await;
        let reply = send(&config, Event::recorded("login")).await;
        assert!(reply.cookie("__Host-access_jwt").is_some() && reply.cookie("__Host-refresh_jwt").is_some());
        assert!(reply.cookies.iter().all(|line| !line.contains("Domain")), "{:?}", reply.cookies);
    }

    /// R17: whatever is wrong, the answer is the same to the last byte.
    #[tokio::test]
    async fn every_refusal_looks_the_same_and_opens_nothing() {
        let (tables, config) = with_kim().await;
        let mut refusals = Vec::new();
        for (name, password) in [
            ("nobody", "1234"),
            ("kimcoding", "4321"),
            ("kimcoding", ""),
            ("", ""),
            ("two words", "1234"),
            ("김", "1234"),
        ] {
            refusals.push(send(&config, form(name, password)).await);
        }
        change(&tables, "user#0", "disabled", json!({ "BOOL": true }));
        refusals.push(send(&config, form("kimcoding", "1234")).await);
        for refusal in refusals {
            assert_eq!((refusal.status, refusal.body()), (401, "Not Authorized"));
            assert_eq!(refusal.header("content-type"), Some("text/plain; charset=utf-8"));
            assert!(refusal.cookies.is_empty());
        }
        assert!(tables.items("SessionsTable").is_empty());
    }

    /// R5, R29: what cannot be a login costs nothing.
    #[tokio::test]
    async fn a_request_that_is_refused_for_its_form_reaches_no_table_and_no_hash() {
        let (_tables, config) = with_kim().await;
        let (client, calls) = Calls::of(&store::connect(&config));
        let login = login(&config, client);
        let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
        for refused in [
            form("kimcoding", &"p".repeat(4097)),
            Event::recorded("login-malformed"),
            Event::recorded("login").header("origin", "https://evil.example"),
            Event::recorded("login").header("content-type", "text/plain"),
        ] {
            let before = login.authentication.hasher.evaluations();
            assert!(matches!(refused.send(&mut service).await.status, 400 | 403 | 415));
            assert!(calls.take().is_empty() && login.authentication.hasher.evaluations() == before, "{refused:?}");
        }
    }

    /// R32: what a name costs to refuse does not grow with the square of its length.
    #[tokio::test]
    async fn a_name_that_is_long_and_hard_to_read_is_refused_like_any_other() {
        let (_tables, config) = with_kim().await;
        let started = Instant::now();
        for name in [format!("{}\u{30a1}", "\u{30fb}".repeat(2600)), "\u{660}".repeat(3900)] {
            assert_eq!(send(&config, form(&name, "1234")).await.status, 401);
        }
        assert!(started.elapsed() < Duration::from_secs(2), "2.1 s each before there was a bound");
    }

    /// R25, and what a later rotation of the key relies on.
    #[tokio::test]
    async fn the_record_says_who_signed_in_from_where_and_with_which_key() {
        let (tables, config) = with_kim().await;
        send(&config, Event::recorded("login").header("x-forwarded-for", "1.2.3.4")).await;
        let session = tables.items("SessionsTable").remove(0);
        assert_eq!(session["source_ip"], json!({ "S": "203.0.113.7" }));
        assert!(session["user_agent"]["S"].as_str().unwrap().contains("Firefox"));
        assert_eq!(session["kid"]["S"], Signer::new(&config).refresh_kid());
    }

    /// When the sessions began that have not been ended.
    fn live(tables: &Tables) -> Vec<String> {
        let mut live = tables.items("SessionsTable");
        live.retain(|session| session.get("ended_at").is_none());
        let mut began: Vec<_> = live.iter().map(|item| item["created_at"]["N"].as_str().unwrap().to_owned()).collect();
        began.sort();
        began
    }

    /// R77.
    #[tokio::test]
    async fn a_login_more_than_there_may_be_ends_the_oldest_session() {
        let (tables, unlimited) = with_kim().await;
        let config = config(&tables, &[("SESSIONS_PER_USER", "3")]);
        testbed::add_park(&config).await;
        send(&config, form("parkhacker", "5678")).await;
        for second in 1..=5 {
            assert_eq!(send_at(&config, Event::recorded("login"), NOW + Duration::from_secs(second)).await.status, 302);
        }
        assert_eq!(
            live(&tables),
            ["1800000000", "1800000003", "1800000004", "1800000005"],
            "another user's is left alone"
        );
        send_at(&unlimited, Event::recorded("login"), NOW + Duration::from_secs(6)).await;
        assert_eq!(live(&tables).len(), 5, "without a cap none ends");
    }

    /// R77: by when they began, not by when they were renewed.
    #[tokio::test]
    async fn the_oldest_session_is_the_one_that_began_first() {
        let (tables, _) = with_kim().await;
        let config = config(&tables, &[("SESSIONS_PER_USER", "2")]);
        send_at(&config, Event::recorded("login"), NOW).await;
        let mut renewed = tables.items("SessionsTable").remove(0);
        renewed["issued_at"] = json!({ "N": "1800000100" });
        tables.put("SessionsTable", &renewed);
        for second in [1, 101] {
            send_at(&config, Event::recorded("login"), NOW + Duration::from_secs(second)).await;
        }
        assert_eq!(live(&tables), ["1800000001", "1800000101"]);
    }

    /// R77: from a clock that is behind, or while the table does not answer: no cookies of a session that is over, and what the
    /// browser brought along lives on.
    #[tokio::test]
    async fn a_login_that_has_no_place_signs_nobody_in_and_nobody_out() {
        let (tables, _) = with_kim().await;
        let config = config(&tables, &[("SESSIONS_PER_USER", "1")]);
        let first = send_at(&config, Event::recorded("login"), NOW + Duration::from_secs(20)).await;
        let brought = format!("refresh_jwt={}", first.cookie("refresh_jwt").unwrap());
        let again = Event::recorded("login").cookies([brought]);
        let behind = send_at(&config, again.clone(), NOW).await;
        assert_eq!((behind.status, behind.header("retry-after"), behind.cookies.len()), (503, Some("1"), 0));
        assert_eq!(live(&tables), ["1800000020"]);
        let failing = tables.failing(&[("Query", &[Fault::Refuse(400, "ThrottlingException"); 9])]).await;
        let mut failing = Config::from_lookup(failing).unwrap();
        failing.sessions_per_user = Some(1);
        let outage = send_at(&failing, again, NOW + Duration::from_secs(30)).await;
        assert_eq!((outage.status, outage.cookies.len()), (503, 0));
        assert_eq!(live(&tables), ["1800000020"], "not even an orphan");
    }

    /// R77: whoever comes last sees all the others.
    #[tokio::test]
    async fn ten_logins_at_once_leave_as_many_sessions_as_there_may_be() {
        let (tables, _) = with_kim().await;
        let config = config(&tables, &[("SESSIONS_PER_USER", "3"), ("FREE_FAILURES", "10")]);
        let replies = join_all((0..10).map(|_| send(&config, Event::recorded("login")))).await;
        assert_eq!((tables.items("SessionsTable").len(), live(&tables).len()), (10, 3));
        assert!(replies.iter().filter(|reply| reply.status == 302).count() >= 3);
        let losers = replies.iter().filter(|reply| reply.status != 302);
        assert!(
            { losers }.all(|reply| (reply.status, reply.cookies.len()) == (503, 0)),
            "no cookies of a dead session"
        );
    }

    /// R28.
    #[tokio::test]
    async fn a_login_ends_the_sessions_that_the_browser_brought_along() {
        let (tables, config) = with_kim().await;
        let first = send(&config, Event::recorded("login")).await;
        let (access, refresh) = (first.cookie("access_jwt").unwrap(), first.cookie("refresh_jwt").unwrap());
        let again =
            Event::recorded("login").cookies([format!("refresh_jwt={refresh}"), format!("access_jwt={access}")]);
        let (client, calls) = Calls::of(&store::connect(&config));
        let login = login(&config, client);
        let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
        assert_eq!(again.send(&mut service).await.status, 302);
        let after_the_password = calls.take().split_off(5);
        assert_eq!(after_the_password, ["DeleteItem", "UpdateItem", "PutItem", "UpdateItem"], "one session, one call");
        let ended = |session: &&Value| session.get("ended_at").is_some();
        assert_eq!(
            (tables.items("SessionsTable").len(), tables.items("SessionsTable").iter().filter(ended).count()),
            (2, 1)
        );
        let refused = Event::recorded("login-wrong").cookies([format!("refresh_jwt={refresh}")]);
        assert_eq!(send(&config, refused).await.status, 401);
        assert_eq!(tables.items("SessionsTable").iter().filter(ended).count(), 1, "who is refused ends nothing");
    }

    /// R83: what a browser would not keep is found out before a session is opened.
    #[tokio::test]
    async fn a_user_with_more_roles_than_a_cookie_holds_opens_no_session() {
        let (tables, config) = with_kim().await;
        change(&tables, "user#0", "roles", json!({ "L": [{ "S": "r".repeat(3000) }] }));
        let failed = send(&config, Event::recorded("login")).await;
        assert_eq!((failed.status, failed.cookies.len(), tables.items("SessionsTable").len()), (500, 0, 0));
    }

    #[tokio::test]
    async fn a_login_that_races_a_change_of_password_is_refused() {
        for record in ["user#0", "login#kimcoding"] {
            let (tables, config) = with_kim().await;
            change(&tables, record, "password_version", json!({ "N": "2" }));
            assert_eq!(send(&config, form("kimcoding", "1234")).await.status, 401, "{record}");
            assert!(tables.items("SessionsTable").is_empty());
        }
    }

    /// R31.
    #[tokio::test]
    async fn a_login_name_is_found_however_it_is_written() {
        let (_tables, config) = with_kim().await;
        for name in ["KimCoding", "KIMCODING", "ｋｉｍｃｏｄｉｎｇ"] {
            assert_eq!(send(&config, form(name, "1234")).await.status, 302, "{name}");
        }
    }

    /// R30.
    #[tokio::test]
    async fn a_body_of_any_other_form_is_refused_before_anything_is_read() {
        let (tables, config) = with_kim().await;
        let info = r#""userId":"kimcoding","password":"1234""#;
        for body in [
            String::new(),
            "{}".into(),
            format!("{{{info}}}"),
            r#"{"loginInfo":{"userId":"kimcoding"}}"#.into(),
            r#"{"loginInfo":{"userId":"kimcoding","password":["1234"]}}"#.into(),
            r#"{"loginInfo":{"userId":"kimcoding","password":true}}"#.into(),
            r#"{"loginInfo":{"userId":null,"password":"1234"}}"#.into(),
            format!(r#"{{"loginInfo":{{{info},"role":"admin"}}}}"#),
            format!(r#"{{"loginInfo":{{{info},"password":"1234"}}}}"#),
            format!(r#"{{"loginInfo":{{{info},"userId":"parkhacker"}}}}"#),
            r#"{"loginInfo":{"userId":["kimcoding"],"password":"1234"}}"#.into(),
            format!(r#"{{"loginInfo":{{{info}}},"loginInfo":{{{info}}}}}"#),
            format!(r#"{{"loginInfo":{{{info}}},"checkedKeepLogin":"true"}}"#),
            format!(r#"{{"loginInfo":{{{info}}},"checkedKeepLogin":1}}"#),
            format!(r#"{{"loginInfo":{{{info}}},"keep":true}}"#),
            r#"{"loginInfo":["kimcoding","1234"]}"#.into(),
            format!(r"[{{{info}}},true]"),
        ] {
            let refused = send(&config, Event::recorded("login").body(body.clone())).await;
            assert_eq!((refused.status, refused.cookies.len()), (400, 0), "{body}");
        }
        assert_eq!(send(&config, Event::recorded("login-malformed")).await.status, 400);
        assert_eq!(send(&config, form("kimcoding", &"p".repeat(4097))).await.status, 400);
        assert!(tables.items("SessionsTable").is_empty());
    }

    /// R90.
    #[tokio::test]
    async fn only_a_post_signs_in() {
        let (tables, config) = with_kim().await;
        let refused = send(&config, Event::recorded("login").method("GET")).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
        assert!(tables.items("SessionsTable").is_empty());
    }

    /// R29.
    #[tokio::test]
    async fn a_foreign_page_cannot_sign_anybody_in() {
        let (tables, config) = with_kim().await;
        let foreign = Event::recorded("login").header("origin", "https://evil.example");
        assert_eq!(send(&config, foreign).await.status, 403);
        let as_text = Event::recorded("login").header("content-type", "text/plain");
        assert_eq!(send(&config, as_text).await.status, 415);
        assert!(tables.items("SessionsTable").is_empty());
    }

    /// R61: no token, nor what one is signed with.
    #[tokio::test]
    async fn no_token_is_stored() {
        let (tables, config) = with_kim().await;
        send(&config, Event::recorded("login-wrong")).await;
        let reply = send(&config, Event::recorded("login")).await;
        let stored = ["UsersTable", "SessionsTable", "AttemptsTable"].map(|table| tables.items(table)).concat();
        let stored = Value::from(stored).to_string();
        for name in ["access_jwt", "refresh_jwt"] {
            for part in reply.cookie(name).unwrap().split('.') {
                assert!(!stored.contains(part), "{name}");
            }
        }
        assert!(!stored.contains("1234\""), "nor a password");
        let settings = tables.settings(&[]);
        for name in ["ACCESS_SECRET", "REFRESH_SECRET", "THROTTLE_SECRET"] {
            assert!(!stored.contains(&settings(name).unwrap()), "{name}");
        }
    }

    /// F02, F16: an outage is no refusal. Nothing is hashed for it, and no cookie is set.
    #[tokio::test]
    async fn a_store_that_does_not_answer_is_503_in_time_and_sets_no_cookie() {
        let (tables, _) = with_kim().await;
        let throttled = Fault::Refuse(400, "ThrottlingException");
        for (operation, fault, hashes) in [
            ("GetItem", Fault::Stall, 0),
            ("GetItem", throttled, 0),
            ("PutItem", Fault::Stall, 1),
            ("PutItem", throttled, 1),
        ] {
            let mut config = Config::from_lookup(tables.failing(&[(operation, &[fault; 9])]).await).unwrap();
            // Its own writes come before the hash: see `tests/guessing.rs`.
            config.throttle = false;
            let login = login(&config, store::connect(&config));
            let started = Instant::now();
            let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
            let outage = Event::recorded("login").send(&mut service).await;
            assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
            assert!(started.elapsed() < Duration::from_secs(3), "{operation} {fault:?}");
            assert_eq!(login.authentication.hasher.evaluations(), hashes, "{operation} {fault:?}");
        }
        assert!(tables.items("SessionsTable").is_empty());
    }

    /// R28: where the session of before cannot be ended it lives on, and nobody is signed in over it.
    #[tokio::test]
    async fn an_outage_while_the_session_of_before_is_ended_leaves_the_browser_as_it_was() {
        let (tables, config) = with_kim().await;
        let first = send(&config, Event::recorded("login")).await;
        let again = Event::recorded("login").cookies([format!("refresh_jwt={}", first.cookie("refresh_jwt").unwrap())]);
        let config = Config::from_lookup(tables.failing(&[("UpdateItem", &[Fault::Stall; 9])]).await).unwrap();
        let outage = send(&config, again).await;
        assert_eq!((outage.status, outage.cookies.len()), (503, 0));
        assert!(tables.items("SessionsTable").iter().all(|session| session.get("ended_at").is_none()));
    }

    /// F12, F36: an answer that never arrives leaves a session that nobody has tokens of and that ends by itself; the browser
    /// signs in again.
    #[tokio::test]
    async fn a_login_whose_answer_was_lost_is_simply_made_again() {
        let (tables, config) = with_kim().await;
        let replies = [send(&config, Event::recorded("login")).await, send(&config, Event::recorded("login")).await];
        assert!(replies.iter().all(|reply| (reply.status, reply.cookies.len()) == (302, 2)));
        assert_ne!(replies[0].cookie("refresh_jwt"), replies[1].cookie("refresh_jwt"));
        let ends: Vec<_> =
            tables.items("SessionsTable").iter().map(|session| session["idle_exp"]["N"].clone()).collect();
        assert_eq!(ends, ["1800604800", "1800604800"]);
    }

    /// F08: the session was written down, and the second try finds it.
    #[tokio::test]
    async fn a_login_whose_acknowledgement_was_lost_signs_in_once() {
        let (tables, _) = with_kim().await;
        let mut config = Config::from_lookup(tables.failing(&[("PutItem", &[Fault::LoseReply])]).await).unwrap();
        // Else the fault would meet its write, which comes first.
        config.throttle = false;
        let (client, calls) = Calls::of(&store::connect(&config));
        let login = login(&config, client);
        let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
        let reply = Event::recorded("login").send(&mut service).await;
        assert_eq!((reply.status, reply.cookies.len()), (302, 2));
        assert_eq!(calls.take(), ["GetItem", "GetItem", "PutItem", "PutItem"]);
        assert_eq!(tables.items("SessionsTable").len(), 1);
    }

    /// F19.
    #[tokio::test]
    async fn a_session_that_cannot_be_recorded_signs_nobody_in() {
        let tables = Tables::new().await;
        let config = config(&tables, &[("SESSIONS_TABLE", "no-such-table")]);
        testbed::add_kim(&config).await;
        let failed = send(&config, Event::recorded("login")).await;
        assert_eq!((failed.status, failed.cookies.len()), (500, 0));
        assert!(!failed.body().contains("no-such-table"), "{}", failed.body());
    }
}
