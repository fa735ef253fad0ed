//! `GET /userinfo`: who is behind this session; renews it.

use shared::claims::Kind;
use shared::clock::Timestamp;
use shared::cookies::{Cookies, Lifetime, Presented};
use shared::error::{Error, Result};
use shared::http::{Reply, Request, reply};
use shared::identity::{Identities, Identity};
use shared::tokens::{Signer, Verifier};

/// Everything that it takes to say who somebody is, and all that it can touch.
pub struct Userinfo {
    /// Who is behind a token.
    pub identities: Identities,
    /// Reads tokens.
    pub verifier: Verifier,
    /// Signs the new ones.
    pub signer: Signer,
    /// Finds tokens in cookies and puts them there.
    pub cookies: Cookies,
}

impl Userinfo {
    /// Says who is signed in: by the `Bearer` token alone where there is one, else by the access cookie, else by the
    /// refresh cookie, which also renews the session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where nobody is; whatever a malformed request or a store that cannot answer gives.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("GET, HEAD")?;
        let presented = self.cookies.read(request.cookie_lines());
        if let Some(token) = request.bearer() {
            let claims = self.verifier.verify(Kind::Access, token, now)?;
            claims.check_same_user(&presented.claims(&[Kind::Access], &self.verifier))?;
            let identity = self.identities.behind(&claims, now, &request.budget).await?;
            return reply::json(&identity.user.profile);
        }
        if presented.is_ambiguous() {
            let cleared = self.cookies.clear_both().into_iter().filter(|_| request.may_renew());
            return reply::with_cookies(reply::not_authorized(), cleared);
        }

        match self.behind(Kind::Access, &presented, &request, now).await {
            Err(Error::NotAuthorized) => {}
            verdict => return reply::json(&verdict?.user.profile),
        }
        let identity = self.behind(Kind::Refresh, &presented, &request, now).await?;
        let response = reply::json(&identity.user.profile)?;
        if !request.may_renew() {
            return Ok(response);
        }
        let access = self.signer.access(&identity.subject(), now, identity.session.ends_at())?;
        reply::with_cookies(response, [self.cookies.set(&access, Lifetime::Token, now)?])
    }

    /// Who is behind the cookie of a kind, as the stores see it now.
    async fn behind(
        &self,
        kind: Kind,
        presented: &Presented<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Identity> {
        let token = presented.one(kind).ok_or(Error::NotAuthorized)?;
        let claims = self.verifier.verify(kind, token, now)?;
        self.identities.behind(&claims, now, &request.budget).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};
    use shared::config::Config;
    use shared::http;
    use shared::sessions::{Opening, Sessions};
    use shared::store::{self, Budget};
    use shared::users::User;
    use testbed::{Calls, Event, Fault, Reply, Tables};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 86_400;

    /// Somebody who signed in at `NOW`.
    struct SignedIn {
        tables: Tables,
        config: Config,
        user: User,
        access: String,
        refresh: String,
    }

    impl SignedIn {
        async fn new() -> Self {
            let tables = Tables::new().await;
            let config = Config::from_lookup(tables.settings(&[])).unwrap();
            let user = testbed::add_kim(&config).await;
            let (access, refresh) = sign_in(&config, &user, true).await;
            Self { tables, config, user, access, refresh }
        }

        async fn send(&self, event: Event, now: Timestamp) -> Reply {
            send(&self.config, event, now).await
        }
    }

    /// Opens a session and signs its tokens; a session that is not kept has an empty refresh token.
    async fn sign_in(config: &Config, user: &User, keep: bool) -> (String, String) {
        let sessions = Sessions::new(store::connect(config), config);
        let opening = Opening { keep, kid: "k", user_agent: None, source_ip: None };
        let session = sessions.begin(user, opening, NOW).unwrap();
        sessions.open(&session, &Budget::new(None)).await.unwrap();
        let identity = Identity { user: user.clone(), session };
        let signer = Signer::new(config);
        let access = signer.access(&identity.subject(), NOW, identity.session.ends_at()).unwrap();
        let refresh =
            identity.session.current_generation().map(|generation| signer.refresh(&identity.subject(), &generation));
        (access.expose().to_owned(), refresh.map(|token| token.unwrap().expose().to_owned()).unwrap_or_default())
    }

    fn userinfo(config: &Config, client: store::Client) -> Userinfo {
        Userinfo {
            identities: Identities::new(client, config),
            verifier: Verifier::new(config),
            signer: Signer::new(config),
            cookies: Cookies::new(config.cookie_domain.clone()),
        }
    }

    async fn send(config: &Config, event: Event, now: Timestamp) -> Reply {
        let userinfo = userinfo(config, store::connect(config));
        event.send(&mut http::service(&config.allowed_origins, |request| userinfo.handle(request, now))).await
    }

    fn with(access: &str, refresh: &str) -> Event {
        Event::recorded("userinfo").cookies([
            "theme=dark".into(),
            format!("access_jwt={access}"),
            format!("refresh_jwt={refresh}"),
        ])
    }

    fn bearer(token: &str) -> Event {
        Event::recorded("userinfo-without").header("authorization", &format!("Bearer {token}"))
    }

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn kim() -> Value {
        json!({
            "id": "0", "userId": "kimcoding", "email": "kimcoding@authstates.com", "name": "김코딩",
            "position": "Frontend Developer", "location": "Seoul, South Korea", "bio": "Writes the page that you sign in from.",
        })
    }

    fn refused(reply: &Reply) -> bool {
        (reply.status, reply.body(), reply.cookies.len()) == (401, "Not Authorized", 0)
    }

    #[tokio::test]
    async fn an_access_token_shows_the_user_without_the_password() {
        let kim_is_in = SignedIn::new().await;
        let reply = kim_is_in.send(with(&kim_is_in.access, ""), NOW).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        assert_eq!((reply.json(), reply.cookies.len()), (kim(), 0));
    }

    #[tokio::test]
    async fn nobody_is_there_without_a_token() {
        let kim_is_in = SignedIn::new().await;
        assert!(refused(&kim_is_in.send(Event::recorded("userinfo-without"), NOW).await));
        assert!(refused(&kim_is_in.send(Event::recorded("userinfo"), NOW).await), "a token that is none");
    }

    #[tokio::test]
    async fn a_refresh_token_stands_in_for_a_missing_expired_or_forged_access_token() {
        let kim_is_in = SignedIn::new().await;
        let forged = format!("{}AA", kim_is_in.access);
        for (access, now) in [("", NOW), (kim_is_in.access.as_str(), after(DAY + 5)), (&forged, NOW)] {
            let reply = kim_is_in.send(with(access, &kim_is_in.refresh), now).await;
            assert_eq!((reply.status, reply.json()), (200, kim()), "{access}");
            let renewed = reply.cookie("access_jwt").unwrap();
            assert!(reply.cookies[0].contains("; Max-Age=86400; Expires="), "{:?}", reply.cookies);
            assert!(kim_is_in.send(with(renewed, ""), now).await.status == 200, "the new token is good");
        }
    }

    #[tokio::test]
    async fn a_renewed_access_token_never_outlives_the_session() {
        let kim_is_in = SignedIn::new().await;
        let reply = kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY - 60)).await;
        assert!(reply.cookies[0].contains("; Max-Age=60; "), "{:?}", reply.cookies);
        assert!(refused(&kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY)).await));
    }

    #[tokio::test]
    async fn a_session_that_is_not_kept_is_over_with_its_access_token() {
        let kim_is_in = SignedIn::new().await;
        let (access, _) = sign_in(&kim_is_in.config, &kim_is_in.user, false).await;
        assert_eq!(kim_is_in.send(with(&access, ""), after(DAY - 1)).await.status, 200);
        assert!(refused(&kim_is_in.send(with(&access, ""), after(DAY)).await));
    }

    /// R42.
    #[tokio::test]
    async fn a_token_in_the_wrong_cookie_is_no_token() {
        let kim_is_in = SignedIn::new().await;
        assert!(refused(&kim_is_in.send(with(&kim_is_in.refresh, &kim_is_in.access), NOW).await));
    }

    /// R86.
    #[tokio::test]
    async fn a_request_that_nobody_waits_for_gets_the_verdict_and_no_cookie() {
        let kim_is_in = SignedIn::new().await;
        let renewing = with("", &kim_is_in.refresh);
        for event in [
            renewing.clone().method("HEAD"),
            renewing.clone().header("sec-purpose", "prefetch"),
            renewing.clone().header("sec-fetch-site", "cross-site"),
            renewing.header("sec-fetch-dest", "image"),
        ] {
            let reply = kim_is_in.send(event.clone(), NOW).await;
            assert_eq!((reply.status, reply.cookies.len()), (200, 0), "{event:?}");
        }
    }

    #[tokio::test]
    async fn a_bearer_token_is_accepted_where_the_cookie_is() {
        let kim_is_in = SignedIn::new().await;
        let reply = kim_is_in.send(bearer(&kim_is_in.access), NOW).await;
        assert_eq!((reply.status, reply.json(), reply.cookies.len()), (200, kim(), 0));
    }

    /// R91: a `Bearer` token that is no good is not saved by a cookie that is.
    #[tokio::test]
    async fn a_bearer_token_is_the_only_credential_and_never_renews() {
        let kim_is_in = SignedIn::new().await;
        let SignedIn { access, refresh, .. } = &kim_is_in;
        let cookies = [format!("access_jwt={access}"), format!("refresh_jwt={refresh}")];
        for token in ["", "garbage", refresh] {
            assert!(refused(&kim_is_in.send(bearer(token).cookies(cookies.clone()), NOW).await), "{token}");
        }
        let expired = bearer(access).cookies([format!("refresh_jwt={refresh}")]);
        assert!(refused(&kim_is_in.send(expired, after(DAY + 5)).await));
    }

    /// R91.
    #[tokio::test]
    async fn a_token_in_the_query_or_the_body_is_not_read() {
        let kim_is_in = SignedIn::new().await;
        let event =
            Event::recorded("userinfo-without").query(&format!("access_token={0}&access_jwt={0}", kim_is_in.access));
        assert!(refused(&kim_is_in.send(event.body(kim_is_in.refresh.clone()), NOW).await));
    }

    /// R92.
    #[tokio::test]
    async fn a_bearer_token_and_a_cookie_of_different_users_are_400() {
        let kim_is_in = SignedIn::new().await;
        let park = testbed::add_park(&kim_is_in.config).await;
        let (parks, _) = sign_in(&kim_is_in.config, &park, false).await;
        let both = |cookie: &str| bearer(&kim_is_in.access).cookies([format!("access_jwt={cookie}")]);
        assert_eq!(kim_is_in.send(both(&parks), NOW).await.status, 400);
        assert_eq!(kim_is_in.send(both(&kim_is_in.access), NOW).await.status, 200);
        assert_eq!(kim_is_in.send(both("garbage"), NOW).await.status, 200);
    }

    /// R81.
    #[tokio::test]
    async fn one_name_with_two_values_is_401_and_clears_both_cookies() {
        let kim_is_in = SignedIn::new().await;
        let good = format!("access_jwt={}", kim_is_in.access);
        let twice = Event::recorded("userinfo").cookies([good.clone(), "access_jwt=tossed".into()]);
        let head = kim_is_in.send(twice.clone().method("HEAD"), NOW).await;
        assert_eq!((head.status, head.cookies.len()), (401, 0), "no cookie where nobody waits (R86)");
        let reply = kim_is_in.send(twice, NOW).await;
        assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 2));
        assert!(reply.cookies.iter().all(|line| line.contains("=; Path=/") && line.contains("Max-Age=0")));
        let still_live = Event::recorded("userinfo").cookies([good.clone(), good]);
        assert_eq!(
            kim_is_in.send(still_live, NOW).await.status,
            200,
            "the session was not ended; the same pair twice is one"
        );
    }

    /// R34: what the tables say now counts, not what they said at the login.
    #[tokio::test]
    async fn a_user_who_is_gone_is_refused_with_either_token() {
        let kim_is_in = SignedIn::new().await;
        kim_is_in.tables.delete("UsersTable", &json!({ "pk": { "S": "user#0" } }));
        assert!(refused(&kim_is_in.send(with(&kim_is_in.access, &kim_is_in.refresh), NOW).await));
    }

    #[tokio::test]
    async fn the_refresh_token_of_a_living_session_stands_in_for_an_ended_one() {
        let kim_is_in = SignedIn::new().await;
        let ended = kim_is_in.tables.items("SessionsTable").remove(0);
        let (_, refresh) = sign_in(&kim_is_in.config, &kim_is_in.user, true).await;
        kim_is_in
            .tables
            .delete("SessionsTable", &json!({ "user_id": ended["user_id"], "session_id": ended["session_id"] }));
        let reply = kim_is_in.send(with(&kim_is_in.access, &refresh), NOW).await;
        assert_eq!((reply.status, reply.cookies.len()), (200, 1));
    }

    #[tokio::test]
    async fn a_user_with_roles_shows_them() {
        let kim_is_in = SignedIn::new().await;
        let mut item =
            kim_is_in.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
        item["roles"] = json!({ "L": [{ "S": "admin" }] });
        kim_is_in.tables.put("UsersTable", &item);
        let reply = kim_is_in.send(with(&kim_is_in.access, ""), NOW).await;
        assert_eq!(reply.json()["roles"], json!(["admin"]));
    }

    #[tokio::test]
    async fn a_verdict_costs_one_call_and_a_forged_token_none() {
        let kim_is_in = SignedIn::new().await;
        let (client, calls) = Calls::of(&store::connect(&kim_is_in.config));
        let userinfo = userinfo(&kim_is_in.config, client);
        let mut service = http::service(&[], |request| userinfo.handle(request, NOW));
        with(&kim_is_in.access, &kim_is_in.refresh).send(&mut service).await;
        assert_eq!(calls.take(), ["BatchGetItem"]);
        with("", &kim_is_in.refresh).send(&mut service).await;
        assert_eq!(calls.take(), ["BatchGetItem"]);
        with("forged", "forged").send(&mut service).await;
        assert!(calls.take().is_empty());
    }

    /// R78.
    #[tokio::test]
    async fn a_token_of_another_installation_is_refused() {
        let kim_is_in = SignedIn::new().await;
        for elsewhere in
            [("ISSUER", "staging"), ("AUDIENCE", "staging"), ("ACCESS_SECRET", "another-secret-0123456789-0123456789")]
        {
            let config = Config::from_lookup(kim_is_in.tables.settings(&[elsewhere])).unwrap();
            assert!(refused(&send(&config, with(&kim_is_in.access, ""), NOW).await), "{elsewhere:?}");
        }
    }

    /// F04, F05, F16: an outage signs nobody out, and what was good before is good after.
    #[tokio::test]
    async fn a_store_that_does_not_answer_is_503_and_leaves_the_cookies_alone() {
        let kim_is_in = SignedIn::new().await;
        for fault in [Fault::Stall, Fault::Refuse(400, "ProvisionedThroughputExceededException")] {
            for event in [with(&kim_is_in.access, ""), with("", &kim_is_in.refresh), bearer(&kim_is_in.access)] {
                let failing = kim_is_in.tables.failing(&[("BatchGetItem", &[fault; 9])]).await;
                let started = Instant::now();
                let outage = send(&Config::from_lookup(failing).unwrap(), event.clone(), NOW).await;
                assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
                assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
                assert_eq!(kim_is_in.send(event, NOW).await.status, 200);
            }
        }
    }

    #[tokio::test]
    async fn only_get_and_head_are_answered() {
        let kim_is_in = SignedIn::new().await;
        let reply = kim_is_in.send(with(&kim_is_in.access, "").method("POST"), NOW).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    }
}
