//! The account page, and the page to change the password.

use askama::Template;

use super::problem::{Reason, Words};
use super::{Choice, Html, Look, Page, Text};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::session::Session;

/// How many sessions the account page shows at first. A person rarely has more, and the page stays small.
const FIRST_SESSIONS: usize = 10;

/// What the account page shows.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// The login name.
    pub user_id: &'a str,
    /// The full name.
    pub name: &'a str,
    /// The e-mail address.
    pub email: &'a str,
    /// The position.
    pub position: &'a str,
    /// The location.
    pub location: &'a str,
    /// Some words of the user about themselves.
    pub bio: &'a str,
    /// The roles.
    pub roles: &'a [String],
    /// The session of this browser.
    pub current: &'a Session,
    /// All active sessions, in the order in which the page shows them.
    pub sessions: &'a [Session],
    /// Whether to show all sessions, and not only the first ones.
    pub shows_all: bool,
    /// What the user has just done.
    pub notice: Option<Notice>,
}

/// What a user has just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Signed out another device.
    SessionEnded,
    /// Signed out all other devices.
    OthersEnded,
    /// Changed the password.
    PasswordChanged,
    /// Pressed a button after the session had to be renewed, so that nothing was done.
    PressAgain,
}

impl Notice {
    pub(super) const ALL: [Self; 4] = [Self::SessionEnded, Self::OthersEnded, Self::PasswordChanged, Self::PressAgain];

    /// Returns the name of the notice in an address.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionEnded => "session-ended",
            Self::OthersEnded => "others-ended",
            Self::PasswordChanged => "password-changed",
            Self::PressAgain => "press-again",
        }
    }

    /// Returns the notice of a name, or `None` for an unknown one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.name() == name)
    }

    fn words(self, text: &'static Text) -> &'static str {
        match self {
            Self::SessionEnded => text.session_ended,
            Self::OthersEnded => text.others_ended,
            Self::PasswordChanged => text.password_changed,
            Self::PressAgain => text.press_again,
        }
    }
}

/// What the page to change the password shows.
#[derive(Clone, Copy)]
pub struct ChangePassword<'a> {
    /// The login name. A password manager needs it to know which password to change.
    pub user_id: &'a str,
    /// The minimum length of the new password in characters.
    pub min_length: usize,
    /// Why the last try failed.
    pub reason: Option<Reason>,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountTemplate<'a> {
    text: &'static Text,
    look: &'a Look,
    languages: Vec<Choice>,
    notice: Option<&'static str>,
    name: &'a str,
    user_id: &'a str,
    facts: Vec<(&'static str, String)>,
    sessions: Vec<Row<'a>>,
    all_sessions: usize,
}

/// A session on the account page.
struct Row<'a> {
    id: &'a str,
    is_current: bool,
    device: String,
    source_ip: Option<&'a str>,
    signed_in: Time,
    renewed: Option<Time>,
}

/// A time: in UTC for people without JavaScript, and for the script, which shows it in the reader's time zone.
struct Time {
    machine: String,
    words: String,
}

#[derive(Template)]
#[template(path = "change_password.html")]
struct ChangePasswordTemplate<'a> {
    text: &'static Text,
    look: &'a Look,
    languages: Vec<Choice>,
    reason: Option<Words>,
    user_id: &'a str,
    min_length: usize,
}

impl Page {
    /// Returns the account page.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if it cannot be rendered.
    pub fn account(&self, account: &Account<'_>) -> Result<Html> {
        let text = self.text();
        let facts = [
            (text.email, account.email.to_owned()),
            (text.position, account.position.to_owned()),
            (text.location, account.location.to_owned()),
            (text.bio, account.bio.to_owned()),
            (text.roles, account.roles.join(", ")),
        ];
        let (current, others): (Vec<_>, Vec<_>) =
            account.sessions.iter().partition(|session| session.id == account.current.id);
        let shown = if account.shows_all { account.sessions.len() } else { FIRST_SESSIONS };
        let rows = current.into_iter().chain(others).take(shown).map(|session| self.row(session, account.current));
        let template = AccountTemplate {
            text,
            look: self.look(),
            languages: self.switch(if account.shows_all { "/userinfo?sessions=all" } else { "/userinfo" }),
            notice: account.notice.map(|notice| notice.words(text)),
            name: if account.name.is_empty() { account.user_id } else { account.name },
            user_id: account.user_id,
            facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            sessions: rows.collect(),
            all_sessions: account.sessions.len(),
        };
        self.render(&template, None)
    }

    fn row<'a>(&self, session: &'a Session, current: &Session) -> Row<'a> {
        let renewed = session.last_renewed_at();
        Row {
            id: session.id.as_str(),
            is_current: session.id == current.id,
            device: session.device().unwrap_or_else(|| self.text().unknown_device.to_owned()),
            source_ip: session.source_ip.as_deref(),
            signed_in: self.time(session.created_at),
            renewed: (renewed > session.created_at).then(|| self.time(renewed)),
        }
    }

    fn time(&self, time: Timestamp) -> Time {
        Time { machine: time.rfc3339(), words: (self.text().time)(time.date_time()) }
    }

    /// Returns the page to change the password.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if it cannot be rendered.
    pub fn change_password(&self, change: &ChangePassword<'_>) -> Result<Html> {
        let ChangePassword { user_id, min_length, reason } = *change;
        let template = ChangePasswordTemplate {
            text: self.text(),
            look: self.look(),
            languages: self.switch("/password"),
            reason: reason.map(|reason| reason.words(self.text())),
            user_id,
            min_length,
        };
        self.render(&template, None)
    }
}
