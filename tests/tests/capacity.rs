//! What each request consumes at DynamoDB: capacity units, bytes and items. The tables of `docs/scale.md` and the units
//! of `bench/cost.json` are compared with what the embedded DynamoDB counts.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeMap;

use authorizer::Authorizer;
use login::Login;
use logout::Logout;
use serde_json::Value;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, AllowedOrigins, Site};
use shared::store::{self, User};
use testbed::workspace::read;
use testbed::{Event, Meter, MeteredCall, Tables};
use userinfo::Userinfo;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The kinds of items, as `docs/scale.md` names them, and the beginning of the key of each.
const ITEMS: [(&str, &str); 5] = [
    ("login name", "login#"),
    ("user", "user#"),
    ("sessions of the user", "session"),
    ("counter of the account", "account#"),
    ("counter of the source", "source#"),
];

/// The requests, as `bench/cost.json` names them.
const REQUESTS: [&str; 7] = ["login", "wrong password", "refused guess", "userinfo", "renewal", "logout", "authorizer"];

/// A user of the service, and the calls of one request.
struct World {
    tables: Tables,
    env: Environment,
    meter: Meter,
    user: User,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let user = testbed::add_kim(&tables.environment(&[])).await;
        let (settings, meter) = tables.metered().await;
        Self { tables, env: Environment::new(settings), meter, user }
    }

    /// Sends a login with the password of the recorded event, or with another one. Returns the status.
    async fn log_in(&self, event: &str) -> u16 {
        let login = Login::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        let site = Site::from_env(&self.env).unwrap();
        let event = Event::recorded(event).without_cookies();
        event.send(&mut http::service(site, |request| login.handle(request, NOW))).await.status
    }

    /// Returns the calls of a request to this user, whose counters are empty.
    async fn calls(&self, request: &str) -> Vec<MeteredCall> {
        let client = || store::connect(&self.env).unwrap();
        let site = || Site::from_env(&self.env).unwrap();
        let with = |event: &str, cookies: &[(&str, &str)]| {
            Event::recorded(event).cookies(cookies.iter().map(|(name, value)| format!("{name}={value}")))
        };
        let env = self.tables.environment(&[]);
        let (access, refresh) = testbed::sign_in(&env, &self.user, true, NOW).await;
        match request {
            "login" => assert_eq!(self.log_in("login").await, 302),
            "wrong password" => assert_eq!(self.log_in("login-wrong").await, 401),
            "refused guess" => {
                for _ in 0..5 {
                    assert_eq!(self.log_in("login-wrong").await, 401);
                }
                drop(self.meter.take());
                assert_eq!(self.log_in("login-wrong").await, 429);
            }
            "userinfo" | "renewal" => {
                let userinfo = Userinfo::from_env(client(), &self.env).unwrap();
                let cookies = if request == "userinfo" { ("access_jwt", &access) } else { ("refresh_jwt", &refresh) };
                let event = with("userinfo", &[(cookies.0, cookies.1)]);
                let reply = event.send(&mut http::service(site(), |request| userinfo.handle(request, NOW))).await;
                assert_eq!((reply.status, reply.cookies.len()), (200, if request == "renewal" { 2 } else { 0 }));
            }
            "logout" => {
                let logout = Logout::from_env(client(), &self.env).unwrap();
                let event = with("logout", &[("access_jwt", &access), ("refresh_jwt", &refresh)]);
                let reply = event.send(&mut http::service(site(), |request| logout.handle(request, NOW))).await;
                assert_eq!(reply.status, 205);
            }
            _ => {
                let authorizer = Authorizer::from_env(client(), &self.env).unwrap();
                let origins = AllowedOrigins::from_env(&self.env).unwrap();
                let event = with("authorizer", &[("access_jwt", &access)]);
                let mut service = http::authorizer::service(origins, |request| authorizer.handle(request, NOW));
                assert_eq!(event.authorize(&mut service).await.unwrap()["isAuthorized"], true);
            }
        }
        self.meter.take_whole()
    }
}

/// Returns the rows that the page about scale lacks.
fn missing(rows: Vec<String>) -> Vec<String> {
    let page = read("docs/scale.md");
    rows.into_iter().filter(|row| !page.contains(row)).collect()
}

/// Returns whether a call reads.
fn reads(call: &MeteredCall) -> bool {
    call.operation.contains("Get") || call.operation == "Query"
}

/// Returns the read units and the write units of calls.
fn units(calls: &[MeteredCall]) -> [f64; 2] {
    [true, false].map(|is_read| {
        let counted = calls.iter().filter(|call| reads(call) == is_read);
        counted.fold(0.0, |sum, call| sum + call.units)
    })
}

/// Returns the keys and items in a request, at any depth.
fn keys(request: &Value, found: &mut Vec<Value>) {
    for (name, value) in request.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("Key" | "Item", key) => found.push(key.clone()),
            ("Keys", Value::Array(keys)) => found.extend(keys.iter().cloned()),
            (_, Value::Array(parts)) => parts.iter().for_each(|part| keys(part, found)),
            (_, part) => keys(part, found),
        }
    }
}

/// Returns the kinds of items that a call reads or writes, one for each item. A query reads the sessions of a user.
fn kinds(call: &MeteredCall) -> Vec<&'static str> {
    let mut found = Vec::new();
    keys(&call.request, &mut found);
    if call.operation == "Query" {
        found.push(serde_json::json!({ "user_id": {} }));
    }
    let beginning = |key: &Value| {
        let text = |name: &str| key[name]["S"].as_str().map(str::to_owned);
        if key["user_id"].is_null() { text("pk").or(text("counter_key")).unwrap() } else { "session".to_owned() }
    };
    let kind = |key| ITEMS.iter().find(|(_, prefix)| beginning(key).starts_with(prefix)).unwrap().0;
    found.iter().map(kind).collect()
}

/// Returns the read units and the write units of each kind of item. The units of a call are divided equally among its
/// items, because each is smaller than one unit.
fn units_of_items(calls: &[MeteredCall]) -> BTreeMap<&'static str, [f64; 2]> {
    let mut all = BTreeMap::new();
    for call in calls {
        let kinds = kinds(call);
        for kind in &kinds {
            let units: &mut [f64; 2] = all.entry(*kind).or_default();
            units[usize::from(!reads(call))] += call.units / f64::from(u32::try_from(kinds.len()).unwrap());
        }
    }
    all
}

#[tokio::test]
async fn the_units_and_bytes_of_each_request_are_those_of_the_page() {
    let cost: Value = serde_json::from_str(&read("bench/cost.json")).unwrap();
    let mut rows = Vec::new();
    let thousands = |bytes: usize| {
        if bytes < 1000 { bytes.to_string() } else { format!("{},{:03}", bytes / 1000, bytes % 1000) }
    };
    for request in REQUESTS {
        let calls = World::new().await.calls(request).await;
        let [read, written] = units(&calls);
        let [sent, received] = [|call: &MeteredCall| call.sent, |call: &MeteredCall| call.received]
            .map(|of| thousands(calls.iter().map(of).sum()));
        rows.push(format!("| {request} | {read} | {written} | {sent} | {received} |"));
        let stored = &cost["requests"][request];
        assert_eq!([read, written].map(Some), ["reads", "writes"].map(|name| stored[name].as_f64()), "{request}");
    }
    assert_eq!(missing(rows), Vec::<String>::new());
}

/// The partition of an item serves 3,000 read units and 1,000 write units a second.
#[tokio::test]
async fn the_rate_at_which_an_item_is_throttled_follows_from_its_units() {
    let mut rows = Vec::new();
    for request in REQUESTS {
        let items = units_of_items(&World::new().await.calls(request).await);
        let cells = ITEMS.map(|(kind, _)| match items.get(kind) {
            Some([read, written]) => format!("{read} / {written}"),
            None => "–".to_owned(),
        });
        let rate = |&[read, written]: &[f64; 2]| f64::min(3000.0 / read, 1000.0 / written);
        let slowest = items.values().map(rate).fold(f64::INFINITY, f64::min);
        rows.push(format!("| {request} | {} | {slowest:.0} |", cells.join(" | ")));
    }
    assert_eq!(missing(rows), Vec::<String>::new());
}

/// Returns the size of an item by the rules of DynamoDB: the names and the values. A number has one byte for two digits
/// and one more.
fn size(item: &Value) -> usize {
    let of_value = |value: &Value| match value.as_object().and_then(|value| value.iter().next()).unwrap() {
        (kind, Value::String(digits)) if kind == "N" => digits.len().div_ceil(2) + 1,
        (_, Value::String(text)) => text.len(),
        (_, other) => other.as_array().map_or(1, |list| list.iter().map(|value| value.to_string().len()).sum()),
    };
    item.as_object().unwrap().iter().map(|(name, value)| name.len() + of_value(value)).sum()
}

/// The units above hold only for items of at most one unit: 1 KB.
#[tokio::test]
async fn each_item_has_less_than_one_kilobyte_and_the_page_has_its_size() {
    let (world, mut rows) = (World::new().await, Vec::new());
    assert_eq!(world.log_in("login").await, 302);
    assert_eq!(world.log_in("login-wrong").await, 401);
    let tables = ["UsersTable", "SessionsTable", "AttemptsTable"].map(|table| world.tables.items(table)).concat();
    for (kind, beginning) in ITEMS {
        let is_this = |item: &&Value| {
            let key = ["pk", "counter_key"].iter().find_map(|name| item[name]["S"].as_str()).unwrap_or("session");
            key.starts_with(beginning)
        };
        let bytes = size(tables.iter().find(is_this).unwrap());
        assert!(bytes < 1000, "{kind}: {bytes}");
        rows.push(format!("| {kind} | {bytes} |"));
    }
    assert_eq!(missing(rows), Vec::<String>::new());
}
