//! `latchkey iam-policy`: the IAM policy that the commands need.
//!
//! `RIGHTS` has the rights of each command. A test runs every command with exactly its policy.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Context;
use crate::audit::{functions_group_of, group_of};
use crate::failure::Failure;

/// The examples of `--help`.
pub const EXAMPLES: &str = "\
Examples:
  latchkey iam-policy --stack latchkey > operator.json
  latchkey iam-policy --stack latchkey users list
  latchkey iam-policy --stack latchkey users unlock --region eu-west-1
  latchkey iam-policy --stack latchkey --users-table latchkey-users-restored

Without a command, the policy allows all commands.";

/// Prints a policy.
#[derive(Debug, Args)]
pub struct IamPolicy {
    /// The command, such as `users unlock`.
    #[arg(value_name = "COMMAND", num_args = 0..=2)]
    command: Vec<String>,

    /// The users table, if the stack has the parameter `ExistingUsersTable`.
    #[arg(long, value_name = "NAME", value_parser = table_name)]
    users_table: Option<String>,
}

/// Accepts the name of a table.
fn table_name(text: &str) -> Result<String, String> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    if (3..=255).contains(&text.len()) && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("the name of a table has 3 to 255 letters, digits, or the signs _ . -".to_owned())
    }
}

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Stack,
    Login,
    Password,
    AllFunctions,
    Users,
    Sessions,
    ActiveSessions,
    Attempts,
    AuditLog,
    FunctionLogs,
    ThrottleSecret,
    KeySecrets,
    /// Actions that AWS does not limit to a resource.
    Any,
}

use Resource::{
    ActiveSessions, AllFunctions, Any, Attempts, AuditLog, FunctionLogs, KeySecrets, Login, Password, Sessions, Stack,
    ThrottleSecret, Users,
};

type Rights = &'static [(Resource, &'static [&'static str])];

/// Finds the stack: all commands.
const FIND: Rights = &[(Stack, &["cloudformation:DescribeStacks"])];

/// Writes audit events: all commands that change something.
const AUDIT: Rights = &[(AuditLog, &["logs:CreateLogStream", "logs:PutLogEvents"])];

/// Reads the settings of `login`, and the key of the attempts table.
const SETTINGS: Rights = &[
    (Stack, &["cloudformation:DescribeStackResource"]),
    (Login, &["lambda:GetFunctionConfiguration"]),
    (ThrottleSecret, &["secretsmanager:GetSecretValue"]),
];

/// Reads the settings that a new password needs. If the stack has a pepper, its operator also allows to read it.
const NEW_PASSWORD: Rights = &[
    (Stack, &["cloudformation:DescribeStackResource"]),
    (Login, &["lambda:GetFunctionConfiguration"]),
    (Password, &["lambda:GetFunctionConfiguration"]),
    (ThrottleSecret, &["secretsmanager:GetSecretValue"]),
];

/// Finds and reads the key sets. If the stack has a pepper, its operator also allows to read and to change it.
const KEYS: Rights = &[
    (Stack, &["cloudformation:DescribeStackResource"]),
    (Login, &["lambda:GetFunctionConfiguration"]),
    (KeySecrets, &["secretsmanager:GetSecretValue"]),
];

/// Replaces a key set.
const NEW_KEYS: Rights = &[(KeySecrets, &["secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"])];

/// The rights of each command.
const RIGHTS: &[(&str, &[Rights])] = &[
    (
        "users add",
        &[
            FIND,
            AUDIT,
            NEW_PASSWORD,
            &[(Users, &["dynamodb:BatchGetItem", "dynamodb:PutItem"]), (Attempts, &["dynamodb:DeleteItem"])],
        ],
    ),
    (
        "users show",
        &[
            FIND,
            SETTINGS,
            &[
                (Users, &["dynamodb:GetItem"]),
                (ActiveSessions, &["dynamodb:Query"]),
                (Sessions, &["dynamodb:BatchGetItem"]),
                (Attempts, &["dynamodb:GetItem"]),
            ],
        ],
    ),
    ("users list", &[FIND, &[(Users, &["dynamodb:BatchGetItem", "dynamodb:Scan"])]]),
    ("users set", &[FIND, AUDIT, CHANGE]),
    ("users rename", &[FIND, AUDIT, SETTINGS, CHANGE, &[(Attempts, &["dynamodb:DeleteItem", "dynamodb:Scan"])]]),
    ("users set-password", &[FIND, AUDIT, NEW_PASSWORD, UPDATE, &[(Attempts, &["dynamodb:DeleteItem"])]]),
    ("users disable", &[FIND, AUDIT, UPDATE]),
    ("users enable", &[FIND, AUDIT, UPDATE]),
    (
        "users unlock",
        &[
            FIND,
            AUDIT,
            SETTINGS,
            &[(Users, &["dynamodb:GetItem"]), (Attempts, &["dynamodb:DeleteItem", "dynamodb:GetItem"])],
        ],
    ),
    ("users delete", &[FIND, AUDIT, DELETE]),
    (
        "users erase",
        &[
            FIND,
            AUDIT,
            SETTINGS,
            DELETE,
            &[
                (Sessions, &["dynamodb:BatchWriteItem", "dynamodb:Query"]),
                (Attempts, &["dynamodb:DeleteItem", "dynamodb:Scan"]),
            ],
        ],
    ),
    (
        "users import",
        &[
            FIND,
            AUDIT,
            SETTINGS,
            &[
                (Users, &["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem"]),
                (Attempts, &["dynamodb:DeleteItem", "dynamodb:Scan"]),
            ],
        ],
    ),
    ("users export", &[FIND, AUDIT, &[(Users, &["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Scan"])]]),
    (
        "sessions list",
        &[
            FIND,
            &[
                (Users, &["dynamodb:GetItem"]),
                (ActiveSessions, &["dynamodb:Query"]),
                (Sessions, &["dynamodb:BatchGetItem"]),
            ],
        ],
    ),
    (
        "sessions end",
        &[
            FIND,
            AUDIT,
            &[(Users, &["dynamodb:GetItem"]), (Sessions, &["dynamodb:Query", "dynamodb:Scan", "dynamodb:UpdateItem"])],
        ],
    ),
    ("sessions end-all", &[FIND, AUDIT, UPDATE]),
    ("keys list", &[FIND, KEYS]),
    ("keys add", &[FIND, AUDIT, KEYS, NEW_KEYS]),
    ("keys promote", &[FIND, AUDIT, KEYS, NEW_KEYS]),
    ("keys retire", &[FIND, AUDIT, KEYS, NEW_KEYS, COUNT]),
    ("unblock", &[FIND, AUDIT, &[(Attempts, &["dynamodb:DeleteItem"])]]),
    ("blocked", &[FIND, SETTINGS, &[(Attempts, &["dynamodb:Scan"])]]),
    ("stats", &[FIND, COUNT]),
    (
        "audit",
        &[
            FIND,
            &[
                (Users, &["dynamodb:GetItem"]),
                (AuditLog, &["logs:FilterLogEvents"]),
                (FunctionLogs, &["logs:FilterLogEvents"]),
            ],
        ],
    ),
    (
        "doctor",
        &[
            FIND,
            AUDIT,
            &[
                (Stack, &["cloudformation:DescribeStackResource"]),
                (AllFunctions, &["lambda:GetFunctionConfiguration"]),
                (ThrottleSecret, &["secretsmanager:GetSecretValue"]),
            ],
            DELETE,
            &[
                (Users, &["dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:PutItem"]),
                (
                    Sessions,
                    &[
                        "dynamodb:BatchWriteItem",
                        "dynamodb:DescribeTable",
                        "dynamodb:DescribeTimeToLive",
                        "dynamodb:Query",
                    ],
                ),
                (Attempts, &["dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"]),
                (Stack, &["cloudformation:ListStackResources"]),
                (Any, &["logs:DescribeLogGroups"]),
            ],
        ],
    ),
];

/// Counts users and sessions.
const COUNT: Rights = &[(Users, &["dynamodb:Scan"]), (Sessions, &["dynamodb:Scan"])];

/// Changes a user that was read before.
const UPDATE: Rights = &[(Users, &["dynamodb:GetItem", "dynamodb:UpdateItem"])];

/// Changes a user, also the names.
const CHANGE: Rights = &[(
    Users,
    &["dynamodb:BatchGetItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
)];

/// Deletes a user that was read before.
const DELETE: Rights = &[(Users, &["dynamodb:DeleteItem", "dynamodb:GetItem"])];

/// Returns the commands that have a policy.
pub fn commands() -> impl Iterator<Item = &'static str> {
    RIGHTS.iter().map(|(name, _)| *name)
}

impl IamPolicy {
    /// Prints the policy.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for an unknown command, or without the name of a stack.
    #[expect(clippy::unused_async, reason = "all commands have the same signature")]
    pub async fn run(self, context: &Context) -> Result<()> {
        let Some(stack) = context.target.stack_name() else {
            return Err(Failure::Invalid("For which stack? Add --stack NAME.".into()).into());
        };
        let command = self.command.join(" ");
        let is_wanted = |name: &str| command.is_empty() || name == command || name.starts_with(&format!("{command} "));
        let rights: Vec<_> =
            RIGHTS.iter().filter(|(name, _)| is_wanted(name)).flat_map(|(_, rights)| *rights).collect();
        if rights.is_empty() {
            let names: Vec<_> = commands().collect();
            return Err(
                Failure::Invalid(format!("There is no command {command}. There are: {}.", names.join(", "))).into()
            );
        }
        let names = Names { stack, region: context.target.region().unwrap_or("*"), users: self.users_table.as_deref() };
        let policy = policy(names, rights.into_iter().copied());
        let text = serde_json::to_string_pretty(&policy)? + "\n";
        std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes())?;
        Ok(())
    }
}

/// A policy of IAM. A struct, so that its fields have an order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Value,
}

/// What names the resources of a stack.
#[derive(Clone, Copy)]
struct Names<'a> {
    stack: &'a str,
    region: &'a str,
    /// The users table that `CloudFormation` did not make.
    users: Option<&'a str>,
}

/// Returns the policy with these rights. The names of resources are those that `CloudFormation` gives them.
fn policy(names: Names<'_>, rights: impl Iterator<Item = Rights>) -> Policy {
    let mut by_resource: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (resource, actions) in rights.flatten() {
        by_resource.entry(*resource).or_default().extend(actions.iter().copied());
    }
    // A right for all functions includes the right for one function.
    let all = by_resource.get(&AllFunctions).cloned().unwrap_or_default();
    let is_included = |actions: &[&str]| actions.iter().all(|action| all.contains(action));
    by_resource.retain(|resource, actions| !matches!(resource, Login | Password) || !is_included(actions));
    let statement = by_resource.into_iter().map(|(resource, mut action)| {
        action.sort_unstable();
        action.dedup();
        Statement { effect: "Allow", action, resource: arns(resource, names) }
    });
    Policy { version: "2012-10-17", statement: statement.collect() }
}

/// The functions of the template.
const FUNCTIONS: [&str; 8] = ["Authorizer", "Jwks", "Login", "Logout", "Password", "Rotation", "Sessions", "Userinfo"];

/// The longest name of a stack that fits into the names of its functions. A function has a name of at most 64
/// characters: the name of the stack, `AuthorizerFunction`, and 13 random characters.
const LONGEST_WHOLE: usize = 31;

/// The characters of a longer name that the names of the functions begin with. `CloudFormation` does not say how it
/// shortens the name, so that this number is low.
const LONGEST_IN_FUNCTION: usize = 20;

/// Returns the ARNs of a resource. They name each function: a pattern such as `latchkey-*Function-*` would also match
/// the functions of a stack `latchkey-prod`.
fn arns(resource: Resource, Names { stack, region, users }: Names<'_>) -> Value {
    let partition = match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ if region.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    };
    let of = |service: &str, name: &str| format!("arn:{partition}:{service}:{region}:*:{name}");
    let named = |name: &str| match stack.get(..LONGEST_IN_FUNCTION) {
        Some(start) if stack.len() > LONGEST_WHOLE => format!("{start}*-{name}Function-*"),
        _ => format!("{stack}-{name}Function-*"),
    };
    let function = |name: &str| of("lambda", &format!("function:{}", named(name)));
    let secret = |name: &str| of("secretsmanager", &format!("secret:latchkey/{stack}/{name}-*"));
    match resource {
        Stack => json!(of("cloudformation", &format!("stack/{stack}/*"))),
        Login => json!(function("Login")),
        Password => json!(function("Password")),
        AllFunctions => json!(FUNCTIONS.map(function)),
        Users => match users {
            Some(name) => json!(of("dynamodb", &format!("table/{name}"))),
            None => json!(of("dynamodb", &format!("table/{stack}-UsersTable-*"))),
        },
        Sessions => json!(of("dynamodb", &format!("table/{stack}-SessionsTable-*"))),
        ActiveSessions => json!(of("dynamodb", &format!("table/{stack}-SessionsTable-*/index/ActiveSessions"))),
        Attempts => json!(of("dynamodb", &format!("table/{stack}-AttemptsTable-*"))),
        AuditLog => json!(of("logs", &format!("log-group:{}:*", group_of(stack)))),
        FunctionLogs => json!(of("logs", &format!("log-group:{}:*", functions_group_of(stack)))),
        ThrottleSecret => json!(secret("throttle")),
        KeySecrets => json!(["access", "refresh", "device"].map(secret)),
        Any => json!("*"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    /// Commands that call nothing.
    const WITHOUT_RIGHTS: [&str; 3] = ["completions", "iam-policy", "man"];

    #[test]
    fn each_command_has_its_rights() {
        let cli = Cli::command();
        let mut expected = BTreeSet::new();
        for command in cli.get_subcommands() {
            let name = command.get_name();
            if command.has_subcommands() {
                expected.extend(command.get_subcommands().map(|inner| format!("{name} {}", inner.get_name())));
            } else if !WITHOUT_RIGHTS.contains(&name) {
                expected.insert(name.to_owned());
            }
        }
        assert_eq!(commands().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    }

    /// IAM accepts at most 6,144 characters without white space in a managed policy. A stack has a name of up to 128.
    #[test]
    fn the_policy_of_all_commands_fits_into_a_managed_policy() {
        let (stack, users) = ("s".repeat(128), "u".repeat(255));
        let names = Names { stack: &stack, region: "ap-southeast-1", users: Some(&users) };
        let all = policy(names, RIGHTS.iter().flat_map(|(_, rights)| *rights).copied());
        let all = json!(all);
        assert!(all.to_string().len() < 6144, "{}", all.to_string().len());
    }

    /// `CloudFormation` shortens the name of the stack in the name of a function.
    #[test]
    fn the_functions_of_a_stack_with_a_long_name_are_found_by_its_beginning() {
        let arn = |stack: &str| {
            let names = Names { stack, region: "eu-west-1", users: None };
            arns(Login, names).as_str().unwrap().to_owned()
        };
        let (whole, long) = ("a".repeat(31), "b".repeat(32));
        assert_eq!(arn(&whole), format!("arn:aws:lambda:eu-west-1:*:function:{whole}-LoginFunction-*"));
        assert_eq!(arn(&long), format!("arn:aws:lambda:eu-west-1:*:function:{}*-LoginFunction-*", "b".repeat(20)));
    }

    #[test]
    fn an_existing_users_table_has_its_own_name() {
        let names = Names { stack: "latchkey", region: "eu-west-1", users: Some("latchkey-users-restored") };
        assert_eq!(arns(Users, names), "arn:aws:dynamodb:eu-west-1:*:table/latchkey-users-restored");
        for name in ["ab", "*", "latchkey-*", "a/b", "a b"] {
            assert!(table_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn no_right_is_for_all_resources_except_those_that_aws_does_not_limit() {
        let names = Names { stack: "s", region: "*", users: None };
        let all = json!(policy(names, RIGHTS.iter().flat_map(|(_, rights)| *rights).copied()));
        for statement in all["Statement"].as_array().unwrap() {
            let one = std::slice::from_ref(&statement["Resource"]);
            let resources = statement["Resource"].as_array().map_or(one, Vec::as_slice);
            let names_the_stack = resources.iter().all(|resource| {
                [":s-", "/s-", "/s/"].iter().any(|name| resource.as_str().is_some_and(|arn| arn.contains(name)))
            });
            // A pattern must not match the resources of a stack whose name begins with the same word.
            let is_of_many = |resource: &Value| [":s-*", "/s-*"].iter().any(|text| resource.to_string().contains(text));
            assert!(!resources.iter().any(is_of_many), "{statement}");
            assert!(names_the_stack || statement["Action"] == json!(["logs:DescribeLogGroups"]), "{statement}");
        }
    }
}
