//! A Lambda authorizer: says to API Gateway who is asking, before it calls a function of somebody else's.

use shared::access::Access;
use shared::clock::Timestamp;
use shared::error::{Error, Result};
use shared::http::Request;
use shared::http::authorizer::Verdict;

/// Everything that it takes to let somebody through, and all that it can touch.
pub struct Authorizer {
    /// Who is asking.
    pub access: Access,
    /// What they must be allowed to do, besides being signed in.
    pub required_role: Option<String>,
}

impl Authorizer {
    /// Lets through who is signed in, by the same checks as `userinfo`, and has the role that is asked for. Roles are those
    /// of the store, as of now, not those of the token. Nothing is renewed: there is no way to hand out a cookie from here.
    ///
    /// # Errors
    /// Where the stores cannot be asked: that is no verdict, and the gateway answers 500.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Verdict> {
        match self.access.identity(&request, now).await {
            Ok(identity) if self.may_pass(&identity.user.profile.roles) => Ok(Verdict::pass(&identity)),
            Ok(_) | Err(Error::NotAuthorized | Error::Malformed(_)) => Ok(Verdict::refuse()),
            Err(error) => Err(error),
        }
    }

    fn may_pass(&self, roles: &[String]) -> bool {
        self.required_role.as_ref().is_none_or(|required| roles.contains(required))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::config::Config;
    use shared::users::User;
    use shared::{http, store};
    use testbed::{Calls, Event, Fault, Tables};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// Somebody who signed in at `NOW`.
    struct World {
        tables: Tables,
        config: Config,
        user: User,
        access: String,
        refresh: String,
    }

    impl World {
        async fn new() -> Self {
            let tables = Tables::new().await;
            let config = Config::from_lookup(tables.settings(&[])).unwrap();
            let user = testbed::add_kim(&config).await;
            let (access, refresh) = testbed::sign_in(&config, &user, true, NOW).await;
            Self { tables, config, user, access, refresh }
        }

        async fn ask(&self, event: Event) -> Value {
            ask(&self.config, store::connect(&self.config), event).await.unwrap()
        }

        fn change(&self, table: &str, name: &str, value: Value) {
            let items = self.tables.items(table);
            let mut item = items.into_iter().find(|item| table != "UsersTable" || item["pk"]["S"] == "user#0").unwrap();
            item[name] = value;
            self.tables.put(table, &item);
        }
    }

    /// What the gateway is told; nothing where the invocation fails.
    async fn ask(config: &Config, client: store::Client, event: Event) -> Option<Value> {
        let authorizer =
            Authorizer { access: Access::new(client, config), required_role: config.required_role.clone() };
        let mut service = http::authorizer::service(&config.allowed_origins, |request| authorizer.handle(request, NOW));
        event.authorize(&mut service).await
    }

    fn with(access: &str) -> Event {
        Event::recorded("authorizer").cookies(["theme=dark".to_owned(), format!("access_jwt={access}")])
    }

    fn bearer(token: &str) -> Event {
        Event::recorded("authorizer").without_cookies().header("authorization", &format!("Bearer {token}"))
    }

    fn refused() -> Value {
        json!({ "isAuthorized": false })
    }

    #[tokio::test]
    async fn who_is_signed_in_passes_and_the_function_behind_learns_who_it_is() {
        let world = World::new().await;
        let session = world.tables.items("SessionsTable")[0]["session_id"]["S"].clone();
        let context = json!({ "userId": "0", "sessionId": session, "email": "kimcoding@authstates.com" });
        for event in [with(&world.access), bearer(&world.access)] {
            assert_eq!(
                world.ask(event).await,
                json!({ "isAuthorized": true, "context": context }),
                "no roles, no null"
            );
        }
    }

    #[tokio::test]
    async fn roles_are_those_of_the_store_as_of_now() {
        let world = World::new().await;
        world.change("UsersTable", "roles", json!({ "L": [{ "S": "analyst" }] }));
        assert_eq!(world.ask(with(&world.access)).await["context"]["roles"], json!(["analyst"]));
        for (required, passes) in [("analyst", true), ("admin", false)] {
            let config = Config::from_lookup(world.tables.settings(&[("REQUIRED_ROLE", required)])).unwrap();
            let verdict = ask(&config, store::connect(&config), with(&world.access)).await.unwrap();
            assert_eq!(verdict["isAuthorized"], passes, "{required}");
            assert_eq!(verdict.get("context").is_some(), passes);
        }
    }

    #[tokio::test]
    async fn nobody_passes_without_a_good_access_token() {
        let world = World::new().await;
        let refresh_only = Event::recorded("authorizer").cookies([format!("refresh_jwt={}", world.refresh)]);
        for event in [
            Event::recorded("authorizer"),
            Event::recorded("authorizer").without_cookies(),
            with("garbage"),
            with(&world.refresh),
            refresh_only,
            bearer("garbage"),
            bearer(&world.refresh),
            bearer("").cookies([format!("access_jwt={}", world.access)]),
            with(&world.access).cookies([format!("access_jwt={}", world.access), "access_jwt=tossed".into()]),
        ] {
            assert_eq!(world.ask(event.clone()).await, refused(), "{event:?}");
        }
        assert_eq!(world.tables.items("SessionsTable")[0]["gen"]["N"], "1", "nothing was renewed");
    }

    /// R34, R75, R76: what ended a moment ago is over here too.
    #[tokio::test]
    async fn what_ended_the_session_ends_it_here_as_well() {
        for (table, name, value) in [
            ("SessionsTable", "ended_at", json!({ "N": "1800000000" })),
            ("UsersTable", "session_epoch", json!({ "N": "2" })),
            ("UsersTable", "disabled", json!({ "BOOL": true })),
            ("UsersTable", "email", json!({ "S": "new@example.com" })),
        ] {
            let world = World::new().await;
            world.change(table, name, value);
            assert_eq!(world.ask(with(&world.access)).await, refused(), "{name}");
        }
    }

    /// R92.
    #[tokio::test]
    async fn a_bearer_token_and_a_cookie_of_two_users_are_refused() {
        let world = World::new().await;
        let park = testbed::add_park(&world.config).await;
        let (parks, _) = testbed::sign_in(&world.config, &park, true, NOW).await;
        assert_ne!(park.profile.id, world.user.profile.id);
        let both = bearer(&world.access).cookies([format!("access_jwt={parks}")]);
        assert_eq!(world.ask(both).await, refused());
    }

    /// R81, R82: a header or a cookie that cannot be read hides nothing and breaks nothing.
    #[tokio::test]
    async fn a_hostile_header_or_cookie_is_passed_over() {
        let world = World::new().await;
        let good = format!("access_jwt={}", world.access);
        for event in [
            with(&world.access).cookies(["x=\u{1}".to_owned(), good.clone()]),
            with(&world.access).cookies(["x=\u{e9}".to_owned(), good.clone()]),
            with(&world.access).header("x-evil", "a\nb").header("bad name", "x").header("host", "a:99999"),
        ] {
            assert_eq!(world.ask(event.clone()).await["isAuthorized"], true, "{event:?}");
        }
        assert_eq!(world.ask(bearer("a\u{e9}b")).await, refused());
        assert_eq!(world.ask(with("").with("/cookies", json!(null)).with("/headers", json!(null))).await, refused());
    }

    /// R85: a function behind the gateway is as safe from foreign pages as ours are.
    #[tokio::test]
    async fn a_foreign_page_may_ask_and_change_nothing() {
        let world = World::new().await;
        let from = |method: &str, site: &str| {
            with(&world.access).with("/requestContext/http/method", json!(method)).header("sec-fetch-site", site)
        };
        for (event, passes) in [
            (from("GET", "cross-site"), true),
            (from("POST", "same-origin"), true),
            (from("POST", "cross-site"), false),
            (from("DELETE", "same-site"), false),
            (from("DELETE", "same-site").header("origin", "https://localhost:3000"), true),
            (from("\u{0}", "cross-site"), false),
        ] {
            assert_eq!(world.ask(event.clone()).await["isAuthorized"], passes, "{event:?}");
        }
    }

    #[tokio::test]
    async fn a_verdict_costs_one_call_and_a_forged_token_none() {
        let world = World::new().await;
        let (client, calls) = Calls::of(&store::connect(&world.config));
        ask(&world.config, client.clone(), with(&world.access)).await;
        assert_eq!(calls.take(), ["BatchGetItem"]);
        ask(&world.config, client, with("forged")).await;
        assert!(calls.take().is_empty());
    }

    /// F04, F16, F19: an outage is no verdict: the gateway answers 500, not 403.
    #[tokio::test]
    async fn a_store_that_does_not_answer_fails_the_invocation() {
        let world = World::new().await;
        for fault in [Fault::Stall, Fault::Refuse(400, "AccessDeniedException")] {
            let failing = world.tables.failing(&[("BatchGetItem", &[fault; 9])]).await;
            let config = Config::from_lookup(failing).unwrap();
            assert_eq!(ask(&config, store::connect(&config), with(&world.access)).await, None, "{fault:?}");
        }
    }
}
