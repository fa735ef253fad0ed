//! `latchkey users disable`, `enable` and `unlock`, and `latchkey unblock`.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::store::{Account, CounterKey};

use super::{UserArgument, described, find};
use crate::Context;
use crate::audit::{Action, Audit, Change};
use crate::failure::changed_meanwhile;
use crate::output::{Printer, number_of, say};
use crate::stack::budget;

/// The examples of `--help`.
pub(super) const DISABLE_EXAMPLES: &str = "\
Examples:
  latchkey users disable kim";

/// The examples of `--help`.
pub(super) const ENABLE_EXAMPLES: &str = "\
Examples:
  latchkey users enable kim";

/// The examples of `--help`.
pub(super) const UNLOCK_EXAMPLES: &str = "\
Examples:
  latchkey users unlock kim

Known devices have their own counters. This command does not delete those.";

/// The examples of `--help`.
pub const UNBLOCK_EXAMPLES: &str = "\
Examples:
  latchkey unblock 203.0.113.7
  latchkey unblock 2001:db8:1:2::7    the whole network 2001:db8:1:2::/64
  latchkey unblock 'device#mDmKm1Bz6dGk_7oy3vJRdA#7'    a key from an event";

/// The examples of `--help`.
pub const BLOCKED_EXAMPLES: &str = "\
Examples:
  latchkey blocked
  latchkey blocked --output json | jq '.[0].source'";

/// Disables a user.
#[derive(Debug, Args)]
pub struct Disable {
    #[command(flatten)]
    user: UserArgument,
}

/// Enables a user.
#[derive(Debug, Args)]
pub struct Enable {
    #[command(flatten)]
    user: UserArgument,
}

/// Unlocks an account.
#[derive(Debug, Args)]
pub struct Unlock {
    #[command(flatten)]
    user: UserArgument,
}

/// Deletes the counter of a source address.
#[derive(Debug, Args)]
pub struct Unblock {
    /// The IPv4 or IPv6 address, or the counter key of an event. IPv6 addresses of one /64 network have one counter.
    #[arg(value_name = "ADDRESS")]
    counter: String,
}

/// Lists addresses with wrong passwords.
#[derive(Debug, Args)]
pub struct Blocked {}

/// An address with wrong passwords.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceRow {
    source: String,
    wrong_passwords: u32,
    blocked_for_seconds: u64,
}

const SOURCES: &[&str] = &["source", "wrongPasswords", "blockedForSeconds"];

impl Disable {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        set_disabled(context, "users disable", &self.user, true).await
    }
}

impl Enable {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        set_disabled(context, "users enable", &self.user, false).await
    }
}

/// Disables or enables a user, unless the user is like this already.
async fn set_disabled(context: &Context, command: &'static str, argument: &UserArgument, disabled: bool) -> Result<()> {
    let (action, state, sessions) = if disabled {
        (Action::USER_DISABLED, "disabled", " All sessions have ended.")
    } else {
        (Action::USER_ENABLED, "enabled", "")
    };
    let stack = context.stack().await?;
    let users = stack.users()?;
    let user = find(&users, argument).await?;
    if user.disabled == disabled {
        say(&format!("{} is {state} already.", user.profile.user_id));
        return Ok(());
    }
    let event = Change::of_user(action, &user.profile.id);
    Audit::open(&stack, command).await?.record(&[event]).await?;
    if !users.set_disabled(&user, disabled, &budget()).await? {
        return Err(changed_meanwhile().into());
    }
    say(&format!("{} is {state}.{sessions}", described(&user)));
    Ok(())
}

impl Unlock {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let user = find(&stack.users()?, &self.user).await?;
        let attempts = stack.attempts().await?;
        let account = Account::named(&user.profile.user_id);
        let failures = attempts.failures(&account, &budget()).await?.map_or(0, |count| count.failures);
        let event = Change::of_user(Action::ACCOUNT_UNLOCKED, &user.profile.id).with("failures", failures);
        Audit::open(&stack, "users unlock").await?.record(&[event]).await?;
        attempts.unlock(&account, &budget()).await?;
        let count = number_of(usize::try_from(failures)?, "wrong password");
        say(&format!("{} is unlocked: {count} forgotten.", user.profile.user_id));
        Ok(())
    }
}

impl Unblock {
    /// Runs the command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let Self { counter } = self;
        let key = CounterKey::parse(&counter)?;
        let stack = context.stack().await?;
        let event = match key.kind() {
            // An address is personal data.
            "source" => Change::new(Action::COUNTER_DELETED),
            _ => Change::new(Action::COUNTER_DELETED).with("counter_key", &counter),
        };
        Audit::open(&stack, "unblock").await?.record(&[event]).await?;
        let was_there = stack.counters()?.delete(&key, &budget()).await?;
        let text = if was_there { "can try passwords again" } else { "was not blocked: it has no counter" };
        say(&format!("{counter} {text}."));
        Ok(())
    }
}

impl Blocked {
    /// Prints the addresses, the one with the most wrong passwords first.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let attempts = context.stack().await?.attempts().await?;
        let rows = attempts.sources(Timestamp::now(), &budget()).await?.into_iter().map(|state| SourceRow {
            source: state.source,
            wrong_passwords: state.failures,
            blocked_for_seconds: state.wait.map_or(0, |wait| wait.as_secs()),
        });
        let mut printer = Printer::list(context.output, SOURCES);
        printer.page(&rows.collect::<Vec<_>>())?;
        printer.finish_or_say("No address has wrong passwords that still count.")
    }
}
