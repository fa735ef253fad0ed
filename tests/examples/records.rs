//! Prints the records and the tokens that this version of the service writes, as one JSON object. At a release, save
//! them in `tests/records/<version>.json`. The test `deployments` then reads them with every later version.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a development tool, where a panic is a failure")]

use login::Login;
use logout::Logout;
use password::PasswordChange;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::store;
use testbed::{Event, Reply, Tables};
use userinfo::Userinfo;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Sends an event to a function.
macro_rules! send {
    ($function:ident, $env:expr, $event:expr) => {{
        let function = $function::from_env(store::connect($env).unwrap(), $env).unwrap();
        let origins = Site::from_env($env).unwrap();
        Box::pin($event.send(&mut http::service(origins, |request| function.handle(request, NOW)))).await
    }};
}

async fn log_in(env: &Environment, user_id: &str, password: &str, persistent: bool, cookies: Vec<String>) -> Reply {
    let form = json!({ "loginInfo": { "userId": user_id, "password": password }, "checkedKeepLogin": persistent });
    send!(Login, env, Event::recorded("login").body(form.to_string()).cookies(cookies))
}

fn cookie(reply: &Reply, name: &str) -> String {
    format!("{name}={}", reply.cookie(name).unwrap())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let tables = Tables::new().await;
    let env = tables.environment(&[("DEVICE_COOKIE", "on")]);
    testbed::add_kim(&env).await;
    testbed::add_park(&env).await;
    let mut kim = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
    kim["roles"] = json!({ "L": [{ "S": "analyst" }] });
    tables.put("UsersTable", &kim);

    // A persistent session that was renewed. Its user mistyped the password on a known device and at `PUT /password`.
    let first = log_in(&env, "kimcoding", "1234", true, vec![]).await;
    let device = cookie(&first, "device");
    let renewal = Event::recorded("userinfo").cookies([cookie(&first, "refresh_jwt")]);
    let renewed = send!(Userinfo, &env, renewal);
    assert_eq!(log_in(&env, "kimcoding", "4321", true, vec![device.clone()]).await.status, 401);
    let wrong = r#"{"currentPassword":"4321","newPassword":"paper boats in the rain"}"#;
    let change = Event::recorded("password").body(wrong).cookies([cookie(&renewed, "access_jwt")]);
    assert_eq!(send!(PasswordChange, &env, change).status, 401);

    // A session that is not persistent, and an ended one.
    let short = log_in(&env, "kimcoding", "1234", false, vec![]).await;
    let ended = log_in(&env, "kimcoding", "1234", true, vec![]).await;
    send!(Logout, &env, Event::recorded("logout").cookies([cookie(&ended, "access_jwt")]));

    // A locked account.
    for _ in 0..5 {
        assert_eq!(log_in(&env, "parkhacker", "4321", false, vec![]).await.status, 401);
    }

    let tables: Value = ["UsersTable", "SessionsTable", "AttemptsTable"]
        .map(|table| (table.to_owned(), Value::from(tables.items(table))))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    let cookies = json!({
        "access": cookie(&renewed, "access_jwt"), "refresh": cookie(&renewed, "refresh_jwt"),
        "replaced": cookie(&first, "refresh_jwt"), "device": device, "short": cookie(&short, "access_jwt"),
        "ended": cookie(&ended, "access_jwt"),
    });
    let written = json!({ "written_at": NOW.as_secs(), "cookies": cookies, "tables": tables });
    println!("{}", serde_json::to_string_pretty(&written).unwrap());
}
