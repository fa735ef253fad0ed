//! `POST /logout`: end the session, clear the cookies.

use shared::claims::{Claims, Kind};
use shared::clock::Timestamp;
use shared::cookies::Cookies;
use shared::error::Result;
use shared::http::{Reply, Request, reply};
use shared::sessions::{Ended, Sessions};
use shared::tokens::Verifier;
use shared::users::Users;

/// Everything that a logout needs, and all that it can touch.
pub struct Logout {
    /// Where all sessions of a user are ended at once.
    pub users: Users,
    /// Where a session is ended.
    pub sessions: Sessions,
    /// Reads tokens.
    pub verifier: Verifier,
    /// Finds tokens in cookies, and clears them.
    pub cookies: Cookies,
}

impl Logout {
    /// Signs out: ends every session that the tokens of the request name, expired or not, and only then clears the
    /// cookies. Without a token that we signed there is nothing to end, and the answer is the same.
    ///
    /// # Errors
    /// [`NotAuthorized`](shared::error::Error::NotAuthorized) for a `Bearer` token that is not ours; whatever a malformed
    /// request or a store that cannot answer gives: the cookies stay as they are, so that the next try can still end the
    /// session (F06).
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("POST")?;
        let everywhere = request.flag("everywhere")?;
        let named = self.named(&request)?;

        for claims in named {
            let ended = self.sessions.end(&claims.sub, &claims.sid, now, &request.budget).await?;
            let user = claims.sub.as_str();
            if ended.as_ref().is_some_and(|ended| ended.just_now) {
                let session = claims.sid.fingerprint();
                tracing::info!(event = "logged_out", user, session, "Somebody signed out.");
            }
            let asked = ended.filter(|_| everywhere).map(Ended::session).transpose()?;
            if let Some(session) = asked.filter(|session| session.was_just_live(now))
                && self.users.end_sessions(&session.user_id, session.epoch, &request.budget).await?
            {
                let reason = "everywhere";
                tracing::info!(event = "sessions_ended", reason, user, "All sessions of a user are over.");
            }
        }

        reply::with_cookies(reply::reset_content(), self.cookies.clear_both())
    }

    /// The claims of the request's tokens, of each session once. All cookies count: clearing one without ending its session
    /// would leave a session that nobody can end. So a `Bearer` token may not come together with a cookie of somebody else.
    fn named(&self, request: &Request) -> Result<Vec<Claims>> {
        let mut named =
            self.cookies.read(request.cookie_lines()).claims(&[Kind::Access, Kind::Refresh], &self.verifier);
        if let Some(token) = request.bearer() {
            let claims = self.verifier.authentic(Kind::Access, token)?;
            claims.check_same_user(&named)?;
            if named.iter().all(|other| other.sid != claims.sid) {
                named.push(claims);
            }
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;
    use shared::config::Config;
    use shared::http;
    use shared::store;
    use shared::users::User;
    use testbed::{Calls, Event, Fault, Reply, Tables};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// Two people, signed in by the tests.
    struct World {
        tables: Tables,
        config: Config,
        kim: User,
        park: User,
    }

    impl World {
        async fn new() -> Self {
            let tables = Tables::new().await;
            let config = Config::from_lookup(tables.settings(&[])).unwrap();
            let (kim, park) = (testbed::add_kim(&config).await, testbed::add_park(&config).await);
            Self { tables, config, kim, park }
        }

        /// The access and the refresh token of a new session.
        async fn sign_in(&self, user: &User) -> (String, String) {
            testbed::sign_in(&self.config, user, true, NOW).await
        }

        async fn send(&self, event: Event) -> Reply {
            send(&self.config, event, NOW).await
        }

        fn ended(&self) -> usize {
            self.tables.items("SessionsTable").iter().filter(|session| session.get("ended_at").is_some()).count()
        }

        fn epoch(&self, pk: &str) -> String {
            let user = self.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == pk).unwrap();
            user["session_epoch"]["N"].as_str().unwrap().to_owned()
        }
    }

    async fn send(config: &Config, event: Event, now: Timestamp) -> Reply {
        let logout = logout(config, store::connect(config));
        event.send(&mut http::service(&config.allowed_origins, |request| logout.handle(request, now))).await
    }

    fn logout(config: &Config, client: store::Client) -> Logout {
        Logout {
            users: Users::new(client.clone(), &config.users_table),
            sessions: Sessions::new(client, config),
            verifier: Verifier::new(config),
            cookies: Cookies::new(config.cookie_domain.clone()),
        }
    }

    fn with(cookies: &[(&str, &str)]) -> Event {
        Event::recorded("logout").cookies(cookies.iter().map(|(name, value)| format!("{name}={value}")))
    }

    /// 205 without a body, and both cookies cleared as they were set.
    fn signed_out(reply: &Reply) -> bool {
        let attributes = "; Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        let cleared = ["access_jwt", "refresh_jwt"].map(|name| format!("{name}={attributes}"));
        (reply.status, reply.body()) == (205, "") && reply.cookies == cleared
    }

    /// R74, F36: as often as it is asked for.
    #[tokio::test]
    async fn a_logout_ends_the_session_and_clears_both_cookies() {
        let world = World::new().await;
        let (access, refresh) = world.sign_in(&world.kim).await;
        assert!(signed_out(&world.send(with(&[("access_jwt", &access), ("refresh_jwt", &refresh)])).await));
        assert_eq!(world.ended(), 1);
        assert!(signed_out(&world.send(with(&[("access_jwt", &access), ("refresh_jwt", &refresh)])).await), "again");
    }

    /// R74.
    #[tokio::test]
    async fn a_logout_without_a_token_of_ours_is_answered_the_same_and_ends_nothing() {
        let world = World::new().await;
        world.sign_in(&world.kim).await;
        for event in [Event::recorded("logout-without"), Event::recorded("logout"), with(&[("access_jwt", "garbage")])]
        {
            assert!(signed_out(&world.send(event).await));
        }
        assert_eq!(world.ended(), 0);
    }

    /// R74.
    #[tokio::test]
    async fn each_token_alone_ends_its_session_expired_or_not() {
        let world = World::new().await;
        let much_later = NOW + Duration::from_hours(40 * 24);
        for (name, now) in
            [("access_jwt", NOW), ("refresh_jwt", NOW), ("access_jwt", much_later), ("refresh_jwt", much_later)]
        {
            let before = world.ended();
            let (access, refresh) = world.sign_in(&world.kim).await;
            let token = if name == "access_jwt" { access } else { refresh };
            assert!(signed_out(&send(&world.config, with(&[(name, &token)]), now).await));
            assert_eq!(world.ended(), before + 1, "{name}");
        }
    }

    #[tokio::test]
    async fn every_session_that_the_tokens_name_is_ended() {
        let world = World::new().await;
        let ((first, _), (_, second), (third, _)) =
            (world.sign_in(&world.kim).await, world.sign_in(&world.kim).await, world.sign_in(&world.park).await);
        world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &first), ("refresh_jwt", &second), ("access_jwt", &third)]);
        assert!(signed_out(&world.send(event).await));
        assert_eq!(world.ended(), 3, "and the fourth lives");
    }

    #[tokio::test]
    async fn a_session_named_by_both_tokens_is_ended_by_one_call() {
        let world = World::new().await;
        let (access, refresh) = world.sign_in(&world.kim).await;
        let (client, calls) = Calls::of(&store::connect(&world.config));
        let logout = logout(&world.config, client);
        let mut service = http::service(&[], |request| logout.handle(request, NOW));
        with(&[("access_jwt", &access), ("refresh_jwt", &refresh)]).send(&mut service).await;
        assert_eq!(calls.take(), ["UpdateItem"]);
    }

    /// R76.
    #[tokio::test]
    async fn everywhere_ends_the_epoch_of_this_user_and_of_nobody_else() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &access)]);
        assert!(signed_out(&world.send(event.clone().query("everywhere=false")).await));
        assert_eq!(world.epoch("user#0"), "1");
        assert!(signed_out(&world.send(event.clone().query("everywhere=true")).await));
        assert_eq!((world.epoch("user#0"), world.epoch("user#1")), ("2".into(), "1".into()));
    }

    /// A token of an epoch that is over, leaked perhaps, cannot end the sessions of the present one.
    #[tokio::test]
    async fn an_old_token_cannot_end_everything_twice() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &access)]).query("everywhere=true");
        for _ in 0..3 {
            assert!(signed_out(&world.send(event.clone()).await));
        }
        assert_eq!(world.epoch("user#0"), "2");
    }

    /// The token of a session that ended long ago, leaked perhaps, signs nobody out everywhere; one that ended a moment ago
    /// does, so that a try that failed half-way can be made again.
    #[tokio::test]
    async fn a_dead_session_cannot_end_the_living_ones() {
        let world = World::new().await;
        let after = |secs| NOW + Duration::from_secs(secs);
        for (tried_at, epoch) in [(61, "1"), (36 * 86_400, "1"), (60, "2")] {
            let (access, _) = world.sign_in(&world.kim).await;
            let event = with(&[("access_jwt", &access)]);
            assert!(signed_out(&world.send(event.clone()).await));
            assert!(signed_out(&send(&world.config, event.query("everywhere=true"), after(tried_at)).await));
            assert_eq!(world.epoch("user#0"), epoch, "{tried_at} s later");
        }
    }

    /// F21: a session is ended whatever its record says; only who asks what it was needs to read it.
    #[tokio::test]
    async fn a_session_that_cannot_be_read_can_still_be_ended() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        let mut item = world.tables.items("SessionsTable").remove(0);
        item["v"] = json!({ "N": "2" });
        world.tables.put("SessionsTable", &item);
        assert!(signed_out(&world.send(with(&[("access_jwt", &access)])).await));
        assert_eq!(world.ended(), 1);
        let everywhere = world.send(with(&[("access_jwt", &access)]).query("everywhere=true")).await;
        assert_eq!((everywhere.status, everywhere.cookies.len()), (500, 0), "not claimed where it was not done");
    }

    #[tokio::test]
    async fn everywhere_is_true_or_false() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        let refused = world.send(with(&[("access_jwt", &access)]).query("everywhere=1")).await;
        assert_eq!((refused.status, refused.cookies.len(), world.ended()), (400, 0, 0));
    }

    #[tokio::test]
    async fn a_bearer_token_ends_its_session_and_one_that_is_not_ours_ends_nothing() {
        let world = World::new().await;
        let (access, refresh) = world.sign_in(&world.kim).await;
        let bearer =
            |token: &str| Event::recorded("logout-without").header("authorization", &format!("Bearer {token}"));
        for token in ["", "garbage", &refresh] {
            let refused = world.send(bearer(token).cookies([format!("access_jwt={access}")])).await;
            assert_eq!((refused.status, refused.body(), refused.cookies.len()), (401, "Not Authorized", 0));
        }
        assert_eq!(world.ended(), 0);
        assert!(signed_out(&world.send(bearer(&access)).await));
        assert_eq!(world.ended(), 1);
    }

    /// R92.
    #[tokio::test]
    async fn a_bearer_token_and_a_cookie_of_different_users_end_nothing() {
        let world = World::new().await;
        let ((kims, _), (parks, parks_refresh)) = (world.sign_in(&world.kim).await, world.sign_in(&world.park).await);
        for name in ["access_jwt", "refresh_jwt"] {
            let token = if name == "access_jwt" { &parks } else { &parks_refresh };
            let both = with(&[(name, token)]).header("authorization", &format!("Bearer {kims}"));
            assert_eq!((world.send(both.query("everywhere=true")).await.status, world.ended()), (400, 0), "{name}");
        }
    }

    /// R85, R90.
    #[tokio::test]
    async fn only_a_post_of_ours_signs_out() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &access)]);
        let get = world.send(event.clone().method("GET")).await;
        assert_eq!((get.status, get.header("allow"), get.cookies.len()), (405, Some("POST"), 0));
        let foreign = world.send(event.header("sec-fetch-site", "cross-site")).await;
        assert_eq!((foreign.status, foreign.cookies.len()), (403, 0));
        assert_eq!(world.ended(), 0);
    }

    #[tokio::test]
    async fn a_token_for_a_session_that_is_not_there_creates_none() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        let item = world.tables.items("SessionsTable").remove(0);
        world.tables.delete("SessionsTable", &json!({ "user_id": item["user_id"], "session_id": item["session_id"] }));
        assert!(signed_out(&world.send(with(&[("access_jwt", &access)]).query("everywhere=true")).await));
        assert!(world.tables.items("SessionsTable").is_empty());
        assert_eq!(world.epoch("user#0"), "1");
    }

    /// F06: a logout that did not happen is never claimed, and can be tried again.
    #[tokio::test]
    async fn a_store_that_does_not_answer_is_503_and_leaves_the_cookies_alone() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &access)]);
        for fault in [Fault::Stall, Fault::Refuse(400, "ThrottlingException")] {
            let failing = world.tables.failing(&[("UpdateItem", &[fault; 9])]).await;
            let started = Instant::now();
            let outage = send(&Config::from_lookup(failing).unwrap(), event.clone(), NOW).await;
            assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
            assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
        }
        assert_eq!(world.ended(), 0);
        assert!(signed_out(&world.send(event).await));
        assert_eq!(world.ended(), 1);
    }

    /// F06: the first call got through, the second did not; the next try does what is left.
    #[tokio::test]
    async fn everywhere_can_be_finished_after_an_outage_half_way() {
        let world = World::new().await;
        let (access, _) = world.sign_in(&world.kim).await;
        let event = with(&[("access_jwt", &access)]).query("everywhere=true");
        let refused = Fault::Refuse(400, "ThrottlingException");
        let faults = [Fault::LoseReply, refused, refused, refused, refused];
        let failing = Config::from_lookup(world.tables.failing(&[("UpdateItem", &faults)]).await).unwrap();
        assert_eq!(send(&failing, event.clone(), NOW).await.status, 503);
        assert_eq!((world.ended(), world.epoch("user#0").as_str()), (1, "1"));
        assert!(signed_out(&world.send(event).await));
        assert_eq!(world.epoch("user#0"), "2");
    }
}
