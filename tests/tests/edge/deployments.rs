//! Deployments: what one version or one configuration of the service has made, another one accepts. During a
//! deployment, instances of both answer requests.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::store::User;
use testbed::{Event, Log, Tables, workspace};

use crate::world::{NOW, Service, after};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The default lifetimes, and shorter ones.
const LONG: [(&str, &str); 0] = [];
const SHORT: [(&str, &str); 2] = [("ACCESS_TTL", "3600"), ("REFRESH_TTL", "86400")];

/// Two configurations of the service over the same tables.
struct World {
    tables: Tables,
    user: User,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let user = testbed::add_kim(&tables.environment(&[])).await;
        Self { tables, user }
    }

    fn environment(&self, settings: &[(&str, &str)]) -> Environment {
        self.tables.environment(settings)
    }

    fn service(&self, settings: &[(&str, &str)]) -> Service {
        Service::new(self.environment(settings))
    }

    /// Signs in at [`NOW`], and returns the access token and the refresh token.
    async fn sign_in(&self, settings: &[(&str, &str)]) -> (String, String) {
        testbed::sign_in(&self.environment(settings), &self.user, true, NOW).await
    }
}

fn with(cookies: &[(&str, &str)]) -> Event {
    Event::recorded("userinfo").cookies(cookies.iter().map(|(name, value)| format!("{name}={value}")))
}

/// Returns the status of every function that checks an access token, the authorizer included.
async fn statuses(service: &Service, access: &str, now: Timestamp) -> Vec<u16> {
    let cookie = [format!("access_jwt={access}")];
    let mut statuses = Vec::new();
    for name in ["userinfo", "sessions"] {
        statuses.push(service.send(&Event::recorded(name).cookies(cookie.clone()), now).await.reply.status);
    }
    let decision = service.authorize(&Event::recorded("authorizer").cookies(cookie), now).await.unwrap();
    statuses.push(if decision["isAuthorized"] == true { 200 } else { 401 });
    statuses
}

/// R44, R45: a lifetime is lowered or raised by a deployment. Old and new functions accept a token until the earlier of
/// its `exp` and `iat` + their own lifetime.
#[tokio::test]
async fn a_changed_lifetime_signs_out_only_a_user_whose_token_is_older() {
    let world = World::new().await;
    for [old, new] in [[&LONG[..], &SHORT[..]], [&SHORT[..], &LONG[..]]] {
        let (access, refresh) = world.sign_in(old).await;
        for settings in [old, new] {
            let service = world.service(settings);
            let is_short = old == SHORT || settings == SHORT;
            let what = format!("from {old:?} to {new:?}, a function with {settings:?}");
            let lives = if is_short { HOUR } else { DAY };
            for (secs, status) in [(0, 200), (60, 200), (lives - 1, 200), (lives + 5, 401), (DAY + 5, 401)] {
                let given = statuses(&service, &access, after(secs)).await;
                assert_eq!(given, [status; 3], "{what}, after {secs} s");
            }
            let lives = if is_short { DAY } else { 7 * DAY };
            // A `HEAD` checks the refresh token and changes nothing.
            for (secs, status) in [(2 * HOUR, 200), (lives - 1, 200), (lives + 5, 401)] {
                let head = with(&[("refresh_jwt", &refresh)]).method("HEAD");
                let given = service.send(&head, after(secs)).await.reply.status;
                assert_eq!(given, status, "{what}, after {secs} s");
            }
        }
    }
}

/// R71: during the deployment, old and new functions renew the session in turn. It still ends after 30 days.
#[tokio::test]
async fn functions_with_different_lifetimes_renew_one_session_in_turn() {
    let world = World::new().await;
    let longest = [("REFRESH_TTL", "2592000")];
    for settings in [[&LONG[..], &SHORT[..]], [&SHORT[..], &LONG[..]], [&SHORT[..], &longest[..]]] {
        let services = settings.map(|settings| world.service(settings));
        let (_, mut refresh) = world.sign_in(settings[0]).await;
        let mut now = NOW;
        let end = NOW + Duration::from_secs(30 * DAY);
        for turn in 1.. {
            now = now + Duration::from_secs(DAY - 1);
            let service = &services[turn % 2];
            let reply = service.send(&with(&[("refresh_jwt", &refresh)]), now).await.reply;
            if now >= end {
                assert_eq!(reply.status, 401, "{settings:?}");
                break;
            }
            assert_eq!((reply.status, reply.cookies.len()), (200, 2), "{settings:?}: {turn}");
            let access = reply.cookie("access_jwt").unwrap();
            for service in &services {
                assert_eq!(statuses(service, access, now).await, [200; 3], "{settings:?}: {turn}");
            }
            reply.cookie("refresh_jwt").unwrap().clone_into(&mut refresh);
        }
    }
}

/// Returns the files in `tests/records`, one for each release: the records and cookies that the release wrote.
fn releases() -> Vec<(String, Value)> {
    let files = fs::read_dir(workspace::root().join("tests/records")).unwrap().map(|file| file.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let written = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), written)
    };
    files.map(read).collect()
}

/// F40: a later version may add attributes. The records of a release do not have them, and stay readable.
#[tokio::test]
async fn the_records_and_cookies_of_every_release_work_after_an_upgrade() {
    let releases = releases();
    assert!(!releases.is_empty());
    for (release, written) in releases {
        let (tables, log) = (Tables::new().await, Log::start());
        for (table, items) in written["tables"].as_object().unwrap() {
            assert!(!items.as_array().unwrap().is_empty(), "{release}: {table}");
            items.as_array().unwrap().iter().for_each(|item| tables.put(table, item));
        }
        let now = Timestamp::from_secs(written["written_at"].as_u64().unwrap());
        let service = Service::new(tables.environment(&[("DEVICE_COOKIE", "on")]));
        let cookie = |name: &str| written["cookies"][name].as_str().unwrap().to_owned();
        let send = async |event: &str, cookies: Vec<String>, now: Timestamp| {
            service.send(&Event::recorded(event).cookies(cookies), now).await.reply
        };
        let login = async |user_id: &str, password: &str, cookies: Vec<String>, now: Timestamp| {
            let body = json!({ "loginInfo": { "userId": user_id, "password": password } }).to_string();
            service.send(&Event::recorded("login").body(body).cookies(cookies), now).await.reply.status
        };

        let user = send("userinfo", vec![cookie("access")], now).await;
        assert_eq!((user.status, &user.json()["roles"]), (200, &json!(["analyst"])), "{release}");
        assert_eq!(send("userinfo", vec![cookie("short")], now).await.status, 200, "{release}");
        assert_eq!(send("userinfo", vec![cookie("ended")], now).await.status, 401, "{release}: an ended session");
        let repeated = send("userinfo", vec![cookie("replaced")], now).await;
        assert!(repeated.cookies.iter().any(|line| line.starts_with(&cookie("refresh"))), "{release}: {repeated:?}");
        let renewed = send("userinfo", vec![cookie("refresh")], now).await;
        assert_eq!((renewed.status, renewed.cookies.len()), (200, 2), "{release}");

        assert_eq!(login("parkhacker", "5678", vec![], now).await, 429, "{release}: the lock counts");
        let unlocked = now + Duration::from_secs(1);
        assert_eq!(login("parkhacker", "5678", vec![], unlocked).await, 302, "{release}");
        for guess in 0..4 {
            let status = login("kimcoding", "4321", vec![cookie("device")], now).await;
            assert_eq!(status, 401, "{release}: guess {guess} on a known device");
        }
        assert_eq!(login("kimcoding", "1234", vec![cookie("device")], now).await, 429, "{release}: its count goes on");
        assert_eq!(login("kimcoding", "1234", vec![], now).await, 302, "{release}");
        assert_eq!(send("password", vec![cookie("access")], now).await.status, 204, "{release}");
        assert_eq!(send("logout", vec![cookie("short")], now).await.status, 205, "{release}");

        let lines = log.take();
        for event in ["record_unreadable", "session_unreadable", "counter_unreadable", "internal_error"] {
            assert!(!lines.contains(event), "{release}: {event}");
        }
    }
}
