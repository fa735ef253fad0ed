//! `latchkey keys`: list, add, promote and retire the keys of a deployed stack.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::keys::{Algorithm, KeySet, Purpose};
use testbed::Fault;

use crate::account::{Account, OPERATOR};
use crate::users::assert_failed;
use crate::world::{Answer, World};

/// What `GenerateSecretString` makes.
const GENERATED: [&str; 3] = [
    "9naHVck6pbd4ZRj2SxphvDTwrzqwo72n3wZuot7UGAoKD1AFfDKZxCKu7SPCzX3ZeF981bmiIlN8YS2UbsHFj42g5hzdeDU1",
    "6Jsz7GolI8Gwfpttk0Ouy5Ev3CYeW61YrEjhRFyya1q79VfsecC5d8qk0FKE3FcGdE1fK9DoXWLCSUqRfNadvWP1yBwdN7Tt",
    "MCtJ0bZB535ya5Q6wNy6HajqpFGvu6pRLuFuaMwSov7d2lP3GU8g1UKzv352ivguvDVNJNEK6hz7YLagY2jTPD1kPmLIJNWu",
];

const PEPPER: &str = "Xk2mW8pQ4rT6yU1iO3aS5dF7gH9jK0lZ";

const HOUR: Duration = Duration::from_hours(1);

/// Starts the account of a new stack, with a pepper.
pub(crate) async fn account() -> Account {
    let [access, refresh, device] = GENERATED.map(|text| format!(r#"{{"generated":"{text}"}}"#));
    let texts = [
        (Purpose::Access, &*access),
        (Purpose::Refresh, &refresh),
        (Purpose::Device, &device),
        (Purpose::Pepper, PEPPER),
    ];
    Account::new(&texts).await
}

/// Starts an account whose access keys have every state, and returns the ids: retired, verifies, signs, next.
async fn account_in_rotation() -> (Account, [String; 4]) {
    let account = account().await;
    let (purpose, now) = (Purpose::Access, Timestamp::now().as_secs());
    let ago = |hours: u64| Timestamp::from_secs(now - hours * HOUR.as_secs());
    let next = |set: &KeySet| set.keys().iter().find(|key| key.sign_from.is_none()).unwrap().id.clone();
    let set = account.keys(purpose);
    let first = set.active(ago(0)).id.clone();
    let second = next(&set);
    let set = set.with_promoted(purpose, &second, ago(72)).unwrap();
    let set = set.with_next(purpose, Algorithm::Hs256, ago(72)).unwrap();
    let third = next(&set);
    let set = set.with_promoted(purpose, &third, ago(1)).unwrap();
    let set = set.with_next(purpose, Algorithm::EdDsa, ago(0)).unwrap();
    let fourth = next(&set);
    account.put(purpose, &set);
    (account, [first, second, third, fourth])
}

/// Returns the only event. It has the operator and this command.
fn only_event(account: &Account, command: &str) -> Value {
    let [event] = &account.events()[..] else { panic!("one event") };
    assert_eq!((&event["operator"], &event["command"]), (&json!(OPERATOR), &json!(command)));
    event.clone()
}

/// Asserts that the command succeeded and said this.
fn assert_said(answer: &Answer, texts: &[&str]) {
    assert_eq!(answer.code, 0, "{answer:#?}");
    for text in texts {
        assert!(answer.stderr.contains(text), "{text}: {answer:#?}");
    }
}

/// R97.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_the_state_and_the_times_of_each_key_and_no_secret() {
    let (account, [retired, verifies, signs, next]) = account_in_rotation().await;
    let listed = account.run(&["keys", "list", "access", "-o", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    let keys = account.keys(Purpose::Access);
    let time = |kid: &str, name: &str| {
        let key = keys.by_id(kid).unwrap();
        let time = match name {
            "published_at" => Some(key.published_at),
            "sign_from" => key.sign_from,
            _ => key.retire_at,
        };
        time.filter(|time| time.as_secs() > 0).map(Timestamp::rfc3339)
    };
    let kids = [(&retired, "retired", 1), (&verifies, "verifies", 2), (&signs, "signs", 2), (&next, "next", 1)];
    assert_eq!(rows.len(), kids.len(), "{listed:?}");
    for (row, (kid, state, times)) in rows.iter().zip(kids) {
        let algorithm = if state == "next" { "EdDSA" } else { "HS256" };
        assert_eq!((&row["kid"], &row["state"], &row["algorithm"]), (&json!(kid), &json!(state), &json!(algorithm)));
        let known = ["published_at", "sign_from", "retire_at"].map(|name| time(kid, name));
        assert_eq!(known.iter().flatten().count(), times, "{kid} {state}: {known:?}");
        assert_eq!(["published_at", "sign_from", "retire_at"].map(|name| row[name].as_str().map(str::to_owned)), known);
    }
    for format in ["table", "csv", "json", "jsonl"] {
        let all = account.run(&["keys", "list", "-o", format]);
        assert_eq!((all.code, all.stderr.as_str()), (0, ""), "{format}");
        for purpose in [Purpose::Access, Purpose::Refresh, Purpose::Device, Purpose::Pepper] {
            for key in account.keys(purpose).keys() {
                assert!(all.stdout.contains(&key.id) && all.stdout.contains(purpose.name()), "{format}: {all:?}");
                assert!(!all.stdout.contains(key.expose().expose_secret()), "{format}: {all:?}");
            }
        }
    }
    let csv = account.run(&["keys", "list", "pepper", "-o", "csv"]).stdout;
    let kid = &account.kid(Purpose::Pepper, 0);
    assert_eq!(
        csv,
        format!("purpose,kid,algorithm,state,published_at,sign_from,retire_at\r\npepper,{kid},HS256,signs,,,\r\n")
    );
    assert_eq!(account.events(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_set_that_cannot_be_read_hides_no_other_set() {
    let account = account().await;
    account.secrets.put("access", "weak");
    let listed = account.run(&["keys", "list"]);
    assert!(listed.code == 1 && listed.stdout.contains("refresh") && !listed.stdout.contains("access"), "{listed:?}");
    assert!(listed.stderr.contains("The set of access keys cannot be used"), "{listed:?}");
    assert!(!listed.stderr.contains("weak "), "{listed:?}");
    let next = account.kid(Purpose::Refresh, 1);
    assert_eq!(account.run(&["keys", "promote", &next]).code, 0);
    assert_failed(&account.run(&["keys", "list", "access"]), 1, "The set of access keys cannot be used");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_key_is_published_with_the_algorithm_of_the_key_that_signs() {
    let account = account().await;
    let added = account.run(&["keys", "add", "refresh", "-o", "json"]);
    assert_said(&added, &["Published the next refresh key", "It can sign from", "latchkey keys promote"]);
    let row: Value = serde_json::from_str(&added.stdout).unwrap();
    let keys = account.keys(Purpose::Refresh);
    let key = keys.by_id(row["kid"].as_str().unwrap()).unwrap();
    assert_eq!((keys.keys().len(), key.algorithm(), key.sign_from), (3, Algorithm::Hs256, None));
    assert_eq!(
        row,
        json!({
            "purpose": "refresh", "kid": key.id, "algorithm": "HS256", "state": "next",
            "published_at": key.published_at.rfc3339(),
        })
    );
    let event = only_event(&account, "keys add");
    assert_eq!(
        (&event["event"], &event["kid"], &event["purpose"]),
        (&json!("key_added"), &row["kid"], &json!("refresh"))
    );

    let added = account.run(&["keys", "add", "access", "--algorithm", "eddsa"]);
    assert_said(&added, &["The rotation drops the key within an hour, unless the parameter AccessAlgorithm is EdDSA."]);
    assert_eq!(account.keys(Purpose::Access).keys()[2].algorithm(), Algorithm::EdDsa);
    account.events();
    let refused = account.run(&["keys", "add", "device", "--algorithm", "EdDSA"]);
    assert_failed(&refused, 5, "EdDSA is for access tokens only");
    assert_eq!((account.keys(Purpose::Device).keys().len(), account.events().len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_takes_no_more_than_32_keys() {
    let account = account().await;
    for _ in 0..30 {
        assert_eq!(account.run(&["keys", "add", "device"]).code, 0);
    }
    let refused = account.run(&["keys", "add", "device"]);
    assert_failed(&refused, 5, "With another key, the set of device keys has more than 32 keys. Nothing was changed.");
}

/// R56.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_key_signs_if_it_was_published_900_s_ago() {
    let (account, [_, verifies, signs, next]) = account_in_rotation().await;
    let refused = account.run(&["keys", "promote", &next]);
    assert_failed(&refused, 5, "The stack has instances that may not know this key yet. Wait ");
    for kid in [&verifies, &signs] {
        assert_failed(&account.run(&["keys", "promote", kid]), 5, "can promote only a key that has not signed");
    }
    assert_failed(&account.run(&["keys", "promote", "-other"]), 3, "There is no key -other.");
    assert_eq!(account.events(), Vec::<Value>::new());

    let before = account.keys(Purpose::Device);
    let [old, new] = [0, 1].map(|index| before.keys()[index].id.clone());
    let promoted = account.run(&["keys", "promote", &new]);
    let keys = account.keys(Purpose::Device);
    let until = keys.by_id(&old).unwrap().retire_at.unwrap().rfc3339();
    assert_said(&promoted, &[&format!("The device key {new} signs."), &format!("{old} verifies until {until}.")]);
    assert_eq!(keys.active(Timestamp::now()).id, new);
    let event = only_event(&account, "keys promote");
    assert_eq!(
        (&event["event"], &event["kid"], &event["purpose"]),
        (&json!("key_promoted"), &json!(new), &json!("device"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_token_may_need_is_not_retired() {
    let (account, [retired, verifies, signs, next]) = account_in_rotation().await;
    let until = account.keys(Purpose::Access).by_id(&verifies).unwrap().retire_at.unwrap().rfc3339();
    for (kid, text) in [
        (&signs, format!("The access key {signs} signs. Promote another key first: `latchkey keys promote {next}`.")),
        (&verifies, format!("The access key {verifies} verifies. Wait until {until}.")),
    ] {
        let refused = account.run(&["keys", "retire", kid]);
        assert_failed(&refused, 5, &text);
        assert_failed(&refused, 5, "add --now to drop it at once. Nothing was changed.");
    }
    assert_eq!((account.keys(Purpose::Access).keys().len(), account.events().len()), (4, 0));
    for kid in [&retired, &next] {
        let dropped = account.run(&["keys", "retire", kid]);
        assert_said(&dropped, &[&format!("The access key {kid} is dropped.")]);
        assert!(account.keys(Purpose::Access).by_id(kid).is_none());
        let event = only_event(&account, "keys retire");
        assert_eq!(
            (&event["event"], &event["kid"], &event["in_use"]),
            (&json!("key_retired"), &json!(kid), &json!(false))
        );
    }
    let bare = &account.kid(Purpose::Pepper, 0);
    assert_failed(&account.run(&["keys", "retire", bare]), 5, "Publish another one first: `latchkey keys add pepper`.");
}

/// R57. Kim has two sessions that can be renewed, and one that cannot.
#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_says_which_sessions_it_ends_and_asks() {
    let (account, [_, verifies, signs, next]) = account_in_rotation().await;
    let env = account.environment();
    let kim = testbed::add_kim(&env).await;
    for persistent in [true, true, false] {
        testbed::sign_in(&env, &kim, persistent, Timestamp::now()).await;
    }
    let access = "This may end 1 of 3 active sessions: those without a refresh token. In the other 2, users only lose the \
                  access token, and the refresh token renews it.";
    let before = account.text(Purpose::Access);
    let asked = account.run(&["keys", "retire", &signs, "--now"]);
    assert_failed(&asked, 5, access);
    assert_failed(&asked, 5, &format!("Drop the access key {signs} of s at once?"));
    assert_failed(&asked, 5, "Add --yes. Nothing was changed.");
    assert_eq!((account.text(Purpose::Access), account.events().len()), (before, 0));

    let dropped = account.run(&["keys", "retire", &signs, "--now", "--yes"]);
    let refused = "Access tokens of this key are refused everywhere within 300 s, or within 900 s while Secrets Manager \
                   does not answer.";
    assert_said(&dropped, &[access, refused, &format!("{verifies} signs now.")]);
    let keys = account.keys(Purpose::Access);
    assert!(keys.by_id(&signs).is_none() && keys.by_id(&next).is_some());
    let event = only_event(&account, "keys retire");
    assert_eq!((&event["event"], &event["in_use"]), (&json!("key_retired"), &json!(true)));

    let [old, new] = [0, 1].map(|index| account.kid(Purpose::Refresh, index));
    let dropped = account.run(&["keys", "retire", "--now", "-y", &old]);
    assert_said(&dropped, &["This ends 2 of 3 active sessions: those with a refresh token of this key."]);
    assert_said(&dropped, &["Refresh tokens of this key", &format!("{new} signs now."), "Published the next key"]);
    // No session has a token of the new key.
    let asked = account.run(&["keys", "retire", &new, "--now"]);
    assert_failed(&asked, 5, "This ends 0 of 3 active sessions");
    // A next key that leaked could forge tokens, and needs no question.
    let dropped = account.run(&["keys", "retire", &next, "--now"]);
    assert_said(&dropped, &[refused, "Published the next key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_tables_does_not_stop_an_emergency() {
    let mut account = account().await;
    let [old, new] = [0, 1].map(|index| account.kid(Purpose::Refresh, index));
    account.stop_tables();
    let dropped = account.run(&["keys", "retire", &old, "--now", "--yes"]);
    assert_said(&dropped, &["The sessions that this may end cannot be counted: ", &format!("{new} signs now.")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pepper_and_device_keys_end_no_session() {
    let account = account().await;
    let old = account.kid(Purpose::Pepper, 0);
    let dropped = account.run(&["keys", "retire", &old, "--now", "--yes"]);
    let until_known = "For at most 300 s, some instances do not know this key";
    assert_said(&dropped, &["Passwords that were hashed with this key no longer work.", until_known]);
    let old = account.kid(Purpose::Device, 0);
    let dropped = account.run(&["keys", "retire", &old, "--now", "--yes"]);
    assert_said(&dropped, &["No session ends. Browsers with a device cookie of this key are unknown devices"]);
    assert!(!dropped.stderr.contains(until_known), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pepper_verifies_without_an_end_after_the_next_one_signs() {
    let account = account().await;
    let old = account.kid(Purpose::Pepper, 0);
    let next = account.keys(Purpose::Pepper);
    let earlier = Timestamp::from_secs(Timestamp::now().as_secs() - HOUR.as_secs());
    account.put(Purpose::Pepper, &next.with_next(Purpose::Pepper, Algorithm::Hs256, earlier).unwrap());
    let next = account.kid(Purpose::Pepper, 1);
    assert_said(&account.run(&["keys", "promote", &next]), &[&format!("{old} verifies without an end.")]);
    assert_failed(&account.run(&["keys", "retire", &old]), 5, "verifies without an end");
}

/// `docs/passwords.md` introduces a pepper in this way.
#[tokio::test(flavor = "multi_thread")]
async fn a_pepper_that_begins_later_is_listed_as_next_and_is_not_retired() {
    let account = account().await;
    let now = Timestamp::now().as_secs();
    let later = json!({ "kid": "-1", "alg": "HS256", "secret": PEPPER, "published_at": now, "sign_from": now + 3600 });
    account.secrets.put("pepper", &json!({ "keys": [later] }).to_string());
    let listed = account.run(&["keys", "list", "pepper", "-o", "json"]);
    let rows: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!((&rows[0]["kid"], &rows[0]["state"]), (&json!("-1"), &json!("next")));
    assert_failed(&account.run(&["keys", "retire", "-1"]), 5, "Publish another one first: `latchkey keys add pepper`.");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_event_no_key_changes() {
    let account = account().await;
    account.refuse_events();
    let purposes = [Purpose::Access, Purpose::Refresh];
    let before = purposes.map(|purpose| account.text(purpose));
    let next = account.kid(Purpose::Access, 1);
    let signs = account.kid(Purpose::Refresh, 0);
    for arguments in
        [&["keys", "add", "access"][..], &["keys", "promote", &next], &["keys", "retire", &signs, "--now", "--yes"]]
    {
        assert_failed(&account.run(arguments), 6, "AWS refused logs:PutLogEvents");
        assert_eq!(purposes.map(|purpose| account.text(purpose)), before, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_secrets_manager_says_what_happened() {
    let account = account().await;
    let before = account.text(Purpose::Access);
    let add = |faults: &[Fault]| {
        account.secrets.fail(faults);
        let answer = account.run(&["keys", "add", "access"]);
        account.secrets.fail(&[]);
        answer
    };
    let denied = Fault::Refuse(400, "AccessDeniedException");
    let outage = [Fault::Refuse(500, "InternalServiceError"); 9];
    let changed = Fault::Refuse(400, "InvalidParameterException");
    assert_failed(&add(&[denied]), 6, "`latchkey iam-policy` prints the policy");
    assert_failed(&add(&[Fault::Pass, denied]), 6, "AWS refused a call for the secret of the access keys");
    assert_failed(&add(&[Fault::Refuse(400, "ResourceNotFoundException")]), 3, "The secret of the access keys");
    assert_failed(&add(&outage), 7, "Secrets Manager did not answer. Try again");
    let unknown = add(&[&[Fault::Pass, Fault::Pass], &outage[..]].concat());
    assert_failed(&unknown, 7, "the keys may have been changed or not. Look with `latchkey keys list`");
    let overtaken = add(&[Fault::Pass, Fault::Pass, changed]);
    assert_failed(&overtaken, 4, "The keys were changed at the same time. Nothing was written. Try again.");
    assert_eq!(account.text(Purpose::Access), before);
    // The SDK repeats the call, which then finds its own change.
    let lost = add(&[Fault::Pass, Fault::Pass, Fault::LoseReply]);
    assert_said(&lost, &["Published the next access key"]);
    assert_eq!(account.keys(Purpose::Access).keys().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_key_sets_is_refused() {
    let world = World::new().await;
    for arguments in [&["keys", "list"][..], &["keys", "add", "access"], &["keys", "retire", "x", "--now"]] {
        assert_failed(&world.run(arguments), 5, "The keys of the local stack are fixed. Change them in the file .env");
    }
    let account = account().await;
    account.set("PASSWORD_PEPPER", "");
    assert!(!account.run(&["keys", "list"]).stdout.contains("pepper"));
    assert_failed(&account.run(&["keys", "list", "pepper"]), 3, "The stack s has no pepper.");
    account.set("REFRESH_SECRET", PEPPER);
    let refused = account.run(&["keys", "list"]);
    assert_failed(&refused, 3, "REFRESH_SECRET of the function login is not the ARN of a secret.");
    assert!(!refused.stderr.contains(PEPPER), "{refused:?}");
}
