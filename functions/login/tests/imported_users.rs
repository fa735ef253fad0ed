//! People who arrive with a password that somebody else has hashed.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeMap;
use std::sync::Arc;

use login::Login;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Config;
use shared::store::Client;
use shared::{http, store};
use testbed::{Event, Fault, Log, Reply, Tables};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// bcrypt's own test vector at cost 5, of "password".
const BCRYPT: &str = "$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

async fn tables_with(hash: &str) -> (Tables, Config) {
    let tables = Tables::new().await;
    let config = Config::from_lookup(tables.settings(&[])).unwrap();
    testbed::import(&config, "moved", hash).await;
    (tables, config)
}

async fn sign_in(config: &Config, client: Client, password: &str) -> Reply {
    let login = Login::new(client, config).unwrap();
    let body = json!({ "loginInfo": { "userId": "moved", "password": password } });
    let event = Event::recorded("login").body(body.to_string());
    event.send(&mut http::service(&config.allowed_origins, |request| login.handle(request, NOW))).await
}

async fn status(config: &Config, password: &str) -> u16 {
    sign_in(config, store::connect(config), password).await.status
}

fn stored(tables: &Tables) -> String {
    credentials(tables)["password_hash"]["S"].as_str().unwrap().to_owned()
}

fn credentials(tables: &Tables) -> Value {
    tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "login#moved").unwrap()
}

/// R3: from every format that is read.
#[tokio::test]
async fn whoever_moves_in_with_a_hash_of_any_format_signs_in_and_has_one_of_ours() {
    let corpus: Value = serde_json::from_str(include_str!("../../../shared/tests/imported_hashes.json")).unwrap();
    let mut of_each_format = BTreeMap::new();
    for entry in corpus["correct"].as_array().unwrap() {
        let text = |name: &str| entry[name].as_str().unwrap();
        of_each_format.entry(text("format")).or_insert((text("hash"), text("password")));
    }
    assert_eq!(of_each_format.len(), 18);
    for (format, (hash, password)) in of_each_format {
        let (tables, config) = tables_with(hash).await;
        assert_eq!(status(&config, password).await, 302, "{format}");
        let ours = stored(&tables);
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{format}: {ours}");
        assert_eq!(status(&config, password).await, 302, "{format}");
        assert_eq!(stored(&tables), ours, "{format} is hashed anew once");
        assert_eq!(status(&config, &format!("{password}x")).await, 401, "{format}");
    }
}

/// R3: the items of `docs/passwords.md`, as they stand there, but for the hash.
#[tokio::test]
async fn a_user_who_was_written_as_the_page_says_signs_in() {
    let page = include_str!("../../../docs/passwords.md");
    let block = page.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let tables = Tables::new().await;
    let config = Config::from_lookup(tables.settings(&[])).unwrap();
    for item in serde_json::Deserializer::from_str(block).into_iter::<Value>() {
        let mut item = item.unwrap();
        if item.get("password_hash").is_some() {
            item["password_hash"] = json!({ "S": BCRYPT });
        }
        tables.put("UsersTable", &item);
    }
    let login = Login::new(store::connect(&config), &config).unwrap();
    let body = json!({ "loginInfo": { "userId": "Kim", "password": "password" } });
    let event = Event::recorded("login").body(body.to_string());
    let reply = event.send(&mut http::service(&config.allowed_origins, |request| login.handle(request, NOW))).await;
    assert_eq!((reply.status, tables.items("UsersTable").len()), (302, 3));
}

/// R3: that a hash is old is no reason to keep anybody out.
#[tokio::test]
async fn a_hash_that_cannot_be_written_anew_keeps_nobody_out() {
    for fault in [Fault::Refuse(400, "AccessDeniedException"), Fault::Stall] {
        let (tables, config) = tables_with(BCRYPT).await;
        let mut failing = Config::from_lookup(tables.failing(&[("UpdateItem", &[fault; 9])]).await).unwrap();
        failing.throttle = false;
        let log = Log::start();
        assert_eq!(status(&failing, "password").await, 302, "{fault:?}");
        assert_eq!(log.events("password_rehash_failed").len(), 1, "{fault:?}");
        assert_eq!(stored(&tables), BCRYPT);
        assert_eq!(status(&config, "password").await, 302);
        assert_ne!(stored(&tables), BCRYPT, "the next login has done it");
    }
}

/// R14: after the pepper was changed everybody still gets in, and from then on with the new one.
#[tokio::test]
async fn whoever_was_hashed_under_another_pepper_signs_in_and_has_the_new_one() {
    let (tables, mut config) = tables_with(BCRYPT).await;
    let mut key_ids = Vec::new();
    let [first, other] = ["first-pepper-0123456789-0123456789", "other-pepper-9876543210-9876543210"];
    for (current, previous) in [(Some(first), None), (Some(other), Some(first)), (Some(other), None)] {
        config.password_pepper = current.map(Into::into);
        config.previous_password_pepper = previous.map(Into::into);
        assert_eq!(status(&config, "password").await, 302);
        let hash = stored(&tables);
        key_ids.push(hash.split(",keyid=").nth(1).unwrap().split('$').next().unwrap().to_owned());
    }
    assert!(key_ids[0] != key_ids[1] && key_ids[1] == key_ids[2], "{key_ids:?}");
}

/// R4.
#[tokio::test]
async fn a_password_that_was_changed_meanwhile_is_not_overwritten() {
    let (tables, mut config) = tables_with(BCRYPT).await;
    config.throttle = false;
    let mut changed = credentials(&tables);
    changed["password_hash"] = json!({ "S": "the hash of another password" });
    changed["password_version"] = json!({ "N": "2" });
    let (there, meanwhile) = (tables.clone(), Arc::new(changed));
    let client = testbed::before(&store::connect(&config), "UpdateItem", move || there.put("UsersTable", &meanwhile));
    assert_eq!(sign_in(&config, client, "password").await.status, 302);
    assert_eq!(stored(&tables), "the hash of another password");
}

/// R4: also where the hash is the same again and the password has been set anew.
#[tokio::test]
async fn a_password_that_was_set_again_meanwhile_is_not_overwritten() {
    let (tables, mut config) = tables_with(BCRYPT).await;
    config.throttle = false;
    let mut changed = credentials(&tables);
    changed["password_version"] = json!({ "N": "2" });
    let (there, meanwhile) = (tables.clone(), Arc::new(changed));
    let client = testbed::before(&store::connect(&config), "UpdateItem", move || there.put("UsersTable", &meanwhile));
    assert_eq!(sign_in(&config, client, "password").await.status, 302);
    assert_eq!(stored(&tables), BCRYPT);
}

/// R6: bcrypt looked at 72 bytes, so they still let in; from then on it is all that was entered then.
#[tokio::test]
async fn after_bcrypt_a_password_is_what_was_entered_in_full() {
    let of_80 = bcrypt::hash("a".repeat(80), 4).unwrap();
    for entered in [72, 80, 100] {
        let (tables, config) = tables_with(&of_80).await;
        assert_eq!(status(&config, &"a".repeat(71)).await, 401);
        assert_eq!(status(&config, &"a".repeat(entered)).await, 302, "{entered}");
        assert!(stored(&tables).starts_with("$argon2id$"));
        for again in [72, 80, 100] {
            let expected = if again == entered { 302 } else { 401 };
            assert_eq!(status(&config, &"a".repeat(again)).await, expected, "{again} after {entered}");
        }
    }
}

/// R11: nobody gets in, nobody sees a difference, and somebody is told.
#[tokio::test]
async fn a_hash_that_cannot_be_read_is_a_refusal_and_an_alarm() {
    for malformed in ["", "password", "$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFp\u{e9}", "$argon2id$"]
    {
        let (_tables, config) = tables_with(malformed).await;
        let log = Log::start();
        let refused = sign_in(&config, store::connect(&config), "password").await;
        assert_eq!((refused.status, refused.body()), (401, "Not Authorized"), "{malformed:?}");
        let alarm = log.events("password_hash_unusable").remove(0);
        assert_eq!((&alarm["level"], &alarm["user"]), (&json!("ERROR"), &json!("moved")));
        assert!(!alarm.to_string().contains('$'), "the hash is not repeated");
    }
}
