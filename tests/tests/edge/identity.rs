//! Whose request is it? Plays each row of the table in `docs/sessions.md` on every route.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::{Event, Reply, Tables};

use super::world::{NOW, Service, after};

/// The routes of the table, in its order. Each column has the requests of a client of the API, and those of a person
/// with a browser.
const COLUMNS: [&[&str]; 6] = [
    &["userinfo", "userinfo-page"],
    &["sessions", "password", "password-page", "password-form"],
    &["authorizer"],
    &["login", "login-form"],
    &["logout", "logout-form"],
    &["logout, everywhere", "logout-form, everywhere"],
];

/// Two users, each of whom is signed in, and the tokens of their sessions.
struct People {
    tables: Tables,
    kim: [String; 2],
    park: [String; 2],
}

impl People {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let env = tables.environment(&[]);
        let (kim, park) = (testbed::add_kim(&env).await, testbed::add_park(&env).await);
        let kim = testbed::sign_in(&env, &kim, true, NOW).await.into();
        let park = testbed::sign_in(&env, &park, true, NOW).await.into();
        Self { tables, kim, park }
    }

    /// Returns the token that a cell of the table names: an access token (0) or a refresh token (1).
    fn token(&self, cell: &str, kind: usize) -> Option<String> {
        match cell.split(',').next().unwrap() {
            "–" => None,
            "kim" => Some(self.kim[kind].clone()),
            "park" => Some(self.park[kind].clone()),
            "forged" => Some(format!("{}x", self.park[kind])),
            other => panic!("the table has a credential that the test does not know: {other}"),
        }
    }

    /// Returns an event with the credentials of a row.
    fn with_credentials(&self, event: Event, [bearer, access, refresh]: [&str; 3]) -> Event {
        let mut cookies = Vec::new();
        for (kind, name, cell) in [(0, "access_jwt", access), (1, "refresh_jwt", refresh)] {
            for part in cell.split(" and ") {
                cookies.extend(self.token(part, kind).map(|token| format!("{name}={token}")));
            }
        }
        let event = event.cookies(cookies);
        match self.token(bearer, 0) {
            Some(token) => event.header("authorization", &format!("Bearer {token}")),
            None => event,
        }
    }

    /// Returns the names of the users who had a session and have none any more. Ignores the session that a login or a
    /// change of password opened at `after`.
    fn ended(&self) -> BTreeSet<&'static str> {
        let users = self.tables.items("UsersTable");
        let epoch = |id: &Value| {
            let key = format!("user#{}", id["S"].as_str().unwrap());
            users.iter().find(|user| user["pk"]["S"] == key).unwrap()["session_epoch"]["N"].clone()
        };
        let sessions = self.tables.items("SessionsTable").into_iter();
        let login = Value::from(NOW.as_secs().to_string());
        let first = sessions.filter(|session| session["created_at"]["N"] == login);
        let ended = first
            .filter(|session| session.get("ended_at").is_some() || session["epoch"]["N"] != epoch(&session["user_id"]));
        ended.map(|session| if session["user_id"]["S"] == "0" { "kim" } else { "park" }).collect()
    }
}

/// Returns what a response says, in the words of the table.
fn outcome(request: &str, reply: &Reply, people: &People) -> String {
    let clears = reply.cookies.iter().any(|line| line.contains("Max-Age=0"));
    let ended: Vec<_> = people.ended().into_iter().collect();
    let ends = if ended.is_empty() { "no session".to_owned() } else { ended.join(" and ") };
    match (request, reply.status) {
        ("userinfo", 200) => {
            let who = if reply.json()["userId"] == "kimcoding" { "kim" } else { "park" };
            let renews = reply.cookies.iter().any(|line| line.starts_with("refresh_jwt=ey"));
            format!("{who}{}", if renews { ", renewed" } else { "" })
        }
        ("sessions", 200) => {
            let listed = reply.json()["sessions"][0]["id"].clone();
            let sessions = people.tables.items("SessionsTable");
            let owner = &sessions.iter().find(|item| item["session_id"]["S"] == listed).unwrap()["user_id"]["S"];
            if owner == "0" { "kim".into() } else { "park".into() }
        }
        ("userinfo-page" | "password-page", 200) => {
            let is_kims = reply.body().contains("kimcoding");
            assert_ne!(is_kims, reply.body().contains("parkhacker"));
            let renews = reply.cookies.iter().any(|line| line.starts_with("refresh_jwt=ey"));
            format!("{}{}", if is_kims { "kim" } else { "park" }, if renews { ", renewed" } else { "" })
        }
        ("password", 204) => ends,
        ("password-form", 303) if reply.header("location").unwrap().contains("notice=") => ends,
        ("login" | "login-form", 302)
        | ("logout" | "logout, everywhere", 205)
        | ("logout-form" | "logout-form, everywhere", 303) => format!("ends {ends}"),
        // A person who is not signed in is led to the sign-in page.
        ("userinfo-page" | "password-page" | "password-form", 302 | 303) => {
            format!("401{}", if clears { ", clears" } else { "" })
        }
        (_, status) => format!("{status}{}", if clears { ", clears" } else { "" }),
    }
}

/// R81, R92.
#[tokio::test]
async fn a_request_has_one_identity_or_none_on_every_route() {
    let page = include_str!("../../../docs/sessions.md");
    let (_, table) = page.split_once("## Whose request it is").unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<_>> = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    assert!(rows.len() >= 18, "{rows:?}");
    for row in rows {
        let (credentials, expected) = row.split_first_chunk::<3>().unwrap();
        let is_expired = credentials.iter().any(|cell| cell.contains(", expired"));
        let now = if is_expired { after(86_400 + 60) } else { after(1) };
        for (requests, expected) in COLUMNS.iter().zip(expected) {
            for request in *requests {
                let people = People::new().await;
                let service = Service::new(people.tables.environment(&[]));
                let event = match *request {
                    "logout, everywhere" => Event::recorded("logout").query("everywhere=true"),
                    "logout-form, everywhere" => Event::recorded("logout-form").query("everywhere=true"),
                    "login-form" => Event::recorded("login-form").form_body("userId=kimcoding&password=1234"),
                    "login" => {
                        let body = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" } });
                        Event::recorded("login").body(body.to_string())
                    }
                    request => Event::recorded(request),
                };
                let event = people.with_credentials(event, *credentials);
                let found = if *request == "authorizer" {
                    match service.authorize(&event, now).await {
                        Some(decision) if decision["isAuthorized"] == true => {
                            let is_kim = decision["context"]["email"].as_str().unwrap().starts_with("kimcoding");
                            if is_kim { "kim".to_owned() } else { "park".to_owned() }
                        }
                        decision => decision.map_or("500", |_| "403").to_owned(),
                    }
                } else {
                    outcome(request, &service.send(&event, now).await.reply, &people)
                };
                assert_eq!(found, *expected, "{request} with {credentials:?}");
            }
        }
    }
}
