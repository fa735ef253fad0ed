use std::time::{Duration, Instant};

use serde_json::json;
use shared::http::AllowedOrigins;
use shared::store::{self, User};
use testbed::{Calls, Event, Fault, Reply, Tables};

use super::*;

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

    /// Returns the number of sessions that were ended.
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
    let origins = AllowedOrigins::from_env(env).unwrap();
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
    assert!(signed_out(&world.send(event.clone().query("everywhere=false")).await));
    assert_eq!(world.epoch("user#0"), "1");
    assert!(signed_out(&world.send(event.clone().query("everywhere=true")).await));
    assert_eq!((world.epoch("user#0"), world.epoch("user#1")), ("2".into(), "1".into()));
}

/// A leaked token of an old epoch cannot end the sessions of the current one.
#[tokio::test]
async fn a_token_of_an_old_epoch_cannot_end_newer_sessions() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &access)]).query("everywhere=true");
    for _ in 0..3 {
        assert!(signed_out(&world.send(event.clone()).await));
    }
    assert_eq!(world.epoch("user#0"), "2");
}

/// A leaked token of a session that ended long ago cannot end the others. For a minute after the end of its session it
/// can, so that a logout that failed half-way can be retried.
#[tokio::test]
async fn a_session_that_ended_over_a_minute_ago_cannot_end_the_others() {
    let world = World::new().await;
    let after = |secs| NOW + Duration::from_secs(secs);
    for (secs, epoch) in [(61, "1"), (36 * 86_400, "1"), (60, "2")] {
        let (access, _) = world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &access)]);
        assert!(signed_out(&world.send(event.clone()).await));
        assert!(signed_out(&send(&world.env, event.query("everywhere=true"), after(secs)).await));
        assert_eq!(world.epoch("user#0"), epoch, "{secs} s later");
    }
}

/// F21: only `everywhere` has to read the record.
#[tokio::test]
async fn an_unreadable_session_can_be_ended() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let mut item = world.tables.items("SessionsTable").remove(0);
    item["v"] = json!({ "N": "2" });
    world.tables.put("SessionsTable", &item);
    assert!(signed_out(&world.send(with(&[("access_jwt", &access)])).await));
    assert_eq!(world.ended(), 1);
    let everywhere = world.send(with(&[("access_jwt", &access)]).query("everywhere=true")).await;
    assert_eq!(
        (everywhere.status, everywhere.cookies.len()),
        (500, 0),
        "a failed logout is not reported as successful"
    );
}

#[tokio::test]
async fn everywhere_must_be_true_or_false() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let refused = world.send(with(&[("access_jwt", &access)]).query("everywhere=1")).await;
    assert_eq!((refused.status, refused.cookies.len(), world.ended()), (400, 0, 0));
}

#[tokio::test]
async fn a_bearer_token_ends_its_session_and_an_invalid_one_is_401() {
    let world = World::new().await;
    let (access, refresh) = world.sign_in(&world.kim).await;
    let bearer = |token: &str| Event::recorded("logout-without").header("authorization", &format!("Bearer {token}"));
    for token in ["", "garbage", &refresh] {
        let refused = world.send(bearer(token).cookies([format!("access_jwt={access}")])).await;
        assert_eq!((refused.status, refused.body(), refused.cookies.len()), (401, "Not Authorized", 0));
    }
    assert_eq!(world.ended(), 0);
    assert!(signed_out(&world.send(bearer(&access)).await));
    assert_eq!(world.ended(), 1);
}

/// R92.
#[tokio::test]
async fn a_bearer_token_and_a_cookie_of_different_users_end_no_session() {
    let world = World::new().await;
    let ((kims, _), (parks, parks_refresh)) = (world.sign_in(&world.kim).await, world.sign_in(&world.park).await);
    for name in ["access_jwt", "refresh_jwt"] {
        let token = if name == "access_jwt" { &parks } else { &parks_refresh };
        let both = with(&[(name, token)]).header("authorization", &format!("Bearer {kims}"));
        assert_eq!((world.send(both.query("everywhere=true")).await.status, world.ended()), (400, 0), "{name}");
    }
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
    assert!(signed_out(&world.send(with(&[("access_jwt", &access)]).query("everywhere=true")).await));
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

/// F06: the first call succeeded, and the second failed.
#[tokio::test]
async fn everywhere_can_be_retried_after_an_outage_half_way() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let event = with(&[("access_jwt", &access)]).query("everywhere=true");
    let throttled = Fault::Refuse(400, "ThrottlingException");
    let faults = [Fault::LoseReply, throttled, throttled, throttled, throttled];
    let failing = Environment::new(world.tables.failing(&[("UpdateItem", &faults)]).await);
    assert_eq!(send(&failing, event.clone(), NOW).await.status, 503);
    assert_eq!((world.ended(), world.epoch("user#0").as_str()), (1, "1"));
    assert!(signed_out(&world.send(event).await));
    assert_eq!(world.epoch("user#0"), "2");
}
