//! The audit log.
//!
//! Every change of an operator is an event in the audit log, with the identity of the operator. The event is written
//! before the change. If it cannot be written, nothing is changed. [`follow`] reads these events together with those of
//! the functions.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::create_log_stream::CreateLogStreamError;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;
use shared::id::UserId;

use crate::failure::Failure;
use crate::stack::{Place, Stack, refused};

mod action;
mod event;
mod file;
pub mod follow;
mod logs;

pub use action::Action;

/// The audit log of a stack, for the changes of one command.
pub struct Audit {
    sink: Sink,
    operator: String,
    command: &'static str,
}

enum Sink {
    /// The events of a local stack.
    File(PathBuf),
    /// A stream of the log group of a deployed stack.
    Logs { client: Client, group: String, stream: String },
}

/// One change.
#[derive(Debug)]
pub struct Change {
    action: Action,
    fields: Map<String, Value>,
}

impl Change {
    /// Describes a change of a user.
    #[must_use]
    pub fn of_user(action: Action, user: &UserId) -> Self {
        Self::new(action).with("user", user.as_str())
    }

    /// Describes a change of no single user.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { action, fields: Map::new() }
    }

    /// Adds a field. A field holds only ids, names of attributes and numbers: the log stays when a user is erased. The
    /// address of `unblock` is the only exception, because nothing else says what was unblocked.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.fields.insert(name.to_owned(), json!(value));
        self
    }
}

/// Returns the name of the log group, which the template owns.
#[must_use]
pub fn group_of(stack: &str) -> String {
    format!("/latchkey/{stack}/audit")
}

/// Returns the log group of the functions of a stack.
#[must_use]
pub fn functions_group_of(stack: &str) -> String {
    format!("/latchkey/{stack}/functions")
}

impl Audit {
    /// Opens the audit log of a stack.
    ///
    /// # Errors
    /// Fails if the identity of the operator is unknown, or if the log group does not exist. Nothing is changed then.
    pub async fn open(stack: &Stack, command: &'static str) -> Result<Self> {
        let (sink, operator) = match &stack.place {
            Place::Local(local) => (Sink::File(local.events_file()), local_operator()),
            Place::Deployed => {
                let identity = aws_sdk_sts::Client::new(&stack.sdk).get_caller_identity().send().await;
                let identity = identity.map_err(|error| refused("sts:GetCallerIdentity", &error))?;
                let (client, group) = (Client::new(&stack.sdk), group_of(&stack.name));
                let stream = stream_name()?;
                let created = client.create_log_stream().log_group_name(&group).log_stream_name(&stream).send().await;
                if let Err(error) = created {
                    let is_missing =
                        error.as_service_error().is_some_and(CreateLogStreamError::is_resource_not_found_exception);
                    return Err(if is_missing { missing(&group) } else { refused("logs:CreateLogStream", &error) });
                }
                let arn = identity.arn.context("AWS does not say who the operator is. Nothing was changed")?;
                (Sink::Logs { client, group, stream }, arn)
            }
        };
        Ok(Self { sink, operator, command })
    }

    /// Writes an event for each change, before the changes are made.
    ///
    /// # Errors
    /// Fails if the events cannot be written. The caller must then change nothing.
    pub async fn record(&self, changes: &[Change]) -> Result<()> {
        let lines = changes.iter().map(|change| self.line(change));
        match &self.sink {
            Sink::File(file) => {
                let text: String = lines.map(|line| line + "\n").collect();
                let write = || {
                    let mut file = File::options().append(true).create(true).mode(0o600).open(file)?;
                    file.write_all(text.as_bytes())
                };
                write().with_context(|| format!("cannot write {}. Nothing was changed", file.display()))
            }
            Sink::Logs { client, group, stream } => {
                let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                let millis = i64::try_from(millis)?;
                let event = |line| InputLogEvent::builder().timestamp(millis).message(line).build();
                let events = lines.map(event).collect::<Result<Vec<_>, _>>()?;
                let put = client.put_log_events().log_group_name(group).log_stream_name(stream);
                let put = put.set_log_events(Some(events)).send().await;
                let put = put.map_err(|error| refused("logs:PutLogEvents", &error))?;
                if put.rejected_log_events_info.is_some() {
                    let text = "CloudWatch Logs rejected the audit event. Is the clock of this machine right? \
                                Nothing was changed.";
                    return Err(Failure::Unavailable(text.into()).into());
                }
                Ok(())
            }
        }
    }

    fn line(&self, change: &Change) -> String {
        let line = Line {
            timestamp: Timestamp::now().rfc3339(),
            level: "INFO",
            event: change.action.name(),
            operator: &self.operator,
            command: self.command,
            fields: &change.fields,
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// An event in the audit log.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    event: &'static str,
    operator: &'a str,
    command: &'static str,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
}

fn missing(group: &str) -> anyhow::Error {
    let text = format!(
        "The log group {group} does not exist, so that no audit event can be written. Deploy the current template. \
         Nothing was changed."
    );
    Failure::NotFound(text).into()
}

/// Returns the user of this machine.
fn local_operator() -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    format!("local:{}", name.unwrap_or_else(|| "unknown".to_owned()))
}

/// Returns the name of a new stream: the day, and a random part, so that no two commands share a stream.
fn stream_name() -> Result<String> {
    let now = Timestamp::now().rfc3339();
    let day = now.split('T').next().unwrap_or_default().replace('-', "/");
    Ok(format!("{day}/{}", UserId::random()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_owns_the_log_groups_and_the_events_page_names_them() {
        let read = |path: &str| std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let group = format!("LogGroupName: !Sub \"{}\"\n      RetentionInDays: 400\n", group_of("${AWS::StackName}"));
        assert!(read("template.yaml").contains(&group), "{group}");
        let group = functions_group_of("${AWS::StackName}");
        assert!(
            read("template.yaml").contains(&format!("LogGroupName: !Sub \"{group}\"\n      RetentionInDays: 90\n"))
        );
        let sentence = format!("in the log group `{}`, for 90 days.", functions_group_of("<stack>"));
        assert!(read("docs/events.md").contains(&sentence), "{sentence}");
        let sentence = format!("in the log group `{}`, for 400 days.", group_of("<stack>"));
        assert!(read("docs/events.md").contains(&sentence), "{sentence}");
    }
}
