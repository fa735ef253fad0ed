//! The users whose pages are shown, their sessions, and their wrong passwords.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::id::UserId;
use shared::password::{Hasher, Password};
use shared::session::Source;
use shared::store::{self, Account, Attempt, Attempts, Channel, Profile, Sessions, User};

/// The password of each user.
pub(super) const PASSWORD: &str = "paper boats in the rain";

/// The number of wrong passwords after which a user has to wait for about four minutes.
const FAILURES: u32 = 13;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The browsers of a session: its address, which is one for documentation (RFC 5737), and its `User-Agent`.
const BROWSERS: [(&str, &str); 3] = [
    (
        "203.0.113.24",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    (
        "198.51.100.7",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 \
         Mobile/15E148 Safari/604.1",
    ),
    ("192.0.2.130", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0"),
];

/// The users.
pub(super) struct People {
    env: Environment,
    /// A user with a short profile.
    pub(super) mina: User,
    /// A user without a profile.
    pub(super) newcomer: User,
    /// A user with long texts.
    pub(super) long: User,
    /// A user whose record this version cannot read, as after a fault.
    pub(super) unreadable: User,
}

impl People {
    /// Adds the users to the tables of a stack. Their login names end with `suffix`.
    pub(super) async fn add(env: Environment, suffix: &str) -> Self {
        let add = async |profile| {
            let hash =
                Hasher::from_env(&env).unwrap().hash(&Password::new(PASSWORD).unwrap(), Timestamp::now()).unwrap();
            crate::add(&env, User::new(profile), hash).await
        };
        let named = |name: &str| Profile {
            id: UserId::parse(format!("{name}{suffix}")).unwrap(),
            user_id: format!("{name}{suffix}"),
            email: format!("{name}{suffix}@example.com"),
            name: String::new(),
            position: String::new(),
            location: String::new(),
            bio: String::new(),
            roles: Vec::new(),
        };
        let mina = Profile {
            name: "Mina Lee".to_owned(),
            position: "Book designer".to_owned(),
            location: "Jeju, South Korea".to_owned(),
            bio: "Makes small books about islands.".to_owned(),
            ..named("mina")
        };
        let long = Profile {
            email: format!("{}{suffix}@{}.example", "a".repeat(50), "subdomain-".repeat(6).trim_end_matches('-')),
            name: "مرحبا بالعالم الطويل جدا جدا جدا".to_owned(),
            position: "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft".to_owned(),
            location: "X".repeat(200),
            bio: "word ".repeat(80),
            roles: vec!["administrator-of-everything".repeat(4), "analyst".to_owned()],
            ..named(&"l".repeat(50))
        };
        let (mina, long) = (add(mina).await, add(long).await);
        let (newcomer, unreadable) = (add(named("newcomer")).await, add(named("unreadable")).await);
        let people = Self { env, mina, newcomer, long, unreadable };
        people.break_record(&people.unreadable).await;
        people
    }

    /// Ends all sessions of a user, and opens `count` new ones. Returns the access token of the newest.
    pub(super) async fn sign_in(&self, user: &User, count: usize) -> String {
        let sessions = Sessions::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        sessions.erase(&user.profile.id, &Budget::new(None)).await.unwrap();
        let mut access = String::new();
        for age in (0..u32::try_from(count).unwrap()).rev() {
            let (ip, agent) = BROWSERS[age as usize % BROWSERS.len()];
            let source = Source { ip: Some(ip.to_owned()), user_agent: Some(agent.to_owned()) };
            let opened = before_now(MINUTE + age * (10 * HOUR + 7 * MINUTE));
            let (token, _) = crate::sign_in_from(source, &self.env, user, true, opened).await;
            access = token;
        }
        access
    }

    /// Deletes the wrong passwords of a user.
    pub(super) async fn unlock(&self, name: &str) {
        self.attempts().unlock(&Account::named(name), &Budget::new(None)).await.unwrap();
    }

    /// Counts wrong passwords of a user at the login and at the change of password, as often as the limit allowed it in
    /// the last hour. The next attempt must wait.
    pub(super) async fn lock(&self, name: &str) {
        let (attempts, account, budget) = (self.attempts(), Account::named(name), Budget::new(None));
        for channel in [Channel::Public, Channel::SignedIn] {
            let attempt = Attempt { account: &account, channel, source_ip: None };
            let waits = (0..FAILURES).map(|failures| match failures.checked_sub(attempts.backoff.free_failures) {
                Some(doublings) => Duration::from_secs(1 << doublings),
                None => Duration::ZERO,
            });
            let waits: Vec<_> = waits.collect();
            let mut at = before_now(waits.iter().sum());
            for wait in waits {
                at = at + wait;
                let (admission, _) = attempts.admit(attempt, at, &budget).await.unwrap();
                attempts.reserve(admission, at, &budget).await.unwrap();
            }
            let next = attempts.admit(attempt, Timestamp::now(), &budget).await;
            assert!(matches!(next, Err(Error::TooManyAttempts { wait }) if wait > 3 * MINUTE));
        }
    }

    /// Makes the record of a user unreadable.
    async fn break_record(&self, user: &User) {
        let broken = AttributeValue::N("0".to_owned());
        let update =
            store::connect(&self.env).unwrap().update_item().table_name(self.env.table("USERS_TABLE").unwrap());
        let update = update.key("pk", AttributeValue::S(format!("user#{}", user.profile.id.as_str())));
        let update = update.update_expression("SET email = :broken").expression_attribute_values(":broken", broken);
        update.send().await.unwrap();
    }

    fn attempts(&self) -> Attempts {
        Attempts::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap()
    }
}

fn before_now(duration: Duration) -> Timestamp {
    Timestamp::from_secs(Timestamp::now().as_secs() - duration.as_secs())
}
