use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::http::Site;
use shared::store::{self, User};
use testbed::{Calls, Event, Fault, Reply, Tables};

use super::*;

mod page;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Two users. `kim` is signed in on three devices.
struct World {
    tables: Tables,
    env: Environment,
    kim: User,
    park: User,
    laptop: String,
    phone: String,
    desktop: String,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[]));
        let (kim, park) = (testbed::add_kim(&env).await, testbed::add_park(&env).await);
        let sign_in = async |secs| testbed::sign_in(&env, &kim, true, after(secs)).await.0;
        let (laptop, phone, desktop) = (sign_in(0).await, sign_in(60).await, sign_in(120).await);
        Self { tables, env, kim, park, laptop, phone, desktop }
    }

    async fn send(&self, event: Event) -> Reply {
        send(&self.env, store::connect(&self.env).unwrap(), event).await
    }

    /// Returns the entries of the list, the most recently renewed session first.
    async fn list(&self, access: &str) -> Vec<Value> {
        let reply = self.send(by(access, Event::recorded("sessions"))).await;
        assert_eq!((reply.status, reply.cookies.len()), (200, 0), "{reply:?}");
        reply.json()["sessions"].as_array().unwrap().clone()
    }

    /// Returns the id of the session of an access token.
    async fn id_of(&self, access: &str) -> String {
        let list = self.list(access).await;
        list.iter().find(|session| session["current"] == true).unwrap()["id"].as_str().unwrap().to_owned()
    }
}

async fn send(env: &Environment, client: Client, event: Event) -> Reply {
    let sessions = OwnSessions::from_env(client, env).unwrap();
    let origins = Site::from_env(env).unwrap();
    event.send(&mut http::service(origins, |request| sessions.handle(request, after(180)))).await
}

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

fn by(access: &str, event: Event) -> Event {
    event.cookies([format!("access_jwt={access}")])
}

fn end(id: &str) -> Event {
    Event::recorded("sessions-end")
        .with("/pathParameters/id", json!(id))
        .with("/rawPath", json!(format!("/sessions/{id}")))
}

fn refused(reply: &Reply) -> bool {
    (reply.status, reply.body(), reply.cookies.len()) == (401, "Not Authorized", 0)
}

#[tokio::test]
async fn the_list_has_the_callers_active_sessions_and_marks_the_current_one() {
    let world = World::new().await;
    testbed::sign_in(&world.env, &world.park, true, NOW).await;
    let id = world.id_of(&world.phone).await;
    let mut record =
        world.tables.items("SessionsTable").into_iter().find(|item| item["session_id"]["S"] == *id).unwrap();
    record["user_agent"] = json!({ "S": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0" });
    record["source_ip"] = json!({ "S": "203.0.113.7" });
    world.tables.put("SessionsTable", &record);

    let list = world.list(&world.phone).await;
    let current: Vec<_> = list.iter().map(|session| session["current"] == true).collect();
    assert_eq!(current, [false, true, false], "the most recently renewed session comes first");
    let expected = json!({
        "id": id, "created_at": "2027-01-15T08:01:00Z", "last_renewed_at": "2027-01-15T08:01:00Z",
        "source_ip": "203.0.113.7", "device": "Firefox on Linux", "current": true,
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    });
    assert_eq!(list[1], expected);
    assert_eq!(
        (&list[0]["device"], &list[0]["user_agent"], &list[0]["source_ip"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_request_without_a_valid_access_token_is_401_and_ends_no_session() {
    let world = World::new().await;
    let (_, refresh) = testbed::sign_in(&world.env, &world.kim, true, NOW).await;
    for name in ["sessions", "sessions-end", "sessions-end-others"] {
        assert!(refused(&world.send(Event::recorded(name)).await), "{name}");
        assert!(refused(&world.send(by(&refresh, Event::recorded(name))).await), "{name}");
        let refresh_only = Event::recorded(name).cookies([format!("refresh_jwt={refresh}")]);
        assert!(refused(&world.send(refresh_only).await), "{name}");
    }
    assert_eq!(world.list(&world.phone).await.len(), 4);
}

/// R81.
#[tokio::test]
async fn ambiguous_cookies_are_401_and_both_cookies_are_cleared() {
    let world = World::new().await;
    let twice = Event::recorded("sessions").cookies([format!("access_jwt={}", world.phone), "access_jwt=x".into()]);
    let reply = world.send(twice).await;
    assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 2));
    assert_eq!(world.list(&world.phone).await.len(), 3, "no session was ended");
}

#[tokio::test]
async fn an_ended_session_is_not_listed_and_its_token_is_rejected() {
    let world = World::new().await;
    let id = world.id_of(&world.phone).await;
    for _ in 0..2 {
        let reply = world.send(by(&world.laptop, end(&id))).await;
        assert_eq!(
            (reply.status, reply.body(), reply.cookies.len()),
            (204, "", 0),
            "the second request has the same response"
        );
    }
    assert!(refused(&world.send(by(&world.phone, Event::recorded("sessions"))).await));
    assert_eq!(world.list(&world.laptop).await.len(), 2);
}

#[tokio::test]
async fn ending_the_current_session_clears_its_cookies() {
    let world = World::new().await;
    let (phone, laptop) = (world.id_of(&world.phone).await, world.id_of(&world.laptop).await);
    let reply = world.send(by(&world.phone, end(&phone))).await;
    assert_eq!((reply.status, reply.cookies.len()), (204, 2));
    assert!(reply.cookies.iter().all(|line| line.contains("Max-Age=0")));
    let bearer =
        end(&laptop).cookies(Vec::<String>::new()).header("authorization", &format!("Bearer {}", world.laptop));
    let reply = world.send(bearer).await;
    assert_eq!((reply.status, reply.cookies.len()), (204, 0));
}

/// R90.
#[tokio::test]
async fn a_session_of_another_user_is_404_and_stays_active() {
    let world = World::new().await;
    let (parks, _) = testbed::sign_in(&world.env, &world.park, true, NOW).await;
    let parks_id = world.id_of(&parks).await;
    for id in [parks_id.as_str(), "AAAAAAAAAAAAAAAAAAAAAA", "no-id", "..", "a b"] {
        let reply = world.send(by(&world.phone, end(id))).await;
        assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/problem+json")), "{id}");
        assert_eq!(reply.json()["detail"], "There is no such session.");
    }
    assert_eq!(world.list(&parks).await.len(), 1);
    assert_eq!(world.tables.items("SessionsTable").len(), 4, "no record was created");
}

/// R76.
#[tokio::test]
async fn ending_all_others_leaves_the_current_session() {
    let world = World::new().await;
    let (parks, _) = testbed::sign_in(&world.env, &world.park, true, NOW).await;
    let reply = world.send(by(&world.phone, Event::recorded("sessions-end-others"))).await;
    assert_eq!((reply.status, reply.body(), reply.cookies.len()), (204, "", 0));
    for other in [&world.laptop, &world.desktop] {
        assert!(refused(&world.send(by(other, Event::recorded("sessions"))).await));
    }
    assert_eq!(world.list(&world.phone).await.len(), 1);
    assert_eq!(world.list(&parks).await.len(), 1, "the session of another user");
    let again = world.send(by(&world.phone, Event::recorded("sessions-end-others"))).await;
    assert_eq!((again.status, world.list(&world.phone).await.len()), (204, 1));
}

/// Two requests of one session both succeed. Of requests from two sessions, the second one finds its session ended.
#[tokio::test]
async fn concurrent_requests_to_end_all_others_leave_one_session() {
    for (first, status) in [("phone", 204), ("laptop", 401)] {
        let world = World::new().await;
        let winner = if first == "phone" { &world.phone } else { &world.laptop };
        let id = world.id_of(winner).await;
        let tables = world.tables.clone();
        let client = testbed::before(&store::connect(&world.env).unwrap(), "TransactWriteItems", move || {
            let raise = |table, name: &str, is_it: &dyn Fn(&Value) -> bool| {
                let mut item = tables.items(table).into_iter().find(is_it).unwrap();
                item[name] = json!({ "N": "2" });
                if let Some(key) = item["active_key"]["S"].as_str() {
                    item["active_key"]["S"] = key.replacen("1#", "2#", 1).into();
                }
                tables.put(table, &item);
            };
            raise("UsersTable", "session_epoch", &|item| item["pk"]["S"] == "user#0");
            raise("SessionsTable", "epoch", &|item| item["session_id"]["S"] == *id);
        });
        let reply = send(&world.env, client, by(&world.phone, Event::recorded("sessions-end-others"))).await;
        assert_eq!((reply.status, reply.cookies.len()), (status, 0), "{first}");
        assert_eq!(world.list(winner).await.len(), 1);
    }
}

/// The session ends between the check of its token and the write.
#[tokio::test]
async fn a_session_that_has_ended_cannot_end_the_others() {
    let world = World::new().await;
    let id = world.id_of(&world.phone).await;
    let tables = world.tables.clone();
    let client = testbed::before(&store::connect(&world.env).unwrap(), "TransactWriteItems", move || {
        let mut item = tables.items("SessionsTable").into_iter().find(|item| item["session_id"]["S"] == *id).unwrap();
        item["ended_at"] = json!({ "N": "1800000180" });
        tables.put("SessionsTable", &item);
    });
    let reply = send(&world.env, client, by(&world.phone, Event::recorded("sessions-end-others"))).await;
    assert!(refused(&reply), "{reply:?}");
    assert_eq!(world.list(&world.laptop).await.len(), 2);
}

#[tokio::test]
async fn each_request_makes_two_or_three_calls_and_a_forged_token_zero() {
    let world = World::new().await;
    let id = world.id_of(&world.phone).await;
    for (event, expected) in [
        (by(&world.phone, Event::recorded("sessions")), vec!["BatchGetItem", "Query", "BatchGetItem"]),
        (by(&world.phone, Event::recorded("sessions-end-others")), vec!["BatchGetItem", "TransactWriteItems"]),
        (by(&world.phone, end(&id)), vec!["BatchGetItem", "UpdateItem"]),
        (by("forged", Event::recorded("sessions")), vec![]),
    ] {
        let (client, calls) = Calls::of(&store::connect(&world.env).unwrap());
        send(&world.env, client, event).await;
        assert_eq!(calls.take(), expected);
    }
}

/// A thief who holds the refresh token must not learn when its grace period begins.
#[tokio::test]
async fn the_time_of_the_last_renewal_is_told_to_the_minute() {
    let world = World::new().await;
    for (issued_at, told) in [(0, "08:02:00"), (150, "08:02:00"), (179, "08:02:00")] {
        let id = world.id_of(&world.desktop).await;
        let mut record =
            world.tables.items("SessionsTable").into_iter().find(|item| item["session_id"]["S"] == *id).unwrap();
        record["issued_at"] = json!({ "N": after(issued_at).as_secs().to_string() });
        world.tables.put("SessionsTable", &record);
        let list = world.list(&world.desktop).await;
        let current = list.iter().find(|session| session["current"] == true).unwrap();
        assert_eq!(current["last_renewed_at"], format!("2027-01-15T{told}Z"), "{issued_at}");
    }
}

/// R85.
#[tokio::test]
async fn a_request_from_a_foreign_origin_ends_no_session() {
    let world = World::new().await;
    let id = world.id_of(&world.laptop).await;
    for event in [end(&id), Event::recorded("sessions-end-others")] {
        let reply = world.send(by(&world.phone, event).header("sec-fetch-site", "cross-site")).await;
        assert_eq!((reply.status, reply.cookies.len()), (403, 0));
    }
    assert_eq!(world.list(&world.phone).await.len(), 3);
}

/// R90.
#[tokio::test]
async fn any_other_method_is_405_with_the_allowed_methods() {
    let world = World::new().await;
    for (event, allowed) in [
        (Event::recorded("sessions").method("POST"), "GET, DELETE"),
        (end("AAAAAAAAAAAAAAAAAAAAAA").method("GET"), "DELETE"),
    ] {
        let reply = world.send(by(&world.phone, event)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)));
    }
}

/// F16.
#[tokio::test]
async fn an_outage_is_503_and_changes_no_cookie() {
    let world = World::new().await;
    let id = world.id_of(&world.phone).await;
    for (operation, event) in [
        ("BatchGetItem", Event::recorded("sessions")),
        ("Query", Event::recorded("sessions")),
        ("UpdateItem", end(&id)),
        ("TransactWriteItems", Event::recorded("sessions-end-others")),
    ] {
        let failing = world.tables.failing(&[(operation, &[Fault::Stall; 9])]).await;
        let (env, started) = (Environment::new(failing), Instant::now());
        let reply = send(&env, store::connect(&env).unwrap(), by(&world.phone, event)).await;
        assert_eq!(
            (reply.status, reply.header("retry-after"), reply.cookies.len()),
            (503, Some("1"), 0),
            "{operation}"
        );
        assert!(started.elapsed() < Duration::from_secs(3), "{operation}");
    }
    assert_eq!(world.list(&world.phone).await.len(), 3);
}

/// F07.
#[tokio::test]
async fn ending_all_others_is_done_once_if_the_acknowledgement_is_lost() {
    let world = World::new().await;
    let failing = world.tables.failing(&[("TransactWriteItems", &[Fault::LoseReply])]).await;
    let env = Environment::new(failing);
    let event = by(&world.phone, Event::recorded("sessions-end-others"));
    assert_eq!(send(&env, store::connect(&env).unwrap(), event).await.status, 204);
    let user = world.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
    assert_eq!((&user["session_epoch"]["N"], world.list(&world.phone).await.len()), (&json!("2"), 1));
}
