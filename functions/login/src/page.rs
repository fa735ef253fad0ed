//! The sign-in page.
//!
//! A form of the page leads to the same sign-in as the JSON of other clients. If it fails, the visitor sees the form
//! again, with the reason and with everything that they typed except the password.

use secrecy::SecretString;
use serde::Deserialize;
use shared::clock::Timestamp;
use shared::http::{self, Reply, Request, ReturnTo, reply};
use shared::page::{Page, Reason, SignIn};

use super::{Input, Login};

/// The fields of the form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    user_id: String,
    password: SecretString,
    checked_keep_login: Option<Checkbox>,
}

/// A checkbox sends its value if it is checked, and no field otherwise. Without a value of its own it sends `on`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Checkbox {
    True,
    On,
    False,
}

impl From<Fields> for Input {
    fn from(fields: Fields) -> Self {
        let persistent = matches!(fields.checked_keep_login, Some(Checkbox::True | Checkbox::On));
        Self { user_id: fields.user_id, password: fields.password, persistent }
    }
}

impl Login {
    /// Shows the sign-in page, or signs a user in and leads to the page that the visitor came from.
    pub(super) async fn handle_page(&self, page: &Page, request: &Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("GET, POST")?;
        let return_to = request.return_to()?;
        let query = return_to.as_ref().map(|return_to| return_to.after("")).unwrap_or_default();
        let other_site = return_to.as_ref().and_then(ReturnTo::origin);
        let empty = SignIn { query: &query, returns_to: other_site, ..SignIn::default() };
        if request.method == "GET" {
            return self.show(page, &empty, request, now).await;
        }
        let again = |error: http::Error, form: &SignIn<'_>| {
            error.in_page(|error| {
                page.sign_in(&SignIn { reason: Some(Reason::of(error, Reason::WrongPassword)), ..*form })
            })
        };
        let input: Input = request.form::<Fields>().map_err(|error| again(error, &empty))?.into();
        let typed = SignIn { user_id: &input.user_id, keep: input.persistent, ..empty };
        let cookies = self.sign_in(&input, request, now).await.map_err(|error| again(error.into(), &typed))?;
        let location = return_to.as_ref().map_or("/userinfo", ReturnTo::address);
        reply::with_cookies(reply::found(location)?, cookies)
    }

    /// Shows the page. A visitor who is signed in already goes on at once. `/userinfo` renews the session first, if
    /// that is due.
    async fn show(&self, page: &Page, form: &SignIn<'_>, request: &Request, now: Timestamp) -> http::Result<Reply> {
        let reader = &self.renewal.access.reader;
        let credentials = reader.read(request.bearer(), request.cookie_lines(), request.host());
        let has_token = credentials.has_token();
        if !has_token && request.comes_from_elsewhere() {
            return reply::page(&page.hop(&request.hop("/login"))?);
        }
        if has_token && self.renewal.is_signed_in(&credentials, now, &request.budget).await? {
            return reply::see_other(&format!("/userinfo{}", form.query));
        }
        reply::page(&page.sign_in(form)?)
    }
}
