//! `latchkey doctor`: checks a stack, and says how to mend what is wrong.
//!
//! Each check has a permanent name and one outcome. A check that needs another one is skipped if that one failed. All
//! others run. `tables`, `settings`, `browser` and `service` decide; `login` is the only check that writes.

use anyhow::Result;
use aws_sdk_dynamodb::types::TableDescription;
use clap::Args;

use crate::Context;
use crate::audit::group_of;
use crate::failure::INTERRUPTED;
use crate::output::say;
use crate::stack::{Stack, refused};

mod browser;
mod login;
mod report;
mod service;
mod settings;
mod tables;

use report::{Finding, Report};
use service::{Connection, Service};
use settings::Settings;
use tables::{ATTEMPTS, Remedies, SESSIONS, USERS};

/// The examples of `--help`.
pub const EXAMPLES: &str = "\
Examples:
  latchkey --stack latchkey doctor
  latchkey --local doctor --no-login
  latchkey --stack latchkey doctor --url https://api.example.com
  latchkey doctor --url https://api.example.com
  latchkey doctor --url https://api.example.com --connect-to 192.0.2.7:443
  latchkey doctor --output json

The last check signs in with a temporary user, doctor-…, and removes it again.
The audit log has an event for each of the two changes.

With --url and no stack, doctor needs no credentials and checks what any caller
of the service sees. The last check is then a login that must be refused.";

/// Checks a stack.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Do not sign in with a temporary user. Then nothing is written.
    #[arg(long)]
    no_login: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The reason for a skipped check.
const ON_A_LOCAL_STACK: &str = "not on a local stack";

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure::Incomplete`](crate::failure::Failure::Incomplete) if a check failed. The failures of finding the
    /// stack.
    pub async fn run(self, context: &Context) -> Result<()> {
        if self.connection.has_url() && !context.target.is_named() {
            return self.check_from_outside(context).await;
        }
        let stack = context.stack().await?;
        let service = Service::new(Some(&stack), &self.connection)?;
        let mut report = Report::new(context.output);
        let name = if stack.is_local() { "`cargo dev`" } else { &stack.name };
        report.add("stack", &Finding::ok(format!("{name} at {}", service.address())))?;
        let mut obstacles = Vec::new();
        if !check_tables(&stack, &mut report).await? {
            obstacles.push("a table is not as it should be");
        }
        let settings = check_settings(&stack, &service, &mut report).await?;
        if !settings.are_valid {
            obstacles.push("the settings are not as they should be");
        }
        if !check_service(&service, settings.origins.as_deref(), &mut report).await? {
            obstacles.push(NO_ANSWER);
        }
        report.add("audit-log", &audit_log(&stack).await)?;
        let login = match obstacles.first() {
            _ if self.no_login => Some(Finding::skipped("--no-login")),
            Some(obstacle) => Some(Finding::skipped(*obstacle)),
            None => login::check(&stack, &service).await,
        };
        let Some(login) = login else {
            say("Interrupted. The temporary user is removed.");
            std::process::exit(INTERRUPTED.into());
        };
        report.add("login", &login)?;
        report.finish()
    }

    /// Checks what any caller of the service sees. Needs no credentials.
    async fn check_from_outside(self, context: &Context) -> Result<()> {
        let service = Service::new(None, &self.connection)?;
        let mut report = Report::new(context.output);
        let reason = format!("none is named: {} is checked from outside", service.address());
        report.add("stack", &Finding::skipped(reason))?;
        let does_answer = check_service(&service, Some(&[]), &mut report).await?;
        let login = match does_answer {
            _ if self.no_login => Finding::skipped("--no-login"),
            false => Finding::skipped(NO_ANSWER),
            true => login::unknown_user(&service).await?,
        };
        report.add("login", &login)?;
        report.finish()
    }
}

/// The reason for a check that is skipped because the service does not answer.
const NO_ANSWER: &str = "the service does not answer";

/// Checks the tables. Returns `false` if the functions cannot work with them.
async fn check_tables(stack: &Stack, report: &mut Report) -> Result<bool> {
    let (client, remedies) = (stack.client(), Remedies::of(stack));
    let users = tables::describe(stack, &client, &USERS).await;
    let sessions = tables::describe(stack, &client, &SESSIONS).await;
    let attempts = tables::describe(stack, &client, &ATTEMPTS).await;
    let mut is_usable = true;
    for (check, table, found) in [
        ("users-table", &USERS, &users),
        ("sessions-table", &SESSIONS, &sessions),
        ("attempts-table", &ATTEMPTS, &attempts),
    ] {
        let finding = found.as_ref().map_or_else(Clone::clone, |found| tables::state_and_keys(table, found, &remedies));
        is_usable &= !finding.is_failed();
        report.add(check, &finding)?;
    }
    let index = if_described(&sessions, |found| tables::index(&SESSIONS, found, &remedies));
    is_usable &= !index.is_failed();
    report.add("sessions-index", &index)?;
    for (check, table, found) in [("sessions-ttl", &SESSIONS, &sessions), ("attempts-ttl", &ATTEMPTS, &attempts)] {
        let finding = match found {
            Ok(_) => tables::time_to_live_of(stack, &client, table).await,
            Err(_) => Finding::skipped(NO_TABLE),
        };
        report.add(check, &finding)?;
    }
    let backups = match &users {
        _ if stack.is_local() => Finding::skipped(ON_A_LOCAL_STACK),
        Ok(_) => tables::backups_of(stack, &client, &USERS).await,
        Err(_) => Finding::skipped(NO_TABLE),
    };
    report.add("users-backups", &backups)?;
    let protection = if stack.is_local() {
        Finding::skipped(ON_A_LOCAL_STACK)
    } else {
        if_described(&users, |found| tables::deletion_protection(found, &remedies))
    };
    report.add("users-deletion-protection", &protection)?;
    Ok(is_usable)
}

const NO_TABLE: &str = "the table was not found";

fn if_described(
    table: &Result<TableDescription, Finding>,
    check: impl FnOnce(&TableDescription) -> Finding,
) -> Finding {
    table.as_ref().map_or_else(|_| Finding::skipped(NO_TABLE), check)
}

/// What the other checks need of the settings.
struct CheckedSettings {
    are_valid: bool,
    /// `None` if the settings are unknown.
    origins: Option<Vec<String>>,
}

/// Checks the settings of the functions.
async fn check_settings(stack: &Stack, service: &Service, report: &mut Report) -> Result<CheckedSettings> {
    let settings = match Settings::read(stack).await {
        Ok(settings) => settings,
        Err(error) => {
            report.add("functions", &Finding::error(&error))?;
            for check in ["settings", "cookie-domain", "allowed-origins"] {
                report.add(check, &Finding::skipped(NO_SETTINGS))?;
            }
            return Ok(CheckedSettings { are_valid: false, origins: None });
        }
    };
    let agreement = if stack.is_local() { Finding::skipped(ON_A_LOCAL_STACK) } else { settings.agreement(stack) };
    report.add("functions", &agreement)?;
    let validity = settings.validity(stack);
    report.add("settings", &validity)?;
    report.add("cookie-domain", &browser::cookie_domain(&service.url, settings.value("COOKIE_DOMAIN")))?;
    let origins = settings.value("ALLOWED_ORIGINS").split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let origins: Vec<_> = origins.map(str::to_owned).collect();
    report.add("allowed-origins", &browser::allowed_origins(&service.url, &origins, stack.is_local()))?;
    Ok(CheckedSettings { are_valid: !validity.is_failed(), origins: Some(origins) })
}

const NO_SETTINGS: &str = "the settings of the functions are unknown";

/// Checks the service over HTTP. Returns `false` if it does not answer.
async fn check_service(service: &Service, origins: Option<&[String]>, report: &mut Report) -> Result<bool> {
    let (answers, times) = service.answers().await;
    report.add("service", &answers)?;
    let (cors, clock) = match (times, origins) {
        (None, _) => {
            let skipped = Finding::skipped(NO_ANSWER);
            (skipped.clone(), skipped)
        }
        (Some(times), None) => (Finding::skipped(NO_SETTINGS), service::clock(times)),
        (Some(times), Some(origins)) => (service.cors(origins).await, service::clock(times)),
    };
    report.add("cors", &cors)?;
    report.add("clock", &clock)?;
    Ok(times.is_some())
}

/// Checks that operators can write the audit log.
async fn audit_log(stack: &Stack) -> Finding {
    if stack.is_local() {
        return Finding::skipped(ON_A_LOCAL_STACK);
    }
    let group = group_of(&stack.name);
    let client = aws_sdk_cloudwatchlogs::Client::new(&stack.sdk);
    match client.describe_log_groups().log_group_name_prefix(&group).send().await {
        Ok(found) if found.log_groups().iter().any(|found| found.log_group_name() == Some(&group)) => {
            Finding::ok(format!("{group} exists"))
        }
        Ok(_) => Finding::failed(
            format!("the log group {group} does not exist, so that no operator can change anything"),
            "Deploy the current template: sam build && sam deploy",
        ),
        Err(error) => Finding::error(&refused("logs:DescribeLogGroups", &error)),
    }
}
