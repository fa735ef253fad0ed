//! `latchkey users show` and `latchkey users list`.

use std::collections::HashSet;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::store::{Account, Credentials, Cursor, Page, Segment, Unreadable, User, Users};
use shared::throttle::{Backoff, Limit as _};

use super::{UserArgument, find};
use crate::Context;
use crate::failure::Failure;
use crate::output::{Format, Printer, number_of, printable, say};
use crate::stack::budget;

/// The examples of `--help`.
pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  latchkey users show kim
  latchkey users show kim@example.com --output json
  latchkey users show id:7f3a";

/// The examples of `--help`.
pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  latchkey users list
  latchkey users list --search kim
  latchkey users list --output csv > users.csv
  latchkey users list --output jsonl | jq -r .email

The list is not sorted. The command reads the whole table, page after page.";

/// The fields of a user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserRow<'a> {
    id: &'a str,
    user_id: &'a str,
    email: &'a str,
    name: &'a str,
    position: &'a str,
    location: &'a str,
    bio: &'a str,
    roles: &'a [String],
    disabled: bool,
    #[serde(flatten)]
    state: Option<State>,
}

/// What `show` reads besides the user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    /// The algorithm of the stored hash. `none` without a password, `missing` without a login record.
    password: String,
    active_sessions: usize,
    wrong_passwords: Option<u32>,
    can_sign_in: String,
}

const COLUMNS: &[&str] = &["id", "userId", "email", "name", "position", "location", "bio", "roles", "disabled"];
const SHOWN: &[&str] = &[
    "id",
    "userId",
    "email",
    "name",
    "position",
    "location",
    "bio",
    "roles",
    "disabled",
    "password",
    "activeSessions",
    "wrongPasswords",
    "canSignIn",
];

/// In a table, the texts that make it too wide are left out.
const TABLE_COLUMNS: &[&str] = &["id", "userId", "email", "name", "roles", "disabled"];

impl<'a> UserRow<'a> {
    /// Returns the fields of a user.
    #[must_use]
    pub(super) fn of(user: &'a User) -> Self {
        let profile = &user.profile;
        Self {
            id: profile.id.as_str(),
            user_id: &profile.user_id,
            email: &profile.email,
            name: &profile.name,
            position: &profile.position,
            location: &profile.location,
            bio: &profile.bio,
            roles: &profile.roles,
            disabled: user.disabled,
            state: None,
        }
    }

    /// Prints one user.
    ///
    /// # Errors
    /// Fails if standard output is not writable.
    pub(super) fn print(&self, format: Format) -> Result<()> {
        Printer::one(format, if self.state.is_some() { SHOWN } else { COLUMNS }, self)
    }
}

/// Shows a user.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    user: UserArgument,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let users = stack.users()?;
        let user = &find(&users, &self.user).await?;
        let credentials = users.credentials_of(user, &budget()).await?;
        let active =
            stack.sessions()?.active(&user.profile.id, user.session_epoch, Timestamp::now(), &budget()).await?;
        // Only `unlock` needs the settings of `login`. An operator without this right still sees the user.
        let (now, account) = (Timestamp::now(), Account::named(&user.profile.user_id));
        let (failures, wait) = match stack.attempts().await {
            Ok(attempts) => {
                let count = attempts.failures(&account, &budget()).await.ok();
                (
                    count.map(|count| count.map_or(0, |count| count.failures)),
                    count.and_then(|count| attempts.backoff.admit(count, now).err()),
                )
            }
            Err(_) => (None, None),
        };
        let has_password = credentials.as_ref().is_some_and(|found| found.password_hash.is_some());
        let can_sign_in = match (failures, wait) {
            _ if user.disabled => "no: the user is disabled".to_owned(),
            _ if !has_password => "no: the user has no password".to_owned(),
            (Some(failures), _) if failures >= Backoff::default().disable_after => {
                format!("no: {failures} wrong passwords, unlock the account")
            }
            (Some(failures), Some(wait)) => format!("in {} s: {failures} wrong passwords", wait.as_secs()),
            _ => "yes".to_owned(),
        };
        let state = State {
            password: match credentials {
                None => "missing".to_owned(),
                Some(Credentials { password_hash: None, .. }) => "none".to_owned(),
                Some(Credentials { password_hash: Some(hash), .. }) => hash.scheme().to_owned(),
            },
            active_sessions: active.len(),
            wrong_passwords: failures,
            can_sign_in,
        };
        UserRow { state: Some(state), ..UserRow::of(user) }.print(context.output)
    }
}

/// Lists users.
#[derive(Debug, Args)]
pub struct List {
    /// Only users whose login name or e-mail address begins with this text, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let users = context.stack().await?.users()?;
        let columns = if context.output == Format::Table { TABLE_COLUMNS } else { COLUMNS };
        let mut printer = Printer::list(context.output, columns);
        let (mut after, mut unreadable, mut seen) = (None, 0, HashSet::new());
        loop {
            let page = self.page(&users, after).await?;
            let (mut found, mut broken) = (Vec::new(), Vec::new());
            for record in page.records {
                match record {
                    // A search finds a user twice, if the name and the address begin with the text.
                    Ok(user) if self.search.is_none() || seen.insert(user.profile.id.clone()) => found.push(user),
                    Ok(_) => {}
                    Err(record) => broken.push(record),
                }
            }
            printer.page(&found.iter().map(UserRow::of).collect::<Vec<_>>())?;
            for Unreadable { key, error } in &broken {
                say(&format!("{}: {error} ({})", printable(key), error.causes()));
            }
            unreadable += broken.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        printer.finish_or_say("There is no such user.")?;
        if unreadable > 0 {
            return Err(Failure::Incomplete(format!("{} cannot be read", number_of(unreadable, "record"))).into());
        }
        Ok(())
    }

    async fn page(&self, users: &Users, after: Option<Cursor>) -> Result<Page<Result<User, Unreadable>>> {
        Ok(match &self.search {
            Some(beginning) => users.search(beginning, after, &budget()).await?,
            None => users.page(Segment::WHOLE, after, &budget()).await?,
        })
    }
}
