//! The template and the documented commands, on a local emulator of AWS: deployment, contract, permissions, update and
//! deletion. `tests/deployed/README.md` says what this proves.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use serde_json::Value;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::id::UserId;
use shared::store::{self, Account, Client, Users};
use testbed::deployed::{Emulator, has_cpu_jitter, logical_id, logical_id_of_secret};
use testbed::workspace::read;
use testbed::{PROTECTED, contract};
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "emergency")]
mod emergency;
mod keys;
mod operator;

/// R96. One test, because it deploys one stack.
#[tokio::test]
async fn the_deployed_stack_keeps_the_contract_with_the_fewest_permissions() {
    run(Box::pin(checks())).await;
}

/// Instances that run refuse a key that was dropped, without a deployment. Takes five minutes, because it waits until
/// each instance reads its keys again. So it is no part of the other checks.
#[cfg(feature = "emergency")]
#[tokio::test]
async fn a_revoked_key_is_refused_within_300_s() {
    run(Box::pin(emergency::check())).await;
}

/// Runs checks. The emulator also stops if the test is interrupted.
async fn run(checks: impl Future<Output = ()>) {
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap());
    tokio::select! {
        () = checks => {}
        _ = interrupted.recv() => panic!("interrupted"),
        _ = terminated.recv() => panic!("terminated"),
    }
}

async fn checks() {
    let emulator = Emulator::start().await;
    emulator.run(&deployment(), &[]).await;
    assert!(!has_cpu_jitter(), "aws-lc was built without AWS_LC_SYS_NO_JITTER_ENTROPY");

    let stack = emulator.stack().await;
    testbed::add_kim(&stack.env).await;
    testbed::add_park(&stack.env).await;
    contract::check(&stack).await;
    keys::check(&emulator, &stack).await;
    a_pepper_can_be_introduced(&emulator, &stack).await;
    the_limit_of_sessions_can_be_lowered(&emulator, &stack).await;
    emulator.deploy_protected_route().await;
    contract::check_authorizer(&stack, PROTECTED).await;

    each_function_used_its_grants_and_was_denied_nothing(&emulator);
    each_role_allows_only_what_its_function_needs(&emulator).await;
    each_function_reads_only_its_secrets(&emulator).await;
    operator::check(&emulator, &stack).await;

    emulator.run("sam delete --stack-name latchkey --no-prompts", &[]).await;
    assert_eq!(emulator.functions().await.len(), 0, "the functions are deleted");
    let users = Users::from_env(store::connect(&stack.env).unwrap(), &stack.env).unwrap();
    let kim = users.find(&UserId::parse("0").unwrap(), &Budget::new(None)).await.unwrap();
    assert!(kim.is_some(), "the users table is retained");
}

/// Returns the commands of the README that build and deploy the stack. Adds what this machine and the contract need:
/// functions for its processor, the origin of the old front end, and no device cookies.
fn deployment() -> String {
    let commands = code_block("README.md", "sam build\nsam deploy\n");
    let more = "Architecture=x86_64 AllowedOrigins=https://localhost:3000 DeviceCookie=off";
    commands
        .replace("sam build\n", "sam build --parameter-overrides Architecture=x86_64\n")
        .replace("sam deploy\n", &format!("sam deploy --parameter-overrides {more}\n"))
}

/// Returns the code block of a page that contains this text.
fn code_block(page: &str, text: &str) -> String {
    let page = read(page);
    let blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let mut blocks = blocks.filter(|block| block.contains(text));
    let block = blocks.next().unwrap_or_else(|| panic!("no commands with {text}"));
    assert!(blocks.next().is_none(), "{text} is in two blocks");
    block.to_owned()
}

/// R14: introduces a pepper as `docs/passwords.md` says. Users can sign in before and after it begins to hash.
async fn a_pepper_can_be_introduced(emulator: &Emulator, stack: &contract::Stack) {
    let block = code_block("docs/passwords.md", "create-secret");
    let create = block.lines().take_while(|line| !line.starts_with("sam deploy")).collect::<Vec<_>>().join("\n");
    // There is no AWS CLI on this machine. The call is the same one.
    let text = create.split("--secret-string \\\n").nth(1).unwrap().trim().trim_end_matches(")\"");
    let pepper = "the-first-pepper-0123456789abcdef";
    for begins in [3600, 0] {
        let now = Timestamp::now().as_secs();
        let text = text.replace("'\"$pepper\"'", pepper).replace("'\"$now\"'", &(now - 3600).to_string());
        let text = text.replace("'$((now + 3600))'", &(now + begins).to_string());
        let arn = emulator.put_secret("latchkey-pepper", text.trim_matches('\'')).await;
        // Another name of the service starts new instances of both functions that read the pepper.
        let restart = format!("PasswordPepper={arn} ServiceName=Pepper{begins}");
        emulator.run(&format!("sam deploy --parameter-overrides {restart}"), &[]).await;
        let token = stack.access_token().await;
        assert_eq!(stack.status_for(&token).await, 200, "{begins} s before the pepper hashes");
        // Starts the function that has not been called since the deployment.
        assert_eq!(stack.status_of("/password").await, 405);
    }
    let users = Users::from_env(store::connect(&stack.env).unwrap(), &stack.env).unwrap();
    let found = users.credentials(&Account::named("kimcoding"), &Budget::new(None)).await.unwrap().unwrap();
    assert!(found.password_hash.unwrap().expose().contains(",keyid="), "the login replaced the hash");
}

/// R77. The sessions from before the deployment are more than the new limit.
async fn the_limit_of_sessions_can_be_lowered(emulator: &Emulator, stack: &contract::Stack) {
    let (first, second) = (stack.access_token().await, stack.access_token().await);
    assert_eq!((stack.status_for(&first).await, stack.status_for(&second).await), (200, 200));
    emulator.run("sam deploy --parameter-overrides SessionsPerUser=1", &[]).await;
    let third = stack.access_token().await;
    let statuses = [stack.status_for(&first).await, stack.status_for(&second).await, stack.status_for(&third).await];
    assert_eq!(statuses, [401, 401, 200]);
}

/// The emulator enforces the roles. Asserts that every call of a function was allowed, and that every grant was used.
fn each_function_used_its_grants_and_was_denied_nothing(emulator: &Emulator) {
    let mut used = BTreeSet::new();
    for decision in emulator.decisions() {
        let Some(function) = decision.function() else { continue };
        assert!(decision.allowed, "{decision:?}");
        let resource = if decision.action.starts_with("secretsmanager:") {
            logical_id_of_secret(&decision.resource)
        } else {
            [logical_id(&decision.table), &decision.index].join(" ").trim().to_owned()
        };
        used.insert((logical_id(function).to_owned(), decision.action, resource));
    }
    let unused: Vec<_> = grants().difference(&used).cloned().collect();
    assert_eq!(unused, [], "grants that no call used");
}

/// Returns the grants of the template: function, action, and table or secret. An index follows its table, after a
/// space.
fn grants() -> BTreeSet<(String, String, String)> {
    let template: Value = serde_saphyr::from_str(&read("template.yaml")).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    let mut grants = BTreeSet::new();
    for (function, resource) in template["Resources"].as_object().unwrap() {
        let policies = resource["Properties"]["Policies"].as_array().into_iter().flatten();
        for statement in policies.flat_map(|policy| policy["Statement"].as_array().unwrap()) {
            for resource in list(&statement["Resource"]) {
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

/// R96: a function is denied each secret that it does not use.
async fn each_function_reads_only_its_secrets(emulator: &Emulator) {
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
    (BatchGet, USERS, "login#kimcoding", &["Password"]),
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
async fn each_role_allows_only_what_its_function_needs(emulator: &Emulator) {
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
