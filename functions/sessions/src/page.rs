//! The form of the account page that ends sessions. A form cannot send `DELETE`.

use serde::Deserialize;
use shared::clock::Timestamp;
use shared::http::{self, Reply, Request, reply};
use shared::page::Notice;

use super::OwnSessions;

/// The fields of the form. Each button of the form sends one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    id: Option<String>,
    others: Option<bool>,
}

impl OwnSessions {
    /// Ends the session `id`, or all sessions except the caller's own. Then leads back to the account page.
    pub(super) async fn handle_form(&self, request: &Request, now: Timestamp) -> http::Result<Reply> {
        // For other clients, this path is that of a session with an impossible id.
        request.accept(if request.page().is_some() { "POST" } else { "DELETE" })?;
        let credentials = self.access.reader.read(request.bearer(), request.cookie_lines(), request.host());
        let identity = match self.access.identity(&credentials, now, &request.budget).await {
            Ok(identity) => identity,
            Err(error) => {
                let account = format!("/userinfo?notice={}", Notice::PressAgain.name());
                return request.sign_in_first(error.into(), &account);
            }
        };
        let (notice, cleared) = match request.form()? {
            Fields { id: Some(id), others: None } => {
                let cleared = self.end(&id, &identity, &credentials, request, now).await?;
                (Notice::SessionEnded, cleared)
            }
            Fields { id: None, others: Some(true) } => {
                self.end_others(&identity, &credentials, request, now).await?;
                (Notice::OthersEnded, Vec::new())
            }
            _ => return Err(http::Error::invalid_request("The form must have either `id`, or `others` with `true`.")),
        };
        if !cleared.is_empty() {
            return reply::with_cookies(reply::see_other("/login")?, cleared);
        }
        reply::see_other(&format!("/userinfo?notice={}", notice.name()))
    }
}
