//! The account page, and the way to it.

use shared::auth::Identity;
use shared::clock::Timestamp;
use shared::http::{self, Reply, Request, reply};
use shared::page::{Account, Notice, Page};

use super::{SignedIn, Userinfo};

impl Userinfo {
    /// Leads from `/` to the account page, or to the sign-in page. A visitor from another site goes to the account
    /// page, which finds out whether they are signed in.
    pub(super) async fn lead_on(&self, request: &Request, now: Timestamp) -> http::Result<Reply> {
        let reader = &self.renewal.access.reader;
        let credentials = reader.read(request.bearer(), request.cookie_lines(), request.host());
        let may_be_signed_in = if credentials.has_token() {
            self.renewal.is_signed_in(&credentials, now, &request.budget).await?
        } else {
            request.comes_from_elsewhere()
        };
        reply::see_other(if may_be_signed_in { "/userinfo" } else { "/login" })
    }

    /// Shows the account page, or leads to the sign-in page. With `return_to`, leads a signed-in visitor back to the
    /// page that sent them, with a renewed session if that was due.
    pub(super) async fn handle_page(&self, page: &Page, request: &Request, now: Timestamp) -> http::Result<Reply> {
        let return_to = request.return_to()?;
        let reader = &self.renewal.access.reader;
        let has_token = reader.read(request.bearer(), request.cookie_lines(), request.host()).has_token();
        if !has_token && request.comes_from_elsewhere() {
            return reply::page(&page.hop(&request.hop("/userinfo"))?);
        }
        let SignedIn { identity, has_access, cookies } = match self.signed_in(request, now).await {
            Ok(signed_in) => signed_in,
            Err(error) => {
                let sign_in = return_to.map_or("/login".to_owned(), |return_to| return_to.after("/login"));
                return request.sign_in_first(error, &sign_in);
            }
        };
        let reply = match return_to.filter(|_| has_access) {
            Some(return_to) => reply::see_other(return_to.address()),
            None => self.account(page, &identity, request, now).await,
        };
        match reply {
            // The old refresh token is used up, so that the new tokens must reach the browser in any case.
            Err(error) if !cookies.is_empty() => Err(error.after_renewal(cookies, "/userinfo")),
            reply => reply::with_cookies(reply?, cookies),
        }
    }

    async fn account(
        &self,
        page: &Page,
        identity: &Identity,
        request: &Request,
        now: Timestamp,
    ) -> http::Result<Reply> {
        let Identity { user, session } = identity;
        let profile = &user.profile;
        let sessions = &self.renewal.sessions;
        let sessions = sessions.active(&profile.id, user.session_epoch, now, &request.budget).await?;
        let account = Account {
            user_id: &profile.user_id,
            name: &profile.name,
            email: &profile.email,
            position: &profile.position,
            location: &profile.location,
            bio: &profile.bio,
            roles: &profile.roles,
            current: session,
            sessions: &sessions,
            shows_all: request.query("sessions") == Some("all"),
            // A link on another site must not make our page say that something was done.
            notice: request.query("notice").filter(|_| request.comes_from_us()).and_then(Notice::named),
        };
        reply::page(&page.account(&account)?)
    }
}
