//! The sign-in page, and the page on the way from another site.

use askama::Template;

use super::problem::{Reason, Words};
use super::{Choice, Html, Look, Page, Text};
use crate::error::Result;

/// What the sign-in page shows.
#[derive(Clone, Copy, Default)]
pub struct SignIn<'a> {
    /// The login name that the visitor typed before.
    pub user_id: &'a str,
    /// Whether the visitor chose to stay signed in.
    pub keep: bool,
    /// Why the last try failed.
    pub reason: Option<Reason>,
    /// The query of the page, such as `?return_to=%2Fshop`, or an empty text.
    pub query: &'a str,
    /// The origin of another site to which the visitor returns.
    pub returns_to: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInTemplate<'a> {
    text: &'static Text,
    look: &'a Look,
    languages: Vec<Choice>,
    reason: Option<Words>,
    user_id: &'a str,
    keep: bool,
    action: String,
    returns_to: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "hop.html")]
struct HopTemplate<'a> {
    text: &'static Text,
    look: &'a Look,
    target: &'a str,
}

impl Page {
    /// Returns the sign-in page.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if it cannot be rendered.
    pub fn sign_in(&self, sign_in: &SignIn<'_>) -> Result<Html> {
        let SignIn { user_id, keep, reason, query, returns_to } = *sign_in;
        let action = format!("/login{query}");
        let template = SignInTemplate {
            text: self.text(),
            look: self.look(),
            languages: self.switch(&action),
            reason: reason.map(|reason| reason.words(self.text())),
            user_id,
            keep,
            action,
            returns_to,
        };
        self.render(&template, returns_to)
    }

    /// Returns a page that leads to `target` at once.
    ///
    /// A browser does not send our cookies if a link on another site leads to us. It does send them if a page of ours
    /// leads to us (`SameSite=Strict`). A redirect does not help, because it still belongs to the link.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if it cannot be rendered.
    pub fn hop(&self, target: &str) -> Result<Html> {
        let template = HopTemplate { text: self.text(), look: self.look(), target };
        self.render(&template, None)
    }
}
