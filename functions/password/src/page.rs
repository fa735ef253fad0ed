//! The page to change the password.
//!
//! Its form leads to the same change as the JSON of other clients. If it fails, the user sees the form again, with the
//! reason.

use shared::clock::Timestamp;
use shared::error::Error;
use shared::http::{self, Reply, Request, reply};
use shared::page::{ChangePassword, Notice, Page, Reason};

use super::{Form, Input, PasswordChange, Refused};

/// Where a password manager looks for the page (W3C, "A Well-Known URL for Changing Passwords").
pub(super) const WELL_KNOWN: &str = "/.well-known/change-password";

/// Renews the session if that is due, or signs the user in. Then leads back to the page.
const SIGN_IN_FIRST: &str = "/userinfo?return_to=%2Fpassword";

impl PasswordChange {
    /// Shows the page, or changes the password and leads to the account page.
    pub(super) async fn handle_page(&self, page: &Page, request: &Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("GET, POST, PUT")?;
        let credentials = self.access.reader.read(request.bearer(), request.cookie_lines(), request.host());
        let identity = match self.access.identity(&credentials, now, &request.budget).await {
            Ok(identity) => identity,
            Err(error) => return request.sign_in_first(error.into(), SIGN_IN_FIRST),
        };
        let user_id = identity.user.profile.user_id.clone();
        let show = |reason| {
            page.change_password(&ChangePassword { user_id: &user_id, min_length: self.policy.min_length(), reason })
        };
        if request.method == "GET" {
            return reply::page(&show(None)?);
        }
        let again = |error: http::Error| {
            error.in_page(|error| {
                // The answer of a table may be lost after the change.
                show(Some(match Reason::of(error, Reason::WrongCurrentPassword) {
                    Reason::Unavailable | Reason::Fault => Reason::MaybeChanged,
                    reason => reason,
                }))
            })
        };
        let form: Form = request.form().map_err(again)?;
        let input = Input::new(&form).map_err(|error| again(error.into()))?;
        let changed = self.change(identity, &input, &credentials, request, now).await;
        let cookies = changed.map_err(|refused| match refused {
            Refused::Policy(refusal) => {
                let error = Error::from(refusal);
                http::Error::from(error).in_page(|_| show(Some(Reason::Refused(refusal))))
            }
            Refused::Service(error) => again(error.into()),
        })?;
        let account = format!("/userinfo?notice={}", Notice::PasswordChanged.name());
        reply::with_cookies(reply::see_other(&account)?, cookies)
    }
}
