//! `latchkey audit`: the events of the functions and of the operators.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use shared::id::UserId;
use time::OffsetDateTime;

use super::event::{COLUMNS, Event, Filter, milliseconds};
use super::file::FileEvents;
use super::logs::LogEvents;
use crate::Context;
use crate::failure::Failure;
use crate::output::{Format, Printer, say};
use crate::stack::{Place, Stack};
use crate::users::{UserArgument, find};

/// The examples of `--help`.
pub const EXAMPLES: &str = "\
Examples:
  latchkey audit --since 7d --user kim
  latchkey audit --follow
  latchkey audit --event login_failed --event password_disabled
  latchkey audit --since 2026-11-01T00:00:00Z --output jsonl > events.jsonl

docs/events.md lists all events. Times are in UTC.";

/// The pause between two looks at the file of a local stack.
const LOCAL_PAUSE: Duration = Duration::from_millis(250);

/// The pause between two looks at CloudWatch Logs.
const DEPLOYED_PAUSE: Duration = Duration::from_secs(2);

/// Reads events.
#[derive(Debug, Args)]
pub struct Follow {
    /// Also print each new event, until Ctrl-C.
    #[arg(long = "follow", short = 'f')]
    keep_reading: bool,
    /// Events from this time on: 30s, 15m, 2h or 7d ago, or a time such as 2026-11-23T20:29:17Z.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = since)]
    since: i64,
    /// Events with this name. Repeat it for several names.
    #[arg(long = "event", value_name = "NAME", value_parser = event_name)]
    events: Vec<String>,
    /// Events of this user: the login name, the e-mail address or the id. A deleted user has only an id.
    // An id can begin with a hyphen.
    #[arg(long, allow_hyphen_values = true)]
    user: Option<String>,
}

impl Follow {
    /// Runs the command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        if self.keep_reading && matches!(context.output, Format::Json | Format::Csv) {
            let text = "--follow prints events without end, as lines or as JSON Lines. Use --output jsonl.";
            return Err(Failure::Invalid(text.into()).into());
        }
        let stack = context.stack().await?;
        let user = match self.user {
            Some(user) => Some(id_of(&stack, UserArgument { user }).await?),
            None => None,
        };
        let filter = Filter { since: self.since, names: self.events, user };
        let mut source = Source::of(&stack, &filter);
        let mut output = Output::new(context.output);
        loop {
            while let Some(event) = source.next().await? {
                if filter.accepts(&event) {
                    output.print(&event)?;
                }
            }
            if !self.keep_reading {
                return output.finish();
            }
            source.wait().await;
        }
    }
}

/// Returns the id of a user. The events of a deleted user stay, so that a text that names no user is taken as an id.
async fn id_of(stack: &Stack, argument: UserArgument) -> Result<UserId> {
    let error = match find(&stack.users()?, &argument).await {
        Ok(record) => return Ok(record.profile.id),
        Err(error) => error,
    };
    let text = argument.user.trim();
    match (error.downcast_ref(), UserId::parse(text.strip_prefix("id:").unwrap_or(text))) {
        (Some(Failure::NotFound(_)), Ok(id)) => {
            say(&format!("There is no user {id}. The events are those of a user with this id."));
            Ok(id)
        }
        _ => Err(error),
    }
}

/// Reads the option `--since`. Returns milliseconds since 1970.
fn since(text: &str) -> Result<i64, String> {
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        };
        let seconds = i64::from(number.parse::<u32>().ok()?).checked_mul(seconds)?;
        OffsetDateTime::now_utc().unix_timestamp().checked_sub(seconds)?.checked_mul(1000)
    };
    let time = ago().or_else(|| milliseconds(text)).map(|time| time.max(0));
    time.ok_or_else(|| "write 30s, 15m, 2h, 7d, or a time such as 2026-11-23T20:29:17Z".to_owned())
}

/// Reads the option `--event`.
fn event_name(text: &str) -> Result<String, String> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_name && !text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err("the name of an event has only the characters a-z, 0-9 and _".to_owned())
    }
}

/// Where the events are.
enum Source {
    Local(FileEvents),
    Deployed(Box<LogEvents>),
}

impl Source {
    fn of(stack: &Stack, filter: &Filter) -> Self {
        match &stack.place {
            Place::Local(local) => Self::Local(FileEvents::new(local.events_file())),
            Place::Deployed => Self::Deployed(Box::new(LogEvents::of(stack, filter))),
        }
    }

    /// Returns the next event, or `None` if there is no further event yet.
    async fn next(&mut self) -> Result<Option<Event>> {
        match self {
            Self::Local(file) => file.next(),
            Self::Deployed(logs) => logs.next().await,
        }
    }

    /// Waits before it is worth looking for new events.
    async fn wait(&mut self) {
        match self {
            Self::Local(_) => tokio::time::sleep(LOCAL_PAUSE).await,
            Self::Deployed(logs) => {
                tokio::time::sleep(DEPLOYED_PAUSE).await;
                logs.restart();
            }
        }
    }
}

/// How the events are printed.
enum Output {
    /// A line for a person.
    Lines,
    /// The JSON objects, as they were written.
    Objects,
    /// Records with fixed fields.
    Records(Printer),
}

impl Output {
    fn new(format: Format) -> Self {
        match format {
            Format::Table => Self::Lines,
            Format::Jsonl => Self::Objects,
            Format::Json | Format::Csv => Self::Records(Printer::list(format, COLUMNS)),
        }
    }

    fn print(&mut self, event: &Event) -> Result<()> {
        let written = match self {
            Self::Lines => writeln!(anstream::stdout(), "{}", event.line()),
            Self::Objects => writeln!(std::io::stdout(), "{}", event.text()),
            Self::Records(printer) => return printer.page(&[event.row()]),
        };
        written.context("cannot write to standard output")
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Lines | Self::Objects => Ok(()),
            Self::Records(printer) => printer.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_or_a_time() {
        let now = OffsetDateTime::now_utc().unix_timestamp() * 1000;
        for (text, seconds) in [("0s", 0), ("30s", 30), ("15m", 900), ("2h", 7200), ("7d", 604_800)] {
            let found = since(text).unwrap();
            assert!((now - seconds * 1000 - found).abs() < 10_000, "{text}: {found}");
        }
        assert_eq!(since("1970-01-01T00:00:01.5Z"), Ok(1500));
        assert_eq!(since("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(since("4000000000d"), Ok(0), "before 1970");
        for text in ["", "h", "1", "-1h", "1.5h", "1w", "1h ", "1 h", "5000000000s", "1時", "yesterday", "2026-11-23"]
        {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_event_name_has_only_letters_digits_and_underscores() {
        assert_eq!(event_name("login_failed"), Ok("login_failed".to_owned()));
        for text in ["", "Login", "a b", "x\" || $.user = \"0", "*", "로그인"] {
            assert!(event_name(text).is_err(), "{text}");
        }
    }
}
