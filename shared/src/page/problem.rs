//! What went wrong, in words: above a form, or as a page.

use std::time::Duration;

use askama::Template;

use super::text::Passage;
use super::{Html, Look, Page, Text};
use crate::error::{Error, Result};
use crate::password::policy::Refusal;

/// Why a form was not accepted. The page shows the same form again, with the reason above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The login name or the password is wrong.
    WrongPassword,
    /// The current password is wrong.
    WrongCurrentPassword,
    /// There were too many wrong passwords.
    TooManyAttempts(Duration),
    /// The new password does not follow the policy.
    Refused(Refusal),
    /// A field is missing, or is too long.
    Unreadable,
    /// The service does not know the answer.
    Unavailable,
    /// The service has a fault.
    Fault,
    /// The service does not know whether the password was changed.
    MaybeChanged,
}

/// What went wrong. It has a page of its own, because no form is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The request is invalid.
    InvalidRequest,
    /// A user signed out everywhere, but only this browser could be signed out.
    NotEverywhere,
    /// The form came from another site.
    Forbidden,
    /// The session does not exist.
    NotFound,
    /// The address does not have this method.
    MethodNotAllowed,
    /// The body is too large.
    TooLarge,
    /// The body has another format.
    Unsupported,
    /// There were too many wrong passwords.
    TooManyAttempts(Duration),
    /// The service has a fault.
    Fault,
    /// The service does not know the answer.
    Unavailable,
}

/// What the page of a problem shows to a person who asks for help.
#[derive(Clone, Copy)]
pub struct Details<'a> {
    /// The status code.
    pub status: u16,
    /// The `detail` of the problem details, in English.
    pub detail: &'a str,
    /// The id of the request in the log.
    pub request_id: &'a str,
}

/// A sentence with an optional waiting time in its middle.
pub(super) struct Words {
    pub(super) before: String,
    pub(super) wait: Option<Wait>,
    pub(super) after: &'static str,
}

/// A waiting time.
pub(super) struct Wait {
    pub(super) seconds: u64,
    pub(super) words: String,
}

impl From<String> for Words {
    fn from(sentence: String) -> Self {
        Self { before: sentence, wait: None, after: "" }
    }
}

impl From<&str> for Words {
    fn from(sentence: &str) -> Self {
        sentence.to_owned().into()
    }
}

impl Words {
    fn wait(text: &Text, wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        let wait = Wait { seconds, words: (text.duration)(seconds) };
        Self { before: text.too_many.0.to_owned(), wait: Some(wait), after: text.too_many.1 }
    }
}

impl Reason {
    /// Returns the reason of an error. `not_authorized` is the reason if the password is wrong.
    #[must_use]
    pub fn of(error: &Error, not_authorized: Self) -> Self {
        match error {
            Error::NotAuthorized | Error::NotAuthorizedClearCookies(_) => not_authorized,
            Error::TooManyAttempts { wait } => Self::TooManyAttempts(*wait),
            Error::InvalidRequest(_) | Error::NotFound(_) | Error::Taken(_) => Self::Unreadable,
            Error::Unavailable(_) | Error::ConcurrentUpdate(_) => Self::Unavailable,
            Error::Corrupt(_) | Error::Setting { .. } | Error::Misconfigured(_) | Error::Unexpected(_) => Self::Fault,
        }
    }

    pub(super) fn words(self, text: &Text) -> Words {
        match self {
            Self::WrongPassword => text.wrong_password.into(),
            Self::WrongCurrentPassword => text.wrong_current_password.into(),
            Self::TooManyAttempts(wait) => Words::wait(text, wait),
            Self::Unreadable => text.form_unreadable.into(),
            Self::Unavailable => text.form_unavailable.into(),
            Self::Fault => text.form_fault.into(),
            Self::MaybeChanged => text.maybe_changed.into(),
            Self::Refused(Refusal::TooShort { has, needs }) => {
                let (before, middle, after) = text.too_short;
                format!("{before}{has}{middle}{needs}{after}").into()
            }
            Self::Refused(Refusal::Current) => text.is_current.into(),
            Self::Refused(Refusal::Personal) => text.is_personal.into(),
            Self::Refused(Refusal::Common) => text.is_common.into(),
            Self::Refused(Refusal::Repetitive) => text.is_repetitive.into(),
        }
    }
}

impl Problem {
    fn passage(self, text: &'static Text) -> Passage {
        match self {
            Self::InvalidRequest => text.invalid_request,
            Self::NotEverywhere => text.not_everywhere,
            Self::Forbidden => text.forbidden,
            Self::NotFound => text.not_found,
            Self::MethodNotAllowed => text.method_not_allowed,
            Self::TooLarge => text.too_large,
            Self::Unsupported => text.unsupported,
            Self::TooManyAttempts(_) => (text.too_many_attempts, ""),
            Self::Fault => text.fault,
            Self::Unavailable => text.unavailable,
        }
    }

    /// Returns where the page leads, and the words on its link.
    fn onward(self, text: &'static Text) -> (&'static str, &'static str) {
        match self {
            Self::InvalidRequest | Self::NotEverywhere => ("/login", text.sign_in),
            Self::NotFound => ("/userinfo", text.back_to_account),
            Self::Fault | Self::Unavailable => ("/", text.try_again),
            _ => ("/", text.go_on),
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemTemplate<'a> {
    text: &'static Text,
    look: &'a Look,
    heading: &'static str,
    reason: Words,
    onward: &'static str,
    onward_words: &'static str,
    details: Option<Details<'a>>,
}

impl Page {
    /// Returns the page of a problem.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if it cannot be rendered.
    pub fn problem(&self, problem: Problem, details: Option<Details<'_>>) -> Result<Html> {
        let text = self.text();
        let (heading, sentences) = problem.passage(text);
        let reason = match problem {
            Problem::TooManyAttempts(wait) => Words::wait(text, wait),
            _ => sentences.into(),
        };
        let (onward, onward_words) = problem.onward(text);
        let template = ProblemTemplate { text, look: self.look(), heading, reason, onward, onward_words, details };
        self.render(&template, None)
    }
}
