//! An update of a stack that is in use (F40): the functions of version 0.1.0 and of this version run at the same time,
//! on the same tables and with the same keys. What one of them has signed or stored, the other one accepts.
//!
//! Each flow runs in both directions: an update, and the way back. The functions are the real programs, as processes.
//! Each one gets its events from a Runtime API of its own, as on Lambda.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testbed::{Event, Reply, Tables, key_set};

mod releases;

use releases::Release;

const NEW_PASSWORD: &str = "paper boats in the rain";

/// Both versions over the same tables. `kimcoding` has no session.
struct World {
    tables: Tables,
    releases: [Release; 2],
}

impl World {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(changes: &[(&'static str, &str)]) -> Self {
        let tables = Tables::new().await;
        testbed::add_kim(&tables.environment(changes)).await;
        let mut variables = tables.variables(&[&[("DEVICE_COOKIE", "on")], changes].concat());
        variables.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self { releases: Release::start_both(&variables).await, tables }
    }

    /// Returns both directions: the first version does something, and the second one sees it.
    fn directions(&self) -> [[&Release; 2]; 2] {
        let [old, new] = &self.releases;
        [[old, new], [new, old]]
    }
}

/// Cookies of a browser.
struct Cookies {
    access: String,
    refresh: String,
    device: String,
}

impl Cookies {
    fn of(reply: &Reply) -> Self {
        let cookie = |name: &str| format!("{name}={}", reply.cookie(name).unwrap_or_default());
        Self { access: cookie("access_jwt"), refresh: cookie("refresh_jwt"), device: cookie("device") }
    }
}

async fn log_in(release: &Release, password: &str, cookies: &[&str]) -> Reply {
    let form = json!({ "loginInfo": { "userId": "kimcoding", "password": password }, "checkedKeepLogin": true });
    release.send("login", &with("login", cookies).body(form.to_string())).await
}

/// Signs in with the password of `kimcoding`.
async fn sign_in(release: &Release) -> Cookies {
    let reply = log_in(release, "1234", &[]).await;
    assert_eq!((reply.status, reply.cookies.len()), (302, 3), "{}: {reply:?}", release.name);
    Cookies::of(&reply)
}

/// Guesses five wrong passwords, one at each of these releases. The next attempt must wait for a second. A release
/// counts in whole seconds, so the last guess is made at the beginning of one.
async fn guess_wrong(releases: [&Release; 5], cookies: &[&str]) {
    for (position, release) in releases.into_iter().enumerate() {
        if position == 4 {
            let past = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
            tokio::time::sleep(Duration::from_nanos((1_000_000_000 - past).into())).await;
        }
        assert_eq!(log_in(release, "4321", cookies).await.status, 401, "{}", release.name);
    }
}

/// Returns the recorded event of this name with these cookies.
fn with(event: &str, cookies: &[&str]) -> Event {
    Event::recorded(event).cookies(cookies.iter().map(|cookie| (*cookie).to_owned()))
}

async fn userinfo(release: &Release, cookie: &str) -> Reply {
    release.send("userinfo", &with("userinfo", &[cookie])).await
}

/// Asserts that every function which checks an access token accepts this one, or that each one refuses it.
async fn assert_access(release: &Release, access: &str, is_active: bool) {
    let status = if is_active { 200 } else { 401 };
    assert_eq!(userinfo(release, access).await.status, status, "userinfo of {}", release.name);
    let sessions = release.send("sessions", &with("sessions", &[access])).await;
    assert_eq!(sessions.status, status, "sessions of {}", release.name);
    let is_authorized = release.authorizes(&with("authorizer", &[access])).await;
    assert_eq!(is_authorized, is_active, "authorizer of {}", release.name);
}

/// F40: with each form of a key, a plain secret, a key set after a rotation, and a key set of `EdDSA`.
#[tokio::test]
async fn a_session_of_one_version_is_used_and_renewed_by_the_other() {
    let rotated = key_set(
        "ACCESS_SECRET",
        &["old-secret-0123456789abcdefghijkl", "now-secret-0123456789abcdefghijkl"],
        &["next-secret-0123456789abcdefghijk"],
    );
    let refresh =
        key_set("REFRESH_SECRET", &["refresh-secret-0123456789abcdefgh"], &["refresh-secret-1123456789abcdefgh"]);
    // The key of RFC 8037, appendix A.1.
    let secret = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let kid = shared::keys::key_id(shared::keys::Purpose::Access, secret.as_bytes());
    let keys = [json!({ "kid": kid, "alg": "EdDSA", "secret": secret, "published_at": 0, "sign_from": 0 })];
    let eddsa = json!({ "keys": keys }).to_string();
    for changes in [
        &[][..],
        &[("ACCESS_SECRET", rotated.as_str()), ("REFRESH_SECRET", &refresh)],
        &[("ACCESS_SECRET", &eddsa), ("ISSUER", "https://auth.example.com")],
    ] {
        let world = World::with(changes).await;
        for [first, second] in world.directions() {
            let cookies = sign_in(first).await;
            assert_access(second, &cookies.access, true).await;
            let renewed = Cookies::of(&userinfo(second, &cookies.refresh).await);
            // Both versions derive the same successor within the grace period.
            let repeated = Cookies::of(&userinfo(first, &cookies.refresh).await);
            assert_eq!(repeated.refresh, renewed.refresh, "{}", first.name);
            for release in [first, second] {
                assert_access(release, &renewed.access, true).await;
            }
            let again = Cookies::of(&userinfo(first, &renewed.refresh).await);
            assert_access(second, &again.access, true).await;
            // Reuse detection: a token that was replaced twice ends the session for both versions.
            assert_eq!(userinfo(second, &cookies.refresh).await.status, 401, "{}", second.name);
            assert_access(first, &again.access, false).await;
            assert_eq!(userinfo(first, &again.refresh).await.status, 401, "{}", first.name);
        }
    }
}

/// F40.
#[tokio::test]
async fn a_session_that_one_version_has_ended_is_refused_by_the_other() {
    let world = World::new().await;
    for [first, second] in world.directions() {
        // A logout at the version that did not open the session.
        let cookies = sign_in(second).await;
        assert_access(second, &cookies.access, true).await;
        let logout = first.send("logout", &with("logout", &[&cookies.access, &cookies.refresh])).await;
        assert_eq!(logout.status, 205);
        assert_access(second, &cookies.access, false).await;
        assert_eq!(userinfo(second, &cookies.refresh).await.status, 401);

        // One session of the list, which has the sessions of both versions.
        let (here, there) = (sign_in(first).await, sign_in(second).await);
        let list = first.send("sessions", &with("sessions", &[&here.access])).await.json();
        let list: Vec<Value> = list["sessions"].as_array().unwrap().clone();
        assert_eq!(list.len(), 2, "{}: {list:?}", first.name);
        let other = list.iter().find(|session| session["current"] == false).unwrap()["id"].as_str().unwrap();
        let event = with("sessions-end", &[&here.access]).at("DELETE", &format!("/sessions/{other}"));
        assert_eq!(first.send("sessions", &event.with("/pathParameters", json!({ "id": other }))).await.status, 204);
        assert_access(second, &there.access, false).await;
        assert_access(second, &here.access, true).await;

        // All sessions except one, and then all.
        let there = sign_in(second).await;
        assert_eq!(first.send("sessions", &with("sessions-end-others", &[&here.access])).await.status, 204);
        assert_access(second, &there.access, false).await;
        assert_access(second, &here.access, true).await;
        let there = sign_in(second).await;
        let everywhere = with("logout", &[&here.access]).query("everywhere=true");
        assert_eq!(first.send("logout", &everywhere).await.status, 205);
        for cookies in [here, there] {
            assert_access(second, &cookies.access, false).await;
        }
    }
}

/// F40.
#[tokio::test]
async fn a_password_that_one_version_has_set_signs_in_at_the_other() {
    let world = World::new().await;
    let mut password = "1234".to_owned();
    for ([first, second], new) in world.directions().into_iter().zip([NEW_PASSWORD, "paper boats in the snow"]) {
        let elsewhere = Cookies::of(&log_in(second, &password, &[]).await);
        let here = Cookies::of(&log_in(second, &password, &[]).await);
        let form = json!({ "currentPassword": password, "newPassword": new }).to_string();
        let changed = first.send("password", &with("password", &[&here.access]).body(form)).await;
        assert_eq!(changed.status, 204, "{}: {changed:?}", first.name);
        assert_access(second, &elsewhere.access, false).await;
        assert_access(second, &Cookies::of(&changed).access, true).await;
        assert_eq!(log_in(second, &password, &[]).await.status, 401, "{}", second.name);
        assert_eq!(log_in(second, new, &[]).await.status, 302, "{}", second.name);
        new.clone_into(&mut password);
    }
}

/// F40: five wrong passwords are free. The sixth attempt must wait for a second.
#[tokio::test]
async fn the_wrong_passwords_that_one_version_has_counted_count_at_the_other() {
    let world = World::new().await;
    for [first, second] in world.directions() {
        let cookies = sign_in(first).await;
        guess_wrong([first, first, first, second, second], &[]).await;
        for release in [first, second] {
            assert_eq!(log_in(release, "1234", &[]).await.status, 429, "{}", release.name);
        }
        // The device cookie of one version has a counter of its own at the other one. Both versions count in it.
        for release in [first, first, first, second] {
            assert_eq!(log_in(release, "4321", &[&cookies.device]).await.status, 401, "{}", release.name);
        }
        let known = log_in(second, "1234", &[&cookies.device]).await;
        assert_eq!(known.status, 302, "{}: a known device", second.name);
        guess_wrong([first, second, first, second, first], &[&cookies.device]).await;
        for release in [first, second] {
            assert_eq!(log_in(release, "1234", &[&cookies.device]).await.status, 429, "{}: device", release.name);
        }
        // As an operator does with `latchkey users unlock`.
        for counter in world.tables.items("AttemptsTable") {
            world.tables.delete("AttemptsTable", &json!({ "counter_key": counter["counter_key"] }));
        }
    }
}
