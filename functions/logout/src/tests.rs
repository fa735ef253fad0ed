use std::time::{Duration, Instant};

use serde_json::json;
use shared::http::Site;
use shared::store::{self, User};
use testbed::{Calls, Event, Fault, Reply, Tables};

use super::*;

mod page;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Tables with two users.
struct World {
    tables: Tables,
    env: Environment,
    kim: User,
    park: User,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[]));
        let (kim, park) = (testbed::add_kim(&env).await, testbed::add_park(&env).await);
        Self { tables, env, kim, park }
    }

    /// Opens a session, and returns its access token and its refresh token.
    async fn sign_in(&self, user: &User) -> (String, String) {
        testbed::sign_in(&self.env, user, true, NOW).await
    }

    async fn send(&self, event: Event) -> Reply {
        send(&self.env, event, NOW).await
    }

    /// Returns the number of sessions that were ended one by one.
    fn ended(&self) -> usize {
        self.tables.items("SessionsTable").iter().filter(|session| session.get("ended_at").is_some()).count()
    }

    fn epoch(&self, pk: &str) -> String {
        let user = self.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == pk).unwrap();
        user["session_epoch"]["N"].as_str().unwrap().to_owned()
    }
}

async fn send(env: &Environment, event: Event, now: Timestamp) -> Reply {
    send_through(store::connect(env).unwrap(), env, event, now).await
}

async fn send_through(client: Client, env: &Environment, event: Event, now: Timestamp) -> Reply {
    let logout = Logout::from_env(client, env).unwrap();
    let origins = Site::from_env(env).unwrap();
    event.send(&mut http::service(origins, |request| logout.handle(request, now))).await
}

fn with(cookies: &[(&str, &str)]) -> Event {
    Event::recorded("logout").cookies(cookies.iter().map(|(name, value)| format!("{name}={value}")))
}

/// Returns `true` for a 205 without a body that clears both cookies, with the attributes with which they were set.
fn signed_out(reply: &Reply) -> bool {
    let attributes = "Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost";
    let expired = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    let cleared = ["access_jwt", "refresh_jwt"].map(|name| format!("{name}=; {attributes}; {expired}"));
    (reply.status, reply.body()) == (205, "") && reply.cookies == cleared
}

/// R74, F36.
#[tokio::test]
async fn a_logout_ends_the_session_and_clears_both_cookies() {
    let world = World::new().await;
    let (access, refresh) = world.sign_in(&world.kim).await;
    assert!(signed_out(&world.send(with(&[("access_jwt", &access), ("refresh_jwt", &refresh)])).await));
    assert_eq!(world.ended(), 1);
    assert!(
        signed_out(&world.send(with(&[("access_jwt", &access), ("refresh_jwt", &refresh)])).await),
        "a second logout"
    );
}

/// R74.
#[tokio::test]
async fn a_logout_without_a_valid_token_is_205_and_ends_no_session() {
    let world = World::new().await;
    world.sign_in(&world.kim).await;
    for event in [Event::recorded("logout-without"), Event::recorded("logout"), with(&[("access_jwt", "garbage")])] {
        assert!(signed_out(&world.send(event).await));
    }
    assert_eq!(world.ended(), 0);
}

/// R74.
#[tokio::test]
async fn each_token_alone_ends_its_session_even_if_it_has_expired() {
    let world = World::new().await;
    let much_later = NOW + Duration::from_hours(40 * 24);
    for (name, now) in
        [("access_jwt", NOW), ("refresh_jwt", NOW), ("access_jwt", much_later), ("refresh_jwt", much_later)]
    {
        let before = world.ended();
        let (access, refresh) = world.sign_in(&world.kim).await;
        let token = if name == "access_jwt" { access } else { refresh };
        assert!(signed_out(&send(&world.env, with(&[(name, &token)]), now).await));
        assert_eq!(world.ended(), before + 1, "{name}");
    }
}

#[tokio::test]
async fn a_logout_ends_every_session_that_the_tokens_name() {
    let world = World::new().await;
    let ((first, _), (_, second), (third, _)) =
        (world.sign_in(&world.kim).await, world.sign_in(&world.kim).await, world.sign_in(&world.park).await);
    world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &first), ("refresh_jwt", &second), ("access_jwt", &third)]);
    assert!(signed_out(&world.send(event).await));
    assert_eq!(world.ended(), 3, "the fourth session stays active");
}

#[tokio::test]
async fn a_session_that_both_tokens_name_is_ended_by_one_call() {
    let world = World::new().await;
    let (access, refresh) = world.sign_in(&world.kim).await;
    let (client, calls) = Calls::of(&store::connect(&world.env).unwrap());
    let event = with(&[("access_jwt", &access), ("refresh_jwt", &refresh)]);
    send_through(client, &world.env, event, NOW).await;
    assert_eq!(calls.take(), ["UpdateItem"]);
}

/// R76.
#[tokio::test]
async fn everywhere_ends_the_epoch_of_this_user_only() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &access)]);
    assert!(signed_out(&world.send(event.query("everywhere=true")).await));
    assert_eq!((world.epoch("user#0"), world.epoch("user#1")), ("2".into(), "1".into()));
    let (access, _) = testbed::sign_in(&world.env, &User { session_epoch: 2, ..world.kim.clone() }, true, NOW).await;
    assert!(signed_out(&world.send(with(&[("access_jwt", &access)]).query("everywhere=false")).await));
    assert_eq!(world.epoch("user#0"), "2");
}

/// R76: a 205 would claim that all sessions have ended. A copied token of an ended session must not end newer sessions.
#[tokio::test]
async fn everywhere_without_a_token_of_an_active_session_is_401_and_clears_the_cookies() {
    let world = World::new().await;
    let (active, _) = world.sign_in(&world.kim).await;
    let everywhere = |cookies: &[(&str, &str)]| with(cookies).query("everywhere=true");

    let (ended, ended_refresh) = world.sign_in(&world.kim).await;
    assert!(signed_out(&world.send(with(&[("access_jwt", &ended)])).await));
    let (expired, _) = testbed::sign_in(&world.env, &world.kim, false, Timestamp::from_secs(1_799_900_000)).await;
    let (gone, _) = testbed::sign_in(&world.env, &User { session_epoch: 9, ..world.kim.clone() }, true, NOW).await;
    for event in [
        everywhere(&[("access_jwt", &ended), ("refresh_jwt", &ended_refresh)]),
        everywhere(&[("access_jwt", &expired)]),
        everywhere(&[("access_jwt", &gone)]),
        everywhere(&[("access_jwt", "garbage")]),
        everywhere(&[]),
        Event::recorded("logout-without").query("everywhere=true").header("authorization", "Bearer null"),
    ] {
        let reply = world.send(event.clone()).await;
        assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 2), "{event:?}");
        assert!(reply.cookies.iter().all(|line| line.contains("Max-Age=0")));
    }
    assert_eq!(world.epoch("user#0"), "1");

    let one_of_two = everywhere(&[("access_jwt", &ended), ("refresh_jwt", "x"), ("access_jwt", &active)]);
    assert!(signed_out(&world.send(one_of_two).await), "one token is of an active session");
    assert_eq!(world.epoch("user#0"), "2");
    assert_eq!(world.send(everywhere(&[("access_jwt", &active)])).await.status, 401, "a second time");
    assert_eq!(world.epoch("user#0"), "2");
}

/// The access token has expired, and the session has not.
#[tokio::test]
async fn an_expired_token_of_an_active_session_can_end_all_sessions() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &access)]).query("everywhere=true");
    assert!(signed_out(&send(&world.env, event, NOW + Duration::from_hours(48)).await));
    assert_eq!(world.epoch("user#0"), "2");
}

/// Another session called `DELETE /sessions` before, or does so between the read and the write.
#[tokio::test]
async fn everywhere_after_another_session_ended_this_one_is_401() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let tables = world.tables.clone();
    let raise = move || {
        let mut user = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
        user["session_epoch"] = json!({ "N": "2" });
        tables.put("UsersTable", &user);
    };
    let client = testbed::before(&store::connect(&world.env).unwrap(), "TransactWriteItems", raise);
    let event = with(&[("access_jwt", &access)]).query("everywhere=true");
    for reply in [send_through(client, &world.env, event.clone(), NOW).await, send(&world.env, event, NOW).await] {
        assert_eq!((reply.status, reply.cookies.len()), (401, 2));
    }
    assert_eq!((world.epoch("user#0").as_str(), world.ended()), ("2", 1));
}

/// The same session calls `DELETE /sessions` between the read and the write, and stays active.
#[tokio::test]
async fn everywhere_reads_again_if_the_session_moves_to_another_epoch() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let tables = world.tables.clone();
    let raise = move || {
        let mut user = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
        let mut session = tables.items("SessionsTable").remove(0);
        user["session_epoch"] = json!({ "N": "2" });
        session["epoch"] = json!({ "N": "2" });
        tables.put("UsersTable", &user);
        tables.put("SessionsTable", &session);
    };
    let client = testbed::before(&store::connect(&world.env).unwrap(), "TransactWriteItems", raise);
    let event = with(&[("access_jwt", &access)]).query("everywhere=true");
    assert!(signed_out(&send_through(client, &world.env, event, NOW).await));
    assert_eq!((world.ended(), world.epoch("user#0").as_str()), (1, "3"));
}

/// F21: `everywhere` has to read the record. An unreadable session counts as ended.
#[tokio::test]
async fn an_unreadable_session_can_be_ended() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let mut item = world.tables.items("SessionsTable").remove(0);
    item["v"] = json!({ "N": "2" });
    world.tables.put("SessionsTable", &item);
    assert_eq!(world.send(with(&[("access_jwt", &access)]).query("everywhere=true")).await.status, 401);
    assert_eq!((world.ended(), world.epoch("user#0").as_str()), (1, "1"), "the cookies are cleared, so it must end");
    assert!(signed_out(&world.send(with(&[("access_jwt", &access)])).await));
}

#[tokio::test]
async fn everywhere_must_be_true_or_false_and_given_once() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    for query in [
        "everywhere=1",
        "everywhere",
        "everywhere=",
        "everywhere=TRUE",
        "everywhere=true&everywhere=false",
        "everywhere=false&everywhere=true",
        "everywhere=true&everywhere=true",
        "everywhere=true,false",
    ] {
        let refused = world.send(with(&[("access_jwt", &access)]).query(query)).await;
        assert_eq!((refused.status, refused.cookies.len(), world.ended()), (400, 0, 0), "{query}");
    }
}

#[tokio::test]
async fn a_bearer_token_ends_its_session() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let bearer = Event::recorded("logout-without").header("authorization", &format!("Bearer {access}"));
    assert!(signed_out(&world.send(bearer).await));
    assert_eq!(world.ended(), 1);
}

/// A client that always sends the header must be able to sign out.
#[tokio::test]
async fn an_invalid_authorization_header_is_ignored() {
    let world = World::new().await;
    let mut ended = 0;
    for header in ["Bearer null", "Bearer", "Bearer undefined", "Bearer a, Bearer b", "Basic a2ltOjEyMzQ=", "garbage"] {
        let (access, refresh) = world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &access), ("refresh_jwt", &refresh)]).header("authorization", header);
        assert!(signed_out(&world.send(event).await), "{header}");
        ended += 1;
        assert_eq!(world.ended(), ended, "{header}");
    }
}

/// R92: tokens of two users are both ended. `everywhere` would not know whose sessions to end.
#[tokio::test]
async fn tokens_of_two_users_end_both_sessions_and_with_everywhere_none() {
    for name in ["access_jwt", "refresh_jwt"] {
        let world = World::new().await;
        let ((kims, kims_refresh), (parks, parks_refresh)) =
            (world.sign_in(&world.kim).await, world.sign_in(&world.park).await);
        let token = if name == "access_jwt" { &parks } else { &parks_refresh };
        let bearer = with(&[(name, token)]).header("authorization", &format!("Bearer {kims}"));
        let cookies = with(&[("access_jwt", &parks), ("refresh_jwt", &kims_refresh)]);
        for event in [&bearer, &cookies] {
            let refused = world.send(event.clone().query("everywhere=true")).await;
            assert_eq!((refused.status, refused.cookies.len(), world.ended()), (400, 0, 0), "{name}");
        }
        assert!(signed_out(&world.send(bearer).await));
        assert_eq!(world.ended(), 2, "{name}");
    }
}

/// R81.
#[tokio::test]
async fn a_logout_clears_cookies_of_our_names_in_other_scopes() {
    let world = World::new().await;
    let env = Environment::new(world.tables.settings(&[("COOKIE_DOMAIN", "example.test")]));
    let reply = send(&env, with(&[]).header("host", "example.test"), NOW).await;
    let scopes: Vec<_> = reply.cookies.iter().map(|line| line.contains("Domain=example.test")).collect();
    assert_eq!((reply.status, scopes), (205, vec![false, false, true, true]), "our own scope comes last");
}

/// R85, R90.
#[tokio::test]
async fn another_method_or_a_foreign_origin_ends_no_session() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &access)]);
    let get = world.send(event.clone().method("GET")).await;
    assert_eq!((get.status, get.header("allow"), get.cookies.len()), (405, Some("POST"), 0));
    let foreign = world.send(event.header("sec-fetch-site", "cross-site")).await;
    assert_eq!((foreign.status, foreign.cookies.len()), (403, 0));
    assert_eq!(world.ended(), 0);
}

#[tokio::test]
async fn a_logout_of_a_deleted_session_creates_no_record() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let item = world.tables.items("SessionsTable").remove(0);
    world.tables.delete("SessionsTable", &json!({ "user_id": item["user_id"], "session_id": item["session_id"] }));
    assert!(signed_out(&world.send(with(&[("access_jwt", &access)])).await));
    assert_eq!(world.send(with(&[("access_jwt", &access)]).query("everywhere=true")).await.status, 401);
    assert!(world.tables.items("SessionsTable").is_empty());
    assert_eq!(world.epoch("user#0"), "1");
}

/// F06: the logout can be retried.
#[tokio::test]
async fn an_outage_is_503_and_changes_no_cookie() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &access)]);
    for fault in [Fault::Stall, Fault::Refuse(400, "ThrottlingException")] {
        let failing = world.tables.failing(&[("UpdateItem", &[fault; 9])]).await;
        let started = Instant::now();
        let outage = send(&Environment::new(failing), event.clone(), NOW).await;
        assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
        assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
    }
    assert_eq!(world.ended(), 0);
    assert!(signed_out(&world.send(event).await));
    assert_eq!(world.ended(), 1);
}

/// F06, F07: the write of both records succeeds or fails as a whole.
#[tokio::test]
async fn everywhere_can_be_retried_after_an_outage() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &access)]).query("everywhere=true");
    for (operation, fault) in [
        ("BatchGetItem", Fault::Stall),
        ("TransactWriteItems", Fault::Stall),
        ("TransactWriteItems", Fault::Refuse(400, "ThrottlingException")),
        ("TransactWriteItems", Fault::Conflict),
    ] {
        let failing = Environment::new(world.tables.failing(&[(operation, &[fault; 9])]).await);
        let outage = send(&failing, event.clone(), NOW).await;
        assert_eq!((outage.status, outage.cookies.len()), (503, 0), "{operation} {fault:?}");
        assert_eq!((world.ended(), world.epoch("user#0").as_str()), (0, "1"));
    }
    let losing = Environment::new(world.tables.failing(&[("TransactWriteItems", &[Fault::LoseReply])]).await);
    assert!(signed_out(&send(&losing, event, NOW).await), "only the acknowledgement was lost");
    assert_eq!((world.ended(), world.epoch("user#0").as_str()), (1, "2"));
}
