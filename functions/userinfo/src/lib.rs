//! `GET /userinfo`: who is behind this session; renews it.

use shared::access::Access;
use shared::claims::Kind;
use shared::clock::Timestamp;
use shared::error::{Error, Result};
use shared::http::{Reply, Request, reply};
use shared::identity::Identity;
use shared::session::{Reuse, Rules, Standing};
use shared::sessions::{Renewal, Sessions};
use shared::tokens::Signer;

/// Everything that it takes to say who somebody is, and all that it can touch.
pub struct Userinfo {
    /// Who is behind a token.
    pub access: Access,
    /// Where a session is renewed, or ended for reuse.
    pub sessions: Sessions,
    /// When it may be.
    pub rules: Rules,
    /// Signs the new tokens.
    pub signer: Signer,
}

impl Userinfo {
    /// Says who is signed in: by the `Bearer` token alone where there is one, else by the access cookie, else by the
    /// refresh cookie, which also renews the session.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where nobody is; whatever a malformed request or a store that cannot answer gives.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("GET, HEAD")?;
        if let Some(refusal) = self.access.ambiguous(&request) {
            return refusal;
        }
        match self.access.identity(&request, now).await {
            Err(Error::NotAuthorized) if request.bearer().is_none() => self.renew(&request, now).await,
            verdict => reply::json(&verdict?.user.profile),
        }
    }

    /// Says who is behind a refresh token, and renews the session or, for a token that was renewed before, ends it. An old
    /// token is one for ever, so the time is only asked of the one that renews.
    async fn renew(&self, request: &Request, now: Timestamp) -> Result<Reply> {
        let presented = self.access.cookies.read(request.cookie_lines());
        let token = presented.one(Kind::Refresh).ok_or(Error::NotAuthorized)?;
        let token = self.access.verifier.authentic(Kind::Refresh, token)?;
        let mut identity = self.access.identities.renewing(&token, now, &request.budget).await?;
        let standing = self.rules.standing(&token, &identity.session, now);
        if standing == Standing::Current {
            self.access.verifier.check_time(&token, now)?;
        }
        if !request.may_renew() {
            return match standing {
                Standing::Current | Standing::Replayed => reply::json(&identity.user.profile),
                Standing::Reused(_) | Standing::Unknown => Err(Error::NotAuthorized),
            };
        }
        if standing != Standing::Current {
            return self.repeat(standing, &identity, request, now).await;
        }

        identity.session = self.rules.renewed(&identity.session, self.signer.refresh_kid(), now);
        // Made before the write, after which nothing can fail: what is written down, the browser gets.
        let renewed = self.signed_in(&identity, now)?;
        match self.sessions.renew(&identity.session, now, &request.budget).await? {
            Renewal::Recorded => {
                let (user, session) = names(&identity);
                tracing::info!(event = "session_renewed", user, session, "A session was renewed.");
                Ok(renewed)
            }
            Renewal::Overtaken(found) => {
                identity.session = found.ok_or(Error::NotAuthorized)?;
                if identity.is_torn() {
                    identity = self.access.identities.renewing(&token, now, &request.budget).await?;
                }
                if !identity.is_good(&token, now) {
                    return Err(Error::NotAuthorized);
                }
                let standing = self.rules.standing(&token, &identity.session, now);
                self.repeat(standing, &identity, request, now).await
            }
        }
    }

    /// Answers a refresh token that is not, or no longer, the current one: a moment after its first use with the same
    /// successor (R63), later with the end of the session (R66).
    async fn repeat(
        &self,
        standing: Standing,
        identity: &Identity,
        request: &Request,
        now: Timestamp,
    ) -> Result<Reply> {
        match standing {
            Standing::Replayed => {
                let replayed = self.signed_in(identity, now)?;
                let (user, session) = names(identity);
                tracing::info!(
                    event = "renewal_replayed",
                    user,
                    session,
                    "A refresh token got its successor once more."
                );
                Ok(replayed)
            }
            Standing::Reused(reuse) => self.end_for_reuse(reuse, identity, request, now).await,
            Standing::Current | Standing::Unknown => Err(Error::NotAuthorized),
        }
    }

    /// Ends a session of which two hold tokens: which of them is the thief, nobody can tell.
    async fn end_for_reuse(
        &self,
        reuse: Reuse,
        identity: &Identity,
        request: &Request,
        now: Timestamp,
    ) -> Result<Reply> {
        if self.sessions.end_for_reuse(&identity.session, now, &request.budget).await? {
            let ((user, session), reason) = (names(identity), reuse.reason());
            tracing::warn!(
                event = "refresh_reuse",
                reason,
                user,
                session,
                "An old refresh token was used again: its session has been ended."
            );
        }
        reply::with_cookies(reply::not_authorized(), self.access.cookies.clear_both())
    }

    /// The user, with a new access cookie and the session's current refresh cookie.
    fn signed_in(&self, identity: &Identity, now: Timestamp) -> Result<Reply> {
        let cookies = self.access.cookies.of_session(&identity.session, &identity.subject(), &self.signer, now)?;
        reply::with_cookies(reply::json(&identity.user.profile)?, cookies)
    }
}

/// User and session, as the log names them.
fn names(identity: &Identity) -> (&str, String) {
    (identity.user.profile.id.as_str(), identity.session.id.fingerprint())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};
    use shared::config::Config;
    use shared::http;
    use shared::store;
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
            let (access, refresh) = testbed::sign_in(&config, &user, true, NOW).await;
            Self { tables, config, user, access, refresh }
        }

        async fn send(&self, event: Event, now: Timestamp) -> Reply {
            send(&self.config, event, now).await
        }

        /// The successor of a refresh token.
        async fn renew(&self, refresh: &str, now: Timestamp) -> String {
            let reply = self.send(with("", refresh), now).await;
            assert_eq!((reply.status, reply.cookies.len()), (200, 2));
            reply.cookie("refresh_jwt").unwrap().to_owned()
        }
    }

    fn userinfo(config: &Config, client: store::Client) -> Userinfo {
        Userinfo {
            access: Access::new(client.clone(), config),
            sessions: Sessions::new(client, config),
            rules: Rules::new(config),
            signer: Signer::new(config),
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

    /// 401, and both cookies are cleared.
    fn ended_for_reuse(reply: &Reply) -> bool {
        let cleared = reply.cookies.iter().filter(|line| line.contains("=; Path=/") && line.contains("Max-Age=0"));
        (reply.status, reply.body(), cleared.count()) == (401, "Not Authorized", 2)
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
        for (access, now) in [("", NOW), ("its own", after(DAY + 5)), ("forged", NOW)] {
            let kim_is_in = SignedIn::new().await;
            let access = if access == "its own" { &kim_is_in.access } else { access };
            let reply = kim_is_in.send(with(access, &kim_is_in.refresh), now).await;
            assert_eq!((reply.status, reply.json()), (200, kim()), "{access}");
            let renewed = reply.cookie("access_jwt").unwrap();
            assert!(kim_is_in.send(with(renewed, ""), now).await.status == 200, "the new token is good");
        }
    }

    /// R70.
    #[tokio::test]
    async fn a_session_that_is_not_renewed_for_seven_days_is_over() {
        let kim_is_in = SignedIn::new().await;
        assert!(refused(&kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY)).await));
        assert_eq!(kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY - 1)).await.status, 200);
    }

    #[tokio::test]
    async fn a_session_that_is_not_kept_is_over_with_its_access_token() {
        let kim_is_in = SignedIn::new().await;
        let (access, _) = testbed::sign_in(&kim_is_in.config, &kim_is_in.user, false, NOW).await;
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
    async fn a_request_that_nobody_waits_for_gets_the_verdict_and_changes_nothing() {
        let kim_is_in = SignedIn::new().await;
        let first = kim_is_in.refresh.clone();
        let unattended = |refresh: &str| {
            let renewing = with("", refresh);
            [
                renewing.clone().method("HEAD"),
                renewing.clone().header("sec-purpose", "prefetch"),
                renewing.clone().header("sec-fetch-site", "cross-site"),
                renewing.header("sec-fetch-dest", "image"),
            ]
        };
        let records = kim_is_in.tables.items("SessionsTable");
        for event in unattended(&first) {
            let reply = kim_is_in.send(event.clone(), NOW).await;
            assert_eq!((reply.status, reply.cookies.len()), (200, 0), "{event:?}");
        }
        assert_eq!(kim_is_in.tables.items("SessionsTable"), records);
        kim_is_in.renew(&first, NOW).await;
        let records = kim_is_in.tables.items("SessionsTable");
        for (now, status) in [(after(10), 200), (after(11), 401)] {
            for event in unattended(&first) {
                let reply = kim_is_in.send(event.clone(), now).await;
                assert_eq!((reply.status, reply.cookies.len()), (status, 0), "{event:?}");
            }
        }
        assert_eq!(kim_is_in.tables.items("SessionsTable"), records, "not even ended for reuse");
    }

    #[tokio::test]
    async fn a_renewal_hands_out_both_cookies_anew() {
        let kim_is_in = SignedIn::new().await;
        let reply = kim_is_in.send(with("", &kim_is_in.refresh), after(DAY)).await;
        assert_eq!((reply.status, reply.json(), reply.cookies.len()), (200, kim(), 2));
        assert!(reply.cookies[0].contains("; Max-Age=86400; Expires="), "{:?}", reply.cookies);
        assert!(reply.cookies[1].contains("; Max-Age=604800; Expires="), "{:?}", reply.cookies);
        let second = reply.cookie("refresh_jwt").unwrap();
        assert_ne!(second, kim_is_in.refresh);
        let record = &kim_is_in.tables.items("SessionsTable")[0];
        assert_eq!((&record["gen"]["N"], &record["issued_at"]["N"]), (&json!("2"), &json!("1800086400")));
        assert_eq!(kim_is_in.send(with("", second), after(2 * DAY)).await.status, 200);
    }

    /// R71.
    #[tokio::test]
    async fn a_session_that_is_renewed_every_day_ends_after_thirty() {
        let kim_is_in = SignedIn::new().await;
        let mut refresh = kim_is_in.refresh.clone();
        for day in 1..30 {
            refresh = kim_is_in.renew(&refresh, after(day * DAY)).await;
        }
        let last = kim_is_in.send(with("", &refresh), after(30 * DAY - 60)).await;
        assert!(last.cookies.iter().all(|line| line.contains("; Max-Age=60; ")), "{:?}", last.cookies);
        let (access, refresh) = (last.cookie("access_jwt").unwrap(), last.cookie("refresh_jwt").unwrap());
        assert!(refused(&kim_is_in.send(with(access, refresh), after(30 * DAY)).await));
    }

    /// R63, R64, R69, F10: the same successor, bit for bit, for ten seconds from the first use, which asking again does not
    /// renew. Each time it is a function that has just started which is asked: all that counts is in the table.
    #[tokio::test]
    async fn the_same_token_again_gets_the_same_successor_until_the_window_closes() {
        let kim_is_in = SignedIn::new().await;
        let second = kim_is_in.renew(&kim_is_in.refresh, after(100)).await;
        let records = kim_is_in.tables.items("SessionsTable");
        for secs in (100..=110).step_by(2) {
            assert_eq!(kim_is_in.renew(&kim_is_in.refresh, after(secs)).await, second, "{secs}");
        }
        assert_eq!(kim_is_in.tables.items("SessionsTable"), records, "a replay writes nothing");
        assert!(ended_for_reuse(&kim_is_in.send(with("", &kim_is_in.refresh), after(112)).await));
        assert!(refused(&kim_is_in.send(with("", &second), after(112)).await), "the family is ended");
    }

    /// The key was changed between the first use and the second.
    #[tokio::test]
    async fn a_replay_gets_the_same_successor_from_the_key_that_signed_it() {
        let kim_is_in = SignedIn::new().await;
        let second = kim_is_in.renew(&kim_is_in.refresh, NOW).await;
        let old = "refresh-secret-for-tests-012345678";
        let changed = [("REFRESH_SECRET", "another-secret-0123456789-0123456789"), ("PREVIOUS_REFRESH_SECRET", old)];
        let config = Config::from_lookup(kim_is_in.tables.settings(&changed)).unwrap();
        let replay = send(&config, with("", &kim_is_in.refresh), after(5)).await;
        assert_eq!(replay.cookie("refresh_jwt"), Some(second.as_str()));
        let third = send(&config, with("", &second), after(6)).await;
        let third = third.cookie("refresh_jwt").unwrap();
        assert_eq!(send(&config, with("", third), after(7)).await.status, 200, "signed with the new key");
        assert!(refused(&kim_is_in.send(with("", third), after(7)).await), "which the old configuration does not know");
    }

    /// R65, R66, R67, R69: a token from before the last two renewals is reuse, even within the same second, and whoever comes
    /// with the current one is signed out too. That is reported once.
    #[tokio::test]
    async fn a_copy_of_an_old_token_ends_the_session_and_clears_the_cookies() {
        let kim_is_in = SignedIn::new().await;
        let second = kim_is_in.renew(&kim_is_in.refresh, NOW).await;
        let third = kim_is_in.send(with("", &second), NOW).await;
        let (access, third) = (third.cookie("access_jwt").unwrap(), third.cookie("refresh_jwt").unwrap());
        let log = testbed::Log::start();
        assert!(ended_for_reuse(&kim_is_in.send(with("", &kim_is_in.refresh), NOW).await));
        for event in [with("", &kim_is_in.refresh), with("", &second), with("", third), with(access, third)] {
            assert!(
                refused(&kim_is_in.send(event, NOW).await),
                "no token of that session is good, no cookie is touched"
            );
        }
        let reported = log.events("refresh_reuse");
        assert!(reported.len() == 1 && reported[0]["session"].is_string(), "{reported:?}");
        assert_eq!(kim_is_in.tables.items("SessionsTable")[0]["ended_at"]["N"], "1800000000");
    }

    /// R66: an old token is one for ever, also when its own time is over: else a thief who renews would never be found by it.
    #[tokio::test]
    async fn an_old_token_that_has_expired_ends_the_session_all_the_same() {
        let kim_is_in = SignedIn::new().await;
        let second = kim_is_in.renew(&kim_is_in.refresh, after(DAY)).await;
        assert!(ended_for_reuse(&kim_is_in.send(with("", &kim_is_in.refresh), after(7 * DAY + 60)).await));
        assert!(refused(&kim_is_in.send(with("", &second), after(7 * DAY + 60)).await));
    }

    /// R63: the window is the same at the end of a token's time.
    #[tokio::test]
    async fn a_token_that_was_used_in_its_last_second_is_answered_again() {
        let kim_is_in = SignedIn::new().await;
        let second = kim_is_in.renew(&kim_is_in.refresh, after(7 * DAY - 1)).await;
        assert_eq!(kim_is_in.renew(&kim_is_in.refresh, after(7 * DAY + 9)).await, second);
    }

    /// F27: half of the instances know the new key already. Those that do not cannot tell, and say so.
    #[tokio::test]
    async fn a_successor_with_a_key_that_is_not_here_yet_is_503_and_no_verdict() {
        let kim_is_in = SignedIn::new().await;
        let old = "refresh-secret-for-tests-012345678";
        let changed = [("REFRESH_SECRET", "another-secret-0123456789-0123456789"), ("PREVIOUS_REFRESH_SECRET", old)];
        let new = Config::from_lookup(kim_is_in.tables.settings(&changed)).unwrap();
        let renewed = send(&new, with("", &kim_is_in.refresh), NOW).await;
        let replay = kim_is_in.send(with("", &kim_is_in.refresh), after(1)).await;
        assert_eq!((replay.status, replay.header("retry-after"), replay.cookies.len()), (503, Some("1"), 0));
        // Told first as the one before, as docs/sessions.md says, it is known everywhere when it begins to sign.
        let known = [("PREVIOUS_REFRESH_SECRET", "another-secret-0123456789-0123456789")];
        let known = Config::from_lookup(kim_is_in.tables.settings(&known)).unwrap();
        let second = renewed.cookie("refresh_jwt").unwrap();
        let replay = send(&known, with("", &kim_is_in.refresh), after(1)).await;
        assert_eq!(replay.cookie("refresh_jwt"), Some(second));
        assert_eq!(send(&known, with("", second), after(2)).await.status, 200);
    }

    /// F24. A batch is no transaction: its two records may be from before and after the end of all other sessions.
    #[tokio::test]
    async fn a_session_that_was_kept_while_the_others_ended_is_not_refused() {
        let kim_is_in = SignedIn::new().await;
        let tables = kim_is_in.tables.clone();
        let raise = move |table: &str, name: &str| {
            let items = tables.items(table);
            let mut item = items.into_iter().find(|item| table != "UsersTable" || item["pk"]["S"] == "user#0").unwrap();
            item[name] = json!({ "N": "2" });
            tables.put(table, &item);
        };
        // The renewal has read both at epoch 1; meanwhile another tab renews and ends all others.
        let client = testbed::before(&store::connect(&kim_is_in.config), "UpdateItem", {
            let raise = raise.clone();
            move || {
                raise("UsersTable", "session_epoch");
                raise("SessionsTable", "epoch");
                raise("SessionsTable", "gen");
            }
        });
        let userinfo = userinfo(&kim_is_in.config, client);
        let mut service = http::service(&[], |request| userinfo.handle(request, NOW));
        assert_eq!(with("", &kim_is_in.refresh).send(&mut service).await.status, 200);
    }

    /// R68, F14: a renewal that has read the session before the logout, and writes after it, brings nothing back.
    #[tokio::test]
    async fn a_renewal_that_races_a_logout_does_not_resurrect_the_session() {
        let kim_is_in = SignedIn::new().await;
        let live = kim_is_in.tables.items("SessionsTable").remove(0);
        let key = json!({ "user_id": live["user_id"], "session_id": live["session_id"] });
        let mut ended = live.clone();
        ended["ended_at"] = json!({ "N": "1800000000" });
        for deleted in [false, true] {
            kim_is_in.tables.put("SessionsTable", &live);
            let (tables, key, tombstone) = (kim_is_in.tables.clone(), key.clone(), ended.clone());
            let client = testbed::before(&store::connect(&kim_is_in.config), "UpdateItem", move || {
                if deleted { tables.delete("SessionsTable", &key) } else { tables.put("SessionsTable", &tombstone) }
            });
            let userinfo = userinfo(&kim_is_in.config, client);
            let mut service = http::service(&[], |request| userinfo.handle(request, NOW));
            assert!(refused(&with("", &kim_is_in.refresh).send(&mut service).await));
            let records = kim_is_in.tables.items("SessionsTable");
            assert_eq!(records, if deleted { vec![] } else { vec![ended.clone()] });
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
        let (parks, _) = testbed::sign_in(&kim_is_in.config, &park, false, NOW).await;
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
        let (_, refresh) = testbed::sign_in(&kim_is_in.config, &kim_is_in.user, true, NOW).await;
        kim_is_in
            .tables
            .delete("SessionsTable", &json!({ "user_id": ended["user_id"], "session_id": ended["session_id"] }));
        let reply = kim_is_in.send(with(&kim_is_in.access, &refresh), NOW).await;
        assert_eq!((reply.status, reply.cookies.len()), (200, 2));
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
    async fn a_verdict_costs_one_call_a_renewal_two_and_a_forged_token_none() {
        let kim_is_in = SignedIn::new().await;
        let (client, calls) = Calls::of(&store::connect(&kim_is_in.config));
        let userinfo = userinfo(&kim_is_in.config, client);
        let mut service = http::service(&[], |request| userinfo.handle(request, NOW));
        with(&kim_is_in.access, &kim_is_in.refresh).send(&mut service).await;
        assert_eq!(calls.take(), ["BatchGetItem"]);
        with("", &kim_is_in.refresh).send(&mut service).await;
        assert_eq!(calls.take(), ["BatchGetItem", "UpdateItem"], "a renewal");
        with("", &kim_is_in.refresh).send(&mut service).await;
        assert_eq!(calls.take(), ["BatchGetItem"], "its replay");
        with("forged", "forged").send(&mut service).await;
        assert!(calls.take().is_empty());
    }

    /// The table in `docs/sessions.md`, as DynamoDB counts: a failed condition costs a write as well.
    #[tokio::test]
    async fn a_verdict_costs_two_units_to_read_and_a_renewal_one_more_to_write() {
        let kim_is_in = SignedIn::new().await;
        let (settings, meter) = kim_is_in.tables.metered().await;
        let config = Config::from_lookup(settings).unwrap();
        let read = || ("BatchGetItem".to_owned(), 2.0);
        send(&config, with(&kim_is_in.access, ""), NOW).await;
        assert_eq!(meter.take(), [read()]);
        send(&config, with("", &kim_is_in.refresh), NOW).await;
        assert_eq!(meter.take(), [read(), ("UpdateItem".to_owned(), 1.0)]);
        send(&config, with("", &kim_is_in.refresh), NOW).await;
        assert_eq!(meter.take(), [read()], "the same token again");
        send(&config, with("forged", "forged"), NOW).await;
        assert_eq!(meter.take(), []);
    }

    /// R78: neither token, though both installations have the same tables.
    #[tokio::test]
    async fn a_token_of_another_installation_is_refused() {
        let kim_is_in = SignedIn::new().await;
        let secret = "another-secret-0123456789-0123456789";
        let (access, refresh) = (with(&kim_is_in.access, ""), with("", &kim_is_in.refresh));
        let records = kim_is_in.tables.items("SessionsTable");
        for (elsewhere, events) in [
            (("ISSUER", "staging"), vec![&access, &refresh]),
            (("AUDIENCE", "staging"), vec![&access, &refresh]),
            (("ACCESS_SECRET", secret), vec![&access]),
            (("REFRESH_SECRET", secret), vec![&refresh]),
        ] {
            let config = Config::from_lookup(kim_is_in.tables.settings(&[elsewhere])).unwrap();
            for event in events {
                assert!(refused(&send(&config, event.clone(), NOW).await), "{elsewhere:?}");
            }
        }
        assert_eq!(kim_is_in.tables.items("SessionsTable"), records);
    }

    /// F05, F16: a renewal that cannot be written down is 503, and the token is as good as before.
    #[tokio::test]
    async fn a_renewal_that_cannot_be_written_is_503_and_can_be_tried_again() {
        for fault in
            [Fault::Stall, Fault::Refuse(400, "ThrottlingException"), Fault::Refuse(500, "InternalServerError")]
        {
            let kim_is_in = SignedIn::new().await;
            let (failing, started) = (kim_is_in.tables.failing(&[("UpdateItem", &[fault; 9])]).await, Instant::now());
            let outage = send(&Config::from_lookup(failing).unwrap(), with("", &kim_is_in.refresh), NOW).await;
            assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
            assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
            kim_is_in.renew(&kim_is_in.refresh, after(DAY)).await;
        }
    }

    /// F07: the write got through and its acknowledgement was lost. The second try finds what the first wrote, which is no
    /// theft, and the browser gets the successor.
    #[tokio::test]
    async fn a_renewal_whose_acknowledgement_was_lost_is_a_renewal() {
        let kim_is_in = SignedIn::new().await;
        let failing = kim_is_in.tables.failing(&[("UpdateItem", &[Fault::LoseReply])]).await;
        let reply = send(&Config::from_lookup(failing).unwrap(), with("", &kim_is_in.refresh), NOW).await;
        assert_eq!((reply.status, reply.json(), reply.cookies.len()), (200, kim(), 2));
        assert_eq!(kim_is_in.tables.items("SessionsTable")[0]["gen"]["N"], "2", "one renewal");
        kim_is_in.renew(reply.cookie("refresh_jwt").unwrap(), after(DAY)).await;
    }

    /// F10, F11, F35: the session was renewed and no answer ever arrived. Within the window the browser gets the successor
    /// that it missed; later nobody can tell it from a thief, and it has to sign in again.
    #[tokio::test]
    async fn a_browser_that_missed_the_answer_gets_it_within_the_window() {
        for (seconds, status, cookies) in [(10, 200, 2), (11, 401, 2)] {
            let kim_is_in = SignedIn::new().await;
            let missed = kim_is_in.renew(&kim_is_in.refresh, NOW).await;
            let again = kim_is_in.send(with("", &kim_is_in.refresh), after(seconds)).await;
            assert_eq!((again.status, again.cookies.len()), (status, cookies), "{seconds}");
            assert_eq!(again.cookie("refresh_jwt") == Some(missed.as_str()), status == 200);
        }
    }

    /// F15: a renewal that has read the user before all sessions were ended may answer, but with tokens that are worth
    /// nothing.
    #[tokio::test]
    async fn a_renewal_that_races_the_end_of_all_sessions_gives_tokens_that_are_refused() {
        let kim_is_in = SignedIn::new().await;
        let tables = kim_is_in.tables.clone();
        let client = testbed::before(&store::connect(&kim_is_in.config), "UpdateItem", move || {
            let mut user = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
            user["session_epoch"] = json!({ "N": "2" });
            tables.put("UsersTable", &user);
        });
        let userinfo = userinfo(&kim_is_in.config, client);
        let mut service = http::service(&[], |request| userinfo.handle(request, NOW));
        let reply = with("", &kim_is_in.refresh).send(&mut service).await;
        let (access, refresh) = (reply.cookie("access_jwt").unwrap(), reply.cookie("refresh_jwt").unwrap());
        assert!(refused(&kim_is_in.send(with(access, ""), NOW).await));
        assert!(refused(&kim_is_in.send(with("", refresh), NOW).await));
    }

    /// F29: tokens from a clock that is ahead are refused elsewhere until their time, and no cookie is touched.
    #[tokio::test]
    async fn a_clock_that_is_half_a_minute_ahead_signs_nobody_out_for_good() {
        let kim_is_in = SignedIn::new().await;
        let (access, refresh) = testbed::sign_in(&kim_is_in.config, &kim_is_in.user, true, after(30)).await;
        assert!(refused(&kim_is_in.send(with(&access, &refresh), NOW).await));
        assert_eq!(kim_is_in.send(with(&access, &refresh), after(25)).await.status, 200);
    }

    /// F29: a clock that is behind lets tokens live as much longer, and no age below zero stops it: what it sees from the future
    /// is refused until then, or replayed, and ends nothing.
    #[tokio::test]
    async fn a_clock_that_is_half_a_minute_behind_signs_nobody_out_for_good() {
        let kim_is_in = SignedIn::new().await;
        let (first, records) = (&kim_is_in.refresh, || kim_is_in.tables.items("SessionsTable"));
        let expired = after(DAY + 34);
        assert!(refused(&kim_is_in.send(with(&kim_is_in.access, ""), expired).await), "here");
        let behind = Timestamp::from_secs(expired.as_secs() - 30);
        assert_eq!(kim_is_in.send(with(&kim_is_in.access, ""), behind).await.status, 200, "there");

        let second = kim_is_in.renew(first, after(100)).await;
        let written = records();
        assert_eq!(kim_is_in.renew(first, after(70)).await, second, "the one before, where the clock is behind");
        assert!(
            refused(&kim_is_in.send(with("", &second), after(70)).await),
            "the current one is from the future there"
        );
        let before_it_began = Timestamp::from_secs(NOW.as_secs() - 30);
        assert!(refused(&kim_is_in.send(with(&kim_is_in.access, &second), before_it_began).await));
        assert_eq!(records(), written, "nothing was renewed or ended");
        kim_is_in.renew(&second, after(100)).await;
    }

    /// F36: the gateway or the browser sends the same request twice.
    #[tokio::test]
    async fn a_request_that_arrives_twice_is_answered_twice_alike() {
        let kim_is_in = SignedIn::new().await;
        let event = with("", &kim_is_in.refresh);
        let replies = [kim_is_in.send(event.clone(), NOW).await, kim_is_in.send(event, NOW).await];
        assert_eq!(replies[0].cookie("refresh_jwt"), replies[1].cookie("refresh_jwt"));
        assert!(replies.iter().all(|reply| (reply.status, reply.cookies.len()) == (200, 2)));
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

    /// R90.
    #[tokio::test]
    async fn only_get_and_head_are_answered() {
        let kim_is_in = SignedIn::new().await;
        let reply = kim_is_in.send(with(&kim_is_in.access, "").method("POST"), NOW).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    }
}
