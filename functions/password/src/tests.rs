use std::time::Duration;

use serde_json::{Value, json};
use shared::budget::Budget;
use shared::http::Site;
use shared::store::{self, User};
use testbed::{Calls, Event, Fault, Reply, Tables};

use super::*;

mod page;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const NEW: &str = "paper boats in the rain";

/// The user `kimcoding`, who is signed in on two devices.
struct World {
    tables: Tables,
    env: Environment,
    kim: User,
    here: String,
    there: String,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[]));
        let kim = testbed::add_kim(&env).await;
        let here = testbed::sign_in(&env, &kim, true, NOW).await.0;
        let there = testbed::sign_in(&env, &kim, true, NOW).await.0;
        Self { tables, env, kim, here, there }
    }

    fn change(&self, current: &str, new: &str) -> Event {
        let body = json!({ "currentPassword": current, "newPassword": new });
        Event::recorded("password").body(body.to_string()).cookies([format!("access_jwt={}", self.here)])
    }

    async fn send(&self, event: Event) -> Reply {
        self.send_at(event, NOW).await
    }

    async fn send_at(&self, event: Event, now: Timestamp) -> Reply {
        answer(&self.env, store::connect(&self.env).unwrap(), event, now).await
    }

    /// Returns `true` if an access token is valid.
    async fn is_valid(&self, token: &str) -> bool {
        let access = Access::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        let event = Event::recorded("userinfo-without").cookies([format!("access_jwt={token}")]);
        let handler = |request: Request| {
            let access = &access;
            async move {
                let credentials = access.reader.read(request.bearer(), request.cookie_lines(), request.host());
                access.identity(&credentials, NOW, &request.budget).await?;
                Ok(reply::no_content())
            }
        };
        event.send(&mut http::service(Site::default(), handler)).await.status == 204
    }

    /// Returns `true` if this is the current password.
    async fn is_password(&self, password: &str) -> bool {
        let authenticator = Authenticator::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        let account = Account::named("kimcoding");
        let attempt = Attempt { account: &account, channel: Channel::Public, source_ip: None };
        let password = Password::new(password).unwrap();
        match authenticator.authenticate(attempt, &password, NOW, &Budget::new(None)).await {
            Ok(_) => true,
            Err(Error::NotAuthorized) => false,
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn answer(env: &Environment, client: Client, event: Event, now: Timestamp) -> Reply {
    let change = PasswordChange::from_env(client, env).unwrap();
    let origins = Site::from_env(env).unwrap();
    event.send(&mut http::service(origins, |request| change.handle(request, now))).await
}

/// R16: a copy of the cookies is worth nothing after the change.
#[tokio::test]
async fn a_change_of_password_opens_a_new_session_and_ends_all_older_ones() {
    let world = World::new().await;
    let reply = world.send(world.change("1234", NEW)).await;
    assert_eq!((reply.status, reply.body(), reply.cookies.len()), (204, "", 2));
    assert!(world.is_password(NEW).await && !world.is_password("1234").await);
    let new = reply.cookie("access_jwt").unwrap();
    assert!(world.is_valid(new).await && !world.is_valid(&world.here).await && !world.is_valid(&world.there).await);
    assert!(reply.cookies.iter().all(|line| line.contains("Max-Age=")), "the old session was persistent");
    let with_new = |event: Event| event.cookies([format!("access_jwt={new}")]);
    let again = world.send(with_new(world.change(NEW, "one more boat in the rain"))).await;
    assert_eq!(again.status, 204, "the new session can change it again");
    assert!(!world.is_valid(new).await);
}

/// The new session lives as the old one does: until the browser is closed. A refresh cookie that came is cleared.
#[tokio::test]
async fn a_session_that_is_not_persistent_is_replaced_by_one_that_is_not() {
    let world = World::new().await;
    let (here, _) = testbed::sign_in(&world.env, &world.kim, false, NOW).await;
    let change = world.change("1234", NEW).cookies([format!("access_jwt={here}")]);
    let reply = world.send(change).await;
    assert_eq!((reply.status, reply.cookies.len()), (204, 1));
    assert!(reply.cookies[0].starts_with("access_jwt=ey") && !reply.cookies[0].contains("Max-Age"));
}

/// R81: a cookie of another scope would stay beside the new ones.
#[tokio::test]
async fn a_change_of_password_clears_cookies_of_our_names_in_other_scopes() {
    let world = World::new().await;
    let env = Environment::new(world.tables.settings(&[("COOKIE_DOMAIN", "example.test")]));
    let change = world.change("1234", NEW).header("host", "example.test");
    let reply = answer(&env, store::connect(&env).unwrap(), change, NOW).await;
    let host_only: Vec<_> = reply.cookies.iter().map(|line| !line.contains("Domain=")).collect();
    assert_eq!((reply.status, host_only), (204, vec![true, true, false, false]), "{:?}", reply.cookies);
}

/// R16: a stolen session is not enough.
#[tokio::test]
async fn a_wrong_current_password_changes_nothing() {
    let world = World::new().await;
    let before = world.tables.items("UsersTable");
    let refused = world.send(world.change("4321", NEW)).await;
    assert_eq!((refused.status, refused.body(), refused.cookies.len()), (401, "Not Authorized", 0));
    assert_eq!(world.tables.items("UsersTable"), before);
    assert!(world.is_valid(&world.there).await);
}

#[tokio::test]
async fn a_change_of_password_requires_an_access_token() {
    let world = World::new().await;
    for event in [
        world.change("1234", NEW).cookies::<String>([]),
        world.change("1234", NEW).cookies(["access_jwt=x"]),
        world.change("1234", NEW).cookies([format!("refresh_jwt={}", world.here)]),
    ] {
        assert_eq!(world.send(event).await.status, 401);
    }
    let token = format!("Bearer {}", world.here);
    let bearer = world.change("1234", NEW).cookies::<String>([]).header("authorization", &token);
    assert_eq!(world.send(bearer).await.status, 204);
}

/// R8, R10: the response says what to change. The request does not count as an attempt.
#[tokio::test]
async fn a_weak_new_password_is_400_with_a_reason() {
    let world = World::new().await;
    for (new, reason) in [
        ("12345678901234", "The password has 14 characters: use at least 15."),
        ("passwordpassword", "is a common password"),
        ("kimcoding1234567", "your name, your address or the name of this service"),
        ("latchkeylatchkey", "your name, your address or the name of this service"),
    ] {
        let refused = world.send(world.change("1234", new)).await;
        assert_eq!(refused.status, 400, "{new}");
        let problem = refused.json();
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{new}: {problem}");
    }
    assert!(world.tables.items("AttemptsTable").is_empty() && world.is_password("1234").await);
    let reply = world.send(world.change("1234", NEW)).await;
    assert_eq!(reply.status, 204);
    let access = format!("access_jwt={}", reply.cookie("access_jwt").unwrap());
    let same = world.send(world.change(NEW, NEW).cookies([access])).await;
    assert!(same.status == 400 && same.body().contains("your current password"));
}

/// R20: a stolen session gives no unlimited guesses, and wrong passwords at the login do not block a change.
#[tokio::test]
async fn wrong_current_passwords_have_an_attempt_counter_of_their_own() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(world.send(world.change("4321", NEW)).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let locked = world.send(world.change("1234", NEW)).await;
    assert_eq!((locked.status, locked.header("retry-after")), (429, Some("1")));
    let counters = world.tables.items("AttemptsTable");
    let is_of_login = |item: &Value| item["counter_key"]["S"].as_str().unwrap().starts_with("account#");
    assert!(!counters.iter().any(is_of_login), "{counters:?}");
    assert_eq!(world.send_at(world.change("1234", NEW), NOW + Duration::from_secs(1)).await.status, 204);
}

/// R30, R85, R90.
#[tokio::test]
async fn an_invalid_body_is_rejected_before_any_call() {
    let world = World::new().await;
    let (client, calls) = Calls::of(&store::connect(&world.env).unwrap());
    for body in [
        "{}".to_owned(),
        r#"{"currentPassword":"1234"}"#.into(),
        r#"{"newPassword":"paper boats in the rain"}"#.into(),
        r#"{"currentPassword":"1234","newPassword":["paper boats in the rain"]}"#.into(),
        r#"{"currentPassword":true,"newPassword":"paper boats in the rain"}"#.into(),
        r#"{"currentPassword":"1234","currentPassword":"1234","newPassword":"a"}"#.into(),
        r#"["1234","paper boats in the rain"]"#.into(),
        r#"{"currentPassword":"1234","newPassword":"a","newPassword":"b"}"#.into(),
        r#"{"currentPassword":"1234","newPassword":"a","userId":"parkhacker"}"#.into(),
        json!({ "currentPassword": "1234", "newPassword": "x".repeat(4097) }).to_string(),
    ] {
        let refused = answer(&world.env, client.clone(), world.change("", "").body(body.clone()), NOW).await;
        assert_eq!(refused.status, 400, "{body}");
    }
    let foreign = world.change("1234", NEW).header("origin", "https://evil.example");
    assert_eq!(answer(&world.env, client.clone(), foreign, NOW).await.status, 403);
    let posted = answer(&world.env, client, world.change("1234", NEW).method("POST"), NOW).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("PUT")));
    assert!(calls.take().is_empty());
}

/// F15: the account changes at the same time: another change of password, a rehash at a login, the end of all sessions,
/// a disabled user, or the end of this session.
#[tokio::test]
async fn a_change_concurrent_with_another_update_writes_nothing() {
    let world = World::new().await;
    let raised = json!({ "N": "7" });
    for (table, key, attribute, value) in [
        ("UsersTable", "user#0", "password_version", raised.clone()),
        ("UsersTable", "login#kimcoding", "password_version", raised.clone()),
        ("UsersTable", "login#kimcoding", "password_hash", json!({ "S": "another hash of it" })),
        ("UsersTable", "user#0", "session_epoch", raised.clone()),
        ("UsersTable", "user#0", "disabled", json!({ "BOOL": true })),
        ("SessionsTable", "", "ended_at", json!({ "N": NOW.as_secs().to_string() })),
    ] {
        let before = world.tables.items(table);
        let mut changed = before.clone();
        for item in changed.iter_mut().filter(|item| key.is_empty() || item["pk"]["S"] == key) {
            item[attribute] = value.clone();
        }
        let (tables, meanwhile) = (world.tables.clone(), changed.clone());
        let then = move || meanwhile.iter().for_each(|item| tables.put(table, item));
        let client = testbed::before(&store::connect(&world.env).unwrap(), "TransactWriteItems", then);
        let lost = answer(&world.env, client, world.change("1234", NEW), NOW).await;
        assert_eq!((lost.status, lost.header("retry-after")), (503, Some("1")), "{key} {attribute}");
        assert_eq!(world.tables.items(table), changed, "{key} {attribute}");
        for item in &before {
            world.tables.put(table, item);
        }
    }
    assert!(world.is_password("1234").await && world.is_valid(&world.there).await);
    assert_eq!(world.tables.items("SessionsTable").len(), 2, "no session was opened");
}

/// R16: the login name leads to the credentials of another user. A change would replace that user's password.
#[tokio::test]
async fn the_password_of_another_user_under_the_same_name_is_refused() {
    let world = World::new().await;
    testbed::add_park(&world.env).await;
    let items = world.tables.items("UsersTable");
    let mut parks = items.iter().find(|item| item["pk"]["S"] == "login#parkhacker").unwrap().clone();
    parks["pk"] = json!({ "S": "login#kimcoding" });
    world.tables.put("UsersTable", &parks);
    let before = world.tables.items("UsersTable");
    assert_eq!(world.send(world.change("5678", NEW)).await.status, 401);
    assert_eq!(world.tables.items("UsersTable"), before);
}

/// F20, F05: no cookie changes.
#[tokio::test]
async fn an_outage_is_503_and_changes_neither_password_nor_sessions() {
    let world = World::new().await;
    for operation in ["BatchGetItem", "GetItem", "PutItem", "TransactWriteItems"] {
        let failing = world.tables.failing(&[(operation, &[Fault::Stall; 9])]).await;
        let env = Environment::new(failing);
        let outage = answer(&env, store::connect(&env).unwrap(), world.change("1234", NEW), NOW).await;
        assert_eq!((outage.status, outage.cookies.len()), (503, 0), "{operation}");
    }
    assert!(world.is_password("1234").await && world.is_valid(&world.there).await);
}

/// F07.
#[tokio::test]
async fn a_change_whose_acknowledgement_is_lost_is_made_once() {
    let world = World::new().await;
    let failing = world.tables.failing(&[("TransactWriteItems", &[Fault::LoseReply])]).await;
    let env = Environment::new(failing);
    let reply = answer(&env, store::connect(&env).unwrap(), world.change("1234", NEW), NOW).await;
    assert_eq!(reply.status, 204);
    assert!(world.is_password(NEW).await && world.is_valid(reply.cookie("access_jwt").unwrap()).await);
    assert_eq!(world.tables.items("SessionsTable").len(), 3, "one session was opened");
    let items = Value::from(world.tables.items("UsersTable")).to_string();
    assert_eq!(items.matches(r#""password_version":{"N":"2"}"#).count(), 2);
}

/// R97.
#[tokio::test]
async fn neither_password_is_logged() {
    let world = World::new().await;
    let log = testbed::Log::start();
    world.send(world.change("1234", NEW)).await;
    world.send(world.change("wrong-one-of-mine", NEW)).await;
    let logged = log.take();
    assert!(logged.contains("password_changed") && logged.contains(world.kim.profile.id.as_str()));
    assert!(
        !logged.contains(NEW) && !logged.contains("wrong-one-of-mine") && !logged.contains(&world.kim.profile.email)
    );
}

/// R81: whatever the body is.
#[tokio::test]
async fn ambiguous_cookies_are_401_and_both_cookies_are_cleared() {
    let world = World::new().await;
    for event in [world.change("1234", NEW), world.change("1234", NEW).body("not JSON")] {
        let twice = event.cookies([format!("access_jwt={}", world.here), "access_jwt=x".into()]);
        let reply = world.send(twice).await;
        assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 2));
    }
    assert_eq!(
        world.send(world.change("1234", NEW)).await.status,
        204,
        "nothing was changed, and no session was ended"
    );
}
