//! `GET /sessions`, `DELETE /sessions`, `DELETE /sessions/{id}`: where somebody is signed in, and the end of it.

use serde::Serialize;
use shared::access::Access;
use shared::clock::Timestamp;
use shared::error::{Error, Result};
use shared::http::{Reply, Request, reply};
use shared::id::SessionId;
use shared::identity::Identity;
use shared::session::Session;
use shared::sessions::Sessions;

mod device;

/// Everything that it takes to list one's own sessions and to end them, and all that it can touch.
pub struct OwnSessions {
    /// Who is asking.
    pub access: Access,
    /// Where they are.
    pub sessions: Sessions,
}

/// The body of the answer.
#[derive(Serialize)]
struct List<'a> {
    sessions: Vec<Entry<'a>>,
}

/// One of them.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    created_at: String,
    last_renewed_at: String,
    source_ip: Option<&'a str>,
    user_agent: Option<&'a str>,
    device: Option<String>,
    current: bool,
}

impl OwnSessions {
    /// Lists the sessions of whoever is asking, or ends one of them, or all but the one that is asking.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where nobody is asking; [`Error::NotFound`] for a session that is not one's own; whatever a
    /// malformed request or a store that cannot answer gives.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        let named = request.parameter("id");
        request.accept(if named.is_some() { "DELETE" } else { "GET, DELETE" })?;
        if let Some(refusal) = self.access.ambiguous(&request) {
            return refusal;
        }
        let identity = self.access.identity(&request, now).await?;
        match named {
            Some(id) => self.end(id, &identity, &request, now).await,
            None if request.method == "DELETE" => self.end_others(identity, &request, now).await,
            None => self.list(&identity, &request, now).await,
        }
    }

    async fn list(&self, identity: &Identity, request: &Request, now: Timestamp) -> Result<Reply> {
        let Identity { user, session } = identity;
        let sessions = self.sessions.live(&user.profile.id, user.session_epoch, now, &request.budget).await?;
        reply::json(&List { sessions: sessions.iter().map(|found| Entry::new(found, session)).collect() })
    }

    /// Ends one. It may be the one that is asking, whose cookies are then worth nothing and are cleared.
    async fn end(&self, id: &str, identity: &Identity, request: &Request, now: Timestamp) -> Result<Reply> {
        let unknown = || Error::NotFound("session");
        let id = SessionId::parse(id).map_err(|_| unknown())?;
        let owner = &identity.user.profile.id;
        let ended = self.sessions.end(owner, &id, now, &request.budget).await?.ok_or_else(unknown)?;
        if ended.just_now {
            let (user, session) = (owner.as_str(), id.fingerprint());
            tracing::info!(event = "sessions_ended", reason = "one", user, session, "A session was ended by its user.");
        }
        let is_its_own = id == identity.session.id && request.bearer().is_none();
        let cleared = self.access.cookies.clear_both().into_iter().filter(|_| is_its_own);
        reply::with_cookies(reply::no_content(), cleared)
    }

    /// Ends all but this one. Where user or session have changed meanwhile, somebody else has ended sessions: if that was
    /// this very session, on another request, it still lives and all is done.
    async fn end_others(&self, identity: Identity, request: &Request, now: Timestamp) -> Result<Reply> {
        if self.access.identities.end_others(&identity, &request.budget).await? {
            let user = identity.user.profile.id.as_str();
            tracing::info!(
                event = "sessions_ended",
                reason = "others",
                user,
                "All sessions of a user but one are over."
            );
        } else {
            self.access.identity(request, now).await?;
        }
        Ok(reply::no_content())
    }
}

impl<'a> Entry<'a> {
    fn new(session: &'a Session, asking: &Session) -> Self {
        Self {
            id: session.id.as_str(),
            created_at: session.created_at.rfc3339(),
            last_renewed_at: session.issued_at.rfc3339(),
            source_ip: session.source_ip.as_deref(),
            user_agent: session.user_agent.as_deref(),
            device: session.user_agent.as_deref().and_then(device::name),
            current: session.id == asking.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};
    use shared::config::Config;
    use shared::users::User;
    use shared::{http, store};
    use testbed::{Calls, Event, Fault, Reply, Tables};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// Two people; one of them has signed in on three devices.
    struct World {
        tables: Tables,
        config: Config,
        kim: User,
        park: User,
        laptop: String,
        phone: String,
        desktop: String,
    }

    impl World {
        async fn new() -> Self {
            let tables = Tables::new().await;
            let config = Config::from_lookup(tables.settings(&[])).unwrap();
            let (kim, park) = (testbed::add_kim(&config).await, testbed::add_park(&config).await);
            let sign_in = async |secs| testbed::sign_in(&config, &kim, true, after(secs)).await.0;
            let (laptop, phone, desktop) = (sign_in(0).await, sign_in(60).await, sign_in(120).await);
            Self { tables, config, kim, park, laptop, phone, desktop }
        }

        async fn send(&self, event: Event) -> Reply {
            send(&self.config, store::connect(&self.config), event).await
        }

        /// What the list says of each session, the last renewed first.
        async fn list(&self, access: &str) -> Vec<Value> {
            let reply = self.send(by(access, Event::recorded("sessions"))).await;
            assert_eq!((reply.status, reply.cookies.len()), (200, 0), "{reply:?}");
            reply.json()["sessions"].as_array().unwrap().clone()
        }

        async fn id_of(&self, access: &str) -> String {
            let list = self.list(access).await;
            list.iter().find(|session| session["current"] == true).unwrap()["id"].as_str().unwrap().to_owned()
        }
    }

    async fn send(config: &Config, client: store::Client, event: Event) -> Reply {
        let sessions =
            OwnSessions { access: Access::new(client.clone(), config), sessions: Sessions::new(client, config) };
        let handler = |request| sessions.handle(request, after(180));
        event.send(&mut http::service(&config.allowed_origins, handler)).await
    }

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn by(access: &str, event: Event) -> Event {
        event.cookies([format!("access_jwt={access}")])
    }

    fn end(id: &str) -> Event {
        Event::recorded("sessions-end")
            .with("/pathParameters/id", json!(id))
            .with("/rawPath", json!(format!("/sessions/{id}")))
    }

    fn refused(reply: &Reply) -> bool {
        (reply.status, reply.body(), reply.cookies.len()) == (401, "Not Authorized", 0)
    }

    #[tokio::test]
    async fn the_list_has_ones_own_living_sessions_and_says_which_one_is_asking() {
        let world = World::new().await;
        testbed::sign_in(&world.config, &world.park, true, NOW).await;
        let id = world.id_of(&world.phone).await;
        let mut record =
            world.tables.items("SessionsTable").into_iter().find(|item| item["session_id"]["S"] == *id).unwrap();
        record["user_agent"] = json!({ "S": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0" });
        record["source_ip"] = json!({ "S": "203.0.113.7" });
        world.tables.put("SessionsTable", &record);

        let list = world.list(&world.phone).await;
        let current: Vec<_> = list.iter().map(|session| session["current"] == true).collect();
        assert_eq!(current, [false, true, false], "the last renewed comes first");
        let expected = json!({
            "id": id, "created_at": "2027-01-15T08:01:00Z", "last_renewed_at": "2027-01-15T08:01:00Z",
            "source_ip": "203.0.113.7", "device": "Firefox on Linux", "current": true,
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
        });
        assert_eq!(list[1], expected);
        assert_eq!(
            (&list[0]["device"], &list[0]["user_agent"], &list[0]["source_ip"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
    }

    #[tokio::test]
    async fn nobody_sees_or_ends_anything_without_a_good_access_token() {
        let world = World::new().await;
        let (_, refresh) = testbed::sign_in(&world.config, &world.kim, true, NOW).await;
        for name in ["sessions", "sessions-end", "sessions-end-others"] {
            assert!(refused(&world.send(Event::recorded(name)).await), "{name}");
            assert!(refused(&world.send(by(&refresh, Event::recorded(name))).await), "{name}");
            let renewing = Event::recorded(name).cookies([format!("refresh_jwt={refresh}")]);
            assert!(refused(&world.send(renewing).await), "{name}");
        }
        assert_eq!(world.list(&world.phone).await.len(), 4);
    }

    /// R81.
    #[tokio::test]
    async fn one_name_with_two_values_is_401_and_clears_both_cookies() {
        let world = World::new().await;
        let twice = Event::recorded("sessions").cookies([format!("access_jwt={}", world.phone), "access_jwt=x".into()]);
        let reply = world.send(twice).await;
        assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 2));
        assert_eq!(world.list(&world.phone).await.len(), 3, "no session was ended");
    }

    #[tokio::test]
    async fn a_session_that_was_ended_is_gone_from_the_list_and_from_its_device() {
        let world = World::new().await;
        let id = world.id_of(&world.phone).await;
        for _ in 0..2 {
            let reply = world.send(by(&world.laptop, end(&id))).await;
            assert_eq!((reply.status, reply.body(), reply.cookies.len()), (204, "", 0), "also the second time");
        }
        assert!(refused(&world.send(by(&world.phone, Event::recorded("sessions"))).await));
        assert_eq!(world.list(&world.laptop).await.len(), 2);
    }

    #[tokio::test]
    async fn whoever_ends_the_session_that_is_asking_loses_its_cookies() {
        let world = World::new().await;
        let (phone, laptop) = (world.id_of(&world.phone).await, world.id_of(&world.laptop).await);
        let reply = world.send(by(&world.phone, end(&phone))).await;
        assert_eq!((reply.status, reply.cookies.len()), (204, 2));
        assert!(reply.cookies.iter().all(|line| line.contains("Max-Age=0")));
        let bearer =
            end(&laptop).cookies(Vec::<String>::new()).header("authorization", &format!("Bearer {}", world.laptop));
        let reply = world.send(bearer).await;
        assert_eq!((reply.status, reply.cookies.len()), (204, 0));
    }

    /// R90.
    #[tokio::test]
    async fn a_session_that_is_not_ones_own_is_404_and_lives() {
        let world = World::new().await;
        let (parks, _) = testbed::sign_in(&world.config, &world.park, true, NOW).await;
        let parks_id = world.id_of(&parks).await;
        for id in [parks_id.as_str(), "AAAAAAAAAAAAAAAAAAAAAA", "no-id", "..", "a b"] {
            let reply = world.send(by(&world.phone, end(id))).await;
            assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/problem+json")), "{id}");
            assert_eq!(reply.json()["detail"], "There is no such session.");
        }
        assert_eq!(world.list(&parks).await.len(), 1);
        assert_eq!(world.tables.items("SessionsTable").len(), 4, "nothing was created");
    }

    /// R76.
    #[tokio::test]
    async fn ending_all_others_leaves_the_one_that_is_asking() {
        let world = World::new().await;
        let (parks, _) = testbed::sign_in(&world.config, &world.park, true, NOW).await;
        let reply = world.send(by(&world.phone, Event::recorded("sessions-end-others"))).await;
        assert_eq!((reply.status, reply.body(), reply.cookies.len()), (204, "", 0));
        for other in [&world.laptop, &world.desktop] {
            assert!(refused(&world.send(by(other, Event::recorded("sessions"))).await));
        }
        assert_eq!(world.list(&world.phone).await.len(), 1);
        assert_eq!(world.list(&parks).await.len(), 1, "another user's");
        let again = world.send(by(&world.phone, Event::recorded("sessions-end-others"))).await;
        assert_eq!((again.status, world.list(&world.phone).await.len()), (204, 1));
    }

    /// Two requests at once: of the same session both are right, of two sessions the second finds itself signed out.
    #[tokio::test]
    async fn ending_all_others_twice_at_once_is_decided_by_the_tables() {
        for (whose, status) in [("phone", 204), ("laptop", 401)] {
            let world = World::new().await;
            let winner = if whose == "phone" { &world.phone } else { &world.laptop };
            let id = world.id_of(winner).await;
            let tables = world.tables.clone();
            let client = testbed::before(&store::connect(&world.config), "TransactWriteItems", move || {
                let raise = |table, name: &str, is_it: &dyn Fn(&Value) -> bool| {
                    let mut item = tables.items(table).into_iter().find(is_it).unwrap();
                    item[name] = json!({ "N": "2" });
                    tables.put(table, &item);
                };
                raise("UsersTable", "session_epoch", &|item| item["pk"]["S"] == "user#0");
                raise("SessionsTable", "epoch", &|item| item["session_id"]["S"] == *id);
            });
            let reply = send(&world.config, client, by(&world.phone, Event::recorded("sessions-end-others"))).await;
            assert_eq!((reply.status, reply.cookies.len()), (status, 0), "{whose}");
            assert_eq!(world.list(winner).await.len(), 1);
        }
    }

    /// A session that was ended meanwhile does not take the others with it.
    #[tokio::test]
    async fn a_session_that_has_ended_ends_no_others() {
        let world = World::new().await;
        let id = world.id_of(&world.phone).await;
        let tables = world.tables.clone();
        let client = testbed::before(&store::connect(&world.config), "TransactWriteItems", move || {
            let mut item =
                tables.items("SessionsTable").into_iter().find(|item| item["session_id"]["S"] == *id).unwrap();
            item["ended_at"] = json!({ "N": "1800000180" });
            tables.put("SessionsTable", &item);
        });
        let reply = send(&world.config, client, by(&world.phone, Event::recorded("sessions-end-others"))).await;
        assert!(refused(&reply), "{reply:?}");
        assert_eq!(world.list(&world.laptop).await.len(), 2);
    }

    #[tokio::test]
    async fn a_list_costs_two_calls_and_a_forged_token_none() {
        let world = World::new().await;
        let id = world.id_of(&world.phone).await;
        for (event, expected) in [
            (by(&world.phone, Event::recorded("sessions")), vec!["BatchGetItem", "Query"]),
            (by(&world.phone, Event::recorded("sessions-end-others")), vec!["BatchGetItem", "TransactWriteItems"]),
            (by(&world.phone, end(&id)), vec!["BatchGetItem", "UpdateItem"]),
            (by("forged", Event::recorded("sessions")), vec![]),
        ] {
            let (client, calls) = Calls::of(&store::connect(&world.config));
            send(&world.config, client, event).await;
            assert_eq!(calls.take(), expected);
        }
    }

    /// R85.
    #[tokio::test]
    async fn a_foreign_page_ends_nothing() {
        let world = World::new().await;
        let id = world.id_of(&world.laptop).await;
        for event in [end(&id), Event::recorded("sessions-end-others")] {
            let reply = world.send(by(&world.phone, event).header("sec-fetch-site", "cross-site")).await;
            assert_eq!((reply.status, reply.cookies.len()), (403, 0));
        }
        assert_eq!(world.list(&world.phone).await.len(), 3);
    }

    /// R90.
    #[tokio::test]
    async fn another_method_is_405_and_says_which_there_are() {
        let world = World::new().await;
        for (event, allowed) in [
            (Event::recorded("sessions").method("POST"), "GET, DELETE"),
            (end("AAAAAAAAAAAAAAAAAAAAAA").method("GET"), "DELETE"),
        ] {
            let reply = world.send(by(&world.phone, event)).await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)));
        }
    }

    /// F16: an outage is no verdict, and claims nothing to be done.
    #[tokio::test]
    async fn a_store_that_does_not_answer_is_503_and_leaves_the_cookies_alone() {
        let world = World::new().await;
        let id = world.id_of(&world.phone).await;
        for (operation, event) in [
            ("BatchGetItem", Event::recorded("sessions")),
            ("Query", Event::recorded("sessions")),
            ("UpdateItem", end(&id)),
            ("TransactWriteItems", Event::recorded("sessions-end-others")),
        ] {
            let failing = world.tables.failing(&[(operation, &[Fault::Stall; 9])]).await;
            let (config, started) = (Config::from_lookup(failing).unwrap(), Instant::now());
            let reply = send(&config, store::connect(&config), by(&world.phone, event)).await;
            assert_eq!(
                (reply.status, reply.header("retry-after"), reply.cookies.len()),
                (503, Some("1"), 0),
                "{operation}"
            );
            assert!(started.elapsed() < Duration::from_secs(3), "{operation}");
        }
        assert_eq!(world.list(&world.phone).await.len(), 3);
    }

    /// F07: the transaction got through, only its answer was lost.
    #[tokio::test]
    async fn ending_all_others_whose_acknowledgement_was_lost_is_done_once() {
        let world = World::new().await;
        let failing = world.tables.failing(&[("TransactWriteItems", &[Fault::LoseReply])]).await;
        let config = Config::from_lookup(failing).unwrap();
        let event = by(&world.phone, Event::recorded("sessions-end-others"));
        assert_eq!(send(&config, store::connect(&config), event).await.status, 204);
        let user = world.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
        assert_eq!((&user["session_epoch"]["N"], world.list(&world.phone).await.len()), (&json!("2"), 1));
    }
}
