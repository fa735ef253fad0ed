//! `latchkey users import` and `latchkey users export`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use login::Login;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::http::{self, Site};
use shared::store::{self, Users};
use testbed::{Event, Fault};

use crate::users::{assert_failed, show};
use crate::world::World;

/// A hash of `1234` at the lowest cost that is accepted.
const BCRYPT: &str = "$2b$04$09eKQoJVldm.w6udoPzzd.gFOa2JqnprLgmFMylprFusehH1KtJ7G";

fn line(name: &str) -> String {
    json!({ "userId": name, "email": format!("{name}@example.com"), "passwordHash": BCRYPT }).to_string()
}

fn lines(names: &[&str]) -> String {
    names.iter().map(|name| line(name) + "\n").collect()
}

/// Returns the users as `export` writes them, sorted.
fn exported(world: &World) -> BTreeSet<String> {
    let exported = world.run(&["users", "export", "-"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    exported.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_the_same_file_again_changes_nothing() {
    let world = World::new().await;
    world.write("users.jsonl", &lines(&["kim", "park", "lee"]));
    let first = world.run(&["users", "import", "users.jsonl"]);
    assert_eq!((first.code, first.stderr.as_str()), (0, "3 users added, 0 were there already, 0 refused.\n"));
    assert_eq!(world.run(&["users", "rename", "kim", "kimberly"]).code, 0);
    let before = world.tables.items("UsersTable");
    let again = world.run(&["users", "import", "users.jsonl"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, "0 users added, 3 were there already, 0 refused.\n"));
    let imported = world.events().into_iter().filter(|event| event["event"] == "user_imported");
    assert_eq!(imported.count(), 3, "an event for each user who was added");
    assert_eq!(world.tables.items("UsersTable"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_reported_and_goes_to_a_file_that_can_be_corrected() {
    let world = World::new().await;
    let costly = "$argon2id$v=19$m=1048577,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaA";
    let bad = [
        "{\"userId\": \"broken\"".to_owned(),
        json!({ "userId": "no-address" }).to_string(),
        json!({ "userId": "two words", "email": "two@example.com" }).to_string(),
        json!({ "userId": "costly", "email": "costly@example.com", "passwordHash": costly }).to_string(),
        json!({ "userId": "odd", "email": "odd@example.com", "passwordHash": "hunter2" }).to_string(),
        json!({ "userId": "mallory", "email": "KIM@example.com" }).to_string(),
        json!({ "userId": "roles", "email": "r@example.com", "roles": ["x".repeat(1100)] }).to_string(),
    ];
    let file: Vec<_> = [vec![line("kim")], bad.to_vec(), vec![line("park")]].concat();
    world.write("users.jsonl", &file.join("\n"));
    let imported = world.run(&["users", "import", "users.jsonl"]);
    assert!(
        imported.code == 1 && imported.stderr.contains("2 users added, 0 were there already, 7 refused.\n"),
        "{imported:#?}"
    );
    for (number, reason) in [
        (2, "The entry"),
        (3, "e-mail address"),
        (4, "A login name has"),
        (5, "cost too much"),
        (6, "its format is not supported"),
        (7, "another user has the e-mail address KIM@example.com"),
        (8, "The roles need more than 1 KiB"),
    ] {
        let line = imported.stderr.lines().find(|line| line.starts_with(&format!("users.jsonl:{number}: ")));
        assert!(line.is_some_and(|line| line.contains(reason)), "{number} {reason}: {imported:#?}");
    }
    assert!(!imported.stderr.contains("hunter2") && !imported.stderr.contains("c2FsdHN"), "{imported:#?}");

    let refused = world.read("users.jsonl.refused");
    assert_eq!(refused.lines().count(), bad.len());
    let mode = fs::metadata(world.folder().join("users.jsonl.refused")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.write("users.jsonl.refused", &refused.replace("KIM@", "mallory@"));
    let corrected = world.run(&["users", "import", "users.jsonl.refused", "--refused", "again"]);
    assert!(corrected.stderr.contains("1 user added, 0 were there already, 6 refused."), "{corrected:#?}");
}

/// The file of refused lines may be the input of the next import.
#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_refused_lines_replaces_no_other_file() {
    let world = World::new().await;
    let file = (line("kim") + "\n{}\n").repeat(300);
    world.write("users.jsonl", &file);
    let itself = world.run(&["users", "import", "users.jsonl", "--refused", "users.jsonl"]);
    assert!(itself.stderr.contains("The refused lines are in users.jsonl-2."), "{itself:?}");
    world.write("users.refused", &file);
    std::os::unix::fs::symlink("users.jsonl", world.folder().join("link")).unwrap();
    let link = world.run(&["users", "import", "users.jsonl", "--refused", "link"]);
    assert!(link.stderr.contains("The refused lines are in link-2."), "{link:?}");
    let imported = world.run_with(&["users", "import", "-", "--from", "jsonl"], &file);
    assert!(imported.stderr.contains("The refused lines are in users.refused-2."), "{imported:?}");
    assert_eq!((world.read("users.refused"), world.read("users.jsonl")), (file.clone(), file));
    assert_eq!(world.read("users.refused-2").lines().count(), 300);
    let names = fs::read_dir(world.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".tmp")), "no draft is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sees_two_entries_with_one_name() {
    let world = World::new().await;
    let entry = |name: &str, email: &str| json!({ "userId": name, "email": email }).to_string();
    let entries = [entry("kim", "kim@example.com"), entry("KIM", "o@example.com"), entry("park", "Kim@example.com")];
    world.write("users.jsonl", &entries.join("\n"));
    let outcomes = |arguments: &[&str]| world.run(&[&["users", "import", "users.jsonl"], arguments].concat()).stderr;
    let planned = outcomes(&["--dry-run"]);
    assert!(planned.contains("1 user would be added, 0 were there already, 2 would be refused."), "{planned}");
    let imported = outcomes(&[]);
    assert!(imported.contains("1 user added, 0 were there already, 2 refused."), "{imported}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mark_of_a_formula_in_csv_is_removed_by_the_import() {
    let [world, other] = [World::new().await, World::new().await];
    world.write("users.jsonl", &json!({ "userId": "kim", "email": "kim@example.com", "name": "=1+1" }).to_string());
    world.run(&["users", "import", "users.jsonl"]);
    let csv = world.run(&["users", "list", "-o", "csv"]).stdout;
    assert!(csv.contains(",'=1+1,"), "{csv}");
    other.write("users.csv", &csv);
    assert_eq!(other.run(&["users", "import", "users.csv"]).code, 0);
    assert_eq!(show(&other, "kim")["name"], "=1+1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refused_lines_of_csv_have_the_header() {
    let world = World::new().await;
    world.write("users.csv", "userId,email,roles\r\nkim,kim@example.com,a b\r\nbad,\"no\naddress\",\r\n");
    let imported = world.run(&["users", "import", "users.csv"]);
    assert!(imported.stderr.contains("users.csv:3: An e-mail address has"), "{imported:#?}");
    assert_eq!(world.read("users.csv.refused").lines().next(), Some("userId,email,roles"));
    assert_eq!(show(&world, "kim")["roles"], json!(["a", "b"]));
    let corrected = world.read("users.csv.refused").replace("\"no\naddress\"", "bad@example.com");
    world.write("corrected.csv", &corrected);
    assert_eq!(world.run(&["users", "import", "corrected.csv"]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let world = World::new().await;
    world.write("first.jsonl", &line("kim"));
    world.run(&["users", "import", "first.jsonl"]);
    let before = (world.tables.items("UsersTable"), world.events().len());
    let taken = json!({ "userId": "other", "email": "kim@example.com" }).to_string();
    let without = json!({ "userId": "lee", "email": "lee@example.com" }).to_string();
    world.write("users.jsonl", &[line("kim"), line("park"), without, taken, "{".to_owned()].join("\n"));
    let planned = world.run(&["users", "import", "users.jsonl", "--dry-run", "-o", "csv"]);
    let expected = [
        "line,userId,outcome,reason",
        "1,kim,present,",
        "2,park,add,",
        "3,lee,add,no password",
        "4,other,refuse,another user has the e-mail address kim@example.com",
    ];
    assert_eq!(planned.stdout.lines().take(5).collect::<Vec<_>>(), expected);
    assert!(planned.stdout.lines().nth(5).is_some_and(|line| line.starts_with("5,,refuse,")), "{planned:#?}");
    assert!(
        planned.stderr.contains("2 users would be added, 1 were there already, 2 would be refused."),
        "{planned:#?}"
    );
    assert_eq!((world.tables.items("UsersTable"), world.events().len()), before);
    assert!(!world.folder().join("users.jsonl.refused").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_two_entries_with_one_name_wins() {
    let world = World::new().await;
    let entry = |name: &str, email: &str, bio: &str| json!({ "userId": name, "email": email, "bio": bio }).to_string();
    let entries = [
        entry("kim", "kim@example.com", "first"),
        entry("KIM", "other@example.com", "second"),
        entry("other", "Kim@Example.com", "third"),
    ];
    world.write("users.jsonl", &entries.join("\n"));
    for _ in 0..2 {
        let imported = world.run(&["users", "import", "users.jsonl"]);
        assert!(imported.stderr.contains("users.jsonl:3: another user has the e-mail address"), "{imported:#?}");
        assert_eq!(show(&world, "kim")["bio"], "first");
        assert_eq!(world.keys().len(), 3);
    }
}

/// Two people with one login name and different addresses are not the same user.
#[tokio::test(flavor = "multi_thread")]
async fn another_person_with_the_same_login_name_is_refused() {
    let world = World::new().await;
    let entry = |email: &str| json!({ "userId": "ann", "email": email }).to_string();
    world.write("users.jsonl", &[entry("ann@example.com"), entry("ann2@example.com")].join("\n"));
    for arguments in [&["--dry-run"][..], &[], &[]] {
        let imported = world.run(&[&["users", "import", "users.jsonl", "-o", "csv"], arguments].concat());
        let text = "the login name ann belongs to a user with another e-mail address";
        assert!(imported.code == 1 && (imported.stderr + &imported.stdout).contains(text), "{arguments:?}");
    }
    assert_eq!(world.read("users.jsonl.refused").lines().count(), 1);
    assert_eq!(world.read("users.jsonl.refused-2").lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_import_users_with_colliding_ids_unusable_hashes_and_names_with_spaces() {
    let world = World::new().await;
    let entry = |name: &str, hash: &str| {
        let email = format!("{}@example.com", name.len());
        json!({ "id": "1", "userId": name, "email": email, "passwordHash": hash })
    };
    world.write("one.jsonl", &entry("kim", BCRYPT).to_string());
    world.write("other.jsonl", &entry("two words", "md5$abc").to_string());
    world.run(&["users", "import", "one.jsonl"]);
    let all = ["--new-ids", "--drop-unusable-hashes", "--email-as-login"];
    for missing in 0..3 {
        let some: Vec<_> =
            all.iter().enumerate().filter(|(number, _)| *number != missing).map(|(_, text)| *text).collect();
        assert_eq!(world.run(&[&["users", "import", "other.jsonl"], &some[..]].concat()).code, 1, "{some:?}");
    }
    for added in ["1 user added", "0 users added, 1 were there already"] {
        let imported = world.run(&[&["users", "import", "other.jsonl"], &all[..]].concat());
        assert!(imported.code == 0 && imported.stderr.contains(added), "{imported:?}");
    }
    assert_eq!(show(&world, "9@example.com")["password"], "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_user_is_refused() {
    let world = World::new().await;
    let entry = |name: &str| json!({ "id": "1", "userId": name, "email": format!("{name}@example.com") }).to_string();
    world.write("one.jsonl", &entry("kim"));
    world.write("other.jsonl", &entry("park"));
    assert_eq!(world.run(&["users", "import", "one.jsonl"]).code, 0);
    assert!(world.run(&["users", "import", "other.jsonl"]).stderr.contains("other.jsonl:1: another user has the id 1"));
}

/// R68, R76: a token of a deleted user stays invalid if the user is imported again with the same id.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_revives_no_session() {
    let world = World::new().await;
    let env = world.environment();
    world.write("users.jsonl", &json!({ "id": "7", "userId": "kim", "email": "kim@example.com" }).to_string());
    world.run(&["users", "import", "users.jsonl"]);
    let users = Users::from_env(store::connect(&env).unwrap(), &env).unwrap();
    let find = async || {
        let id = shared::id::UserId::parse("7").unwrap();
        users.find(&id, &shared::budget::Budget::new(None)).await.unwrap().unwrap()
    };
    testbed::sign_in(&env, &find().await, true, Timestamp::now()).await;
    assert_eq!(show(&world, "kim")["activeSessions"], 1);
    let first = find().await.session_epoch;
    world.run(&["users", "delete", "kim", "--yes"]);
    while Timestamp::now().as_secs() == first {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.run(&["users", "import", "users.jsonl"]).code, 0);
    assert_eq!(show(&world, "kim")["activeSessions"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_continues_with_the_same_command() {
    let world = World::new().await;
    let names: Vec<_> = (0..3000).map(|number| format!("user{number}")).collect();
    world.write("users.jsonl", &lines(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut import = std::process::Command::new(assert_cmd::cargo::cargo_bin!("latchkey"));
    import.current_dir(world.folder()).args(["--local", "users", "import", "users.jsonl"]).stderr(Stdio::piped());
    let mut import = import.spawn().unwrap();
    while world.tables.items("UsersTable").is_empty() {
        tokio::task::yield_now().await;
    }
    let killed = std::process::Command::new("kill").args(["-INT", &import.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let code = import.wait().unwrap().code();
    let mut stderr = String::new();
    import.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(code == Some(130) && stderr.contains("Run the same command again to continue."), "{code:?} {stderr}");
    let part = world.keys().len() / 3;
    assert!((1..3000).contains(&part) && world.keys().len() % 3 == 0, "{part}");
    let rest = world.run(&["users", "import", "users.jsonl"]);
    let expected = format!("{} users added, {part} were there already, 0 refused", 3000 - part);
    assert!(rest.code == 0 && rest.stderr.contains(&expected), "{rest:?} {part}");
}

/// F20.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_a_throttled_table() {
    let world = World::new().await;
    let throttled = [Fault::Refuse(400, "ThrottlingException"); 6];
    let failing = world.tables.failing(&[("TransactWriteItems", &throttled)]).await;
    let world = world.over(&failing("AWS_ENDPOINT_URL_DYNAMODB").unwrap());
    world.write("users.jsonl", &line("kim"));
    assert_eq!(world.run(&["users", "import", "users.jsonl"]).code, 0);
    assert_eq!(world.keys().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_or_a_missing_file_is_a_clear_error() {
    let world = World::new().await;
    world.write("users.jsonl", &(line("kim") + "\n{}\n"));
    let full = world.run(&["users", "import", "users.jsonl", "--refused", "/dev/full"]);
    assert_failed(&full, 1, "cannot write the refused lines to /dev/full: No space left on device");
    assert_failed(&world.run(&["users", "import", "none.jsonl"]), 5, "cannot open none.jsonl: No such file");
    world.write("hash.txt", FIREBASE);
    let other = world.run(&["users", "import", "users.jsonl", "--firebase-hash", "hash.txt"]);
    assert_failed(&other, 5, "--firebase-hash is for Firebase");
    world.write("unknown.txt", "what is this?\n");
    assert_failed(&world.run(&["users", "import", "unknown.txt"]), 5, "--from");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_complete_private_and_never_overwrites() {
    let world = World::new().await;
    world.write("users.jsonl", &lines(&["kim", "park"]));
    world.run(&["users", "import", "users.jsonl"]);
    assert_eq!(world.run(&["users", "export", "export.jsonl"]).stderr, "2 users exported.\n");
    let path = world.folder().join("export.jsonl");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(exported(&world), world.read("export.jsonl").lines().map(str::to_owned).collect());
    assert_failed(&world.run(&["users", "export", "export.jsonl"]), 5, "export.jsonl exists.");
    assert_eq!(world.run(&["users", "export", "export.jsonl", "--force"]).code, 0);

    world.tables.delete("UsersTable", &json!({ "pk": { "S": "login#kim" } }));
    let broken = world.run(&["users", "export", "broken.jsonl"]);
    assert_failed(&broken, 1, "1 user exported, 1 missing: they cannot be read");
    assert!(broken.stderr.contains("its login record is missing"), "{broken:?}");
    assert_failed(&world.run(&["users", "export", "no/such/folder.jsonl"]), 1, "cannot write no/such/folder.jsonl");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_reported() {
    let world = World::new().await;
    let names: Vec<_> = (0..1000).map(|number| format!("user{number}")).collect();
    world.write("users.jsonl", &lines(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    world.run(&["users", "import", "users.jsonl"]);
    let mut export = std::process::Command::new(assert_cmd::cargo::cargo_bin!("latchkey"));
    export.current_dir(world.folder()).args(["--local", "users", "export", "-"]);
    let mut export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, export.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with('{'), "{first}");
    let mut stderr = String::new();
    export.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(export.wait().unwrap().code(), Some(1));
    assert!(stderr.contains("the reader of the output ended before the output did"), "{stderr}");
}

/// A text of a profile, with the letters that a format could lose.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 \"',;:\\\\\u{e9}\u{ae40}\u{1f600}\u{202e}]{0,12}"
}

/// What differs between the users of a file: an own id, the name, the bio, the roles, disabled, a hash.
type Traits = (bool, String, String, Vec<String>, bool, bool);

/// The users of a file: ids, roles and states of all kinds.
fn any_users() -> impl Strategy<Value = Vec<Value>> {
    let user = (any::<bool>(), text(), text(), prop::collection::vec("[a-z]{1,8}", 0..3), any::<bool>(), any::<bool>());
    prop::collection::vec(user, 1..12)
        .prop_map(|users| users.into_iter().enumerate().map(|(number, user)| entry(number, user)).collect())
}

fn entry(number: usize, (has_id, name, bio, roles, disabled, has_hash): Traits) -> Value {
    let mut entry = json!({
        "userId": format!("User{number}"), "email": format!("u{number}@Example.com"), "name": name, "bio": bio,
        "roles": roles, "disabled": disabled,
    });
    if has_id {
        entry["id"] = json!(number.to_string());
    }
    if has_hash {
        entry["passwordHash"] = json!(BCRYPT);
    }
    entry
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_into_an_empty_table_is_the_same_set() {
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&any_users(), |users| {
            let [world, other] = [runtime.block_on(World::new()), runtime.block_on(World::new())];
            let file: Vec<_> = users.iter().map(Value::to_string).collect();
            world.write("users.jsonl", &file.join("\n"));
            let imported = world.run(&["users", "import", "users.jsonl"]);
            prop_assert_eq!(imported.code, 0, "{:?}", imported);
            let before = exported(&world);
            prop_assert_eq!(before.len(), users.len());
            other.write("export.jsonl", &before.iter().map(String::as_str).collect::<Vec<_>>().join("\n"));
            prop_assert_eq!(other.run(&["users", "import", "export.jsonl"]).code, 0);
            prop_assert_eq!(exported(&other), before);
            Ok(())
        })
    })
    .unwrap();
}

/// Signs in through the real function, and returns the status.
async fn login(world: &World, name: &str, password: &str) -> u16 {
    let env = world.environment();
    let (login, origins) =
        (Login::from_env(store::connect(&env).unwrap(), &env).unwrap(), Site::from_env(&env).unwrap());
    let body = json!({ "loginInfo": { "userId": name, "password": password } });
    let event = Event::recorded("login").body(body.to_string());
    event.send(&mut http::service(origins, |request| login.handle(request, Timestamp::now()))).await.status
}

/// R3, R13.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_each_format_with_hashes_signs_in() {
    for (format, file, password) in formats() {
        let world = World::new().await;
        world.write("users", &file);
        world.write("firebase-hash", FIREBASE);
        let mut arguments = vec!["users", "import", "users"];
        if format == "firebase" {
            arguments.extend(["--firebase-hash", "firebase-hash"]);
        }
        let imported = world.run(&arguments);
        assert_eq!(imported.stderr, "1 user added, 0 were there already, 0 refused.\n", "{format}");
        let user = show(&world, "email:kim@example.com")["userId"].as_str().unwrap().to_owned();
        assert_eq!(login(&world, &user, &format!("{password}x")).await, 401, "{format}");
        assert_eq!(login(&world, &user, password).await, 302, "{format}");
        assert_eq!(show(&world, &user)["password"], "argon2id", "{format}: the login replaces the hash");
    }
}

/// The hash parameters of a Firebase project, from the README of firebase/scrypt.
const FIREBASE: &str = "hash_config { algorithm: SCRYPT, base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pV\
                        MXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==, base64_salt_separator: Bw==, rounds: 8, \
                        mem_cost: 14, }";

/// Returns a file of each format that has hashes, and the password of its user.
fn formats() -> Vec<(&'static str, String, &'static str)> {
    // The password is `password`, from the tests of `WordPress`.
    let wordpress = "$wp$2y$10$GQYXq4qn7wqKa0LD3m.YHeDRd2MVhP0es9vSTzLLQQaegbslAvZ5K";
    // The password is `user1password`, from the README of firebase/scrypt.
    let firebase = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";
    // The password is `secret`. Keycloak 26 stored it.
    let keycloak = json!({
        "type": "password",
        "secretData": json!({
            "value": "xKjWvB9+0sSP6wTqI1JoEI7w+iA0x9VDhPgmrOHRG80=", "salt": "LRScGShC7shkdoU5B1UgUQ==",
            "additionalParameters": {},
        }).to_string(),
        "credentialData": json!({
            "hashIterations": 5, "algorithm": "argon2",
            "additionalParameters": {
                "hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"],
            },
        }).to_string(),
    });
    let email = "kim@example.com";
    let user = json!({ "username": "kim", "email": email, "enabled": true, "credentials": [keycloak] });
    let django =
        json!({ "username": "kim", "email": email, "password": format!("bcrypt${BCRYPT}"), "is_active": true });
    vec![
        ("jsonl", json!({ "userId": "kim", "email": email, "passwordHash": BCRYPT }).to_string(), "1234"),
        ("csv", format!("userId,email,passwordHash\nkim,{email},{BCRYPT}\n"), "1234"),
        (
            "auth0",
            json!({ "_id": { "$oid": "60425dc43519d90068f82973" }, "email": email, "passwordHash": BCRYPT,
            "tenant": "acme", "connection": "acme-db" })
            .to_string(),
            "1234",
        ),
        (
            "firebase",
            json!({ "users": [{ "localId": "kim1", "email": email, "passwordHash": firebase,
            "salt": "42xEC+ixf3L2lw==" }] })
            .to_string(),
            "user1password",
        ),
        ("supabase", format!("id,email,encrypted_password,raw_user_meta_data\n7,{email},{BCRYPT},{{}}\n"), "1234"),
        ("keycloak", json!({ "realm": "acme", "users": [user] }).to_string(), "secret"),
        ("django", json!([{ "model": "auth.user", "pk": 1, "fields": django }]).to_string(), "1234"),
        (
            "wordpress",
            format!("ID,user_login,user_pass,user_email,display_name,roles\n1,kim,{wordpress},{email},Kim,editor\n"),
            "password",
        ),
    ]
}
