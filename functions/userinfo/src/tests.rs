use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::http::Site;
use shared::store::{self, User};
use testbed::{Calls, Event, Fault, Log, Reply, Tables};

use super::*;

mod page;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: u64 = 86_400;

/// The user `kimcoding`, who signed in at `NOW`.
struct SignedIn {
    tables: Tables,
    env: Environment,
    user: User,
    access: String,
    refresh: String,
}

impl SignedIn {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[]));
        let user = testbed::add_kim(&env).await;
        let (access, refresh) = testbed::sign_in(&env, &user, true, NOW).await;
        Self { tables, env, user, access, refresh }
    }

    async fn send(&self, event: Event, now: Timestamp) -> Reply {
        send(&self.env, event, now).await
    }

    /// Renews the session, and returns the successor of the refresh token.
    async fn renew(&self, refresh: &str, now: Timestamp) -> String {
        let reply = self.send(with("", refresh), now).await;
        assert_eq!((reply.status, reply.cookies.len()), (200, 2));
        reply.cookie("refresh_jwt").unwrap().to_owned()
    }
}

async fn send(env: &Environment, event: Event, now: Timestamp) -> Reply {
    send_through(store::connect(env).unwrap(), env, event, now).await
}

async fn send_through(client: Client, env: &Environment, event: Event, now: Timestamp) -> Reply {
    let userinfo = Userinfo::from_env(client, env).unwrap();
    let origins = Site::from_env(env).unwrap();
    event.send(&mut http::service(origins, |request| userinfo.handle(request, now))).await
}

fn with(access: &str, refresh: &str) -> Event {
    Event::recorded("userinfo").cookies([
        "theme=dark".into(),
        format!("access_jwt={access}"),
        format!("refresh_jwt={refresh}"),
    ])
}

fn bearer(token: &str) -> Event {
    Event::recorded("userinfo-without").header("authorization", &format!("Bearer {token}"))
}

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

fn kim() -> Value {
    json!({
        "id": "0", "userId": "kimcoding", "email": "kimcoding@authstates.com", "name": "김코딩",
        "position": "Frontend Developer", "location": "Seoul, South Korea",
        "bio": "Writes the page that you sign in from.",
    })
}

fn refused(reply: &Reply) -> bool {
    (reply.status, reply.body(), reply.cookies.len()) == (401, "Not Authorized", 0)
}

/// Returns `true` for a 401 that clears both cookies.
fn ended_for_reuse(reply: &Reply) -> bool {
    let cleared = reply.cookies.iter().filter(|line| line.contains("=; Path=/") && line.contains("Max-Age=0"));
    (reply.status, reply.body(), cleared.count()) == (401, "Not Authorized", 2)
}

#[tokio::test]
async fn an_access_token_returns_the_user_without_the_password() {
    let kim_is_in = SignedIn::new().await;
    let reply = kim_is_in.send(with(&kim_is_in.access, ""), NOW).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!((reply.json(), reply.cookies.len()), (kim(), 0));
}

#[tokio::test]
async fn a_missing_or_invalid_token_is_401() {
    let kim_is_in = SignedIn::new().await;
    assert!(refused(&kim_is_in.send(Event::recorded("userinfo-without"), NOW).await));
    assert!(refused(&kim_is_in.send(Event::recorded("userinfo"), NOW).await), "an invalid token");
}

#[tokio::test]
async fn a_refresh_token_replaces_a_missing_expired_or_forged_access_token() {
    for (access, now) in [("", NOW), ("its own", after(DAY + 5)), ("forged", NOW)] {
        let kim_is_in = SignedIn::new().await;
        let access = if access == "its own" { &kim_is_in.access } else { access };
        let reply = kim_is_in.send(with(access, &kim_is_in.refresh), now).await;
        assert_eq!((reply.status, reply.json()), (200, kim()), "{access}");
        let renewed = reply.cookie("access_jwt").unwrap();
        assert!(kim_is_in.send(with(renewed, ""), now).await.status == 200, "the new access token is valid");
    }
}

/// R70.
#[tokio::test]
async fn a_session_expires_after_seven_days_without_renewal() {
    let kim_is_in = SignedIn::new().await;
    assert_eq!(kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY - 1)).await.status, 200);
    let kim_is_in = SignedIn::new().await;
    assert!(refused(&kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY)).await));
}

/// F29: the second instance has a slow clock. A request that must not change anything does not end the session (R86).
#[tokio::test]
async fn a_session_that_one_instance_found_expired_is_not_revived_by_a_slower_clock() {
    for (first, status) in [("GET", 401), ("HEAD", 200)] {
        let kim_is_in = SignedIn::new().await;
        let expired = with("", &kim_is_in.refresh).method(first);
        assert_eq!(kim_is_in.send(expired, after(7 * DAY)).await.status, 401);
        let slow = kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY - 3600)).await;
        assert_eq!(slow.status, status, "{first}");
    }
}

/// A second holder of the refresh token gets the same successor within the grace period. The event tells the operator.
#[tokio::test]
async fn a_repeated_renewal_from_another_address_or_browser_has_an_event_of_its_own() {
    for (address, browser, event) in [
        ("203.0.113.7", "Firefox", r#""event":"refresh_repeated""#),
        ("203.0.113.8", "Firefox", r#""event":"refresh_repeated_elsewhere","reason":"address""#),
        ("203.0.113.7", "curl", r#""event":"refresh_repeated_elsewhere","reason":"browser""#),
        ("203.0.113.8", "curl", r#""event":"refresh_repeated_elsewhere","reason":"both""#),
    ] {
        let kim_is_in = SignedIn::new().await;
        let from = |address: &str, browser: &str| {
            let event = with("", &kim_is_in.refresh).header("user-agent", browser);
            event.with("/requestContext/http/sourceIp", json!(address))
        };
        kim_is_in.send(from("203.0.113.7", "Firefox"), after(1)).await;
        let log = Log::start();
        assert_eq!(kim_is_in.send(from(address, browser), after(2)).await.status, 200);
        let log = log.take();
        assert!(log.contains(event), "{address} {browser}: {log}");
    }
}

#[tokio::test]
async fn a_session_that_is_not_persistent_expires_with_its_access_token() {
    let kim_is_in = SignedIn::new().await;
    let (access, _) = testbed::sign_in(&kim_is_in.env, &kim_is_in.user, false, NOW).await;
    assert_eq!(kim_is_in.send(with(&access, ""), after(DAY - 1)).await.status, 200);
    assert!(refused(&kim_is_in.send(with(&access, ""), after(DAY)).await));
}

/// R42.
#[tokio::test]
async fn a_token_in_the_wrong_cookie_is_rejected() {
    let kim_is_in = SignedIn::new().await;
    assert!(refused(&kim_is_in.send(with(&kim_is_in.refresh, &kim_is_in.access), NOW).await));
}

/// R86.
#[tokio::test]
async fn a_request_that_may_not_renew_is_answered_and_changes_no_session() {
    let kim_is_in = SignedIn::new().await;
    let first = kim_is_in.refresh.clone();
    let without_renewal = |refresh: &str| {
        let event = with("", refresh);
        [
            event.clone().method("HEAD"),
            event.clone().header("sec-purpose", "prefetch;prerender"),
            event.clone().header("purpose", "Prefetch"),
            event.clone().header("x-purpose", "preview"),
            event.clone().header("x-moz", "prefetch"),
            event.clone().header("sec-fetch-site", "cross-site"),
            event.header("sec-fetch-dest", "image"),
        ]
    };
    let records = kim_is_in.tables.items("SessionsTable");
    for event in without_renewal(&first) {
        let reply = kim_is_in.send(event.clone(), NOW).await;
        assert_eq!((reply.status, reply.cookies.len()), (200, 0), "{event:?}");
    }
    assert_eq!(kim_is_in.tables.items("SessionsTable"), records);
    kim_is_in.renew(&first, NOW).await;
    let records = kim_is_in.tables.items("SessionsTable");
    for (now, status) in [(after(10), 200), (after(11), 401)] {
        for event in without_renewal(&first) {
            let reply = kim_is_in.send(event.clone(), now).await;
            assert_eq!((reply.status, reply.cookies.len()), (status, 0), "{event:?}");
        }
    }
    assert_eq!(kim_is_in.tables.items("SessionsTable"), records, "the session is not ended for reuse either");
}

#[tokio::test]
async fn a_renewal_sets_both_cookies() {
    let kim_is_in = SignedIn::new().await;
    let reply = kim_is_in.send(with("", &kim_is_in.refresh), after(DAY)).await;
    assert_eq!((reply.status, reply.json(), reply.cookies.len()), (200, kim(), 2));
    assert!(reply.cookies[0].contains("; Max-Age=86400; Expires="), "{:?}", reply.cookies);
    assert!(reply.cookies[1].contains("; Max-Age=604800; Expires="), "{:?}", reply.cookies);
    let second = reply.cookie("refresh_jwt").unwrap();
    assert_ne!(second, kim_is_in.refresh);
    let record = &kim_is_in.tables.items("SessionsTable")[0];
    assert_eq!((&record["gen"]["N"], &record["issued_at"]["N"]), (&json!("2"), &json!("1800086400")));
    assert_eq!(kim_is_in.send(with("", second), after(2 * DAY)).await.status, 200);
}

/// R71.
#[tokio::test]
async fn a_session_that_is_renewed_every_day_expires_after_thirty_days() {
    let kim_is_in = SignedIn::new().await;
    let mut refresh = kim_is_in.refresh.clone();
    for day in 1..30 {
        refresh = kim_is_in.renew(&refresh, after(day * DAY)).await;
    }
    let last = kim_is_in.send(with("", &refresh), after(30 * DAY - 60)).await;
    assert!(last.cookies.iter().all(|line| line.contains("; Max-Age=60; ")), "{:?}", last.cookies);
    let (access, refresh) = (last.cookie("access_jwt").unwrap(), last.cookie("refresh_jwt").unwrap());
    assert!(refused(&kim_is_in.send(with(access, refresh), after(30 * DAY)).await));
}

/// R63, R64, R69, F10: for ten seconds from the first use, the successor is the same bit for bit. A repeat does not
/// extend the grace period. The test sends each request to a new instance. This shows that no state is kept outside the
/// table.
#[tokio::test]
async fn a_repeated_refresh_token_gets_the_same_successor_within_the_grace_period() {
    let kim_is_in = SignedIn::new().await;
    let second = kim_is_in.renew(&kim_is_in.refresh, after(100)).await;
    let records = kim_is_in.tables.items("SessionsTable");
    for secs in (100..=110).step_by(2) {
        assert_eq!(kim_is_in.renew(&kim_is_in.refresh, after(secs)).await, second, "{secs}");
    }
    assert_eq!(kim_is_in.tables.items("SessionsTable"), records, "a repeat writes nothing");
    assert!(ended_for_reuse(&kim_is_in.send(with("", &kim_is_in.refresh), after(112)).await));
    assert!(refused(&kim_is_in.send(with("", &second), after(112)).await), "the session has ended");
}

/// The key is rotated between the first use and the second.
#[tokio::test]
async fn a_repeated_refresh_token_gets_the_same_successor_after_a_key_rotation() {
    let kim_is_in = SignedIn::new().await;
    let second = kim_is_in.renew(&kim_is_in.refresh, NOW).await;
    let old = "refresh-secret-for-tests-012345678";
    let keys = testbed::key_set("REFRESH_SECRET", &[old, "another-secret-0123456789-0123456789"], &[]);
    let changed = [("REFRESH_SECRET", keys.as_str())];
    let env = Environment::new(kim_is_in.tables.settings(&changed));
    let repeated = send(&env, with("", &kim_is_in.refresh), after(5)).await;
    assert_eq!(repeated.cookie("refresh_jwt"), Some(second.as_str()));
    let third = send(&env, with("", &second), after(6)).await;
    let third = third.cookie("refresh_jwt").unwrap();
    assert_eq!(send(&env, with("", third), after(7)).await.status, 200, "the new key signs");
    assert!(
        refused(&kim_is_in.send(with("", third), after(7)).await),
        "the old configuration does not know the new key"
    );
}

/// R65, R66, R67, R69: a token that has been replaced twice is reuse, even within the same second. The current tokens
/// become invalid, too. Exactly one event is logged.
#[tokio::test]
async fn a_reused_refresh_token_ends_the_session_and_clears_the_cookies() {
    let kim_is_in = SignedIn::new().await;
    let second = kim_is_in.renew(&kim_is_in.refresh, NOW).await;
    let third = kim_is_in.send(with("", &second), NOW).await;
    let (access, third) = (third.cookie("access_jwt").unwrap(), third.cookie("refresh_jwt").unwrap());
    let log = testbed::Log::start();
    assert!(ended_for_reuse(&kim_is_in.send(with("", &kim_is_in.refresh), NOW).await));
    for event in [with("", &kim_is_in.refresh), with("", &second), with("", third), with(access, third)] {
        assert!(refused(&kim_is_in.send(event, NOW).await), "no token of the session is valid, and no cookie changes");
    }
    let reported = log.events("refresh_reuse");
    assert!(reported.len() == 1 && reported[0]["session"].is_string(), "{reported:?}");
    assert_eq!(kim_is_in.tables.items("SessionsTable")[0]["ended_at"]["N"], "1800000000");
}

/// R66: reuse is detected after the expiry of the token, too. Otherwise a thief who renews the session could wait for
/// the expiry of the victim's token.
#[tokio::test]
async fn a_reused_refresh_token_ends_the_session_even_if_it_has_expired() {
    let kim_is_in = SignedIn::new().await;
    let second = kim_is_in.renew(&kim_is_in.refresh, after(DAY)).await;
    assert!(ended_for_reuse(&kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY + 60)).await));
    assert!(refused(&kim_is_in.send(with("", &second), after(7 * DAY + 60)).await));
}

/// R63: the grace period does not end at the expiry of the token.
#[tokio::test]
async fn a_refresh_token_used_in_its_last_second_has_the_same_grace_period() {
    let kim_is_in = SignedIn::new().await;
    let second = kim_is_in.renew(&kim_is_in.refresh, after(7 * DAY - 1)).await;
    assert_eq!(kim_is_in.renew(&kim_is_in.refresh, after(7 * DAY + 9)).await, second);
}

/// R56, R66: a token of a retired key renews no session and repeats no renewal, even if the key is still in the set.
/// The use of a replaced token is reuse even then.
#[tokio::test]
async fn a_refresh_token_of_a_retired_key_is_rejected() {
    let kim_is_in = SignedIn::new().await;
    let keys = ["refresh-secret-for-tests-012345678", "another-secret-0123456789-0123456789"];
    let set = testbed::key_set("REFRESH_SECRET", &keys, &[]);
    let set = set.replacen(r#""sign_from":0"#, r#""sign_from":0,"retire_at":1800000100"#, 1);
    let env = Environment::new(kim_is_in.tables.settings(&[("REFRESH_SECRET", &set)]));
    let first = async |secs| send(&env, with("", &kim_is_in.refresh), after(secs)).await;
    assert!(refused(&first(100).await), "it would renew the session");
    let renewed = first(99).await;
    assert!(refused(&first(100).await), "it would repeat the renewal");
    let second = with("", renewed.cookie("refresh_jwt").unwrap());
    assert_eq!(send(&env, second, after(100)).await.status, 200);
    assert!(ended_for_reuse(&first(100).await));
}

/// F27: half of the instances have the new key. The others cannot sign the same successor.
#[tokio::test]
async fn a_successor_that_was_signed_with_an_unknown_key_is_503() {
    let kim_is_in = SignedIn::new().await;
    let old = "refresh-secret-for-tests-012345678";
    let keys = testbed::key_set("REFRESH_SECRET", &[old, "another-secret-0123456789-0123456789"], &[]);
    let changed = [("REFRESH_SECRET", keys.as_str())];
    let new = Environment::new(kim_is_in.tables.settings(&changed));
    let renewed = send(&new, with("", &kim_is_in.refresh), NOW).await;
    let repeated = kim_is_in.send(with("", &kim_is_in.refresh), after(1)).await;
    assert_eq!((repeated.status, repeated.header("retry-after"), repeated.cookies.len()), (503, Some("1"), 0));
    // A key is published before it signs. All instances then know it.
    let known = testbed::key_set("REFRESH_SECRET", &[old], &["another-secret-0123456789-0123456789"]);
    let known = Environment::new(kim_is_in.tables.settings(&[("REFRESH_SECRET", &known)]));
    let second = renewed.cookie("refresh_jwt").unwrap();
    let repeated = send(&known, with("", &kim_is_in.refresh), after(1)).await;
    assert_eq!(repeated.cookie("refresh_jwt"), Some(second));
    assert_eq!(send(&known, with("", second), after(2)).await.status, 200);
}

/// F24. A batch read is not atomic: one record may be from before, and the other from after, the transaction that ends
/// all other sessions.
#[tokio::test]
async fn a_renewal_while_all_other_sessions_end_is_not_refused() {
    let kim_is_in = SignedIn::new().await;
    let tables = kim_is_in.tables.clone();
    let raise = move |table: &str, name: &str| {
        let items = tables.items(table);
        let mut item = items.into_iter().find(|item| table != "UsersTable" || item["pk"]["S"] == "user#0").unwrap();
        item[name] = json!({ "N": "2" });
        tables.put(table, &item);
    };
    // The renewal has read both records at epoch 1. Then another tab renews the session and ends all others.
    let client = testbed::before(&store::connect(&kim_is_in.env).unwrap(), "UpdateItem", {
        let raise = raise.clone();
        move || {
            raise("UsersTable", "session_epoch");
            raise("SessionsTable", "epoch");
            raise("SessionsTable", "gen");
        }
    });
    let reply = send_through(client, &kim_is_in.env, with("", &kim_is_in.refresh), NOW).await;
    assert_eq!(reply.status, 200);
}

/// R68, F14: the renewal reads the session before the logout and writes after it.
#[tokio::test]
async fn a_renewal_that_races_a_logout_does_not_reopen_the_session() {
    let kim_is_in = SignedIn::new().await;
    let active = kim_is_in.tables.items("SessionsTable").remove(0);
    let key = json!({ "user_id": active["user_id"], "session_id": active["session_id"] });
    let mut ended = active.clone();
    ended["ended_at"] = json!({ "N": "1800000000" });
    for deleted in [false, true] {
        kim_is_in.tables.put("SessionsTable", &active);
        let (tables, key, after_logout) = (kim_is_in.tables.clone(), key.clone(), ended.clone());
        let client = testbed::before(&store::connect(&kim_is_in.env).unwrap(), "UpdateItem", move || {
            if deleted { tables.delete("SessionsTable", &key) } else { tables.put("SessionsTable", &after_logout) }
        });
        assert!(refused(&send_through(client, &kim_is_in.env, with("", &kim_is_in.refresh), NOW).await));
        let records = kim_is_in.tables.items("SessionsTable");
        assert_eq!(records, if deleted { vec![] } else { vec![ended.clone()] });
    }
}

#[tokio::test]
async fn a_bearer_token_is_accepted_instead_of_the_access_cookie() {
    let kim_is_in = SignedIn::new().await;
    let reply = kim_is_in.send(bearer(&kim_is_in.access), NOW).await;
    assert_eq!((reply.status, reply.json(), reply.cookies.len()), (200, kim(), 0));
}

/// R91: a valid cookie does not make up for an invalid `Bearer` token.
#[tokio::test]
async fn a_bearer_token_is_the_only_credential_and_never_renews() {
    let kim_is_in = SignedIn::new().await;
    let SignedIn { access, refresh, .. } = &kim_is_in;
    let cookies = [format!("access_jwt={access}"), format!("refresh_jwt={refresh}")];
    for token in ["", "garbage", refresh] {
        assert!(refused(&kim_is_in.send(bearer(token).cookies(cookies.clone()), NOW).await), "{token}");
    }
    let expired = bearer(access).cookies([format!("refresh_jwt={refresh}")]);
    assert!(refused(&kim_is_in.send(expired, after(DAY + 5)).await));
}

/// R91.
#[tokio::test]
async fn a_token_in_the_query_or_the_body_is_ignored() {
    let kim_is_in = SignedIn::new().await;
    let event =
        Event::recorded("userinfo-without").query(&format!("access_token={0}&access_jwt={0}", kim_is_in.access));
    assert!(refused(&kim_is_in.send(event.body(kim_is_in.refresh.clone()), NOW).await));
}

/// R92.
#[tokio::test]
async fn a_bearer_token_and_a_cookie_of_different_users_are_400() {
    let kim_is_in = SignedIn::new().await;
    let park = testbed::add_park(&kim_is_in.env).await;
    let (parks, _) = testbed::sign_in(&kim_is_in.env, &park, false, NOW).await;
    let both = |cookie: &str| bearer(&kim_is_in.access).cookies([format!("access_jwt={cookie}")]);
    assert_eq!(kim_is_in.send(both(&parks), NOW).await.status, 400);
    assert_eq!(kim_is_in.send(both(&kim_is_in.access), NOW).await.status, 200);
    assert_eq!(kim_is_in.send(both("garbage"), NOW).await.status, 200);
}

/// R81.
#[tokio::test]
async fn ambiguous_cookies_are_401_and_both_cookies_are_cleared() {
    let kim_is_in = SignedIn::new().await;
    let valid = format!("access_jwt={}", kim_is_in.access);
    let twice = Event::recorded("userinfo").cookies([valid.clone(), "access_jwt=tossed".into()]);
    let head = kim_is_in.send(twice.clone().method("HEAD"), NOW).await;
    assert_eq!((head.status, head.cookies.len()), (401, 0), "a `HEAD` changes no cookie (R86)");
    let reply = kim_is_in.send(twice, NOW).await;
    assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 2));
    assert!(reply.cookies.iter().all(|line| line.contains("=; Path=/") && line.contains("Max-Age=0")));
    let repeated = Event::recorded("userinfo").cookies([valid.clone(), valid]);
    let reply = kim_is_in.send(repeated, NOW).await;
    assert_eq!(reply.status, 200, "the session is still active, and a repeated value is not ambiguous");
}

/// R34.
#[tokio::test]
async fn a_deleted_user_is_rejected_with_either_token() {
    let kim_is_in = SignedIn::new().await;
    kim_is_in.tables.delete("UsersTable", &json!({ "pk": { "S": "user#0" } }));
    assert!(refused(&kim_is_in.send(with(&kim_is_in.access, &kim_is_in.refresh), NOW).await));
}

#[tokio::test]
async fn a_refresh_token_of_an_active_session_replaces_an_access_token_of_an_ended_one() {
    let kim_is_in = SignedIn::new().await;
    let ended = kim_is_in.tables.items("SessionsTable").remove(0);
    let (_, refresh) = testbed::sign_in(&kim_is_in.env, &kim_is_in.user, true, NOW).await;
    kim_is_in
        .tables
        .delete("SessionsTable", &json!({ "user_id": ended["user_id"], "session_id": ended["session_id"] }));
    let reply = kim_is_in.send(with(&kim_is_in.access, &refresh), NOW).await;
    assert_eq!((reply.status, reply.cookies.len()), (200, 2));
}

#[tokio::test]
async fn the_roles_of_a_user_are_returned() {
    let kim_is_in = SignedIn::new().await;
    let mut item = kim_is_in.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
    item["roles"] = json!({ "L": [{ "S": "admin" }] });
    kim_is_in.tables.put("UsersTable", &item);
    let reply = kim_is_in.send(with(&kim_is_in.access, ""), NOW).await;
    assert_eq!(reply.json()["roles"], json!(["admin"]));
}

#[tokio::test]
async fn an_access_token_costs_one_call_and_a_renewal_costs_two_and_a_forged_token_costs_none() {
    let kim_is_in = SignedIn::new().await;
    let (client, calls) = Calls::of(&store::connect(&kim_is_in.env).unwrap());
    let send = async |access: &str, refresh: &str| {
        send_through(client.clone(), &kim_is_in.env, with(access, refresh), NOW).await;
        calls.take()
    };
    assert_eq!(send(&kim_is_in.access, &kim_is_in.refresh).await, ["BatchGetItem"]);
    assert_eq!(send("", &kim_is_in.refresh).await, ["BatchGetItem", "UpdateItem"], "a renewal");
    assert_eq!(send("", &kim_is_in.refresh).await, ["BatchGetItem"], "the same token again");
    assert!(send("forged", "forged").await.is_empty());
}

/// The table in `docs/sessions.md`, with the units that DynamoDB counts.
#[tokio::test]
async fn a_request_costs_two_read_units_and_a_renewal_one_write_unit() {
    let kim_is_in = SignedIn::new().await;
    let (settings, meter) = kim_is_in.tables.metered().await;
    let env = Environment::new(settings);
    let read = || ("BatchGetItem".to_owned(), 2.0);
    send(&env, with(&kim_is_in.access, ""), NOW).await;
    assert_eq!(meter.take(), [read()]);
    send(&env, with("", &kim_is_in.refresh), NOW).await;
    assert_eq!(meter.take(), [read(), ("UpdateItem".to_owned(), 1.0)]);
    send(&env, with("", &kim_is_in.refresh), NOW).await;
    assert_eq!(meter.take(), [read()], "the same token again");
    send(&env, with("forged", "forged"), NOW).await;
    assert_eq!(meter.take(), []);
}

/// R78: both installations use the same tables.
#[tokio::test]
async fn a_token_of_another_installation_is_rejected() {
    let kim_is_in = SignedIn::new().await;
    let secret = "another-secret-0123456789-0123456789";
    let (access, refresh) = (with(&kim_is_in.access, ""), with("", &kim_is_in.refresh));
    let records = kim_is_in.tables.items("SessionsTable");
    for (elsewhere, events) in [
        (("ISSUER", "staging"), vec![&access, &refresh]),
        (("AUDIENCE", "staging"), vec![&access, &refresh]),
        (("ACCESS_SECRET", secret), vec![&access]),
        (("REFRESH_SECRET", secret), vec![&refresh]),
    ] {
        let env = Environment::new(kim_is_in.tables.settings(&[elsewhere]));
        for event in events {
            assert!(refused(&send(&env, event.clone(), NOW).await), "{elsewhere:?}");
        }
    }
    assert_eq!(kim_is_in.tables.items("SessionsTable"), records);
}

/// F05, F16: the token stays valid.
#[tokio::test]
async fn a_renewal_that_cannot_be_written_is_503_and_can_be_retried() {
    for fault in [Fault::Stall, Fault::Refuse(400, "ThrottlingException"), Fault::Refuse(500, "InternalServerError")] {
        let kim_is_in = SignedIn::new().await;
        let (failing, started) = (kim_is_in.tables.failing(&[("UpdateItem", &[fault; 9])]).await, Instant::now());
        let outage = send(&Environment::new(failing), with("", &kim_is_in.refresh), NOW).await;
        assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
        assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
        kim_is_in.renew(&kim_is_in.refresh, after(DAY)).await;
    }
}

/// F07: the retry finds what the first try wrote. That is not reuse, and the browser gets the successor.
#[tokio::test]
async fn a_renewal_whose_acknowledgement_is_lost_succeeds_once() {
    let kim_is_in = SignedIn::new().await;
    let failing = kim_is_in.tables.failing(&[("UpdateItem", &[Fault::LoseReply])]).await;
    let reply = send(&Environment::new(failing), with("", &kim_is_in.refresh), NOW).await;
    assert_eq!((reply.status, reply.json(), reply.cookies.len()), (200, kim(), 2));
    assert_eq!(kim_is_in.tables.items("SessionsTable")[0]["gen"]["N"], "2", "one renewal");
    kim_is_in.renew(reply.cookie("refresh_jwt").unwrap(), after(DAY)).await;
}

/// F10, F11, F35: the session was renewed, and the response was lost. Within the grace period the browser gets the
/// successor. After that the function cannot tell it from a thief, and the user has to sign in again.
#[tokio::test]
async fn a_browser_that_got_no_response_can_retry_within_the_grace_period() {
    for (seconds, status, cookies) in [(10, 200, 2), (11, 401, 2)] {
        let kim_is_in = SignedIn::new().await;
        let missed = kim_is_in.renew(&kim_is_in.refresh, NOW).await;
        let again = kim_is_in.send(with("", &kim_is_in.refresh), after(seconds)).await;
        assert_eq!((again.status, again.cookies.len()), (status, cookies), "{seconds}");
        assert_eq!(again.cookie("refresh_jwt") == Some(missed.as_str()), status == 200);
    }
}

/// F15: the renewal reads the user before all sessions end.
#[tokio::test]
async fn a_renewal_that_races_the_end_of_all_sessions_returns_invalid_tokens() {
    let kim_is_in = SignedIn::new().await;
    let tables = kim_is_in.tables.clone();
    let client = testbed::before(&store::connect(&kim_is_in.env).unwrap(), "UpdateItem", move || {
        let mut user = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
        user["session_epoch"] = json!({ "N": "2" });
        tables.put("UsersTable", &user);
    });
    let reply = send_through(client, &kim_is_in.env, with("", &kim_is_in.refresh), NOW).await;
    let (access, refresh) = (reply.cookie("access_jwt").unwrap(), reply.cookie("refresh_jwt").unwrap());
    assert!(refused(&kim_is_in.send(with(access, ""), NOW).await));
    assert!(refused(&kim_is_in.send(with("", refresh), NOW).await));
}

/// F29: an instance with a fast clock issued the tokens. The other instances refuse them until `iat` (minus the
/// leeway), and change no cookie.
#[tokio::test]
async fn a_clock_half_a_minute_ahead_ends_no_session() {
    let kim_is_in = SignedIn::new().await;
    let (access, refresh) = testbed::sign_in(&kim_is_in.env, &kim_is_in.user, true, after(30)).await;
    assert!(refused(&kim_is_in.send(with(&access, &refresh), NOW).await));
    assert_eq!(kim_is_in.send(with(&access, &refresh), after(25)).await.status, 200);
}

/// F29: an instance with a slow clock accepts an access token half a minute longer, and refuses a refresh token whose
/// `iat` is in its future. A request with the parent of that token still gets the token again, because the grace period
/// has not passed on this clock. No session ends.
#[tokio::test]
async fn a_clock_half_a_minute_behind_ends_no_session() {
    let kim_is_in = SignedIn::new().await;
    let (first, records) = (&kim_is_in.refresh, || kim_is_in.tables.items("SessionsTable"));
    let expired = after(DAY + 34);
    assert!(refused(&kim_is_in.send(with(&kim_is_in.access, ""), expired).await), "with the right clock");
    let behind = Timestamp::from_secs(expired.as_secs() - 30);
    assert_eq!(kim_is_in.send(with(&kim_is_in.access, ""), behind).await.status, 200, "with the slow clock");

    let second = kim_is_in.renew(first, after(100)).await;
    let written = records();
    assert_eq!(kim_is_in.renew(first, after(70)).await, second, "the parent, with the slow clock");
    assert!(
        refused(&kim_is_in.send(with("", &second), after(70)).await),
        "the current token is from the future for the slow clock"
    );
    let before_login = Timestamp::from_secs(NOW.as_secs() - 30);
    assert!(refused(&kim_is_in.send(with(&kim_is_in.access, &second), before_login).await));
    assert_eq!(records(), written, "no session was renewed or ended");
    kim_is_in.renew(&second, after(100)).await;
}

/// F36: the gateway or the browser sends a request twice.
#[tokio::test]
async fn a_request_that_arrives_twice_gets_the_same_refresh_token() {
    let kim_is_in = SignedIn::new().await;
    let event = with("", &kim_is_in.refresh);
    let replies = [kim_is_in.send(event.clone(), NOW).await, kim_is_in.send(event, NOW).await];
    assert_eq!(replies[0].cookie("refresh_jwt"), replies[1].cookie("refresh_jwt"));
    assert!(replies.iter().all(|reply| (reply.status, reply.cookies.len()) == (200, 2)));
}

/// F04, F05, F16: after the outage the same tokens are still valid.
#[tokio::test]
async fn an_outage_is_503_and_changes_no_cookie() {
    let kim_is_in = SignedIn::new().await;
    for fault in [Fault::Stall, Fault::Refuse(400, "ProvisionedThroughputExceededException")] {
        for event in [with(&kim_is_in.access, ""), with("", &kim_is_in.refresh), bearer(&kim_is_in.access)] {
            let failing = kim_is_in.tables.failing(&[("BatchGetItem", &[fault; 9])]).await;
            let started = Instant::now();
            let outage = send(&Environment::new(failing), event.clone(), NOW).await;
            assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
            assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
            assert_eq!(kim_is_in.send(event, NOW).await.status, 200);
        }
    }
}

/// R90.
#[tokio::test]
async fn any_method_except_get_and_head_is_405() {
    let kim_is_in = SignedIn::new().await;
    let reply = kim_is_in.send(with(&kim_is_in.access, "").method("POST"), NOW).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
}
