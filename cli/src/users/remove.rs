//! `latchkey users delete` and `latchkey users erase`.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::store::User;

use super::{UserArgument, find};
use crate::Context;
use crate::ask::Confirmation;
use crate::audit::{Action, Audit, Change};
use crate::failure::changed_meanwhile;
use crate::output::{Printer, number_of, printable, say};
use crate::stack::budget;

/// The examples of `--help`.
pub(super) const DELETE_EXAMPLES: &str = "\
Examples:
  latchkey users delete kim
  latchkey users delete kim --yes

The records of sessions stay until their time to live is over, with address and
browser. `users erase` deletes them at once.";

/// The examples of `--help`.
pub(super) const ERASE_EXAMPLES: &str = "\
Examples:
  latchkey users erase kim
  latchkey users erase kim --yes --output json > erased-kim.json

The output is the record for the privacy request: what was erased, and when.
The logs keep the id of the user, which then names nobody. Backups keep the
user until they expire: 35 days for point-in-time recovery.";

/// Deletes a user.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    user: UserArgument,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Erases a user.
#[derive(Debug, Args)]
pub struct Erase {
    #[command(flatten)]
    user: UserArgument,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// What was erased.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Erased<'a> {
    at: String,
    id: &'a str,
    user_id: &'a str,
    email: &'a str,
    erased: &'static [&'static str],
    session_records: usize,
    attempt_counters: usize,
}

const COLUMNS: &[&str] = &["at", "id", "userId", "email", "erased", "sessionRecords", "attemptCounters"];

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let users = stack.users()?;
        let user = find(&users, &self.user).await?.user;
        self.confirmation.ask(&format!("Delete {} from {}?", described(&user), stack.name))?;
        let event = Change::of_user(Action::USER_DELETED, &user.profile.id);
        Audit::open(&stack, "users delete").await?.record(&[event]).await?;
        if !users.delete(&user, &budget()).await? {
            return Err(changed_meanwhile().into());
        }
        say(&format!("Deleted {}. All sessions have ended.", user.profile.user_id));
        Ok(())
    }
}

impl Erase {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let (users, sessions) = (stack.users()?, stack.sessions()?);
        let record = find(&users, &self.user).await?;
        let user = &record.user;
        let profile = &user.profile;
        let attempts = stack.attempts().await?;
        let records = sessions.of_user(&profile.id, &budget()).await?.len();
        let question = format!(
            "Erase {} and {} from {}? This cannot be undone.",
            described(user),
            number_of(records, "session record"),
            stack.name
        );
        self.confirmation.ask(&question)?;
        let event = Change::of_user(Action::USER_ERASED, &profile.id);
        Audit::open(&stack, "users erase").await?.record(&[event]).await?;
        // The sessions first, so that an interrupted command can be repeated. Then the user, and then the sessions that
        // a login may have opened in between.
        let attempt_counters = attempts.erase(&profile.user_id, &budget()).await?;
        let mut session_records = sessions.erase(&profile.id, &budget()).await?;
        if !users.delete(user, &budget()).await? {
            return Err(changed_meanwhile().into());
        }
        session_records += sessions.erase(&profile.id, &budget()).await?;
        let erased = Erased {
            at: Timestamp::now().rfc3339(),
            id: profile.id.as_str(),
            user_id: &profile.user_id,
            email: &profile.email,
            erased: &["profile", "password", "login-name", "e-mail-address", "sessions", "attempt-counters"],
            session_records,
            attempt_counters,
        };
        Printer::one(context.output, COLUMNS, &erased)
    }
}

/// Describes a user in a question.
fn described(user: &User) -> String {
    let profile = &user.profile;
    printable(&format!("{} <{}> (id {})", profile.user_id, profile.email, profile.id))
}
