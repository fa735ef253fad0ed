//! The roles of the functions: the grants of the template, and what the emulator allows.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use dev::people::KIM;
use futures_util::FutureExt as _;
use serde_json::Value;
use shared::store::{self, Client};
use testbed::contract::{self, Stack};
use testbed::deployed::{Decision, Emulator, logical_id, logical_id_of_secret};
use testbed::workspace::read;

/// A function, an action, and a table or a secret. An index follows its table, after a space.
type Grant = (String, String, String);

/// The emulator enforces the roles. Asserts that every call of a function was allowed, and that every grant was used.
pub(crate) fn each_function_used_its_grants_and_was_denied_nothing(emulator: &Emulator) {
    let mut used = BTreeSet::new();
    for decision in emulator.decisions() {
        let Some(grant) = grant_of(&decision) else { continue };
        assert!(decision.allowed, "{decision:?}");
        used.insert(grant);
    }
    let unused: Vec<_> = grants().difference(&used).cloned().collect();
    assert_eq!(unused, [], "grants that no call used");
}

/// Returns the grant that a call of a function needs, or `None` if a test or an operator made the call.
fn grant_of(decision: &Decision) -> Option<Grant> {
    let function = logical_id(decision.function()?).to_owned();
    let resource = if decision.action.starts_with("secretsmanager:") {
        logical_id_of_secret(&decision.resource)
    } else {
        [logical_id(&decision.table), &decision.index].join(" ").trim().to_owned()
    };
    Some((function, decision.action.clone(), resource))
}

/// Returns the grants of the template.
pub(crate) fn grants() -> BTreeSet<Grant> {
    let template: Value = serde_saphyr::from_str(&read("template.yaml")).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    let mut grants = BTreeSet::new();
    let resources = template["Resources"].as_object().unwrap().iter();
    for (function, resource) in resources.filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function") {
        let policies = resource["Properties"]["Policies"].as_array().into_iter().flatten();
        for statement in policies.flat_map(|policy| policy["Statement"].as_array().unwrap()) {
            // The table of the stack itself, and not an existing one.
            let is_choice = statement["Resource"][0] == "MakesUsersTable";
            let resource = if is_choice { &statement["Resource"][1] } else { &statement["Resource"] };
            for resource in list(resource) {
                // `!If [HasPepper, !Ref PasswordPepper, …]` is the pepper.
                let name = text(resource.get(1).unwrap_or(&resource)).replace(".Arn", "");
                let name = name.trim_matches(|character| "${}".contains(character)).replace("}/index/", " ");
                grants.extend(
                    list(&statement["Action"]).iter().map(|action| (function.clone(), text(action), name.clone())),
                );
            }
        }
    }
    grants
}

/// A grant of each kind: a read, a write and a secret.
const SAMPLE: [(&str, &str, &str); 3] = [
    ("SessionsFunction", "dynamodb:Query", "SessionsTable ActiveSessions"),
    ("LogoutFunction", "dynamodb:UpdateItem", "SessionsTable"),
    ("UserinfoFunction", "secretsmanager:GetSecretValue", "RefreshSecret"),
];

/// R96: takes three grants away. The module `every_grant` does this with each grant.
pub(crate) async fn some_grants_are_needed(emulator: &Emulator) {
    // The contract needs several sessions of a user. The name of the service starts new instances, which read the keys
    // that an operator has changed.
    emulator.run("sam deploy --parameter-overrides SessionsPerUser=100 ServiceName=Grants", &[]).await;
    let stack = emulator.stack().await;
    let sample: BTreeSet<_> = SAMPLE.map(|(function, action, on)| (function.into(), action.into(), on.into())).into();
    assert!(sample.is_subset(&grants()), "a grant of the sample is not in the template");
    for grant in sample {
        add_people(&stack).await;
        is_needed(emulator, &grant, contract::check(&stack)).await;
    }
    add_people(&stack).await;
    contract::check(&stack).await;
}

/// Asserts that a check fails without this grant, after a call that was denied for this reason.
pub(crate) async fn is_needed(emulator: &Emulator, grant: &Grant, check: impl Future<Output = ()>) {
    let (function, action, resource) = grant;
    eprintln!("  without {action} on {resource}, {function} fails:");
    let earlier = emulator.decisions().len();
    emulator.take_grant(function, action, resource).await;
    let outcome = AssertUnwindSafe(check).catch_unwind().await;
    let denied: BTreeSet<_> =
        emulator.decisions()[earlier..].iter().filter(|call| !call.allowed).filter_map(grant_of).collect();
    emulator.give_grants_back().await;
    assert!(outcome.is_err(), "all checks pass without {grant:?}");
    assert_eq!(denied, BTreeSet::from([grant.clone()]));
}

/// Empties the tables and adds the demonstration users. The hash of kimcoding is an imported one.
pub(crate) async fn add_people(stack: &Stack) {
    let client = store::connect(&stack.env).unwrap();
    for (table, key) in [(USERS, &["pk"][..]), (SESSIONS, &["user_id", "session_id"]), (ATTEMPTS, &["counter_key"])] {
        let table = stack.env.optional(table).unwrap();
        let mut items = client.scan().table_name(&table).consistent_read(true).into_paginator().items().send();
        while let Some(mut item) = items.next().await.transpose().unwrap() {
            item.retain(|name, _| key.contains(&name.as_str()));
            client.delete_item().table_name(&table).set_key(Some(item)).send().await.unwrap();
        }
    }
    testbed::add(&stack.env, KIM.user().unwrap(), serde_json::from_value(BCRYPT_OF_1234.into()).unwrap()).await;
    testbed::add_park(&stack.env).await;
}

/// The password of kimcoding, hashed with bcrypt at cost 5.
const BCRYPT_OF_1234: &str = "$2b$05$abcdefghijklmnopqrstuuV2lmZSlg12FQgc5cJlKcm9nBvnWgizO";

/// R96: a function is denied each secret that it does not use.
pub(crate) async fn each_function_reads_only_its_secrets(emulator: &Emulator) {
    let (functions, grants) = (emulator.functions().await, grants());
    let arns = &functions["LoginFunction"].environment;
    for (name, function) in &functions {
        let client = emulator.secrets_client_of(function);
        for variable in ["ACCESS_SECRET", "REFRESH_SECRET", "DEVICE_SECRET", "THROTTLE_SECRET", "PASSWORD_PEPPER"] {
            let arn = &arns[variable];
            let code = code(client.get_secret_value().secret_id(arn).send().await);
            let granted = (name.clone(), "secretsmanager:GetSecretValue".to_owned(), logical_id_of_secret(arn));
            assert_eq!(code.is_none(), grants.contains(&granted), "{name}: {variable}: {code:?}");
        }
    }
}

/// A call of DynamoDB.
#[derive(Debug)]
enum Call {
    Scan,
    /// Reads an index, or the table without a name.
    Query(&'static str),
    Get,
    BatchGet,
    Put,
    /// Changes this attribute.
    Update(&'static str),
    Delete,
}
use Call::{BatchGet, Delete, Get, Put, Query, Scan, Update};

const USERS: &str = "USERS_TABLE";
const SESSIONS: &str = "SESSIONS_TABLE";
const ATTEMPTS: &str = "ATTEMPTS_TABLE";

/// Calls on an item, and all functions whose role allows the call.
const RIGHTS: [(Call, &str, &str, &[&str]); 25] = [
    (Scan, USERS, "", &[]),
    (Get, USERS, "user#0", &["Login", "Password"]),
    (Get, USERS, "login#kimcoding", &["Login", "Password"]),
    (BatchGet, USERS, "user#0", &["Authorizer", "Login", "Logout", "Password", "Sessions", "Userinfo"]),
    (BatchGet, USERS, "login#kimcoding", &["Login", "Password"]),
    (Put, USERS, "user#0", &[]),
    (Update("session_epoch"), USERS, "user#0", &["Logout", "Password", "Sessions"]),
    (Update("session_epoch"), USERS, "login#kimcoding", &["Password"]),
    (Update("password_hash"), USERS, "login#kimcoding", &["Login", "Password"]),
    (Update("email"), USERS, "user#0", &[]),
    (Update("roles"), USERS, "user#0", &[]),
    (Update("user_id"), USERS, "login#kimcoding", &[]),
    (Delete, USERS, "user#0", &[]),
    (Scan, SESSIONS, "", &[]),
    (Get, SESSIONS, "0", &[]),
    (BatchGet, SESSIONS, "0", &["Authorizer", "Login", "Logout", "Password", "Sessions", "Userinfo"]),
    (Query(""), SESSIONS, "0", &[]),
    (Query("ActiveSessions"), SESSIONS, "0", &["Login", "Sessions", "Userinfo"]),
    (Put, SESSIONS, "0", &["Login", "Password"]),
    (Update("ended_at"), SESSIONS, "0", &["Login", "Logout", "Password", "Sessions", "Userinfo"]),
    (Delete, SESSIONS, "0", &[]),
    (Scan, ATTEMPTS, "", &[]),
    (BatchGet, ATTEMPTS, "account#x", &["Login", "Password"]),
    (Put, ATTEMPTS, "account#x", &["Login", "Password"]),
    (Delete, ATTEMPTS, "account#x", &["Login", "Password"]),
];

/// Asserts that a function with a defect, or an attacker who controls it, cannot do more than its role allows. No call
/// changes an item: each write has a condition that is false.
pub(crate) async fn each_role_allows_only_what_its_function_needs(emulator: &Emulator) {
    let functions = emulator.functions().await;
    let tables = &functions["LoginFunction"].environment;
    for (call, table, key, allowed) in RIGHTS {
        // The rotation has no tables.
        for (name, function) in functions.iter().filter(|(name, _)| *name != "RotationFunction") {
            let client = emulator.client_of(function);
            let is_denied = is_denied(&client, &call, &tables[table], key).await;
            let is_allowed = allowed.iter().any(|allowed| format!("{allowed}Function") == *name);
            assert_eq!(is_denied, !is_allowed, "{name}: {call:?} on {key} of {table}");
        }
    }
}

/// Makes a call, and returns `true` if the role of the caller does not allow it.
async fn is_denied(client: &Client, call: &Call, table: &str, key: &str) -> bool {
    let keys = match logical_id(table) {
        "UsersTable" => vec![("pk", key)],
        "SessionsTable" => vec![("user_id", key), ("session_id", "x")],
        _ => vec![("counter_key", key)],
    };
    let key: HashMap<_, _> =
        keys.iter().map(|(name, value)| ((*name).to_owned(), AttributeValue::S((*value).to_owned()))).collect();
    // The condition is false for an item that exists, and for one that does not exist.
    let never = format!("attribute_exists({0}) AND attribute_not_exists({0})", keys[0].0);
    let code = match call {
        Scan => code(client.scan().table_name(table).send().await),
        Query(index) => {
            let query = client.query().table_name(table).key_condition_expression("user_id = :user");
            let query = query.expression_attribute_values(":user", key["user_id"].clone());
            let index = (!index.is_empty()).then(|| (*index).to_owned());
            code(query.set_index_name(index).send().await)
        }
        Get => code(client.get_item().table_name(table).set_key(Some(key)).send().await),
        BatchGet => {
            let keys = KeysAndAttributes::builder().keys(key).build().unwrap();
            code(client.batch_get_item().request_items(table, keys).send().await)
        }
        Put => {
            let put = client.put_item().table_name(table).set_item(Some(key));
            code(put.condition_expression(never).send().await)
        }
        Update(attribute) => {
            let update = client.update_item().table_name(table).set_key(Some(key)).condition_expression(never);
            let update = update.update_expression("REMOVE #name").expression_attribute_names("#name", *attribute);
            code(update.send().await)
        }
        Delete => {
            let delete = client.delete_item().table_name(table).set_key(Some(key));
            code(delete.condition_expression(never).send().await)
        }
    };
    match code.as_deref() {
        Some("AccessDeniedException") => true,
        None | Some("ConditionalCheckFailedException") => false,
        Some(other) => panic!("{call:?} on {table}: {other}"),
    }
}

/// Returns the error code of a call, or `None` if the call succeeded.
fn code<T, E: ProvideErrorMetadata + Debug>(outcome: Result<T, SdkError<E>>) -> Option<String> {
    let error = outcome.err()?;
    Some(error.code().unwrap_or_else(|| panic!("{error:?}")).to_owned())
}
