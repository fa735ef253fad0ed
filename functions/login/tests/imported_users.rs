//! Logins of users whose password hash was imported from another system.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeMap;
use std::sync::Arc;

use login::Login;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::store::{self, Users};
use testbed::{Event, Fault, Log, Reply, Tables};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A test vector of bcrypt at cost 5, for "password".
const BCRYPT: &str = "$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

/// Returns tables with the user `moved`, who has this hash.
async fn tables_with(hash: &str) -> (Tables, Environment) {
    let tables = Tables::new().await;
    let env = Environment::new(tables.settings(&[]));
    testbed::import(&env, "moved", hash).await;
    (tables, env)
}

fn login(env: &Environment) -> Login {
    Login::from_env(store::connect(env).unwrap(), env).unwrap()
}

async fn send(login: &Login, env: &Environment, user_id: &str, password: &str) -> Reply {
    let body = json!({ "loginInfo": { "userId": user_id, "password": password } });
    let event = Event::recorded("login").body(body.to_string());
    let origins = Site::from_env(env).unwrap();
    event.send(&mut http::service(origins, |request| login.handle(request, NOW))).await
}

async fn status(env: &Environment, password: &str) -> u16 {
    send(&login(env), env, "moved", password).await.status
}

fn stored(tables: &Tables) -> String {
    credentials(tables)["password_hash"]["S"].as_str().unwrap().to_owned()
}

fn credentials(tables: &Tables) -> Value {
    tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "login#moved").unwrap()
}

/// Returns a function for which another request replaces the credentials just before the rehash.
fn with_update_before_the_rehash(tables: &Tables, env: &Environment, credentials: Value) -> Login {
    let (tables, credentials) = (tables.clone(), Arc::new(credentials));
    let update = move || tables.put("UsersTable", &credentials);
    // Only the client of the users table: its only `UpdateItem` is the rehash.
    let client = testbed::before(&store::connect(env).unwrap(), "UpdateItem", update);
    let mut login = login(env);
    login.authenticator.users = Users::from_env(client, env).unwrap();
    login
}

/// R3.
#[tokio::test]
async fn a_login_replaces_an_imported_hash_of_every_format() {
    let corpus: Value = serde_json::from_str(include_str!("../../../shared/tests/imported_hashes.json")).unwrap();
    let mut by_format = BTreeMap::new();
    for entry in corpus["correct"].as_array().unwrap() {
        let text = |name: &str| entry[name].as_str().unwrap();
        by_format.entry(text("format")).or_insert((text("hash"), text("password")));
    }
    assert_eq!(by_format.len(), 19);
    for (format, (hash, password)) in by_format {
        let (tables, env) = tables_with(hash).await;
        assert_eq!(status(&env, password).await, 302, "{format}");
        let ours = stored(&tables);
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{format}: {ours}");
        assert_eq!(status(&env, password).await, 302, "{format}");
        assert_eq!(stored(&tables), ours, "{format}: the second login replaces no hash");
        assert_eq!(status(&env, &format!("{password}x")).await, 401, "{format}");
    }
}

/// R3: the items are those of `docs/passwords.md`, with another hash.
#[tokio::test]
async fn a_user_who_was_imported_as_documented_can_sign_in() {
    let page = include_str!("../../../docs/passwords.md");
    let block = page.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let tables = Tables::new().await;
    let env = Environment::new(tables.settings(&[]));
    for item in serde_json::Deserializer::from_str(block).into_iter::<Value>() {
        let mut item = item.unwrap();
        if item.get("password_hash").is_some() {
            item["password_hash"] = json!({ "S": BCRYPT });
        }
        tables.put("UsersTable", &item);
    }
    let reply = send(&login(&env), &env, "Kim", "password").await;
    assert_eq!((reply.status, tables.items("UsersTable").len()), (302, 3));
}

/// R3.
#[tokio::test]
async fn a_failed_rehash_does_not_fail_the_login() {
    for fault in [Fault::Refuse(400, "AccessDeniedException"), Fault::Stall] {
        let (tables, env) = tables_with(BCRYPT).await;
        let failing = Environment::new(tables.failing(&[("UpdateItem", &[fault; 9])]).await);
        // Only the users table fails. Its only `UpdateItem` is the rehash.
        let mut login = login(&env);
        login.authenticator.users = Users::from_env(store::connect(&failing).unwrap(), &failing).unwrap();
        let log = Log::start();
        assert_eq!(send(&login, &env, "moved", "password").await.status, 302, "{fault:?}");
        assert_eq!(log.events("password_rehash_failed").len(), 1, "{fault:?}");
        assert_eq!(stored(&tables), BCRYPT);
        assert_eq!(status(&env, "password").await, 302);
        assert_ne!(stored(&tables), BCRYPT, "the next login rehashes the password");
    }
}

/// R14.
#[tokio::test]
async fn a_login_replaces_a_hash_with_an_old_pepper() {
    let (tables, _) = tables_with(BCRYPT).await;
    let mut key_ids = Vec::new();
    let [first, other] = ["first-pepper-0123456789-0123456789", "other-pepper-9876543210-9876543210"];
    for peppers in [&[first][..], &[first, other], &[other]] {
        let peppers = testbed::key_set("PASSWORD_PEPPER", peppers, &[]);
        let env = Environment::new(tables.settings(&[("PASSWORD_PEPPER", &peppers)]));
        assert_eq!(status(&env, "password").await, 302);
        let hash = stored(&tables);
        key_ids.push(hash.split(",keyid=").nth(1).unwrap().split('$').next().unwrap().to_owned());
    }
    assert!(key_ids[0] != key_ids[1] && key_ids[1] == key_ids[2], "{key_ids:?}");
}

/// R4.
#[tokio::test]
async fn a_rehash_does_not_overwrite_a_changed_password() {
    let (tables, env) = tables_with(BCRYPT).await;
    let mut changed = credentials(&tables);
    changed["password_hash"] = json!({ "S": "the hash of another password" });
    changed["password_version"] = json!({ "N": "2" });
    let login = with_update_before_the_rehash(&tables, &env, changed);
    assert_eq!(send(&login, &env, "moved", "password").await.status, 302);
    assert_eq!(stored(&tables), "the hash of another password");
}

/// R4: the stored hash is the same, but the password version is higher.
#[tokio::test]
async fn a_rehash_does_not_overwrite_a_password_that_was_set_again() {
    let (tables, env) = tables_with(BCRYPT).await;
    let mut changed = credentials(&tables);
    changed["password_version"] = json!({ "N": "2" });
    let login = with_update_before_the_rehash(&tables, &env, changed);
    assert_eq!(send(&login, &env, "moved", "password").await.status, 302);
    assert_eq!(stored(&tables), BCRYPT);
}

/// R6: bcrypt compares the first 72 bytes only. The first login decides what the whole password is.
#[tokio::test]
async fn after_a_bcrypt_login_the_password_is_the_whole_entered_text() {
    let of_80 = bcrypt::hash("a".repeat(80), 4).unwrap();
    for entered in [72, 80, 100] {
        let (tables, env) = tables_with(&of_80).await;
        assert_eq!(status(&env, &"a".repeat(71)).await, 401);
        assert_eq!(status(&env, &"a".repeat(entered)).await, 302, "{entered}");
        assert!(stored(&tables).starts_with("$argon2id$"));
        for again in [72, 80, 100] {
            let expected = if again == entered { 302 } else { 401 };
            assert_eq!(status(&env, &"a".repeat(again)).await, expected, "{again} after {entered}");
        }
    }
}

/// R11: the response is that of a wrong password.
#[tokio::test]
async fn an_unusable_hash_is_401_and_an_error_event() {
    for unusable in ["", "password", "$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFp\u{e9}", "$argon2id$"]
    {
        let (_tables, env) = tables_with(unusable).await;
        let log = Log::start();
        let refused = send(&login(&env), &env, "moved", "password").await;
        assert_eq!((refused.status, refused.body()), (401, "Not Authorized"), "{unusable:?}");
        let event = log.events("password_hash_unusable").remove(0);
        assert_eq!((&event["level"], &event["user"]), (&json!("ERROR"), &json!("moved")));
        assert!(!event.to_string().contains('$'), "the event does not quote the hash");
    }
}
