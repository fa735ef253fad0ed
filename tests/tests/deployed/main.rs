//! The template and the documented commands, on a local emulator of AWS: deployment, contract, permissions, update and
//! deletion. `tests/deployed/README.md` says what this proves.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::Duration;

use shared::budget::Budget;
use shared::keys::Purpose;
use shared::store::{self, LoginName, Users};
use testbed::deployed::{Emulator, has_cpu_jitter};
use testbed::workspace::read;
use testbed::{PROTECTED, contract};
use tokio::signal::unix::{SignalKind, signal};

mod changes;
#[cfg(feature = "emergency")]
mod emergency;
#[cfg(feature = "every-grant")]
mod every_grant;
mod grants;
mod keys;
mod operator;
mod protected;

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

/// R96: each grant of a role is needed. Takes six minutes, because it runs the contract once for each grant. So it is
/// no part of the other checks, which try three grants.
#[cfg(feature = "every-grant")]
#[tokio::test]
async fn each_grant_is_needed() {
    run(Box::pin(async {
        let emulator = Emulator::start().await;
        emulator.run(&deployment(), &[]).await;
        let stack = emulator.stack().await;
        testbed::add_kim(&stack.env).await;
        a_pepper_can_be_introduced(&emulator, &stack).await;
        emulator.deploy_protected_route().await;
        // The first run of the rotation writes the key sets.
        keys::run(&emulator, "sam remote invoke", "").await;
        every_grant::check(&emulator, &emulator.stack().await).await;
    }))
    .await;
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
    changes::the_users_table_is_protected(&stack).await;
    testbed::add_kim(&stack.env).await;
    testbed::add_park(&stack.env).await;
    contract::check(&stack).await;
    keys::check(&emulator, &stack).await;
    a_pepper_can_be_introduced(&emulator, &stack).await;
    the_limit_of_sessions_can_be_lowered(&emulator, &stack).await;
    emulator.deploy_protected_route().await;
    contract::check_authorizer(&stack, PROTECTED).await;

    grants::each_function_used_its_grants_and_was_denied_nothing(&emulator);
    grants::each_role_allows_only_what_its_function_needs(&emulator).await;
    grants::each_function_reads_only_its_secrets(&emulator).await;
    operator::check(&emulator, &stack).await;
    grants::some_grants_are_needed(&emulator).await;
    changes::check(&emulator, &stack).await;
    protected::check(&emulator).await;
    changes::a_restored_users_table_replaces_the_old_one(&emulator).await;

    let pepper = emulator.functions().await["LoginFunction"].environment["PASSWORD_PEPPER"].clone();
    emulator.run("sam delete --stack-name latchkey --no-prompts", &[]).await;
    assert_eq!(emulator.functions().await.len(), 0, "the functions are deleted");
    changes::a_new_stack_uses_the_table_of_a_deleted_one(&emulator, &stack, &pepper).await;
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
    let commands = code_block("docs/passwords.md", "create-secret");
    // After an hour, another name of the service starts new instances of both functions that read the pepper.
    for (commands, passed) in [(&*commands, 0), ("sam deploy --parameter-overrides ServiceName=Pepper", 1)] {
        if passed > 0 {
            emulator.age_keys(Purpose::Pepper, Duration::from_hours(passed)).await;
        }
        emulator.run(commands, &[]).await;
        let token = stack.access_token().await;
        assert_eq!(stack.status_for(&token).await, 200, "{passed} h after the pepper was introduced");
        // Starts the function that has not been called since the deployment.
        assert_eq!(stack.status_of("/password").await, 405);
    }
    let users = Users::from_env(store::connect(&stack.env).unwrap(), &stack.env).unwrap();
    let name = LoginName::parse("kimcoding").unwrap();
    let found = users.find_by_login_name(&name, &Budget::new(None)).await.unwrap().unwrap().credentials;
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
