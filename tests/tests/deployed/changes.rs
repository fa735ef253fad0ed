//! Changes of a deployed stack: deployments that fail, a restored users table, a domain, and a new stack on the users
//! table of a deleted one.

use std::collections::BTreeMap;

use dev::people::KIM;
use serde_json::Value;
use shared::budget::Budget;
use shared::id::UserId;
use shared::store::{self, Users};
use testbed::contract::{self, Stack};
use testbed::deployed::{Emulator, Function};

use super::{code_block, grants, operator};

/// The page of the restore.
const OPERATE: &str = "docs/operate.md";

/// Changes the stack as an operator does.
pub(crate) async fn check(emulator: &Emulator, stack: &Stack) {
    a_deployment_whose_functions_do_not_start_is_rolled_back(emulator, stack).await;
    a_failed_first_deployment_leaves_no_table(emulator).await;
    a_source_address_is_throttled(emulator, stack).await;
    a_domain_replaces_the_first_address(emulator, stack).await;
}

/// The deployment check protects the users table from deletion.
pub(crate) async fn the_users_table_is_protected(stack: &Stack) {
    let table = stack.env.optional("USERS_TABLE").unwrap();
    let described = store::connect(&stack.env).unwrap().describe_table().table_name(table).send().await.unwrap();
    assert_eq!(described.table.unwrap().deletion_protection_enabled, Some(true));
}

/// No parameter alone is invalid, so only a function finds the error.
async fn a_deployment_whose_functions_do_not_start_is_rolled_back(emulator: &Emulator, stack: &Stack) {
    let (before, token) = (emulator.functions().await, stack.access_token().await);
    let output = emulator.run_in_vain("sam deploy --parameter-overrides RefreshTtl=300").await;
    let reason = output.split_whitespace().collect::<String>();
    assert!(reason.contains("REFRESH_TTL"), "the events name the setting: {output}");
    let environment = |functions: &BTreeMap<String, Function>| {
        functions.values().map(|function| function.environment.clone()).collect::<Vec<_>>()
    };
    assert_eq!(environment(&emulator.functions().await), environment(&before));
    assert_eq!(stack.status_for(&token).await, 200, "the session is as before");
    // The parameters are those of before, too.
    emulator.run("sam deploy --parameter-overrides ServiceName=After", &[]).await;
    assert_eq!(stack.status_for(&token).await, 200, "an update in the middle of a session");
}

/// A first deployment that fails leaves nothing that has to be deleted by hand.
async fn a_failed_first_deployment_leaves_no_table(emulator: &Emulator) {
    let tables = emulator.tables().await;
    // A function that does not start, and a DNS record that cannot be made although all functions start.
    let domain = "DomainName=login.example.org HostedZoneId=ZDOESNOTEXIST";
    for (parameter, reason) in [("RefreshTtl=300", "REFRESH_TTL"), (domain, "ZDOESNOTEXIST")] {
        let deploy = "sam deploy --stack-name broken --parameter-overrides Architecture=x86_64";
        let output = emulator.run_in_vain(&format!("{deploy} {parameter}")).await;
        let output = output.split_whitespace().collect::<String>();
        assert!(output.contains(reason) && output.contains("ROLLBACK_COMPLETE"), "{output}");
        assert_eq!(emulator.tables().await, tables, "{parameter}");
        emulator.run("sam delete --stack-name broken --no-prompts", &[]).await;
    }
}

/// The limit for each source address, which API Gateway reports. Other commands of the page change other parameters.
async fn a_source_address_is_throttled(emulator: &Emulator, stack: &Stack) {
    let (attacker, other) = ([127, 0, 0, 2].into(), [127, 0, 0, 3].into());
    emulator.run(&code_block("docs/deploy.md", "SessionsPerUser=10"), &[]).await;
    emulator.run(&code_block("docs/deploy.md", "AlarmEmail="), &[]).await;
    emulator.run("sam deploy --parameter-overrides SourceFailuresPerHour=5", &[]).await;
    for guess in 0..5 {
        assert_eq!(stack.log_in_from(attacker, &format!("guessed-{guess}"), "0").await, 401);
    }
    assert_eq!(stack.log_in_from(attacker, "guessed-5", "0").await, 429);
    assert_eq!(stack.log_in_from(other, KIM.user_id, KIM.password).await, 302, "the address of another user");
    emulator.run("sam deploy --parameter-overrides SourceFailuresPerHour=100", &[]).await;
}

/// The contract at a domain, with cookies for the whole site. The first address responds no more.
async fn a_domain_replaces_the_first_address(emulator: &Emulator, first: &Stack) {
    let refused = emulator.run_in_vain("sam deploy --parameter-overrides DomainName=login.example.com").await;
    assert!(refused.contains("needs HostedZoneId or CertificateArn"), "{refused}");

    let block = code_block("docs/deploy.md", "HostedZoneId=");
    let deploy = block.split("cargo latchkey").next().unwrap();
    let zone = "zone=$(aws route53 create-hosted-zone --name example.com --caller-reference 1 \\\n\
                --query HostedZone.Id --output text)";
    // The contract has an old front end at this origin, and needs cookies for the whole site.
    let deploy = deploy.replace("https://app.example.com", "https://localhost:3000 CookieDomain=example.com");
    let deploy = deploy.replace("Z0123456789ABCDEFGHIJ", "$(basename \"$zone\")");
    emulator.run(&format!("{zone}\n{deploy}"), &[]).await;
    let stack = emulator.stack().await;
    assert_eq!(stack.url, "https://login.example.com");
    assert_eq!(stack.env.optional("COOKIE_DOMAIN").as_deref(), Some("example.com"));
    grants::add_people(&stack).await;
    contract::check(&stack).await;
    assert_eq!(first.status_of("/login").await, 404, "the first address is switched off");
}

/// A restore brings back what ended sessions, so that the keys are dropped first.
pub(crate) async fn a_restored_users_table_replaces_the_old_one(emulator: &Emulator) {
    let old = emulator.stack().await;
    let revived = old.access_token().await;
    let restore = code_block(OPERATE, "restore-table-to-point-in-time");
    emulator.run(&restore, &[]).await;
    emulator.run(&code_block(OPERATE, "update-continuous-backups"), &[]).await;

    // After the moment of the restore, the user ends all sessions.
    operator::latchkey(emulator, "sessions end-all kimcoding").await;
    assert_eq!(old.status_for(&revived).await, 401);

    for purpose in ["access", "refresh"] {
        let listed = operator::latchkey(emulator, &format!("keys list {purpose} -o json")).await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        for state in ["verifies", "signs"] {
            for key in listed.as_array().unwrap().iter().filter(|key| key["state"] == state) {
                let kid = key["kid"].as_str().unwrap();
                operator::latchkey(emulator, &format!("keys retire --now --yes -- {kid}")).await;
            }
        }
    }
    let switch = code_block(OPERATE, "ExistingUsersTable=");
    emulator.run(switch.split("cargo latchkey").next().unwrap(), &[]).await;
    let stack = emulator.stack().await;
    assert_eq!(stack.env.optional("USERS_TABLE").as_deref(), Some("latchkey-users-restored"));
    assert_eq!(stack.status_for(&revived).await, 401, "a session that ended after the restored moment");
    assert_eq!(stack.status_for(&stack.access_token().await).await, 200);
    assert!(has_kim(&old).await, "the old table stays");
}

/// A new stack uses the users table of a deleted one. The password works.
pub(crate) async fn a_new_stack_uses_the_table_of_a_deleted_one(emulator: &Emulator, deleted: &Stack, pepper: &str) {
    let table = deleted.env.optional("USERS_TABLE").unwrap();
    let block = code_block("docs/deploy.md", "ExistingUsersTable=");
    let deploy = block.trim().replace("latchkey-UsersTable-1ABCDEFGHIJKL", &table);
    // The parameters of a deleted stack are gone, too.
    emulator.run(&format!("{deploy} Architecture=x86_64 PasswordPepper={pepper}"), &[]).await;
    let stack = emulator.stack().await;
    assert_eq!(stack.env.optional("USERS_TABLE"), Some(table));
    assert_eq!(stack.status_for(&stack.access_token().await).await, 200);
}

/// Returns `true` if the users table of a stack has kimcoding.
async fn has_kim(stack: &Stack) -> bool {
    let users = Users::from_env(store::connect(&stack.env).unwrap(), &stack.env).unwrap();
    users.find(&UserId::parse("0").unwrap(), &Budget::new(None)).await.unwrap().is_some()
}
