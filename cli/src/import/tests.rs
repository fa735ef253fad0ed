use std::borrow::Cow;
use std::io::{self, BufReader, Cursor, Read};
use std::time::Instant;

use clap::ValueEnum as _;
use serde::Deserialize;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::password::{Comparison, Hasher, Password};

use super::source::MAX_ENTRY;
use super::*;

const PAGE: &str = include_str!("../../../docs/import.md");
const BCRYPT: &str = "$2b$10$.qHPp/srqo1NAAAAAvlkmOdqAbH2Rg0qPv2Txj3ZwXfjJnewSjc4m";

fn open(text: &str) -> anyhow::Result<Reader> {
    open_bytes(text.as_bytes(), None)
}

fn open_bytes(bytes: &[u8], from: Option<Format>) -> anyhow::Result<Reader> {
    // A file comes in small pieces.
    Reader::open(Box::new(BufReader::with_capacity(4096, Cursor::new(bytes.to_vec()))), from, None)
}

fn error(text: &str) -> String {
    open(text).err().unwrap_or_else(|| panic!("{text} was opened")).to_string()
}

fn entries(text: &str) -> Vec<Entry> {
    open(text).unwrap_or_else(|error| panic!("{error}: {text}")).collect()
}

/// Returns the users of a file without refused entries.
fn users(text: &str) -> Vec<Incoming> {
    entries(text).into_iter().map(|entry| entry.user.unwrap_or_else(|reason| panic!("{reason}: {text}"))).collect()
}

/// Returns the only user of a file.
fn user(text: &str) -> Incoming {
    let [user] = users(text).try_into().unwrap_or_else(|users| panic!("{users:?}"));
    user
}

/// Returns the reason why the only entry of a file is refused.
fn refused(text: &str) -> String {
    let [entry] = entries(text).try_into().unwrap_or_else(|entries| panic!("{entries:?}"));
    entry.user.expect_err(text)
}

/// Returns the line and the login name of each entry, or the first words of the reason.
fn outline(text: &str) -> Vec<(u64, String)> {
    let short = |entry: Entry| match entry.user {
        Ok(user) => (entry.line, user.user_id),
        Err(reason) => (entry.line, reason.split_whitespace().take(4).collect::<Vec<_>>().join(" ")),
    };
    entries(text).into_iter().map(short).collect()
}

fn pairs<const N: usize>(expected: [(u64, &str); N]) -> Vec<(u64, String)> {
    expected.into_iter().map(|(line, text)| (line, text.to_owned())).collect()
}

fn parameters() -> FirebaseHash {
    FirebaseHash::parse(block("Firebase", "text", 0)).unwrap()
}

fn hasher() -> Hasher {
    Hasher::from_env(&Environment::new(testbed::settings(&[]))).unwrap()
}

async fn compare(hasher: &Hasher, hash: &str, password: &str) -> Comparison {
    let stored = hasher.import(hash).unwrap_or_else(|error| panic!("{hash}: {error}"));
    hasher.verify(&Password::new(password).unwrap(), Some(&stored), Timestamp::now(), Instant::now()).await
}

// The page.

/// Returns the sections of the page: the heading and the code blocks, each with its language.
fn sections() -> impl Iterator<Item = (&'static str, Vec<(&'static str, &'static str)>)> {
    PAGE.split("\n## ").skip(1).map(|section| {
        let (heading, _) = section.split_once('\n').unwrap();
        let blocks = section.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap());
        (heading, blocks.collect())
    })
}

/// Returns a code block of a section.
fn block(heading: &str, language: &str, index: usize) -> &'static str {
    let (_, blocks) = sections().find(|section| section.0 == heading).unwrap();
    blocks.into_iter().filter(|block| block.0 == language).nth(index).unwrap().1
}

#[test]
fn the_samples_of_the_page_are_recognised_and_imported() {
    let expected = [
        ("Our own names", Format::Jsonl, "kim kim@example.com 1, park park@example.com 0"),
        ("Our own names", Format::Csv, "kim kim@example.com 1, park park@example.com 0"),
        ("Auth0", Format::Auth0, "nico9090@nico.com nico9090@nico.com 1"),
        ("Auth0", Format::Auth0, "nico9090@nico.com nico9090@nico.com 0"),
        ("Firebase", Format::Firebase, "test0@test.org test0@test.org 1"),
        ("Firebase", Format::Firebase, "test1@test.org test1@test.org 0"),
        ("Supabase", Format::Supabase, "kim@example.com kim@example.com 1, park@example.com park@example.com 0"),
        ("Keycloak", Format::Keycloak, "jane.doe jane@example.com 1"),
        ("Django", Format::Django, "kim kim@example.com 1"),
        ("WordPress", Format::Wordpress, "supervisor supervisor@gmail.com 1, older older@example.com 1"),
        ("Amazon Cognito", Format::Cognito, "testuser testuser@example.com 0"),
        ("Amazon Cognito", Format::Cognito, "John johndoe@example.com 0, Jane janeroe@example.com 0"),
    ];
    let samples = sections().flat_map(|(heading, blocks)| blocks.into_iter().map(move |block| (heading, block)));
    let samples: Vec<_> = samples.filter(|(_, block)| matches!(block.0, "json" | "csv")).collect();
    assert_eq!(samples.len(), expected.len());
    for ((heading, (_, sample)), (expected_heading, format, users)) in samples.into_iter().zip(expected) {
        assert_eq!(heading, expected_heading);
        let reader = Reader::open(Box::new(sample.as_bytes()), None, Some(parameters())).unwrap();
        assert_eq!(reader.format(), format, "{heading}");
        let found = reader.map(|entry| entry.user.unwrap_or_else(|reason| panic!("{heading}: {reason}")));
        let found = found.map(|user| format!("{} {} {}", user.user_id, user.email, user.password_hash.iter().count()));
        assert_eq!(found.collect::<Vec<_>>().join(", "), users, "{heading}");
    }
}

#[tokio::test]
async fn the_hashes_of_the_page_are_verified() {
    let hasher = hasher();
    for (heading, language, index, password) in [
        ("Firebase", "json", 0, "user1password"),
        ("Supabase", "csv", 0, "password"),
        ("Keycloak", "json", 0, "secret"),
        ("Django", "json", 0, "correct horse"),
        ("WordPress", "csv", 0, "password"),
    ] {
        let sample = block(heading, language, index).as_bytes();
        let mut reader = Reader::open(Box::new(sample), None, Some(parameters())).unwrap();
        let hash = reader.next().unwrap().user.unwrap().password_hash.unwrap();
        assert_eq!(compare(&hasher, &hash, password).await, Comparison::Outdated, "{heading}");
        assert_eq!(compare(&hasher, &hash, &format!("{password}x")).await, Comparison::Wrong, "{heading}");
    }
}

#[test]
fn the_page_lists_every_format() {
    for format in Format::value_variants() {
        let name = format.to_possible_value().unwrap();
        assert!(PAGE.contains(&format!("\n| `{}` |", name.get_name())), "{format:?}");
        assert!(name.get_help().is_some(), "{format:?}");
    }
}

// The formats.

#[test]
fn all_fields_of_our_own_names_are_read() {
    let [_, park] = users(block("Our own names", "json", 0)).try_into().unwrap();
    let expected = Incoming {
        id: Some("7f3a".into()),
        user_id: "park".into(),
        email: "park@example.com".into(),
        position: "Developer".into(),
        location: "Seoul".into(),
        bio: "Likes tea.".into(),
        disabled: true,
        ..Incoming::default()
    };
    assert!(park == expected, "{park:?}");
    let [kim, park] = users(block("Our own names", "csv", 0)).try_into().unwrap();
    assert!(park == Incoming { bio: "Likes tea, and \"coffee\".".into(), ..expected }, "{park:?}");
    assert_eq!((kim.name.as_str(), kim.roles), ("Kim Coding", vec!["admin".to_owned(), "editor".to_owned()]));
    assert_eq!((kim.id, kim.password_hash.as_deref()), (None, Some(BCRYPT)));
}

#[test]
fn unknown_names_and_plain_passwords_of_our_own_formats_are_errors() {
    let line = |more: &str| format!("{{\"userId\":\"kim\",\"email\":\"kim@example.com\"{more}}}\n");
    assert_eq!(user(&line("")).user_id, "kim");
    assert!(refused(&line(",\"role\":\"admin\"")).starts_with("The name `role` is unknown. The names are id, userId"));
    for name in ["password", "Password", "PASSWORD"] {
        assert!(refused(&line(&format!(",\"{name}\":\"hunter42\""))).starts_with("Plain passwords are not imported"));
        let header = format!("userId,email,{name}\nkim,kim@example.com,hunter42\n");
        assert!(error(&header).starts_with("Plain passwords are not imported"));
    }
    assert!(error("userId,email,role\n").starts_with("The name `role` is unknown."));
    assert_eq!(error("userId,email,email\n"), "Column 3 of the header has a name that another has.");
    assert_eq!(error("userId,name\n"), "The header has no column `email`.");
    let without_header = open_bytes(b"hunter42,kim,kim@example.com\n", Some(Format::Csv)).err().unwrap().to_string();
    assert_eq!(without_header, "The first line is not a header. It must have the columns `userId` and `email`.");
    assert!(refused(&line(",\"name\":\"a\",\"name\":\"b\"")).contains("twice"));
}

#[test]
fn a_field_of_the_wrong_type_is_refused_without_its_value() {
    let line = |more: &str| format!("{{\"userId\":\"kim\",\"email\":\"kim@example.com\",{more}}}");
    for (field, reason) in [
        ("\"passwordHash\":[\"hunter42\"]", "The field `passwordHash` is not a text."),
        ("\"passwordHash\":424242", "The field `passwordHash` is not a text."),
        ("\"roles\":\"hunter42\"", "The field `roles` is not an array of texts."),
        ("\"roles\":[42]", "The field `roles` is not an array of texts."),
        ("\"disabled\":\"hunter42\"", "The field `disabled` is neither true nor false."),
        ("\"disabled\":2", "The field `disabled` is neither true nor false."),
    ] {
        assert_eq!(refused(&line(field)), reason);
    }
    assert_eq!(refused("{\"userId\":\"kim\"}"), "The entry has no e-mail address.");
    assert_eq!(refused("{\"userId\":\"\",\"email\":\"kim@example.com\"}"), "The entry has no `userId`.");
}

#[test]
fn auth0_users_have_the_id_of_the_api() {
    let entry = |more: &str| {
        user(&format!("{{\"_id\":{{\"$oid\":\"5dea\"}},\"tenant\":\"t\",\"email\":\"a@example.com\"{more}}}"))
    };
    assert_eq!(entry("").id.as_deref(), Some("auth0|5dea"));
    assert_eq!(entry(",\"alt_id\":\"euclid\"").id.as_deref(), Some("auth0|euclid"));
    assert_eq!(entry(",\"username\":\"ann\",\"blocked\":true").user_id, "ann");
    assert!(entry(",\"blocked\":true").disabled && !entry("").disabled);
    let custom = ",\"custom_password_hash\":{\"algorithm\":\"bcrypt\",\"hash\":{\"value\":\"$2a$05$x\"}}";
    assert_eq!(entry(custom).password_hash.as_deref(), Some("$2a$05$x"));
    let from_identifiers = user(
        "{\"_id\":{\"$oid\":\"5dea\"},\"tenant\":\"t\",\"identifiers\":[{\"type\":\"username\",\"value\":\"ann\"},\
         {\"type\":\"email\",\"value\":\"a@example.com\",\"verified\":false}]}",
    );
    assert_eq!(from_identifiers.email, "a@example.com");
    assert_eq!(refused("{\"_id\":{\"$oid\":\"5dea\"},\"tenant\":\"t\"}"), "The entry has no e-mail address.");
    let bulk = user("{\"user_id\":\"google-oauth2|1\",\"email\":\"a@example.com\",\"name\":\"Ann\"}");
    assert_eq!((bulk.id.as_deref(), bulk.name.as_str(), bulk.password_hash), (Some("google-oauth2|1"), "Ann", None));
}

#[test]
fn a_table_of_auth0_loses_the_apostrophes_that_auth0_adds() {
    let user = user(block("Auth0", "csv", 0));
    assert_eq!((user.id.as_deref(), user.name.as_str()), (Some("auth0|5dea9f9c82dd7c0e76e4ec93"), "Nico"));
}

#[test]
fn firebase_hashes_need_the_parameters_of_the_project() {
    let sample = block("Firebase", "json", 0);
    let message = error(sample);
    assert!(message.contains("--firebase-hash FILE") && message.contains("Password hash parameters"), "{message}");
    // The first hash may come after the part that is looked at when the file is opened.
    let many = (0..2000).map(|n| format!("{{\"localId\":\"{n}\",\"email\":\"{n}@example.com\"}}\n"));
    let many = many.collect::<Vec<_>>().concat();
    let hash = "{\"localId\":\"x\",\"email\":\"x@example.com\",\"passwordHash\":\"AAAA\",\"salt\":\"AAAA\"}\n";
    let late = entries(&format!("{many}{hash}{hash}{many}"));
    assert_eq!(late.len(), 2001, "reading ends with one entry that says why");
    assert_eq!(late.last().unwrap().user.as_ref().unwrap_err(), &message);
    let without_hash = block("Firebase", "csv", 0);
    assert!(!user(without_hash).disabled, "no hash, no parameters");
    let enabled = without_hash.strip_suffix("false,,").unwrap();
    assert!(user(&format!("{enabled}true,,")).disabled);
}

#[tokio::test]
async fn firebase_hashes_may_have_the_alphabet_of_urls_and_no_padding() {
    let url = |text: &str| text.replace('+', "-").replace('/', "_").replace('=', "");
    let sample = block("Firebase", "json", 0);
    let (hash, salt) = (
        "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
        "42xEC+ixf3L2lw==",
    );
    let config = block("Firebase", "text", 0);
    let json = "{\"hash_config\": {\"algorithm\": \"SCRYPT\", \"base64_signer_key\": \"jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8\
        pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==\", \"base64_salt_separator\": \"Bw==\", \"rounds\": 8, \"mem_cost\": 14}}";
    let hasher = hasher();
    for (sample, config) in [
        (sample.to_owned(), config.to_owned()),
        (sample.replace(hash, &url(hash)).replace(salt, &url(salt)), config.replace("==", "")),
        (sample.to_owned(), json.to_owned()),
    ] {
        let parameters = FirebaseHash::parse(&config).unwrap();
        let reader = Reader::open(Box::new(Cursor::new(sample)), None, Some(parameters)).unwrap();
        let [user] = reader.map(|entry| entry.user.unwrap()).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(compare(&hasher, &user.password_hash.unwrap(), "user1password").await, Comparison::Outdated);
        assert!(user.disabled);
    }
}

#[test]
fn unusable_parameters_of_firebase_are_errors_without_their_values() {
    let good = block("Firebase", "text", 0);
    assert_eq!(format!("{:?}", parameters()), "FirebaseHash(..)");
    for (bad, reason) in [
        (String::new(), "The hash parameters of Firebase have no algorithm."),
        (good.replace("SCRYPT", "BCRYPT"), "The algorithm of the hash parameters of Firebase must be SCRYPT."),
        (good.replace("base64_signer_key", "key"), "The hash parameters of Firebase have no base64_signer_key."),
        (good.replace("jxspr8", "jx*pr8"), "The base64_signer_key of Firebase is not base64."),
        (good.replace("rounds: 8", "rounds: many"), "The rounds of Firebase is not a number."),
        (good.replace("mem_cost: 14", "rounds: 14"), "The hash parameters of Firebase have rounds twice."),
    ] {
        assert_eq!(FirebaseHash::parse(&bad).unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_redacted_hash_of_firebase_is_refused_with_the_missing_permission() {
    let reason = refused("{\"localId\":\"1\",\"email\":\"a@example.com\",\"passwordHash\":\"UkVEQUNURUQ=\"}");
    assert!(reason.contains("firebaseauth.configs.getHashConfig"), "{reason}");
    assert!(refused("{\"localId\":\"1\",\"phoneNumber\":\"+1\"}").contains("anonymous"));
}

#[test]
fn banned_deleted_and_anonymous_users_of_supabase_are_disabled_or_refused() {
    let entry = |more: &str| {
        format!("{{\"id\":\"0b2a\",\"email\":\"a@example.com\",\"encrypted_password\":\"{BCRYPT}\"{more}}}")
    };
    for (until, disabled) in [
        ("null", false),
        ("\"\"", false),
        ("\"2020-01-01 00:00:00+00\"", false),
        ("\"2020-01-01T00:00:00.123456Z\"", false),
        ("\"2999-01-01 00:00:00.5+00\"", true),
        ("\"2999-01-01 00:00:00+05:30\"", true),
        ("\"2999-01-01T00:00:00Z\"", true),
        ("\"infinity\"", true),
    ] {
        assert_eq!(user(&entry(&format!(",\"banned_until\":{until}"))).disabled, disabled, "{until}");
    }
    assert_eq!(refused(&entry(",\"banned_until\":\"soon\"")), "The field `banned_until` is not a time.");
    assert_eq!(refused(&entry(",\"deleted_at\":\"2024-01-01 00:00:00+00\"")), "The user is deleted.");
    assert_eq!(refused(&entry(",\"is_anonymous\":true")), "The user is anonymous.");
    let [kim, park] = users(block("Supabase", "csv", 0)).try_into().unwrap();
    assert_eq!(
        (kim.name.as_str(), kim.disabled, park.name.as_str(), park.disabled),
        ("Kim Coding", false, "Park Hacker", true)
    );
    let nulls = "id,email,encrypted_password,banned_until,deleted_at\n1,a@example.com,null,NULL,null\n";
    let nulls = user(nulls);
    assert!(nulls.password_hash.is_none() && !nulls.disabled);
    let api = "{\"users\":[{\"id\":\"1\",\"aud\":\"authenticated\",\"email\":\"a@example.com\",\"app_metadata\":{},\
        \"user_metadata\":{\"name\":\"Ann\"}}],\"aud\":\"authenticated\"}";
    assert_eq!(user(api).name, "Ann");
}

#[test]
fn keycloak_users_lose_the_roles_of_everyone_and_keep_their_own() {
    let jane = user(block("Keycloak", "json", 0));
    assert_eq!((jane.roles, jane.name.as_str(), jane.disabled), (vec!["editor".to_owned()], "Jane Doe", false));
    let entry = |more: &str| {
        format!("{{\"realm\":\"r\",\"users\":[{{\"username\":\"a\",\"email\":\"a@example.com\"{more}}}]}}")
    };
    assert_eq!(user(&entry("")).password_hash, None);
    assert!(user(&entry(",\"enabled\":false")).disabled && !user(&entry("")).disabled);
    assert_eq!(user(&entry(",\"credentials\":[{\"type\":\"otp\",\"secretData\":\"{}\"}]")).password_hash, None);
    let plain = refused(&entry(",\"credentials\":[{\"type\":\"password\",\"value\":\"alice\"}]"));
    assert!(plain.starts_with("Plain passwords are not imported") && !plain.contains("alice"));
    assert!(refused(&entry(",\"serviceAccountClientId\":\"x\"")).contains("service account"));
    // An extension of Keycloak has the complete hash.
    let bcrypt = ",\"credentials\":[{\"type\":\"password\",\"secretData\":\"{\\\"value\\\":\\\"$2a$05$x\\\",\\\"salt\\\":\\\"\\\"}\",\
        \"credentialData\":\"{\\\"hashIterations\\\":5,\\\"algorithm\\\":\\\"bcrypt\\\"}\"}]";
    assert_eq!(user(&entry(bcrypt)).password_hash.as_deref(), Some("$2a$05$x"));
}

/// The realm has 100 KiB before its users.
#[test]
fn the_users_of_a_large_realm_are_found() {
    let roles = "{\"name\":\"role\",\"users\":[1]},".repeat(4000);
    let realm = format!(
        "{{\"realm\":\"acme\",\"roles\":{{\"realm\":[{roles}{{}}]}},\n\"users\":[\n{{\"username\":\"a\",\"email\":\"a@example.com\"}}]}}"
    );
    assert!(realm.len() > 100_000);
    assert_eq!(outline(&realm), pairs([(3, "a")]));
    assert!(refused("{\"realm\":\"acme\",\"enabled\":true}").contains("no array \"users\""));
}

/// The file is the output of Django 5.2.
#[test]
fn django_users_are_read_and_other_models_are_skipped() {
    let dump = include_str!("../../tests/import/django.json");
    let [kim, social, gone] = users(dump).try_into().unwrap();
    assert_eq!((kim.id.as_deref(), kim.name.as_str(), kim.disabled), (Some("1"), "Kim Coding", false));
    assert_eq!(kim.roles, ["staff"]);
    assert_eq!(social.password_hash, None, "Django stored `!…`");
    assert!(gone.disabled && gone.password_hash.is_some());
    let lines: Vec<serde_json::Value> = serde_json::from_str(dump).unwrap();
    let lines = lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
    assert!(users(&lines) == [kim, social, gone], "JSONL");
    let own = "{\"model\":\"accounts.customuser\",\"pk\":\"0b2a\",\"fields\":{\"email\":\"a@example.com\",\"is_superuser\":true}}";
    let own = user(own);
    assert!(!own.disabled);
    assert_eq!(
        (own.user_id.as_str(), own.id.as_deref(), own.roles),
        ("a@example.com", Some("0b2a"), vec!["superuser".to_owned()])
    );
}

#[test]
fn wordpress_users_are_read_from_both_exports() {
    let [supervisor, older] = users(block("WordPress", "csv", 0)).try_into().unwrap();
    assert_eq!(supervisor.roles, ["administrator", "editor"]);
    assert_eq!(older.name, "Older, Account");
    let json = "[{\"ID\":1,\"user_login\":\"a b\",\"user_pass\":\"$P$x\",\"user_email\":\"a@example.com\",\"roles\":\"editor\"}]";
    let json = user(json);
    assert_eq!((json.id.as_deref(), json.user_id.as_str(), json.roles), (Some("1"), "a b", vec!["editor".to_owned()]));
    let table = "\"ID\",\"user_login\",\"user_pass\",\"user_nicename\",\"user_email\",\"user_url\",\"user_registered\",\
        \"user_activation_key\",\"user_status\",\"display_name\",\"spam\",\"deleted\"\n\
        1,ann,$P$x,ann,a@example.com,,2016-06-03 04:37:00,,0,Ann,1,0\n2,bob,$P$x,bob,b@example.com,,,,0,Bob,0,1\n";
    assert_eq!(outline(table), pairs([(2, "ann"), (3, "The user is deleted.")]));
    assert!(entries(table)[0].user.as_ref().unwrap().disabled);
}

/// The file is the sample of the AWS CLI for `list-users`.
#[test]
fn cognito_users_have_no_hashes() {
    let users = users(include_str!("../../tests/import/cognito.json"));
    assert_eq!(
        users.iter().map(|user| user.user_id.as_str()).collect::<Vec<_>>(),
        ["testuser", "testuser2", "testuser3@example.com"]
    );
    assert!(users.iter().all(|user| user.password_hash.is_none() && !user.disabled));
    assert_eq!(users[0].id.as_deref(), Some("eaad0219-2117-439f-8d46-4db20e59268f"));
    let by_email = "{\"Username\":\"0b2a\",\"Enabled\":false,\"Attributes\":[{\"Name\":\"sub\",\"Value\":\"0b2a\"},\
        {\"Name\":\"email\",\"Value\":\"a@example.com\"},{\"Name\":\"given_name\",\"Value\":\"Ann\"}]}";
    let by_email = user(by_email);
    assert_eq!((by_email.user_id.as_str(), by_email.name.as_str(), by_email.disabled), ("a@example.com", "Ann", true));
    let [john, _] = self::users(block("Amazon Cognito", "csv", 0)).try_into().unwrap();
    assert_eq!(john.name, "John Doe");
}

// The files.

#[test]
fn a_format_that_is_not_recognised_is_an_error_with_the_names_of_all() {
    let others = [
        // Tables of other systems, whose hashes would be lost as one of these formats.
        "user_id,email,password\n1,a@example.com,$2b$10$x\n",
        "{\"_id\":{\"$oid\":\"5dea\"},\"email\":\"a@example.com\",\"password\":\"$2b$10$x\"}",
        "[{\"username\":\"ann\",\"email\":\"a@example.com\",\"enabled\":true,\"password\":\"$2b$10$x\"}]",
    ];
    for text in others.into_iter().chain(["name,age\nkim,7\n", "{\"name\":\"kim\"}", "[]", "hello", "PK\u{3}\u{4}"]) {
        let message = error(text);
        assert!(
            message.contains("--from: jsonl, csv, auth0, firebase, supabase, keycloak, django, wordpress, cognito"),
            "{message}"
        );
    }
    assert_eq!(error(""), "The file is empty.");
    assert_eq!(error("\u{feff} \r\n"), "The file is empty.");
    let utf_16: Vec<u8> = "\u{feff}userId,email".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(open_bytes(&utf_16, None).err().unwrap().to_string(), "The file is UTF-16. Save it as UTF-8.");
}

#[test]
fn a_named_format_is_not_guessed() {
    let text = b"[{\"email\":\"a@example.com\",\"username\":\"ann\"}]";
    let read = |from| open_bytes(text, Some(from)).unwrap().next().unwrap().user;
    assert_eq!(read(Format::Keycloak).unwrap().user_id, "ann");
    assert_eq!(read(Format::Supabase).unwrap().user_id, "a@example.com");
    assert!(read(Format::Jsonl).unwrap_err().starts_with("The name `username` is unknown."));
    assert_eq!(
        open_bytes(text, Some(Format::Csv)).err().unwrap().to_string(),
        "The file is JSON, and --from csv is for a table."
    );
    assert_eq!(open_bytes(b"a,b\n", Some(Format::Django)).err().unwrap().to_string(), "The file is not JSON.");
    assert_eq!(
        open_bytes(b"email,b\n", Some(Format::Supabase)).err().unwrap().to_string(),
        "The header has no column `id`."
    );
}

const KIM: &str = "{\"userId\":\"kim\",\"email\":\"kim@example.com\"}";
const PARK: &str = "{\"userId\":\"park\",\"email\":\"park@example.com\"}";

#[test]
fn every_layout_of_json_has_the_lines_of_its_entries() {
    let expected = pairs([(1, "kim"), (2, "park")]);
    assert_eq!(outline(&format!("{KIM}\n{PARK}\n")), expected);
    assert_eq!(outline(&format!("\u{feff}{KIM}\r\n{PARK}")), expected, "a byte order mark, CRLF, no last line end");
    assert_eq!(outline(&format!("[{KIM},\n{PARK}]")), expected);
    assert_eq!(outline(&format!("{{\"users\":[{KIM},\n{PARK}],\"next\":{{\"users\":[1]}}}}")), expected);
    assert_eq!(outline(&format!("{{\"users\":[{KIM},\n{PARK}],\"Users\":[7]}}")), expected);
    assert_eq!(outline(&format!("{{\"a\":[\"]\",{{\"Users\":[]}}],\"Users\":[{KIM},\n{PARK}]}}\n")), expected);
    assert_eq!(outline(&format!("\n\n{KIM}\n\n \t\n{PARK}\n\n")), pairs([(3, "kim"), (6, "park")]));
    let pretty =
        |line: &str| serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(line).unwrap()).unwrap();
    assert_eq!(outline(&format!("{}\n{}\n", pretty(KIM), pretty(PARK))), pairs([(1, "kim"), (5, "park")]));
    assert_eq!(outline(&format!("[\n  {},\n\n  {}\n]\n", pretty(KIM), pretty(PARK))), pairs([(2, "kim"), (7, "park")]));
    assert_eq!(outline(&format!("[{KIM}]\n[{PARK}]")), expected, "two documents in one file");
    let long = KIM.replace('}', &format!(",\"bio\":\"{}\"}}", "b".repeat(100_000)));
    assert_eq!(outline(&format!("{long}\n{PARK}")), expected, "the first entry is longer than what is looked at");
    assert_eq!(outline(&format!("{KIM}\n[]")), pairs([(1, "kim"), (2, "The entry has a")]));
}

#[test]
fn a_bad_entry_is_refused_and_reading_goes_on() {
    assert_eq!(
        outline(&format!("{KIM}\n{{\"userId\":\n\"text\"\n{KIM}{KIM}\n{PARK}\n")),
        pairs([(1, "kim"), (2, "The entry ends too"), (3, "The entry has a"), (4, "The entry has more"), (5, "park")])
    );
    assert_eq!(
        outline(&format!("[{KIM},\n{{\"userId\":\"open\n}},\n7,\n{{a}},\n{PARK}]")),
        pairs([(1, "kim"), (2, "The entry has a"), (4, "The entry has a"), (5, "The entry is not"), (6, "park")])
    );
    let invalid = [KIM.as_bytes(), b"\n{\"userId\":\"\xff\"}\n", PARK.as_bytes()].concat();
    let found: Vec<_> = open_bytes(&invalid, None).unwrap().collect();
    assert_eq!(found[1].user.as_ref().unwrap_err(), "The entry is not UTF-8 text.");
    assert!(found[2].user.is_ok());
}

#[test]
fn a_broken_or_truncated_document_ends_with_one_entry_that_says_so() {
    let truncated = "The file ends in";
    assert_eq!(outline(&format!("[{KIM},\n{PARK}")), pairs([(1, "kim"), (2, "park"), (2, truncated)]));
    assert_eq!(outline(&format!("[{KIM},\n{{\"userId\":\"pa")), pairs([(1, "kim"), (2, truncated)]));
    assert_eq!(outline(&format!("[{KIM},\n")), pairs([(1, "kim"), (2, truncated)]));
    assert_eq!(outline(&format!("{{\"users\":[{KIM}],\n\"next\":{{\"a\":1")), pairs([(1, "kim"), (2, truncated)]));
    let broken = "The JSON document is";
    assert_eq!(outline(&format!("[{KIM}\n{PARK}]")), pairs([(1, "kim"), (2, broken)]));
    assert_eq!(outline(&format!("[{KIM},,\n{PARK}]")), pairs([(1, "kim"), (1, broken)]));
    assert_eq!(outline(&format!("[{KIM}]\n]")), pairs([(1, "kim"), (2, broken)]));
    assert_eq!(outline(&format!("{{\"users\":[{KIM}]\n7}}")), pairs([(1, "kim"), (2, broken)]));
    let raw = entries(&format!("[{KIM},\n{{\"userId\":\"pa")).pop().unwrap().raw;
    assert_eq!(raw, "{\"userId\":\"pa", "the part of the last entry that is there");
}

#[test]
fn every_truncation_of_a_document_is_noticed() {
    let document = format!("{{\"a\": [1, {{}}], \"users\": [ {KIM} , {PARK} ], \"b\": \"x\\\"y\"}}");
    assert_eq!(users(&document).len(), 2);
    for length in 1..document.len() {
        let reader = open_bytes(&document.as_bytes()[..length], Some(Format::Jsonl)).unwrap();
        let found: Vec<_> = reader.collect();
        let refused = found.iter().filter(|entry| entry.user.is_err()).count();
        assert!(refused == 1 && found.last().unwrap().user.is_err(), "{length}: {found:?}");
    }
}

#[test]
fn an_entry_over_1_mib_is_refused_and_reading_goes_on() {
    let bio = |length: usize| {
        format!("{{\"userId\":\"long\",\"email\":\"l@example.com\",\"bio\":\"{}\"}}", "b".repeat(length))
    };
    let empty = bio(0).len();
    let (longest, longer) = (bio(MAX_ENTRY - empty), bio(MAX_ENTRY - empty + 1));
    let expected = pairs([(1, "kim"), (2, "long"), (3, "The entry is longer"), (4, "park")]);
    assert_eq!(outline(&format!("{KIM}\n{longest}\n{longer}\n{PARK}\n")), expected);
    assert_eq!(outline(&format!("[{KIM},\n{longest},\n{longer},\n{PARK}]")), expected);
    let table = format!(
        "userId,email,bio\nkim,k@example.com,\n\"a\",l@example.com,\"{}\"\npark,p@example.com,\n",
        "b\n".repeat(MAX_ENTRY / 2)
    );
    assert_eq!(
        outline(&table),
        pairs([(2, "kim"), (3, "The entry is longer"), (3 + 1 + MAX_ENTRY as u64 / 2, "park")])
    );
    assert!(entries(&table)[1].raw.is_empty());
    let much_longer = bio(MAX_ENTRY + 100_000);
    assert!(entries(&format!("{KIM}\n{much_longer}\n{PARK}\n"))[1].raw.is_empty());
}

#[test]
fn quoted_fields_of_a_table_may_contain_commas_marks_and_lines() {
    let table = "\u{feff}userId,email,bio\r\nkim,kim@example.com,\"one\r\ntwo, \"\"three\"\"\"\r\n\r\npark,park@example.com,5\" screen\r\n";
    let found = entries(table);
    assert_eq!(outline(table), pairs([(2, "kim"), (5, "park")]));
    let bio = |index: usize| found[index].user.as_ref().unwrap().bio.clone();
    assert_eq!((bio(0).as_str(), bio(1).as_str()), ("one\r\ntwo, \"three\"", "5\" screen"));
    assert_eq!(open(table).unwrap().header(), Some("userId,email,bio"));
}

#[test]
fn a_bad_record_of_a_table_is_refused_and_reading_goes_on() {
    let table =
        "userId,email,bio\nkim,kim@example.com\nkim,kim@example.com,,more\n,k@example.com,\npark,park@example.com,\n";
    let fields = "The line has 2";
    assert_eq!(outline(table), pairs([(2, fields), (3, "The line has 4"), (4, "The entry has no"), (5, "park")]));
    let long = format!(
        "userId,email,bio\nold,mac@example.com,a\rb\nkim,kim@example.com,{}\npark,p@example.com,\n",
        "b".repeat(100_000)
    );
    assert_eq!(outline(&long), pairs([(2, "The line is not"), (3, "kim"), (4, "park")]));
    let invalid = b"userId,email\n\xff,a@example.com\npark,park@example.com\n";
    let found: Vec<_> = open_bytes(invalid, None).unwrap().collect();
    assert_eq!(found[0].user.as_ref().unwrap_err(), "The line is not UTF-8 text.");
    assert!(found[1].user.is_ok());
    assert_eq!(outline("userId,email\nkim,\"kim@example.com\npark,x\n"), pairs([(2, "A quotation mark is")]));
}

#[test]
fn the_raw_entries_can_be_imported_again() {
    for (heading, blocks) in sections() {
        for (language, sample) in blocks.into_iter().filter(|block| matches!(block.0, "json" | "csv")) {
            let read = |text: String| Reader::open(Box::new(Cursor::new(text)), None, Some(parameters())).unwrap();
            let reader = read(sample.to_owned());
            let header = reader.header().map(|header| format!("{header}\n")).unwrap_or_default();
            let first: Vec<_> = reader.collect();
            assert!(language == "csv" || first.iter().all(|entry| !entry.raw.contains('\n')), "{heading}");
            let again = header + &first.iter().map(|entry| format!("{}\n", entry.raw)).collect::<Vec<_>>().concat();
            let again: Vec<_> = read(again).map(|entry| entry.user).collect();
            assert!(again == first.into_iter().map(|entry| entry.user).collect::<Vec<_>>(), "{heading} {language}");
        }
    }
}

/// R97.
#[test]
fn no_hash_is_printed() {
    let entry = entries(block("Auth0", "json", 0)).pop().unwrap();
    let printed = format!("{entry:?}");
    assert!(printed.contains("has_password_hash: true"), "{printed}");
    assert!(!printed.contains("$2b$") && !printed.contains("nico"), "{printed}");
}

/// A file that fails after its first bytes, and gives few bytes at a time.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(7);
        match self.0.read(&mut buffer[..length])? {
            0 => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_ends_with_an_entry_that_says_so() {
    let lines = format!("{KIM}\n").repeat(2000);
    let file = BufReader::with_capacity(16, Failing(Cursor::new(lines.into_bytes())));
    let found: Vec<_> = Reader::open(Box::new(file), None, None).unwrap().collect();
    assert_eq!(found.len(), 2001);
    assert_eq!(found.last().unwrap().user.as_ref().unwrap_err(), "Reading failed: the disk is gone.");
    assert_eq!((found[1999].line, found[2000].line), (2000, 2001));
}

// The spellings.

#[derive(Deserialize)]
struct Spelling {
    source: String,
    hash: String,
    password: String,
}

#[derive(Deserialize)]
struct Spellings {
    sources: std::collections::BTreeMap<String, String>,
    spellings: Vec<Spelling>,
}

fn spellings() -> Vec<Spelling> {
    let file: Spellings = serde_json::from_str(include_str!("../../tests/import/spellings.json")).unwrap();
    for source in file.sources.keys() {
        assert!(file.spellings.iter().any(|spelling| spelling.source == *source), "{source}");
    }
    assert!(file.spellings.iter().all(|spelling| file.sources.contains_key(&spelling.source)));
    file.spellings
}

/// R13: the file names the source of each hash.
#[tokio::test]
async fn every_respelled_hash_matches_its_password_and_no_other() {
    let hasher = hasher();
    let spellings = spellings();
    assert_eq!(spellings.len(), 26);
    for Spelling { hash, password, .. } in spellings {
        let respelled = respell(&hash);
        assert!(respelled != hash && hasher.import(&hash).is_err(), "{hash} needs no other spelling");
        assert_eq!(respell(&respelled), respelled, "{hash}");
        assert_eq!(compare(&hasher, &respelled, &password).await, Comparison::Outdated, "{hash}");
        let (rest, last) = password.split_at(password.char_indices().last().unwrap().0);
        let wrong = format!("{rest}{}", if last == "x" { "y" } else { "x" });
        assert_eq!(compare(&hasher, &respelled, &wrong).await, Comparison::Wrong, "{hash}");
    }
}

/// The failures are those of the tests of ASP.NET.
#[tokio::test]
async fn asp_net_hashes_that_asp_net_rejects_match_no_password() {
    let hasher = hasher();
    for (hash, is_respelled) in [
        ("AAABAgMEBQYHCAkKCwwNDg+uAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAALtH1uJg==", true),
        ("AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggE=", false),
        ("AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggHIVY0sdEUfdyeM+E1LtH1uJgAAAAAAAAAAAAA=", false),
        ("AQAAAAAAAAD6AAAAEAhftMyfTJyAAAAAAAAAAAAAAAAAAAih5WsjXaR3PA9M", true),
        ("AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4A=", true),
        ("AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHwAAAAAAAAAAAA", true),
    ] {
        let respelled = respell(hash);
        assert_eq!(respelled != hash, is_respelled, "{hash}");
        if hasher.import(&respelled).is_ok() {
            assert_eq!(compare(&hasher, &respelled, "my password").await, Comparison::Wrong, "{hash}");
        }
    }
}

#[test]
fn text_that_is_no_known_spelling_is_unchanged() {
    let corpus: serde_json::Value =
        serde_json::from_str(include_str!("../../../shared/tests/imported_hashes.json")).unwrap();
    let correct = corpus["correct"].as_array().unwrap().iter().map(|entry| entry["hash"].as_str().unwrap().to_owned());
    let others = [
        "",
        " ",
        "{",
        "{}",
        "{\"a\":1}",
        "{noop}password",
        "{MD5}5f4dcc3b5aa765d61d8327deb882cf99",
        "{bcrypt}",
        "{bcrypt}password",
        "{sha256}97cde38028ad898ebc02e690819fa220e88c62e0699403e94fff291cfffaf8410849f27605abcbc0",
        "{pbkdf2}5d92",
        "{pbkdf2}5d923b44a6d129f3ddf3e3c8d29412723dcbde72445e8ef6bf3b508fbf17fa4ed4d6b99ca763d8",
        "{scrypt}$e0801$x$y",
        "{scrypt}$zzz$AAAA$AAAA",
        "{SSHA}AAAA",
        "scrypt:",
        "scrypt:32768:8$salt$00",
        "scrypt:1000:8:1$salt$00",
        "scrypt:0:8:1$salt$00",
        "scrypt:32768:8:1$salt$0",
        "scrypt:32768:8:1$salt$zz",
        "pbkdf2:md5:1000$salt$00",
        "pbkdf2:sha256:01000$salt$00",
        "pbkdf2:sha256$salt$00",
        "sha256$salt$00",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "00:05040ba5f2fe335dba87e8a4e39ea128b03c31d3037524a911ae8760e257f0e0d8e27c2712c20e2f1dc3ce832dc84f7eb74b4e9866df1c87e502f7b56d577239",
        "00:00",
        "a:b",
        "7b36dfd8a8d9c18c592d5d81871fa90d:0504",
        "AAAA",
        "AQAAAA==",
        "password",
        "비밀번호",
        "AQAAAAkAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
        "AQAAAAIAAAAyAAAA/+Mwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
        "{\"secretData\":\"**********\",\"credentialData\":\"{}\"}",
        "{\"secretData\":{\"value\":\"AA==\",\"salt\":\"AA==\"},\"credentialData\":{\"algorithm\":\"pbkdf2-sha1024\",\"hashIterations\":1}}",
    ];
    for text in correct.chain(others.map(str::to_owned)) {
        assert!(matches!(respell(&text), Cow::Borrowed(same) if same == text), "{text}");
    }
}

proptest::proptest! {
    /// No file and no hash makes the reader panic, and every entry has a line of the file.
    #[test]
    fn any_bytes_can_be_read(bytes in proptest::collection::vec(
        proptest::sample::select(b"{}[]\",:\\\n\r a1\xff$=-users".to_vec()), 0..200), from in 0..9_usize) {
        let from = Format::value_variants()[from];
        let lines = bytes.split(|&byte| byte == b'\n').count() as u64;
        if let Ok(reader) = Reader::open(Box::new(Cursor::new(bytes.clone())), Some(from), Some(parameters())) {
            for entry in reader {
                proptest::prop_assert!((1..=lines).contains(&entry.line), "{}", entry.line);
            }
        }
        respell(&String::from_utf8_lossy(&bytes));
    }
}
