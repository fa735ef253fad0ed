//! Each floor makes the calls of its function: the same operations, tables, expressions and attributes.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeMap;

use floors::{BareHash, Calls as Floor, Keys};
use login::Login;
use logout::Logout;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::store::{self, User};
use testbed::{Calls, Event, Tables};
use userinfo::Userinfo;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The tables with a user and a persistent session, and the keys of both.
struct World {
    env: Environment,
    access: String,
    refresh: String,
    keys: Keys,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let env = tables.environment(&[]);
        let user: User = testbed::add_kim(&env).await;
        let (access, refresh) = testbed::sign_in(&env, &user, true, NOW).await;
        let session = tables.items("SessionsTable").remove(0)["session_id"]["S"].as_str().unwrap().to_owned();
        let source = "203.0.113.7".to_owned();
        let keys =
            Keys { user: "0".into(), name: "kimcoding".into(), session, generation: 1, source, now: NOW.as_secs() };
        Self { env, access: format!("access_jwt={access}"), refresh: format!("refresh_jwt={refresh}"), keys }
    }

    fn client(&self) -> (store::Client, Calls) {
        Calls::of(&store::connect(&self.env).unwrap())
    }

    /// Returns the calls that a function makes for an event.
    async fn of_function(&self, function: &str, event: Event, status: u16) -> Vec<Value> {
        let ((client, calls), site) = (self.client(), Site::from_env(&self.env).unwrap());
        let reply = match function {
            "userinfo" => {
                let userinfo = Userinfo::from_env(client, &self.env).unwrap();
                event.send(&mut http::service(site, |request| userinfo.handle(request, NOW))).await
            }
            "login" => {
                let login = Login::from_env(client, &self.env).unwrap();
                event.send(&mut http::service(site, |request| login.handle(request, NOW))).await
            }
            _ => {
                let logout = Logout::from_env(client, &self.env).unwrap();
                event.send(&mut http::service(site, |request| logout.handle(request, NOW))).await
            }
        };
        assert_eq!(reply.status, status, "{reply:?}");
        shapes(&calls)
    }

    /// Returns the floor, and the calls that it makes.
    fn floor(&self) -> (Floor, Calls) {
        let (client, calls) = self.client();
        (Floor::new(client, &self.env).unwrap(), calls)
    }
}

/// Returns the calls without the values of attributes, which differ. They are sorted, because some run in parallel.
fn shapes(calls: &Calls) -> Vec<Value> {
    let calls = calls.take_whole().into_iter().map(|(operation, input)| json!([operation, shape(&input)]));
    let mut calls: Vec<_> = calls.collect();
    calls.sort_by_key(ToString::to_string);
    calls
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => match fields.keys().next().filter(|_| fields.len() == 1) {
            Some(kind) if matches!(kind.as_str(), "S" | "N" | "BOOL") => kind.as_str().into(),
            _ => fields
                .iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    // The functions make some conditions from maps, which have no order.
                    ("ConditionExpression", Value::String(condition)) => {
                        let mut parts: Vec<_> = condition.split(" AND ").collect();
                        parts.sort_unstable();
                        (name.clone(), parts.into())
                    }
                    _ => (name.clone(), shape(value)),
                })
                // In the order of the names, so that equal calls are equal as text.
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect::<Map<_, _>>()
                .into(),
        },
        Value::Array(values) => values.iter().map(shape).collect(),
        other => other.clone(),
    }
}

/// Compares the calls one by one, so that a failure shows the one that differs.
fn assert_same(floor: &[Value], function: &[Value]) {
    let operations = |calls: &[Value]| calls.iter().map(|call| call[0].clone()).collect::<Vec<_>>();
    assert_eq!(operations(floor), operations(function));
    for (floor, function) in floor.iter().zip(function) {
        assert_eq!(floor, function);
    }
}

#[tokio::test]
async fn userinfo_and_its_floor_make_the_same_calls() {
    let world = World::new().await;
    let event = Event::recorded("userinfo").cookies([&world.access]);
    let (floor, calls) = world.floor();
    floor.userinfo(&world.keys).await.unwrap();
    assert_same(&shapes(&calls), &world.of_function("userinfo", event, 200).await);
}

#[tokio::test]
async fn a_renewal_and_its_floor_make_the_same_calls() {
    let (world, other) = (World::new().await, World::new().await);
    let event = Event::recorded("userinfo").cookies([&world.refresh]);
    let (floor, calls) = other.floor();
    floor.renewal(&other.keys).await.unwrap();
    assert_same(&shapes(&calls), &world.of_function("userinfo", event, 200).await);
}

#[tokio::test]
async fn logout_and_its_floor_make_the_same_calls() {
    let (world, other) = (World::new().await, World::new().await);
    let event = Event::recorded("logout").cookies([&world.access, &world.refresh]);
    let (floor, calls) = other.floor();
    floor.logout(&other.keys).await.unwrap();
    assert_same(&shapes(&calls), &world.of_function("logout", event, 205).await);
}

#[tokio::test]
async fn login_and_its_floor_make_the_same_calls() {
    let (world, other) = (World::new().await, World::new().await);
    let (floor, calls) = other.floor();
    let keys = Keys { session: "s".repeat(22), ..other.keys.clone() };
    floor.login(&keys, &BareHash::new().unwrap()).await.unwrap();
    assert_same(&shapes(&calls), &world.of_function("login", Event::recorded("login"), 302).await);
}
