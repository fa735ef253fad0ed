//! `latchkey sessions`: the sessions of a user.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use shared::clock::Timestamp;
use shared::id::SessionId;
use shared::session::Session;
use shared::store::{Segment, Sessions};

use crate::Context;
use crate::audit::{Action, Audit, Change};
use crate::failure::{Failure, changed_meanwhile};
use crate::output::{Printer, say};
use crate::stack::budget;
use crate::users::{UserArgument, find};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the active sessions of a user.
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// End one session.
    #[command(after_help = END_EXAMPLES)]
    End(End),
    /// End all sessions of a user for good.
    #[command(after_help = END_ALL_EXAMPLES)]
    EndAll(EndAll),
}

const LIST_EXAMPLES: &str = "\
Examples:
  latchkey sessions list kim
  latchkey sessions list kim --output json

The column LOG has the name of the session in the events and log lines.";

const END_EXAMPLES: &str = "\
Examples:
  latchkey sessions end 3q2-7wAAAAAAAAAAAAAAAA --user kim
  latchkey sessions end hGk1yv3rQx0             a name from an event

Without --user, the command searches the whole table.";

const END_ALL_EXAMPLES: &str = "\
Examples:
  latchkey sessions end-all kim";

/// Lists sessions.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    user: UserArgument,
}

/// Ends a session.
#[derive(Debug, Args)]
pub struct End {
    /// The id of the session, or its name in an event (the field `session`).
    #[arg(allow_hyphen_values = true)]
    session: String,
    /// The user of the session.
    #[arg(long)]
    user: Option<String>,
}

/// Ends all sessions.
#[derive(Debug, Args)]
pub struct EndAll {
    #[command(flatten)]
    user: UserArgument,
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    log: String,
    created_at: String,
    last_renewed_at: String,
    expires_at: String,
    source_ip: &'a str,
    user_agent: &'a str,
}

const COLUMNS: &[&str] = &["id", "log", "created_at", "last_renewed_at", "expires_at", "source_ip", "user_agent"];

impl Command {
    /// Runs a command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List(list) => list.run(context).await,
            Self::End(end) => end.run(context).await,
            Self::EndAll(end) => end.run(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let user = find(&stack.users()?, &self.user).await?;
        let now = Timestamp::now();
        let active = stack.sessions()?.active(&user.profile.id, user.session_epoch, now, &budget()).await?;
        let mut printer = Printer::list(context.output, COLUMNS);
        printer.page(&active.iter().map(row).collect::<Vec<_>>())?;
        printer.finish_or_say(&format!("{} has no active session.", user.profile.user_id))
    }
}

fn row(session: &Session) -> Row<'_> {
    Row {
        id: session.id.as_str(),
        log: session.id.fingerprint(),
        created_at: session.created_at.rfc3339(),
        last_renewed_at: session.issued_at.rfc3339(),
        expires_at: session.ends_at().rfc3339(),
        source_ip: session.source_ip.as_deref().unwrap_or_default(),
        user_agent: session.user_agent.as_deref().unwrap_or_default(),
    }
}

impl End {
    async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let sessions = stack.sessions()?;
        let session = match &self.user {
            Some(user) => {
                let user = find(&stack.users()?, &UserArgument { user: user.clone() }).await?;
                let all = sessions.of_user(&user.profile.id, &budget()).await?;
                all.into_iter().find(|session| self.names(&session.id))
            }
            None => self.search(&sessions).await?,
        };
        let session = session.ok_or_else(|| Failure::NotFound(format!("There is no session {}.", self.session)))?;
        let event =
            Change::of_user(Action::ONE_SESSION_ENDED, &session.user_id).with("session", session.id.fingerprint());
        Audit::open(&stack, "sessions end").await?.record(&[event]).await?;
        let now = Timestamp::now();
        if session.ended_at.is_some() {
            say("The session had already ended.");
        } else if sessions.end(&session.user_id, &session.id, now, &budget()).await?.is_some() {
            say("The session has ended.");
        } else {
            return Err(changed_meanwhile().into());
        }
        Ok(())
    }

    fn names(&self, id: &SessionId) -> bool {
        id.as_str() == self.session || id.fingerprint() == self.session
    }

    async fn search(&self, sessions: &Sessions) -> Result<Option<Session>> {
        let mut after = None;
        loop {
            let page = sessions.page(Segment::WHOLE, after, &budget()).await?;
            if let Some(found) = page.records.into_iter().find(|session| self.names(&session.id)) {
                return Ok(Some(found));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }
}

impl EndAll {
    async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let users = stack.users()?;
        let user = find(&users, &self.user).await?;
        let event = Change::of_user(Action::ALL_SESSIONS_ENDED, &user.profile.id);
        Audit::open(&stack, "sessions end-all").await?.record(&[event]).await?;
        if !users.end_all_sessions(&user, &budget()).await? {
            return Err(changed_meanwhile().into());
        }
        say(&format!("All sessions of {} have ended.", user.profile.user_id));
        Ok(())
    }
}
