//! A signed-in user, and all functions, which get the events that Lambda would send.

use authorizer::Authorizer;
use login::Login;
use logout::Logout;
use password::PasswordChange;
use serde_json::{Value, json};
use sessions::OwnSessions;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, AllowedOrigins, Site};
use shared::store::{self, Client};
use testbed::{Calls, Event, Reply, Tables};
use userinfo::Userinfo;

/// The time at which the user signs in.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) const DAY: u64 = 86_400;

/// Every kind of request: its name, and its status when it succeeds. Leaves out the requests to `jwks`, which knows no
/// user and no store, and has tests of its own.
pub(crate) const REQUESTS: [(&str, u16); 9] = [
    ("login", 302),
    ("logout", 205),
    ("logout, everywhere", 205),
    ("password", 204),
    ("sessions", 200),
    ("sessions, end one", 204),
    ("sessions, end others", 204),
    ("userinfo", 200),
    ("userinfo, renewing", 200),
];

/// Every kind of request of a person with a browser: its name, and its status when it succeeds.
pub(crate) const PAGES: [(&str, u16); 13] = [
    ("start", 303),
    ("sign-in page", 200),
    ("sign-in page, signed in", 303),
    ("sign-in form", 302),
    ("account page", 200),
    ("account page, renewing", 200),
    ("password page", 200),
    ("password form", 303),
    ("end one form", 303),
    ("end others form", 303),
    ("sign-out form", 303),
    ("sign-out everywhere form", 303),
    ("well-known", 303),
];

/// The requests that change something if the origin check passes.
pub(crate) const CHANGES: [&str; 12] = [
    "login",
    "logout",
    "logout, everywhere",
    "password",
    "sessions, end one",
    "sessions, end others",
    "sign-in form",
    "password form",
    "end one form",
    "end others form",
    "sign-out form",
    "sign-out everywhere form",
];

/// Returns all requests, of a client of the API and of a person with a browser.
pub(crate) fn all_requests() -> impl Iterator<Item = (&'static str, u16)> {
    REQUESTS.into_iter().chain(PAGES)
}

/// The status of a request that succeeds.
pub(crate) fn status_of(name: &str) -> u16 {
    all_requests().find(|(request, _)| *request == name).unwrap().1
}

/// Returns the status and the `Location` of a request whose user is not signed in. Returns `None` if the request needs
/// no user.
pub(crate) fn not_signed_in(name: &str) -> Option<(u16, Option<&'static str>)> {
    Some(match name {
        "login" | "logout" | "sign-in page" | "sign-in form" | "sign-out form" | "well-known" => return None,
        "start" => (303, Some("/login")),
        "sign-in page, signed in" => (200, None),
        "account page" | "account page, renewing" => (302, Some("/login")),
        "password page" => (302, Some("/userinfo?return_to=%2Fpassword")),
        "password form" => (303, Some("/userinfo?return_to=%2Fpassword")),
        "end one form" | "end others form" => (303, Some("/userinfo?notice=press-again")),
        _ => (401, None),
    })
}

/// Returns `true` if the request is of a person with a browser.
pub(crate) fn is_of_a_person(name: &str) -> bool {
    PAGES.iter().any(|(page, _)| *page == name)
}

pub(crate) fn after(secs: u64) -> Timestamp {
    NOW + std::time::Duration::from_secs(secs)
}

/// The user `kimcoding`, signed in on two devices.
pub(crate) struct World {
    pub(crate) tables: Tables,
    pub(crate) env: Environment,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// The session of both tokens.
    pub(crate) session: String,
    /// The session on the other device.
    pub(crate) other: String,
    before: Vec<(&'static str, Value)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let tables = Tables::new().await;
        let env = tables.environment(&[]);
        let kim = testbed::add_kim(&env).await;
        testbed::sign_in(&env, &kim, true, NOW).await;
        let ids = || tables.items("SessionsTable").into_iter().map(|item| item["session_id"]["S"].clone());
        let text = |id: Value| id.as_str().unwrap().to_owned();
        let other = ids().map(text).next().unwrap();
        let (access, refresh) = testbed::sign_in(&env, &kim, true, NOW).await;
        let session = ids().map(text).find(|id| *id != other).unwrap();
        let items = |table| tables.items(table).into_iter().map(move |item| (table, item));
        let before = items("UsersTable").chain(items("SessionsTable")).collect();
        Self { tables, env, access, refresh, session, other, before }
    }

    /// Returns the event of one of [`REQUESTS`] and [`PAGES`]. It has all that the request needs to succeed.
    pub(crate) fn request(&self, name: &str) -> Event {
        let with = |event: Event| event.cookies(["theme=dark".to_owned(), format!("access_jwt={}", self.access)]);
        match name {
            "login" => Event::recorded("login"),
            "logout" => with(Event::recorded("logout")),
            "logout, everywhere" => with(Event::recorded("logout")).query("everywhere=true"),
            "password" => with(Event::recorded("password")),
            "sessions" => with(Event::recorded("sessions")),
            "sessions, end one" => with(self.end_session(&self.other)),
            "sessions, end others" => with(Event::recorded("sessions-end-others")),
            "userinfo" => with(Event::recorded("userinfo")),
            "userinfo, renewing" => Event::recorded("userinfo").cookies([format!("refresh_jwt={}", self.refresh)]),
            "start" => with(Event::recorded("userinfo-start")),
            "sign-in page" => Event::recorded("login-page"),
            "sign-in page, signed in" => with(Event::recorded("login-page")),
            "sign-in form" => Event::recorded("login-form"),
            "account page" => with(Event::recorded("userinfo-page")),
            "account page, renewing" => {
                Event::recorded("userinfo-page").cookies([format!("refresh_jwt={}", self.refresh)])
            }
            "password page" => with(Event::recorded("password-page")),
            "password form" => with(Event::recorded("password-form")),
            "end one form" => with(Event::recorded("sessions-end-form")).form_body(format!("id={}", self.other)),
            "end others form" => with(Event::recorded("sessions-end-form")).form_body("others=true"),
            "sign-out form" => with(Event::recorded("logout-form")),
            "sign-out everywhere form" => with(Event::recorded("logout-form")).query("everywhere=true"),
            "well-known" => Event::recorded("password-well-known"),
            _ => panic!("there is no request {name}"),
        }
    }

    /// Returns the event that ends the session with this id.
    pub(crate) fn end_session(&self, id: &str) -> Event {
        let event = Event::recorded("sessions-end").with("/pathParameters/id", json!(id));
        event.cookies([format!("access_jwt={}", self.access)])
    }

    /// Returns the event that the gateway sends to the authorizer.
    pub(crate) fn authorizer_event(&self) -> Event {
        Event::recorded("authorizer").cookies([format!("access_jwt={}", self.access)])
    }

    /// Returns the functions over these tables.
    pub(crate) fn service(&self) -> Service {
        Service::new(self.tables.environment(&[]))
    }

    /// Returns all records of users and sessions.
    pub(crate) fn records(&self) -> Vec<Value> {
        [self.tables.items("UsersTable"), self.tables.items("SessionsTable")].concat()
    }

    /// Puts the first records back, and deletes the user's other sessions and all attempt counters.
    pub(crate) fn restore(&self) {
        let sessions = self.tables.items("SessionsTable").into_iter();
        for session in sessions.filter(|session| session["user_id"]["S"] == "0") {
            let key = json!({ "user_id": session["user_id"], "session_id": session["session_id"] });
            self.tables.delete("SessionsTable", &key);
        }
        for (table, item) in &self.before {
            self.tables.put(table, item);
        }
        for counter in self.tables.items("AttemptsTable") {
            self.tables.delete("AttemptsTable", &json!({ "counter_key": counter["counter_key"] }));
        }
    }

    /// Changes a record of the user, by its `pk`, or the session of the tokens, by the name `session`.
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

/// A response, and the work behind it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// The calls to DynamoDB.
    pub(crate) calls: Vec<String>,
    /// The number of computed password hashes.
    pub(crate) hashes: u64,
}

impl Answer {
    /// Returns `true` if the request was rejected with this status, without a call, a hash or a cookie.
    pub(crate) fn is_rejected_before_any_work(&self, status: u16) -> bool {
        let Self { reply, calls, hashes } = self;
        (reply.status, reply.cookies.len(), calls.len(), *hashes) == (status, 0, 0, 0)
    }
}

/// All functions over one client.
pub(crate) struct Service {
    env: Environment,
    client: Client,
    pub(crate) calls: Calls,
}

impl Service {
    pub(crate) fn new(env: Environment) -> Self {
        let client = store::connect(&env).unwrap();
        Self::over(env, &client)
    }

    pub(crate) fn over(env: Environment, client: &Client) -> Self {
        let (client, calls) = Calls::of(client);
        Self { env, client, calls }
    }

    /// Sends an event to the function of its route.
    pub(crate) async fn send(&self, event: &Event, now: Timestamp) -> Answer {
        drop(self.calls.take());
        let (reply, hashes) = self.answer(event, now).await;
        Answer { reply, calls: self.calls.take(), hashes }
    }

    async fn answer(&self, event: &Event, now: Timestamp) -> (Reply, u64) {
        let (env, client, mut hashes) = (&self.env, self.client.clone(), 0);
        let route = event.payload()["routeKey"].as_str().unwrap().to_owned();
        macro_rules! answer {
            ($function:expr) => {{
                let function = $function;
                let handler = |request| function.handle(request, now);
                let mut service = http::service(Site::from_env(env).unwrap(), handler);
                Box::pin(event.send(&mut service)).await
            }};
        }
        let reply = match route.split(['/', ' ']).nth(2).unwrap() {
            "login" => {
                let login = Login::from_env(client, env).unwrap();
                let reply = answer!(&login);
                hashes = login.authenticator.hasher.evaluations();
                reply
            }
            "password" | ".well-known" => {
                let change = PasswordChange::from_env(client, env).unwrap();
                let reply = answer!(&change);
                hashes = change.authenticator.hasher.evaluations();
                reply
            }
            "logout" => answer!(Logout::from_env(client, env).unwrap()),
            "sessions" => answer!(OwnSessions::from_env(client, env).unwrap()),
            "userinfo" | "" => answer!(Userinfo::from_env(client, env).unwrap()),
            _ => panic!("there is no route {route}"),
        };
        (reply, hashes)
    }

    /// Sends an event to the function of its route, and leaves the calls in [`Self::calls`].
    pub(crate) async fn reply_to(&self, event: &Event, now: Timestamp) -> Reply {
        self.answer(event, now).await.0
    }

    /// Sends an event to the authorizer. Returns its decision, or `None` if the invocation fails.
    pub(crate) async fn authorize(&self, event: &Event, now: Timestamp) -> Option<Value> {
        let authorizer = Authorizer::from_env(self.client.clone(), &self.env).unwrap();
        let handler = |request| authorizer.handle(request, now);
        let allowed_origins = AllowedOrigins::from_env(&self.env).unwrap();
        event.authorize(&mut http::authorizer::service(allowed_origins, handler)).await
    }
}

/// Returns `true` if the response says anything about a user. A form may have the login name that was typed.
pub(crate) fn reveals_a_user(reply: &Reply) -> bool {
    let body = reply.body().replace("value=\"kimcoding\"", "");
    ["kimcoding", "김코딩", "Seoul", "session_id"].iter().any(|word| body.contains(word))
}

/// Returns `true` if the response is a page.
pub(crate) fn is_page(reply: &Reply) -> bool {
    reply.header("content-type") == Some("text/html; charset=utf-8")
}

/// Returns `true` if an error says this, in its problem details or on its page. A form says it in words of its own.
pub(crate) fn says(reply: &Reply, detail: &str) -> bool {
    match reply.header("content-type") {
        Some("application/problem+json") => reply.json()["detail"] == detail,
        _ => is_page(reply) && (reply.body().contains(detail) || reply.body().contains("id=\"problem\"")),
    }
}
