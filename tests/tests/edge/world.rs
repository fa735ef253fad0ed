//! Somebody who is signed in, and all functions, each sent what Lambda would send it.

use authorizer::Authorizer;
use login::Login;
use logout::Logout;
use password::PasswordChange;
use serde_json::{Value, json};
use sessions::OwnSessions;
use shared::access::Access;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::cookies::Cookies;
use shared::session::Rules;
use shared::sessions::Sessions;
use shared::store::Client;
use shared::tokens::{Signer, Verifier};
use shared::users::Users;
use shared::{http, store};
use testbed::{Calls, Event, Reply, Tables};
use userinfo::Userinfo;

/// When everybody signs in.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) const DAY: u64 = 86_400;

/// What can be asked for: a name, and the status where all is well.
pub(crate) const REQUESTS: [(&str, u16); 10] = [
    ("login", 302),
    ("login, unthrottled", 302),
    ("logout", 205),
    ("logout, everywhere", 205),
    ("password", 204),
    ("sessions", 200),
    ("sessions, end one", 204),
    ("sessions, end others", 204),
    ("userinfo", 200),
    ("userinfo, renewing", 200),
];

/// Those that change something, if their sender may.
pub(crate) const CHANGES: [&str; 6] =
    ["login", "logout", "logout, everywhere", "password", "sessions, end one", "sessions, end others"];

/// The status of a request where all is well.
pub(crate) fn status_of(name: &str) -> u16 {
    REQUESTS.iter().find(|(request, _)| *request == name).unwrap().1
}

pub(crate) fn after(secs: u64) -> Timestamp {
    NOW + std::time::Duration::from_secs(secs)
}

/// Kim, signed in on two devices.
pub(crate) struct World {
    pub(crate) tables: Tables,
    pub(crate) config: Config,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// The session that is asking.
    pub(crate) session: String,
    /// The one on the other device.
    pub(crate) other: String,
    before: Vec<(&'static str, Value)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let tables = Tables::new().await;
        let config = Config::from_lookup(tables.settings(&[])).unwrap();
        let kim = testbed::add_kim(&config).await;
        testbed::sign_in(&config, &kim, true, NOW).await;
        let ids = || tables.items("SessionsTable").into_iter().map(|item| item["session_id"]["S"].clone());
        let text = |id: Value| id.as_str().unwrap().to_owned();
        let other = ids().map(text).next().unwrap();
        let (access, refresh) = testbed::sign_in(&config, &kim, true, NOW).await;
        let session = ids().map(text).find(|id| *id != other).unwrap();
        let items = |table| tables.items(table).into_iter().map(move |item| (table, item));
        let before = items("UsersTable").chain(items("SessionsTable")).collect();
        Self { tables, config, access, refresh, session, other, before }
    }

    /// What one of [`REQUESTS`] is, with all that it takes to succeed.
    pub(crate) fn request(&self, name: &str) -> Event {
        let with = |event: Event| event.cookies(["theme=dark".to_owned(), format!("access_jwt={}", self.access)]);
        match name {
            "login" | "login, unthrottled" => Event::recorded("login"),
            "logout" => with(Event::recorded("logout")),
            "logout, everywhere" => with(Event::recorded("logout")).query("everywhere=true"),
            "password" => with(Event::recorded("password")),
            "sessions" => with(Event::recorded("sessions")),
            "sessions, end one" => with(self.ending(&self.other)),
            "sessions, end others" => with(Event::recorded("sessions-end-others")),
            "userinfo" => with(Event::recorded("userinfo")),
            "userinfo, renewing" => Event::recorded("userinfo").cookies([format!("refresh_jwt={}", self.refresh)]),
            _ => panic!("{name} is no request"),
        }
    }

    /// The end of the session of that id.
    pub(crate) fn ending(&self, id: &str) -> Event {
        let event = Event::recorded("sessions-end").with("/pathParameters/id", json!(id));
        event.cookies([format!("access_jwt={}", self.access)])
    }

    /// What the gateway asks the authorizer for kim.
    pub(crate) fn question(&self) -> Event {
        Event::recorded("authorizer").cookies([format!("access_jwt={}", self.access)])
    }

    /// The functions over the tables as they are.
    pub(crate) fn service(&self) -> Service {
        Service::new(Config::from_lookup(self.tables.settings(&[])).unwrap())
    }

    /// Users and sessions.
    pub(crate) fn records(&self) -> Vec<Value> {
        [self.tables.items("UsersTable"), self.tables.items("SessionsTable")].concat()
    }

    /// Writes down again what was there in the beginning.
    pub(crate) fn restore(&self) {
        for (table, item) in &self.before {
            self.tables.put(table, item);
        }
        for lane in self.tables.items("AttemptsTable") {
            self.tables.delete("AttemptsTable", &json!({ "lane": lane["lane"] }));
        }
    }

    /// Changes kim's own record, the one that a login looks up, or the session that is asking.
    pub(crate) fn change(&self, record: &str, change: impl Fn(&mut Value)) {
        let (table, items) = match record {
            "session" => ("SessionsTable", self.tables.items("SessionsTable")),
            _ => ("UsersTable", self.tables.items("UsersTable")),
        };
        let is_it = |item: &Value| match record {
            "session" => item["session_id"]["S"] == self.session,
            key => item["pk"]["S"] == key,
        };
        let mut item = items.into_iter().find(is_it).unwrap();
        change(&mut item);
        self.tables.put(table, &item);
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// The calls that it took.
    pub(crate) calls: Vec<String>,
    /// How many hashes were computed.
    pub(crate) hashes: u64,
}

impl Answer {
    /// That it was refused before anything was looked at, and no cookie was touched.
    pub(crate) fn is_refusal_at_the_door(&self, status: u16) -> bool {
        let Self { reply, calls, hashes } = self;
        (reply.status, reply.cookies.len(), calls.len(), *hashes) == (status, 0, 0, 0)
    }
}

/// All functions over one client, as one environment of each of them.
pub(crate) struct Service {
    config: Config,
    client: Client,
    pub(crate) calls: Calls,
}

impl Service {
    pub(crate) fn new(config: Config) -> Self {
        let client = store::connect(&config);
        Self::over(config, &client)
    }

    pub(crate) fn over(config: Config, client: &Client) -> Self {
        let (client, calls) = Calls::of(client);
        Self { config, client, calls }
    }

    /// The same, for one of [`REQUESTS`]: the writes of the throttle would come before those of the login itself.
    pub(crate) fn for_request(name: &str, mut config: Config) -> Self {
        config.throttle = name != "login, unthrottled";
        Self::new(config)
    }

    /// Sends an event to the function of its route.
    pub(crate) async fn send(&self, event: &Event, now: Timestamp) -> Answer {
        drop(self.calls.take());
        let (reply, hashes) = self.answer(event, now).await;
        Answer { reply, calls: self.calls.take(), hashes }
    }

    async fn answer(&self, event: &Event, now: Timestamp) -> (Reply, u64) {
        let (config, client, mut hashes) = (&self.config, self.client.clone(), 0);
        let route = event.payload()["routeKey"].as_str().unwrap().to_owned();
        macro_rules! answer {
            ($function:expr) => {{
                let function = $function;
                let mut service = http::service(&config.allowed_origins, |request| function.handle(request, now));
                Box::pin(event.send(&mut service)).await
            }};
        }
        let reply = match route.split(['/', ' ']).nth(2).unwrap() {
            "login" => {
                let login = Login::new(client, config).unwrap();
                let reply = answer!(&login);
                hashes = login.authentication.hasher.evaluations();
                reply
            }
            "password" => {
                let change = PasswordChange::new(client, config).unwrap();
                let reply = answer!(&change);
                hashes = change.authentication.hasher.evaluations();
                reply
            }
            "logout" => answer!(Logout {
                users: Users::new(client.clone(), &config.users_table),
                sessions: Sessions::new(client, config),
                verifier: Verifier::new(config),
                cookies: Cookies::new(config.cookie_domain.clone()),
            }),
            "sessions" => answer!(OwnSessions {
                access: Access::new(client.clone(), config),
                sessions: Sessions::new(client, config)
            }),
            "userinfo" => answer!(Userinfo {
                access: Access::new(client.clone(), config),
                sessions: Sessions::new(client, config),
                rules: Rules::new(config),
                signer: Signer::new(config),
            }),
            _ => panic!("{route} is no route"),
        };
        (reply, hashes)
    }

    /// The same, and leaves the calls to be looked at.
    pub(crate) async fn reply_to(&self, event: &Event, now: Timestamp) -> Reply {
        self.answer(event, now).await.0
    }

    /// Asks the authorizer: its verdict, or nothing where the invocation fails.
    pub(crate) async fn ask(&self, event: &Event, now: Timestamp) -> Option<Value> {
        let access = Access::new(self.client.clone(), &self.config);
        let authorizer = Authorizer { access, required_role: None };
        let handler = |request| authorizer.handle(request, now);
        event.authorize(&mut http::authorizer::service(&self.config.allowed_origins, handler)).await
    }
}

/// Whether the answer says who is behind a request.
pub(crate) fn names_somebody(reply: &Reply) -> bool {
    ["kimcoding", "Seoul", "session_id"].iter().any(|word| reply.body().contains(word))
}
