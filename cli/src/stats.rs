//! `latchkey stats`: how many users and sessions there are.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::store::Segment;

use crate::Context;
use crate::output::Printer;
use crate::progress::Progress;
use crate::stack::budget;

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
        let stack = context.stack().await?;
        let (users, sessions) = (stack.users()?, stack.sessions()?);
        let (mut numbers, mut epochs, mut after) = (Numbers::default(), HashMap::new(), None);
        let progress = Progress::spinner("records read");
        loop {
            let page = users.page(Segment::WHOLE, after, &budget()).await?;
            progress.advance(page.records.len());
            for user in page.records.into_iter().flatten() {
                numbers.users += 1;
                numbers.disabled_users += usize::from(user.disabled);
                epochs.insert(user.profile.id, (user.session_epoch, false));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let now = Timestamp::now();
        let mut after = None;
        loop {
            let page = sessions.page(Segment::WHOLE, after, &budget()).await?;
            progress.advance(page.records.len());
            for session in page.records {
                let is_recent = session.created_at + Duration::from_hours(24) > now;
                numbers.logins_of_the_last_day += usize::from(is_recent);
                if let Some((epoch, has_session)) = epochs.get_mut(&session.user_id)
                    && session.is_active(*epoch, now)
                {
                    numbers.active_sessions += 1;
                    numbers.users_with_a_session += usize::from(!*has_session);
                    *has_session = true;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        progress.finish();
        Printer::one(context.output, COLUMNS, &numbers)
    }
}
