//! `PUT /password`: another password, for somebody who knows the one of now.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::access::Access;
use shared::attempts::{Attempt, Way};
use shared::authentication::{Authentication, Proven};
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::{Error, Result};
use shared::http::{Reply, Request, reply};
use shared::identity::Identity;
use shared::passwords::Password;
use shared::passwords::policy::{Context, Policy};
use shared::store::Client;
use shared::users::Account;

/// Everything that it takes to change a password, and all that it can touch.
pub struct PasswordChange {
    /// Who is asking.
    pub access: Access,
    /// Says whether they know the password of now.
    pub authentication: Authentication,
    /// What the new one must be.
    pub policy: Policy,
    /// What this service is called: no password.
    pub service: String,
}

/// The body of the contract, to the letter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Form {
    current_password: SecretString,
    new_password: SecretString,
}

impl PasswordChange {
    /// The tables, secrets and rules of this configuration.
    ///
    /// # Errors
    /// As [`Authentication::new`].
    pub fn new(client: Client, config: &Config) -> Result<Self> {
        Ok(Self {
            access: Access::new(client.clone(), config),
            authentication: Authentication::new(client, config)?,
            policy: Policy::new(config.password_min_length),
            service: config.issuer.clone(),
        })
    }

    /// Sets another password and ends all sessions but this one (R16).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] where nobody is signed in or the current password is wrong; [`Error::Malformed`] says what is
    /// wrong with the new one; [`Error::TooManyAttempts`]; whatever a store that cannot answer gives.
    pub async fn handle(&self, request: Request, now: Timestamp) -> Result<Reply> {
        request.accept("PUT")?;
        if let Some(refusal) = self.access.ambiguous(&request) {
            return refusal;
        }
        let form: Form = request.json()?;
        let current = Password::new(form.current_password.expose_secret())?;
        let new = Password::new(form.new_password.expose_secret())?;

        let identity = self.access.identity(&request, now).await?;
        self.policy.check(new.expose(), &self.context(&identity, &current))?;
        let proven = self.prove(&identity, &current, &request, now).await?;

        let hash = self.authentication.hasher.hash(&new)?;
        let identities = &self.access.identities;
        if !identities.change_password(&identity, &proven.credentials, &hash, &request.budget).await? {
            return Err(Error::Overtaken("the account was changed at the same time".into()));
        }
        let user = identity.user.profile.id.as_str();
        tracing::info!(event = "password_changed", user, "A password was changed; the other sessions are over.");

        Ok(reply::no_content())
    }

    fn context<'a>(&'a self, identity: &'a Identity, current: &'a Password) -> Context<'a> {
        let profile = &identity.user.profile;
        Context {
            login_name: &profile.user_id,
            email: &profile.email,
            name: &profile.name,
            service: &self.service,
            current_password: Some(current.expose()),
        }
    }

    /// That whoever is signed in knows the password, too: a session alone may be stolen. Wrong ones are counted apart from
    /// those at the login, so that nobody outside can keep somebody from changing theirs.
    async fn prove(
        &self,
        identity: &Identity,
        current: &Password,
        request: &Request,
        now: Timestamp,
    ) -> Result<Proven> {
        let account = Account::named(&identity.user.profile.user_id);
        let source_ip = request.source_ip();
        let attempt = Attempt { account: &account, way: Way::SignedIn, source_ip: source_ip.as_deref() };
        let proven = self.authentication.prove(attempt, current, now, &request.budget).await?;
        if proven.user.profile.id == identity.user.profile.id { Ok(proven) } else { Err(Error::NotAuthorized) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use shared::users::User;
    use shared::{http, store};
    use testbed::{Calls, Event, Fault, Reply, Tables};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const NEW: &str = "paper boats in the rain";

    /// Kim, signed in on two devices.
    struct World {
        tables: Tables,
        config: Config,
        kim: User,
        here: String,
        there: String,
    }

    impl World {
        async fn new() -> Self {
            let tables = Tables::new().await;
            let config = Config::from_lookup(tables.settings(&[])).unwrap();
            let kim = testbed::add_kim(&config).await;
            let here = testbed::sign_in(&config, &kim, true, NOW).await.0;
            let there = testbed::sign_in(&config, &kim, true, NOW).await.0;
            Self { tables, config, kim, here, there }
        }

        fn change(&self, current: &str, new: &str) -> Event {
            let body = json!({ "currentPassword": current, "newPassword": new });
            Event::recorded("password").body(body.to_string()).cookies([format!("access_jwt={}", self.here)])
        }

        async fn send(&self, event: Event) -> Reply {
            self.send_at(event, NOW).await
        }

        async fn send_at(&self, event: Event, now: Timestamp) -> Reply {
            answer(&self.config, store::connect(&self.config), event, now).await
        }

        /// Whether an access token is still good.
        async fn is_good(&self, token: &str) -> bool {
            let access = Access::new(store::connect(&self.config), &self.config);
            let event = Event::recorded("userinfo-without").cookies([format!("access_jwt={token}")]);
            let verdict = |request: Request| {
                let access = &access;
                async move { access.identity(&request, NOW).await.map(|_| reply::no_content()) }
            };
            event.send(&mut http::service(&[], verdict)).await.status == 204
        }

        /// Whether this is the password now.
        async fn is_password(&self, password: &str) -> bool {
            let mut config = Config::from_lookup(self.tables.settings(&[])).unwrap();
            config.throttle = false;
            let authentication = Authentication::new(store::connect(&config), &config).unwrap();
            let account = Account::named("kimcoding");
            let attempt = Attempt { account: &account, way: Way::Outside, source_ip: None };
            let password = Password::new(password).unwrap();
            let budget = shared::store::Budget::new(None);
            authentication.prove(attempt, &password, NOW, &budget).await.is_ok()
        }
    }

    async fn answer(config: &Config, client: Client, event: Event, now: Timestamp) -> Reply {
        let change = PasswordChange::new(client, config).unwrap();
        event.send(&mut http::service(&config.allowed_origins, |request| change.handle(request, now))).await
    }

    /// R16.
    #[tokio::test]
    async fn whoever_knows_the_password_sets_another_and_is_the_only_one_left() {
        let world = World::new().await;
        let reply = world.send(world.change("1234", NEW)).await;
        assert_eq!((reply.status, reply.body(), reply.cookies.len()), (204, "", 0));
        assert!(world.is_password(NEW).await && !world.is_password("1234").await);
        assert!(world.is_good(&world.here).await && !world.is_good(&world.there).await);
        let again = world.send(world.change(NEW, "one more boat in the rain")).await;
        assert_eq!(again.status, 204, "and can do so again");
    }

    /// R16: with somebody's session and without their password.
    #[tokio::test]
    async fn a_wrong_current_password_changes_nothing() {
        let world = World::new().await;
        let before = world.tables.items("UsersTable");
        let refused = world.send(world.change("4321", NEW)).await;
        assert_eq!((refused.status, refused.body(), refused.cookies.len()), (401, "Not Authorized", 0));
        assert_eq!(world.tables.items("UsersTable"), before);
        assert!(world.is_good(&world.there).await);
    }

    #[tokio::test]
    async fn nobody_who_is_not_signed_in_changes_a_password() {
        let world = World::new().await;
        for event in [
            world.change("1234", NEW).cookies::<String>([]),
            world.change("1234", NEW).cookies(["access_jwt=x"]),
            world.change("1234", NEW).cookies([format!("refresh_jwt={}", world.here)]),
        ] {
            assert_eq!(world.send(event).await.status, 401);
        }
        let token = format!("Bearer {}", world.here);
        let bearer = world.change("1234", NEW).cookies::<String>([]).header("authorization", &token);
        assert_eq!(world.send(bearer).await.status, 204);
    }

    /// R8, R10: the refusal says what to change; nothing is hashed for it, and it is no failed attempt.
    #[tokio::test]
    async fn a_password_that_would_be_guessed_is_refused_in_words() {
        let world = World::new().await;
        for (new, says) in [
            ("12345678901234", "The password has 14 characters: use at least 15."),
            ("passwordpassword", "one of the most common ones"),
            ("kimcoding1234567", "your name, your address or the name of this service"),
            ("latchkeylatchkey", "your name, your address or the name of this service"),
        ] {
            let refused = world.send(world.change("1234", new)).await;
            assert_eq!(refused.status, 400, "{new}");
            let problem = refused.json();
            assert!(problem["detail"].as_str().unwrap().contains(says), "{new}: {problem}");
        }
        assert!(world.tables.items("AttemptsTable").is_empty() && world.is_password("1234").await);
        assert_eq!(world.send(world.change("1234", NEW)).await.status, 204);
        let same = world.send(world.change(NEW, NEW)).await;
        assert!(same.status == 400 && same.body().contains("the one that you have now"));
    }

    /// R20: a stolen session is no way to guess on; and the owner is not kept from a change by what others do at the login.
    #[tokio::test]
    async fn wrong_current_passwords_are_counted_apart_from_those_at_the_login() {
        let world = World::new().await;
        let mut refusals = Vec::new();
        for _ in 0..6 {
            refusals.push(world.send(world.change("4321", NEW)).await.status);
        }
        assert_eq!(refusals, [401, 401, 401, 401, 401, 429]);
        let locked = world.send(world.change("1234", NEW)).await;
        assert_eq!((locked.status, locked.header("retry-after")), (429, Some("1")));
        let lanes = world.tables.items("AttemptsTable");
        assert!(lanes.iter().all(|item| !item["lane"]["S"].as_str().unwrap().starts_with("account#")), "{lanes:?}");
        assert_eq!(world.send_at(world.change("1234", NEW), NOW + Duration::from_secs(1)).await.status, 204);
    }

    /// R30, R85, R90.
    #[tokio::test]
    async fn a_body_of_any_other_form_is_refused_before_anything_is_read() {
        let world = World::new().await;
        let (client, calls) = Calls::of(&store::connect(&world.config));
        for body in [
            "{}".to_owned(),
            r#"{"currentPassword":"1234"}"#.into(),
            r#"{"newPassword":"paper boats in the rain"}"#.into(),
            r#"{"currentPassword":"1234","newPassword":["paper boats in the rain"]}"#.into(),
            r#"{"currentPassword":true,"newPassword":"paper boats in the rain"}"#.into(),
            r#"{"currentPassword":"1234","currentPassword":"1234","newPassword":"a"}"#.into(),
            r#"["1234","paper boats in the rain"]"#.into(),
            r#"{"currentPassword":"1234","newPassword":"a","newPassword":"b"}"#.into(),
            r#"{"currentPassword":"1234","newPassword":"a","userId":"parkhacker"}"#.into(),
            json!({ "currentPassword": "1234", "newPassword": "x".repeat(4097) }).to_string(),
        ] {
            let refused = answer(&world.config, client.clone(), world.change("", "").body(body.clone()), NOW).await;
            assert_eq!(refused.status, 400, "{body}");
        }
        let foreign = world.change("1234", NEW).header("origin", "https://evil.example");
        assert_eq!(answer(&world.config, client.clone(), foreign, NOW).await.status, 403);
        let posted = answer(&world.config, client, world.change("1234", NEW).method("POST"), NOW).await;
        assert_eq!((posted.status, posted.header("allow")), (405, Some("PUT")));
        assert!(calls.take().is_empty());
    }

    /// F15: whatever else changes the account meanwhile, there is one winner and nothing half done: another change of password, a
    /// hash made anew at a login, the end of all sessions or of this one, somebody shut out.
    #[tokio::test]
    async fn a_change_that_meets_another_changes_nothing() {
        let world = World::new().await;
        let raised = json!({ "N": "7" });
        for (table, key, attribute, value) in [
            ("UsersTable", "user#0", "password_version", raised.clone()),
            ("UsersTable", "login#kimcoding", "password_version", raised.clone()),
            ("UsersTable", "login#kimcoding", "password_hash", json!({ "S": "another hash of it" })),
            ("UsersTable", "user#0", "session_epoch", raised.clone()),
            ("UsersTable", "user#0", "disabled", json!({ "BOOL": true })),
            ("SessionsTable", "", "ended_at", json!({ "N": NOW.as_secs().to_string() })),
        ] {
            let before = world.tables.items(table);
            let mut changed = before.clone();
            for item in changed.iter_mut().filter(|item| key.is_empty() || item["pk"]["S"] == key) {
                item[attribute] = value.clone();
            }
            let (tables, meanwhile) = (world.tables.clone(), changed.clone());
            let then = move || meanwhile.iter().for_each(|item| tables.put(table, item));
            let client = testbed::before(&store::connect(&world.config), "TransactWriteItems", then);
            let lost = answer(&world.config, client, world.change("1234", NEW), NOW).await;
            assert_eq!((lost.status, lost.header("retry-after")), (503, Some("1")), "{key} {attribute}");
            assert_eq!(world.tables.items(table), changed, "{key} {attribute}");
            for item in &before {
                world.tables.put(table, item);
            }
        }
        assert!(world.is_password("1234").await && world.is_good(&world.there).await);
    }

    /// R16: the name leads to somebody else's record, whose password this would then be.
    #[tokio::test]
    async fn the_password_of_somebody_else_under_the_same_name_is_no_proof() {
        let world = World::new().await;
        testbed::add_park(&world.config).await;
        let items = world.tables.items("UsersTable");
        let mut parks = items.iter().find(|item| item["pk"]["S"] == "login#parkhacker").unwrap().clone();
        parks["pk"] = json!({ "S": "login#kimcoding" });
        world.tables.put("UsersTable", &parks);
        let before = world.tables.items("UsersTable");
        assert_eq!(world.send(world.change("5678", NEW)).await.status, 401);
        assert_eq!(world.tables.items("UsersTable"), before);
    }

    /// F20, F05: what could not be written is not claimed, and no cookie is touched.
    #[tokio::test]
    async fn an_outage_changes_nothing_and_signs_nobody_out() {
        let world = World::new().await;
        for operation in ["BatchGetItem", "GetItem", "PutItem", "TransactWriteItems"] {
            let failing = world.tables.failing(&[(operation, &[Fault::Stall; 9])]).await;
            let config = Config::from_lookup(failing).unwrap();
            let outage = answer(&config, store::connect(&config), world.change("1234", NEW), NOW).await;
            assert_eq!((outage.status, outage.cookies.len()), (503, 0), "{operation}");
        }
        assert!(world.is_password("1234").await && world.is_good(&world.there).await);
    }

    /// F07: a change whose acknowledgement was lost was made once, and is answered as made.
    #[tokio::test]
    async fn a_change_whose_acknowledgement_was_lost_is_made_once() {
        let world = World::new().await;
        let failing = world.tables.failing(&[("TransactWriteItems", &[Fault::LoseReply])]).await;
        let config = Config::from_lookup(failing).unwrap();
        let reply = answer(&config, store::connect(&config), world.change("1234", NEW), NOW).await;
        assert_eq!(reply.status, 204);
        assert!(world.is_password(NEW).await && world.is_good(&world.here).await);
        let items = Value::from(world.tables.items("UsersTable")).to_string();
        assert_eq!(items.matches(r#""password_version":{"N":"2"}"#).count(), 2);
    }

    /// R97.
    #[tokio::test]
    async fn neither_password_is_logged() {
        let world = World::new().await;
        let log = testbed::Log::start();
        world.send(world.change("1234", NEW)).await;
        world.send(world.change("wrong-one-of-mine", NEW)).await;
        let said = log.take();
        assert!(said.contains("password_changed") && said.contains(world.kim.profile.id.as_str()));
        assert!(!said.contains(NEW) && !said.contains("wrong-one-of-mine") && !said.contains(&world.kim.profile.email));
    }
}
