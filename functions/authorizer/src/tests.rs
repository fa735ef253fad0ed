use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::http::AllowedOrigins;
use shared::store::{self, User};
use testbed::{Calls, Event, Fault, Tables};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The user `kimcoding`, who signed in at `NOW`.
struct World {
    tables: Tables,
    env: Environment,
    user: User,
    access: String,
    refresh: String,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[]));
        let user = testbed::add_kim(&env).await;
        let (access, refresh) = testbed::sign_in(&env, &user, true, NOW).await;
        Self { tables, env, user, access, refresh }
    }

    async fn ask(&self, event: Event) -> Value {
        ask(&self.env, store::connect(&self.env).unwrap(), event).await.unwrap()
    }

    fn change(&self, table: &str, name: &str, value: Value) {
        let items = self.tables.items(table);
        let mut item = items.into_iter().find(|item| table != "UsersTable" || item["pk"]["S"] == "user#0").unwrap();
        item[name] = value;
        self.tables.put(table, &item);
    }
}

/// Returns the response to the gateway, or `None` if the invocation fails.
async fn ask(env: &Environment, client: Client, event: Event) -> Option<Value> {
    let authorizer = Authorizer::from_env(client, env).unwrap();
    let origins = AllowedOrigins::from_env(env).unwrap();
    event.authorize(&mut http::authorizer::service(origins, |request| authorizer.handle(request, NOW))).await
}

fn with(access: &str) -> Event {
    Event::recorded("authorizer").cookies(["theme=dark".to_owned(), format!("access_jwt={access}")])
}

fn bearer(token: &str) -> Event {
    Event::recorded("authorizer").without_cookies().header("authorization", &format!("Bearer {token}"))
}

fn denied() -> Value {
    json!({ "isAuthorized": false })
}

#[tokio::test]
async fn a_valid_access_token_is_allowed_and_the_caller_is_passed_on() {
    let world = World::new().await;
    let session = world.tables.items("SessionsTable")[0]["session_id"]["S"].clone();
    let email = "kimcoding@authstates.com";
    let context = json!({ "id": "0", "userId": "kimcoding", "sessionId": session, "email": email });
    for event in [with(&world.access), bearer(&world.access)] {
        assert_eq!(
            world.ask(event).await,
            json!({ "isAuthorized": true, "context": context }),
            "empty roles are left out"
        );
    }
}

/// A function behind the authorizer can use the same names as a page that reads `/userinfo`.
#[tokio::test]
async fn the_context_has_the_names_and_the_values_of_userinfo() {
    let world = World::new().await;
    world.change("UsersTable", "roles", json!({ "L": [{ "S": "analyst" }] }));
    world.change("UsersTable", "userId", json!({ "S": "KimCoding" }));
    let users = store::Users::from_env(store::connect(&world.env).unwrap(), &world.env).unwrap();
    let kim = users.find(&world.user.profile.id, &shared::budget::Budget::new(None)).await.unwrap().unwrap();
    let userinfo = serde_json::to_value(&kim.profile).unwrap();
    let context = world.ask(with(&world.access)).await["context"].clone();
    for name in ["id", "userId", "email", "roles"] {
        assert_eq!(context[name], userinfo[name], "{name}");
    }
    let names: BTreeSet<_> = context.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["email", "id", "roles", "sessionId", "userId"]));
}

#[tokio::test]
async fn the_stored_roles_decide_and_not_those_of_the_token() {
    let world = World::new().await;
    world.change("UsersTable", "roles", json!({ "L": [{ "S": "analyst" }] }));
    assert_eq!(world.ask(with(&world.access)).await["context"]["roles"], json!(["analyst"]));
    for (required, is_allowed) in [("analyst", true), ("admin", false)] {
        let env = Environment::new(world.tables.settings(&[("REQUIRED_ROLE", required)]));
        let decision = ask(&env, store::connect(&env).unwrap(), with(&world.access)).await.unwrap();
        assert_eq!(decision["isAuthorized"], is_allowed, "{required}");
        assert_eq!(decision.get("context").is_some(), is_allowed);
    }
}

#[tokio::test]
async fn a_required_role_that_is_blank_or_too_long_stops_the_start() {
    let read = |role: &str| {
        let env = Environment::new(testbed::settings(&[("REQUIRED_ROLE", role)]));
        Authorizer::from_env(store::connect(&env).unwrap(), &env).map(|authorizer| authorizer.required_role)
    };
    assert_eq!(read(&"r".repeat(255)).unwrap(), Some("r".repeat(255)));
    assert_eq!(read("").unwrap(), None);
    for role in [" ", &"r".repeat(256)] {
        assert!(matches!(read(role), Err(Error::Setting { name: "REQUIRED_ROLE", .. })), "{role:.20}");
    }
}

/// The roles come from the record, so that their number has no limit as in a token.
#[tokio::test]
async fn a_thousand_roles_are_passed_on() {
    let world = World::new().await;
    let roles: Vec<_> = (0..1000).map(|number| format!("role-{number}")).collect();
    let list: Vec<_> = roles.iter().map(|role| json!({ "S": role })).collect();
    world.change("UsersTable", "roles", json!({ "L": list }));
    let env = Environment::new(world.tables.settings(&[("REQUIRED_ROLE", "role-999")]));
    let decision = ask(&env, store::connect(&env).unwrap(), with(&world.access)).await.unwrap();
    assert_eq!((&decision["isAuthorized"], &decision["context"]["roles"]), (&json!(true), &json!(roles)));
}

#[tokio::test]
async fn a_request_without_a_valid_access_token_is_denied() {
    let world = World::new().await;
    let refresh_only = Event::recorded("authorizer").cookies([format!("refresh_jwt={}", world.refresh)]);
    for event in [
        Event::recorded("authorizer"),
        Event::recorded("authorizer").without_cookies(),
        with("garbage"),
        with(&world.refresh),
        refresh_only,
        bearer("garbage"),
        bearer(&world.refresh),
        bearer("").cookies([format!("access_jwt={}", world.access)]),
        with(&world.access).cookies([format!("access_jwt={}", world.access), "access_jwt=tossed".into()]),
    ] {
        assert_eq!(world.ask(event.clone()).await, denied(), "{event:?}");
    }
    assert_eq!(world.tables.items("SessionsTable")[0]["gen"]["N"], "1", "the session was not renewed");
}

/// R34, R75, R76.
#[tokio::test]
async fn an_ended_session_and_a_changed_user_are_denied_at_once() {
    for (table, name, value) in [
        ("SessionsTable", "ended_at", json!({ "N": "1800000000" })),
        ("UsersTable", "session_epoch", json!({ "N": "2" })),
        ("UsersTable", "disabled", json!({ "BOOL": true })),
        ("UsersTable", "email", json!({ "S": "new@example.com" })),
    ] {
        let world = World::new().await;
        world.change(table, name, value);
        assert_eq!(world.ask(with(&world.access)).await, denied(), "{name}");
    }
}

/// R92.
#[tokio::test]
async fn a_bearer_token_and_a_cookie_of_two_users_are_denied() {
    let world = World::new().await;
    let park = testbed::add_park(&world.env).await;
    let (parks, _) = testbed::sign_in(&world.env, &park, true, NOW).await;
    assert_ne!(park.profile.id, world.user.profile.id);
    let both = bearer(&world.access).cookies([format!("access_jwt={parks}")]);
    assert_eq!(world.ask(both).await, denied());
}

/// R81: the other functions read an event in the same way. `shared/tests/hostile_cookies.rs` tests them.
#[tokio::test]
async fn a_cookie_header_counts_only_without_a_readable_list_of_cookies() {
    let world = World::new().await;
    let header = |event: Event| event.header("cookie", &format!("access_jwt={}", world.access));
    for event in [
        header(Event::recorded("authorizer").without_cookies()),
        header(Event::recorded("authorizer").cookies::<String>([])),
        header(Event::recorded("authorizer").cookies(["x=\u{1}"])),
    ] {
        assert_eq!(world.ask(event.clone()).await["isAuthorized"], true, "{event:?}");
    }
    for list in ["theme=dark", "access_jwt=other"] {
        assert_eq!(world.ask(header(Event::recorded("authorizer").cookies([list]))).await, denied(), "{list}");
    }
}

/// R92: without the header, the cookie would count.
#[tokio::test]
async fn an_unreadable_authorization_header_is_denied() {
    let world = World::new().await;
    let event = with(&world.access).header("authorization", "Bearer a\u{1}b");
    assert_eq!(world.ask(event).await, denied());
}

/// R81, R82: an unreadable header or cookie does not hide another one.
#[tokio::test]
async fn a_hostile_header_or_cookie_is_ignored() {
    let world = World::new().await;
    let valid = format!("access_jwt={}", world.access);
    for event in [
        with(&world.access).cookies(["x=\u{1}".to_owned(), valid.clone()]),
        with(&world.access).cookies(["x=\u{e9}".to_owned(), valid.clone()]),
        with(&world.access).header("x-evil", "a\nb").header("bad name", "x").header("host", "a:99999"),
    ] {
        assert_eq!(world.ask(event.clone()).await["isAuthorized"], true, "{event:?}");
    }
    assert_eq!(world.ask(bearer("a\u{e9}b")).await, denied());
    assert_eq!(world.ask(with("").with("/cookies", json!(null)).with("/headers", json!(null))).await, denied());
}

/// R85: the functions behind the gateway have the same origin check as ours.
#[tokio::test]
async fn an_unsafe_request_from_a_foreign_origin_is_denied() {
    let world = World::new().await;
    let from = |method: &str, site: &str| {
        with(&world.access).with("/requestContext/http/method", json!(method)).header("sec-fetch-site", site)
    };
    for (event, is_allowed) in [
        (from("GET", "cross-site"), true),
        (from("POST", "same-origin"), true),
        (from("POST", "cross-site"), false),
        (from("DELETE", "same-site"), false),
        (from("DELETE", "same-site").header("origin", "https://localhost:3000"), true),
        (from("\u{0}", "cross-site"), false),
    ] {
        assert_eq!(world.ask(event.clone()).await["isAuthorized"], is_allowed, "{event:?}");
    }
}

#[tokio::test]
async fn a_decision_makes_one_call_and_a_forged_token_zero() {
    let world = World::new().await;
    let (client, calls) = Calls::of(&store::connect(&world.env).unwrap());
    ask(&world.env, client.clone(), with(&world.access)).await;
    assert_eq!(calls.take(), ["BatchGetItem"]);
    ask(&world.env, client, with("forged")).await;
    assert!(calls.take().is_empty());
}

/// F04, F16, F19: the gateway answers 500, and not 403.
#[tokio::test]
async fn an_outage_fails_the_invocation() {
    let world = World::new().await;
    for fault in [Fault::Stall, Fault::Refuse(400, "AccessDeniedException")] {
        let failing = world.tables.failing(&[("BatchGetItem", &[fault; 9])]).await;
        let env = Environment::new(failing);
        assert_eq!(ask(&env, store::connect(&env).unwrap(), with(&world.access)).await, None, "{fault:?}");
    }
}
