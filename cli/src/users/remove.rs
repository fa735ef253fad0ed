//! `latchkey users delete` and `latchkey users erase`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::error::Error;
use shared::id::UserId;
use shared::store::User;

use super::{UserArgument, described, find};
use crate::Context;
use crate::ask::Confirmation;
use crate::audit::{Action, Audit, Change};
use crate::failure::{Failure, changed_meanwhile};
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
  latchkey users erase id:7f3a        repeat an interrupted command

The output is the record for the privacy request: what was erased, and when.
The logs keep the id of the user, which then names no user. Backups keep the
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
    user_id: Option<&'a str>,
    email: Option<&'a str>,
    #[serde(rename = "erased")]
    kinds: &'static [&'static str],
    session_records: usize,
    attempt_counters: usize,
}

const COLUMNS: &[&str] = &["at", "id", "userId", "email", "erased", "sessionRecords", "attemptCounters"];

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let users = stack.users()?;
        let user = find(&users, &self.user).await?;
        self.confirmation.ask(&format!("Delete {} from {}?", with_address(&user), stack.name)).await?;
        let event = Change::of_user(Action::USER_DELETED, &user.profile.id);
        Audit::open(&stack, "users delete").await?.record(&[event]).await?;
        if !users.delete(&user, &budget()).await? {
            return Err(changed_meanwhile().into());
        }
        say(&format!("Deleted {}. All sessions have ended.", described(&user)));
        Ok(())
    }
}

impl Erase {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let (users, sessions, attempts) = (stack.users()?, stack.sessions()?, stack.attempts().await?);
        let (id, user) = match find(&users, &self.user).await {
            Ok(user) => (user.profile.id.clone(), Some(user)),
            Err(error) => (self.id_of_nobody().ok_or(error)?, None),
        };
        let records = sessions.of_user(&id, &budget()).await?.len();
        if user.is_none() && records == 0 {
            return Err(
                Failure::NotFound(format!("There is no user {id}, and no session record of such a user.")).into()
            );
        }
        let what = user.as_ref().map_or_else(|| format!("what is left of the deleted user {id}"), with_address);
        let records = number_of(records, "session record");
        let question = format!("Erase {what} and {records} from {}? This cannot be undone.", stack.name);
        self.confirmation.ask(&question).await?;
        let event = Change::of_user(Action::USER_ERASED, &id);
        Audit::open(&stack, "users erase").await?.record(&[event]).await?;
        if let Some(user) = &user {
            if !users.delete(user, &budget()).await? {
                return Err(changed_meanwhile().into());
            }
            // A login that read the user before the deletion can still store a session and a counter.
            let wait = LAST_LOGIN.as_secs();
            say(&format!("The user is deleted. Waiting {wait} s for logins at this moment."));
            say(&format!("If this is interrupted, run `latchkey users erase id:{id}`."));
            tokio::time::sleep(LAST_LOGIN).await;
        }
        let swept = async {
            let counters = match &user {
                Some(user) => attempts.erase(&user.profile.user_id, &budget()).await?,
                None => 0,
            };
            Ok::<_, Error>((sessions.erase(&id, &budget()).await?, counters))
        };
        let hint = format!("the user is deleted, but other records are left. Run `latchkey users erase id:{id}`");
        let (session_records, attempt_counters) = swept.await.context(hint)?;
        let profile = user.as_ref().map(|user| &user.profile);
        let erased = Erased {
            at: Timestamp::now().rfc3339(),
            id: id.as_str(),
            user_id: profile.map(|profile| profile.user_id.as_str()),
            email: profile.map(|profile| profile.email.as_str()),
            kinds: if profile.is_some() { OF_A_USER } else { &["sessions"] },
            session_records,
            attempt_counters,
        };
        Printer::one(context.output, COLUMNS, &erased)
    }

    /// Returns the id of an argument such as `id:7f3a`. With it, an interrupted command can be repeated after the user
    /// is deleted.
    fn id_of_nobody(&self) -> Option<UserId> {
        self.user.user.trim().strip_prefix("id:").and_then(|id| UserId::parse(id).ok())
    }
}

/// What is erased with a user.
const OF_A_USER: &[&str] = &["profile", "password", "login-name", "e-mail-address", "sessions", "attempt-counters"];

/// How long a login that has begun can last: the timeout of the function `login`, and a second more.
const LAST_LOGIN: Duration = Duration::from_secs(9);

/// Describes a user with the e-mail address, for a question.
fn with_address(user: &User) -> String {
    printable(&format!("{} <{}> (id {})", user.profile.user_id, user.profile.email, user.profile.id))
}
