//! `latchkey users`: add, show, list, change, remove.

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::id::UserId;
use shared::store::{self, Account, Attempt, Attempts, Channel, Users};

use crate::world::{Answer, World, answer};

pub(crate) const PASSWORD: &str = "paper boats in the rain";

/// Adds a user with the password [`PASSWORD`].
pub(crate) fn add(world: &World, name: &str, more: &[&str]) {
    let email = format!("{name}@example.com");
    let arguments = [&["users", "add", name, "--email", &email, "--password-stdin"], more].concat();
    assert_eq!(world.run_with(&arguments, PASSWORD).code, 0);
}

/// Returns the user as `show` prints it.
pub(crate) fn show(world: &World, user: &str) -> Value {
    let shown = world.run(&["users", "show", user, "--output", "json"]);
    serde_json::from_str(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"))
}

/// Signs in as the user, without a password, and returns the access token.
pub(crate) async fn sign_in(world: &World, id: &Value) -> String {
    let env = world.environment();
    let users = Users::from_env(store::connect(&env).unwrap(), &env).unwrap();
    let id = UserId::parse(id.as_str().unwrap()).unwrap();
    let user = users.find(&id, &shared::budget::Budget::new(None)).await.unwrap().unwrap();
    testbed::sign_in(&env, &user, true, Timestamp::now()).await.0
}

/// Asserts that a command failed with this code and said this on standard error.
pub(crate) fn assert_failed(answer: &Answer, code: i32, text: &str) {
    assert!(answer.code == code && answer.stderr.contains(text), "{code} {text}: {answer:#?}");
    assert_eq!(answer.stdout, "", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_user_is_shown_and_listed_in_each_format() {
    let world = World::new().await;
    add(&world, "Kim", &["--name", "김코딩", "--role", "admin", "--role", "ops", "--bio", "a, b"]);
    let shown = show(&world, "KIM");
    let id = shown["id"].clone();
    let expected = json!({
        "id": id, "userId": "Kim", "email": "Kim@example.com", "name": "김코딩", "position": "", "location": "",
        "bio": "a, b", "roles": ["admin", "ops"], "disabled": false, "password": "argon2id", "activeSessions": 0,
        "wrongPasswords": 0, "canSignIn": "yes",
    });
    assert_eq!(shown, expected);
    let by_id = format!("id:{}", id.as_str().unwrap());
    for name in [" kim ", "kim@EXAMPLE.com", "name:kim", "email:kim@example.com", &by_id] {
        assert_eq!(show(&world, name), expected, "{name}");
    }

    let listed = |format: &str| world.run(&["users", "list", "-o", format]).stdout;
    let id = id.as_str().unwrap();
    let width = id.len();
    let header = format!("{:width$}  USERID  EMAIL            NAME    ROLES      DISABLED\n", "ID");
    assert_eq!(listed("table"), format!("{header}{id}  Kim     Kim@example.com  김코딩  admin ops  false\n"));
    let row = format!("{id},Kim,Kim@example.com,김코딩,,,\"a, b\",admin ops,false");
    assert_eq!(listed("csv"), format!("id,userId,email,name,position,location,bio,roles,disabled\r\n{row}\r\n"));
    let one: Value = serde_json::from_str(&listed("jsonl")).unwrap();
    let all: Value = serde_json::from_str(&listed("json")).unwrap();
    assert_eq!((&one["userId"], &all), (&json!("Kim"), &json!([one])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_users_by_the_beginning_of_the_name_or_the_address() {
    let world = World::new().await;
    for name in ["anna", "anne", "ben"] {
        add(&world, name, &[]);
    }
    let found = |text: &str| {
        let listed = world.run(&["users", "list", "--search", text, "-o", "jsonl"]);
        let mut names: Vec<_> =
            listed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["userId"].clone()).collect();
        names.sort_by_key(ToString::to_string);
        names
    };
    assert_eq!(found("ANN"), ["anna", "anne"]);
    assert_eq!(found("ben@ex"), ["ben"]);
    assert!(found("zoe").is_empty());
}

/// R8, R10.
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_for_passwords_is_that_of_the_functions() {
    let world = World::with(&[("PASSWORD_MIN_LENGTH", "20")]).await;
    let add = |password: &str| {
        world.run_with(&["users", "add", "kim", "--email", "kim@example.com", "--password-stdin"], password)
    };
    assert_failed(&add("nineteen characters\n"), 5, "use at least 20");
    assert_failed(&add("kimkimkimkimkimkimkim"), 5, "");
    assert_failed(&add("kim@example.com12345678"), 5, "your name, your address");
    assert_failed(&add(""), 5, "no password");
    assert!(world.keys().is_empty() && world.events().is_empty(), "nothing was changed");
    assert_eq!(add("twenty characters or more\r\n").code, 0);
}

/// R31.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_or_taken_name_changes_nothing() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let before = world.keys();
    let add = |name: &str, email: &str| world.run(&["users", "add", name, "--email", email, "--no-password"]);
    assert_failed(&add("KIM", "other@example.com"), 4, "This login name is taken.");
    assert_failed(&add("other", "Kim@Example.com"), 4, "This e-mail address is taken.");
    assert_failed(&add("two words", "other@example.com"), 5, "A login name has");
    assert_failed(&add("other", "no address"), 5, "An e-mail address has");
    let roles: Vec<_> = (0..100).map(|number| format!("--role=a-rather-long-role-{number}")).collect();
    let roles: Vec<_> = roles.iter().map(String::as_str).collect();
    let many =
        world.run(&[&["users", "add", "other", "--email", "o@example.com", "--no-password"], &roles[..]].concat());
    assert_failed(&many, 5, "The roles need more than 1 KiB");
    assert_failed(&world.run(&["users", "set", "kim", "--bio", &"x".repeat(5000)]), 5, "4096 are allowed");
    assert_eq!(world.keys(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_never_asks_without_a_terminal() {
    let world = World::new().await;
    let asked = world.run(&["users", "add", "kim", "--email", "kim@example.com"]);
    assert_failed(&asked, 5, "Send it with --password-stdin.");
    add(&world, "kim", &[]);
    assert_failed(&world.run(&["users", "set-password", "kim"]), 5, "Send it with --password-stdin.");
    let question = world.run(&["users", "delete", "kim"]);
    assert_failed(&question, 5, "Delete kim <kim@example.com> (id ");
    assert!(question.stderr.contains("Add --yes. Nothing was changed."), "{question:?}");
    assert_failed(&world.run(&["users", "erase", "kim"]), 5, "0 session records");
    assert_eq!(world.keys().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_on_the_command_line_is_not_accepted() {
    let world = World::new().await;
    let refused = world.run(&["users", "add", "kim", "--email", "kim@example.com", "--password", PASSWORD]);
    assert!(refused.code == 2 && !refused.stderr.contains(PASSWORD), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_and_roles_are_changed_one_by_one() {
    let world = World::new().await;
    add(&world, "kim", &["--name", "Kim", "--role", "guest"]);
    let set = |arguments: &[&str]| world.run(&[&["users", "set", "kim"], arguments].concat());
    let changed = set(&["--name", "Kim Coding", "--add-role", "admin", "--remove-role", "guest"]);
    assert_eq!((changed.code, changed.stderr.as_str()), (0, "Changed name, roles of kim.\n"));
    let shown = show(&world, "kim");
    assert_eq!((&shown["name"], &shown["roles"]), (&json!("Kim Coding"), &json!(["admin"])));
    assert_eq!(set(&["--name", "Kim Coding"]).stderr, "Nothing to change: kim is already like this.\n");
    assert_eq!(world.events().last().unwrap()["attributes"], json!(["name", "roles"]));
}

/// R34, R76.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_a_new_password_and_disabling_end_all_sessions() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let id = show(&world, "kim")["id"].clone();
    for (arguments, stdin) in [
        (&["users", "set", "kim", "--email", "kim@example.org"][..], ""),
        (&["users", "set-password", "kim", "--password-stdin"], "another long password"),
        (&["sessions", "end-all", "kim"], ""),
        (&["users", "disable", "kim"], ""),
    ] {
        sign_in(&world, &id).await;
        assert_eq!(show(&world, "kim")["activeSessions"], 1);
        let changed = world.run_with(arguments, stdin);
        assert_eq!((changed.code, show(&world, "kim")["activeSessions"].clone()), (0, json!(0)), "{changed:?}");
    }
    let enabled = format!("kim (id {}) is enabled.\n", id.as_str().unwrap());
    assert_eq!(world.run(&["users", "enable", "kim"]).stderr, enabled);
    let shown = show(&world, "kim");
    assert_eq!((&shown["disabled"], &shown["activeSessions"]), (&json!(false), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_user_keeps_password_and_sessions() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    sign_in(&world, &show(&world, "kim")["id"]).await;
    assert_eq!(world.run(&["users", "rename", "kim", "kimberly"]).code, 0);
    let shown = show(&world, "kimberly");
    assert_eq!((&shown["password"], &shown["activeSessions"]), (&json!("argon2id"), &json!(1)));
    assert_failed(&world.run(&["users", "show", "name:kim"]), 3, "There is no user name:kim.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_leaves_only_session_records_and_an_erased_one_nothing() {
    let world = World::new().await;
    for name in ["kim", "park"] {
        add(&world, name, &[]);
        sign_in(&world, &show(&world, name)["id"]).await;
    }
    assert_eq!(world.run(&["users", "delete", "kim", "--yes"]).code, 0);
    assert_eq!((world.keys().len(), world.tables.items("SessionsTable").len()), (3, 2));
    let id = show(&world, "park")["id"].clone();
    count_failures(&world, "park", 1).await;
    count_failures(&world, "other", 1).await;
    let erased = world.run(&["users", "erase", "park", "--yes", "-o", "json"]);
    let erased: Value = serde_json::from_str(&erased.stdout).unwrap();
    assert_eq!((&erased["id"], &erased["userId"], &erased["sessionRecords"]), (&id, &json!("park"), &json!(1)));
    assert!(world.keys().is_empty());
    assert_eq!(world.tables.items("SessionsTable").len(), 1, "the session of the other user");
    let counters = world.tables.items("AttemptsTable");
    assert_eq!(counters.len(), 3, "the source, the other account and its device: {counters:?}");
}

/// A login name can be the id of another user.
#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_names_two_users_is_refused() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let id = "7f3a";
    let other = json!({ "id": id, "userId": "victim", "email": "victim@example.com" });
    world.write("users.jsonl", &other.to_string());
    world.run(&["users", "import", "users.jsonl"]);
    add(&world, id, &[]);
    let ambiguous = world.run(&["users", "disable", id]);
    assert_failed(&ambiguous, 4, "names several users: id:");
    let disabled = world.run(&["users", "disable", &format!("id:{id}")]);
    assert_eq!(disabled.stderr, format!("victim (id {id}) is disabled. All sessions have ended.\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_an_audit_event_without_personal_data() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let id = show(&world, "kim")["id"].clone();
    for arguments in [
        &["users", "set", "kim", "--email", "kim@example.org"][..],
        &["users", "rename", "kim", "kimberly"],
        &["users", "disable", "kimberly"],
        &["users", "enable", "kimberly"],
        &["users", "unlock", "kimberly"],
        &["sessions", "end-all", "kimberly"],
        &["unblock", "203.0.113.7"],
        &["users", "export", "users.jsonl"],
        &["users", "erase", "kimberly", "--yes"],
    ] {
        assert_eq!(world.run(arguments).code, 0, "{arguments:?}");
    }
    let events = world.events();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = [
        "user_added",
        "user_changed",
        "user_renamed",
        "user_disabled",
        "user_enabled",
        "account_unlocked",
        "all_sessions_ended",
        "counter_deleted",
        "users_exported",
        "user_erased",
    ];
    assert_eq!(names, expected);
    for event in &events {
        let text = event.to_string();
        assert!(event["operator"] == "local:ops" && event["timestamp"].is_string(), "{text}");
        assert!(!text.contains("example") && !text.contains("kimberly"), "{text}");
        let of_all = ["counter_deleted", "users_exported"].contains(&event["event"].as_str().unwrap());
        assert!(of_all || event["user"] == id, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_log_nothing_is_changed() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let before = world.tables.items("UsersTable");
    let log = world.folder().join("target/dev/events-4000.jsonl");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    for arguments in [
        &["users", "set", "kim", "--name", "x"][..],
        &["users", "disable", "kim"],
        &["users", "delete", "kim", "--yes"],
        &["users", "erase", "kim", "--yes"],
        &["users", "add", "other", "--email", "o@example.com", "--no-password"],
        &["sessions", "end-all", "kim"],
    ] {
        let refused = world.run(arguments);
        assert_failed(&refused, 1, "Nothing was changed");
    }
    assert_eq!(world.tables.items("UsersTable"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlocked_account_has_no_wrong_passwords() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let count = count_failures(&world, "kim", 7).await;
    assert_eq!((count, show(&world, "kim")["wrongPasswords"].clone()), (7, json!(7)));
    assert_eq!(world.run(&["users", "unlock", "kim"]).stderr, "kim is unlocked: 7 wrong passwords forgotten.\n");
    assert_eq!(show(&world, "kim")["wrongPasswords"], 0);
    assert_eq!(world.events().last().unwrap()["failures"], 7);
}

/// Counts wrong passwords of an account, as a login does, and one of a known device. Returns how many are counted for
/// the account.
async fn count_failures(world: &World, name: &str, failures: u64) -> u32 {
    let env = world.environment();
    let attempts = Attempts::from_env(store::connect(&env).unwrap(), &env).unwrap();
    let account = Account::named(name);
    let budget = shared::budget::Budget::new(None);
    // More failures than one source may have come from no known source.
    let source_ip = (failures < 100).then_some("203.0.113.7");
    let start = Timestamp::now().as_secs() - failures * 1000 - 1000;
    let before = world.tables.items("AttemptsTable");
    for failure in 0..failures {
        let attempt = Attempt { account: &account, channel: Channel::Public, source_ip };
        let now = Timestamp::from_secs(start + failure * 1000);
        let (admission, _) = attempts.admit(attempt, now, &budget).await.unwrap();
        attempts.reserve(admission, now, &budget).await.unwrap();
    }
    // The counter of a device that was known: an account of a deleted user has such a counter, too.
    let mut counters = world.tables.items("AttemptsTable");
    counters.retain(|item| item.to_string().contains("account#") && !before.contains(item));
    let mut of_device = counters.remove(0);
    let key = of_device["counter_key"]["S"].as_str().unwrap().replacen("account#", "device#", 1) + "#7";
    of_device["counter_key"]["S"] = json!(key);
    world.tables.put("AttemptsTable", &of_device);
    attempts.failures(&account, &budget).await.unwrap().unwrap().failures
}

#[tokio::test(flavor = "multi_thread")]
async fn show_says_why_a_user_cannot_sign_in() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let why = || show(&world, "kim")["canSignIn"].as_str().unwrap().to_owned();
    assert_eq!(why(), "yes");
    count_failures(&world, "kim", 20).await;
    let env = world.environment();
    let attempts = Attempts::from_env(store::connect(&env).unwrap(), &env).unwrap();
    let (account, budget) = (Account::named("kim"), shared::budget::Budget::new(None));
    let attempt = Attempt { account: &account, channel: Channel::Public, source_ip: None };
    let (admission, _) = attempts.admit(attempt, Timestamp::now(), &budget).await.unwrap();
    attempts.reserve(admission, Timestamp::now(), &budget).await.unwrap();
    assert!(why().starts_with("in ") && why().ends_with(" s: 21 wrong passwords"), "{}", why());
    world.run(&["users", "unlock", "kim"]);
    count_failures(&world, "kim", 100).await;
    assert_eq!(why(), "no: 100 wrong passwords, unlock the account");
    world.run(&["users", "disable", "kim"]);
    assert_eq!(why(), "no: the user is disabled");
    world.run(&["users", "add", "park", "--email", "park@example.com", "--no-password"]);
    assert_eq!(show(&world, "park")["canSignIn"], "no: the user has no password");
}

/// R20.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_unlocks_the_account() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    count_failures(&world, "kim", 100).await;
    assert_eq!(show(&world, "kim")["wrongPasswords"], 100);
    let set = world.run_with(&["users", "set-password", "kim", "--password-stdin"], "another long password");
    assert_eq!((set.code, show(&world, "kim")["wrongPasswords"].clone()), (0, json!(0)), "{set:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_or_enabling_twice_changes_nothing() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    assert_eq!(world.run(&["users", "enable", "kim"]).stderr, "kim is enabled already.\n");
    assert_eq!(world.run(&["users", "disable", "kim"]).code, 0);
    let before = world.tables.items("UsersTable");
    assert_eq!(world.run(&["users", "disable", "kim"]).stderr, "kim is disabled already.\n");
    assert_eq!(world.tables.items("UsersTable"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unblocked_source_has_no_counter() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    count_failures(&world, "kim", 1).await;
    let sources = || {
        let counters = world.tables.items("AttemptsTable").into_iter();
        counters.filter(|counter| counter["counter_key"]["S"].as_str().unwrap().starts_with("source#")).count()
    };
    assert_eq!(sources(), 1);
    assert_eq!(world.run(&["unblock", "203.0.113.7"]).stderr, "203.0.113.7 can try passwords again.\n");
    assert_eq!(sources(), 0);
    let again = world.run(&["unblock", "203.0.113.7"]).stderr;
    assert_eq!(again, "203.0.113.7 was not blocked: it has no counter.\n");
    assert_failed(&world.run(&["unblock", "kim"]), 5, "neither an address");
    assert_failed(&world.run(&["unblock", "other#key"]), 5, "neither an address");
    let keys = world.tables.items("AttemptsTable");
    assert_eq!(keys.len(), 2);
    for key in keys.iter().map(|counter| counter["counter_key"]["S"].as_str().unwrap()) {
        assert_eq!(world.run(&["unblock", key]).stderr, format!("{key} can try passwords again.\n"));
    }
    assert!(world.tables.items("AttemptsTable").is_empty());
}

/// R24.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_sources_says_which_one_is_blocked() {
    let world = World::new().await;
    let env = world.environment();
    let attempts = Attempts::from_env(store::connect(&env).unwrap(), &env).unwrap();
    let budget = shared::budget::Budget::lasting(std::time::Duration::from_mins(1));
    for (source_ip, failures) in [("203.0.113.7", 100), ("2001:db8:1:2::7", 2)] {
        for number in 0..failures {
            let name = format!("user{number}");
            let attempt =
                Attempt { account: &Account::named(&name), channel: Channel::Public, source_ip: Some(source_ip) };
            let (admission, _) = attempts.admit(attempt, Timestamp::now(), &budget).await.unwrap();
            attempts.reserve(admission, Timestamp::now(), &budget).await.unwrap();
        }
    }
    let listed: Value = serde_json::from_str(&world.run(&["blocked", "-o", "json"]).stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!((&listed[0]["source"], &listed[1]["source"]), (&json!("203.0.113.7"), &json!("2001:db8:1:2::/64")));
    assert_eq!((&listed[0]["wrongPasswords"], &listed[1]["wrongPasswords"]), (&json!(100), &json!(2)));
    assert!((1..=36).contains(&listed[0]["blockedForSeconds"].as_u64().unwrap()), "{listed}");
    assert_eq!(listed[1]["blockedForSeconds"], 0);
    assert_eq!(world.run(&["unblock", "203.0.113.7"]).code, 0);
    assert!(!world.run(&["blocked"]).stdout.contains("203.0.113.7"));
}

/// An argument such as `id:0` is an id, so that no login name may look like one.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_name_does_not_look_like_an_id() {
    let world = World::new().await;
    for name in ["id:0", "NAME:kim", "email:kim", "ｉｄ:0"] {
        let refused = world.run(&["users", "add", name, "--email", "kim@example.com", "--no-password"]);
        assert_failed(&refused, 5, "must not begin with id:, name: or email:");
    }
    world.write("users.jsonl", &json!({ "userId": "id:0", "email": "kim@example.com" }).to_string());
    assert!(world.run(&["users", "import", "users.jsonl"]).stderr.contains("must not begin with id:"));
    assert!(world.keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_begin_with_a_hyphen() {
    let world = World::new().await;
    let user = json!({ "id": "-8sr5XpVfT8nDJZm1xMszw", "userId": "kim", "email": "kim@example.com" });
    world.write("users.jsonl", &user.to_string());
    world.run(&["users", "import", "users.jsonl"]);
    assert_eq!(show(&world, "-8sr5XpVfT8nDJZm1xMszw")["userId"], "kim");
    sign_in(&world, &json!("-8sr5XpVfT8nDJZm1xMszw")).await;
    let mut session = world.tables.items("SessionsTable").remove(0);
    session["session_id"] = json!({ "S": "-AAAAAAAAAAAAAAAAAAAAA" });
    session["active_key"]["S"] = json!(session["active_key"]["S"].as_str().unwrap());
    world.tables.put("SessionsTable", &session);
    assert_eq!(world.run(&["sessions", "end", "-AAAAAAAAAAAAAAAAAAAAA"]).stderr, "The session has ended.\n");
    assert_eq!(world.run(&["users", "delete", "-8sr5XpVfT8nDJZm1xMszw", "--yes"]).code, 0);
}

/// A refused change is no event.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_refused_writes_no_event() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    add(&world, "park", &[]);
    let before = world.events().len();
    for arguments in [
        &["users", "add", "two words", "--email", "o@example.com", "--no-password"][..],
        &["users", "add", "PARK", "--email", "o@example.com", "--no-password"],
        &["users", "set", "kim", "--email", "nope"],
        &["users", "set", "kim", "--email", "PARK@example.com"],
        &["users", "rename", "kim", "park"],
        &["unblock", "account#kim@example.com"],
    ] {
        assert!([4, 5].contains(&world.run(arguments).code), "{arguments:?}");
    }
    assert_eq!(world.events().len(), before);
}

/// R20: the counters belong to names. The next user with the name must not inherit them.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_is_not_locked_by_older_failures_at_the_name() {
    let world = World::new().await;
    for name in ["ann", "anna", "ben"] {
        count_failures(&world, name, 100).await;
    }
    add(&world, "ann", &[]);
    assert_eq!(show(&world, "ann")["wrongPasswords"], 0);
    world.write("users.jsonl", &json!({ "userId": "ben", "email": "ben@example.com" }).to_string());
    assert_eq!(world.run(&["users", "import", "users.jsonl"]).code, 0);
    assert_eq!(show(&world, "ben")["wrongPasswords"], 0);
    count_failures(&world, "ann", 3).await;
    assert_eq!(world.run(&["users", "rename", "ann", "anna"]).code, 0);
    assert_eq!(show(&world, "anna")["wrongPasswords"], 0);
    let of_ann = count_failures(&world, "ann", 1).await;
    assert_eq!(of_ann, 1, "the counters of the old name are deleted");
}

/// A login can store a session after its user was deleted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_deleted_user_can_be_erased_by_id() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let id = show(&world, "kim")["id"].clone();
    sign_in(&world, &id).await;
    assert_eq!(world.run(&["users", "delete", "kim", "--yes"]).code, 0);
    let argument = format!("id:{}", id.as_str().unwrap());
    let erased = world.run(&["users", "erase", &argument, "--yes", "-o", "json"]);
    let erased: Value = serde_json::from_str(&erased.stdout).unwrap();
    assert_eq!((&erased["sessionRecords"], &erased["erased"]), (&json!(1), &json!(["sessions"])));
    assert!(world.tables.items("SessionsTable").is_empty());
    assert_failed(&world.run(&["users", "erase", "kim", "--yes"]), 3, "There is no user kim.");
    assert_failed(&world.run(&["users", "erase", &argument, "--yes"]), 3, "and no session record of such a user");
}

/// A user without a login record cannot sign in. An operator can still look at the user and delete it.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_login_record_can_be_shown_disabled_and_deleted() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    let id = format!("id:{}", show(&world, "kim")["id"].as_str().unwrap());
    world.tables.delete("UsersTable", &json!({ "pk": { "S": "login#kim" } }));
    assert_eq!(show(&world, &id)["password"], "missing");
    assert_eq!(world.run(&["users", "disable", &id]).code, 0);
    let set = world.run_with(&["users", "set-password", &id, "--password-stdin"], PASSWORD);
    assert_failed(&set, 1, "has no login record");
    assert_eq!(world.run(&["users", "delete", &id, "--yes"]).code, 0);
    assert!(world.keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_is_reported_and_the_others_are_listed() {
    let world = World::new().await;
    add(&world, "kim", &[]);
    world.tables.put("UsersTable", &json!({ "pk": { "S": "user#broken" }, "v": { "N": "1" } }));
    let listed = world.run(&["users", "list", "-o", "jsonl"]);
    assert!(listed.code == 1 && listed.stdout.lines().count() == 1, "{listed:?}");
    assert!(listed.stderr.contains("user#broken: ") && listed.stderr.contains("1 record cannot be read"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_does_not_answer_is_named_and_a_missing_table_too() {
    let world = World::with(&[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")]).await;
    let mut command = world.command(&["users", "list"]);
    let silent = answer(command.timeout(std::time::Duration::from_secs(100)));
    assert_failed(&silent, 7, "DynamoDB did not answer.");
    let world = World::with(&[("USERS_TABLE", "NoTable")]).await;
    assert_failed(&world.run(&["users", "list"]), 3, "`latchkey doctor` checks the stack");
}
