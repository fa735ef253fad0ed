//! `latchkey stats`: how many users and sessions there are.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::session::Session;
use shared::store::{Segment, User};

use crate::Context;
use crate::output::Printer;
use crate::progress::Progress;
use crate::stack::{Stack, budget};

/// The examples of `--help`.
pub const EXAMPLES: &str = "\
Examples:
  latchkey stats
  latchkey stats --output json

The command reads the users table and the sessions table once. On AWS, reading
100,000 users and their sessions costs less than five cents.";

/// Counts users and sessions.
#[derive(Debug, Args)]
pub struct Stats {}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    users: usize,
    disabled_users: usize,
    active_sessions: usize,
    users_with_a_session: usize,
    logins_of_the_last_day: usize,
}

const COLUMNS: &[&str] = &["users", "disabledUsers", "activeSessions", "usersWithASession", "loginsOfTheLastDay"];

impl Stats {
    /// Runs the command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let now = Timestamp::now();
        let (mut users, mut disabled_users, mut numbers) = (0, 0, Numbers::default());
        let mut signed_in = HashSet::new();
        let user = |user: &User| {
            users += 1;
            disabled_users += usize::from(user.disabled);
        };
        let session = |session: Session, is_active| {
            let is_recent = session.created_at + Duration::from_hours(24) > now;
            numbers.logins_of_the_last_day += usize::from(is_recent);
            if is_active {
                numbers.active_sessions += 1;
                numbers.users_with_a_session += usize::from(signed_in.insert(session.user_id));
            }
        };
        read_all(&context.stack().await?, now, user, session).await?;
        Printer::one(context.output, COLUMNS, &Numbers { users, disabled_users, ..numbers })
    }
}

/// Reads all users, then all sessions. Calls `on_session` with each session, and `true` if the session is active.
pub(crate) async fn read_all(
    stack: &Stack,
    now: Timestamp,
    mut on_user: impl FnMut(&User),
    mut on_session: impl FnMut(Session, bool),
) -> Result<()> {
    let (users, sessions) = (stack.users()?, stack.sessions()?);
    let (mut epochs, mut after) = (HashMap::new(), None);
    let progress = Progress::spinner("records read");
    loop {
        let page = users.page(Segment::WHOLE, after, &budget()).await?;
        progress.advance(page.records.len());
        for user in page.records.into_iter().flatten() {
            on_user(&user);
            epochs.insert(user.profile.id, user.session_epoch);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let page = sessions.page(Segment::WHOLE, after, &budget()).await?;
        progress.advance(page.records.len());
        for session in page.records {
            let is_active = epochs.get(&session.user_id).is_some_and(|epoch| session.is_active(*epoch, now));
            on_session(session, is_active);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    progress.finish();
    Ok(())
}
