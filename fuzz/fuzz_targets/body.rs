//! The body of `POST /login` and `PUT /password` (R30, R32), through the real functions.
//!
//! The first byte of the input selects the function, and how the event carries the body: as text, as base64, or as text
//! that the event calls base64. It also selects whether white space fills the body up to the largest accepted
//! size, or to one byte more.
//!
//! DynamoDB cannot be reached. A body that is a valid form, by a second reading, gets 503. Every other body gets 400 or
//! 413.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fuzz::{NOW, env, ignore_panics_of_the_adapter, member, members, status, unreachable_client};
use libfuzzer_sys::fuzz_target;
use login::Login;
use password::PasswordChange;
use serde_json::{Value, json};
use shared::http::{self, Site};
use shared::id::{SessionId, UserId};
use shared::password::Password;
use shared::token::{Signer, Subject};
use tokio::runtime::{Builder, Runtime};

/// The largest accepted body in bytes.
const MAX_BODY: usize = 8 * 1024;

struct World {
    login: Login,
    password: PasswordChange,
    login_event: Value,
    password_event: Value,
    runtime: Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let env = env(&[]);
    let client = unreachable_client(&env);
    let (user_id, session_id) = (UserId::parse("0").expect("an id"), SessionId::random().expect("an id"));
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let signer = Signer::from_env(&env).expect("good settings");
    let token = signer.access(&subject, NOW, NOW + Duration::from_hours(1)).expect("a token");
    let mut password_event: Value = serde_json::from_str(include_str!("../../events/password.json")).expect("JSON");
    password_event["cookies"] = json!([format!("access_jwt={}", token.expose())]);
    World {
        login: Login::from_env(client.clone(), &env).expect("good settings"),
        password: PasswordChange::from_env(client, &env).expect("good settings"),
        login_event: serde_json::from_str(include_str!("../../events/login.json")).expect("JSON"),
        password_event,
        runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
    }
});

fuzz_target!(init: ignore_panics_of_the_adapter(), |input: &[u8]| {
    let Some((&variant, rest)) = input.split_first() else { return };
    let world = &*WORLD;
    let is_login = variant & 1 == 0;
    let mut body = rest.to_vec();
    match variant >> 3 & 3 {
        1 => body.resize(body.len().max(MAX_BODY), b' '),
        2 => body.resize(body.len().max(MAX_BODY + 1), b' '),
        _ => {}
    }
    let (sent, is_base64, body) = match variant >> 1 & 3 {
        0 => (STANDARD.encode(&body), true, Some(body)),
        1 => {
            let text = String::from_utf8_lossy(&body).into_owned();
            (text.clone(), true, STANDARD.decode(text).ok())
        }
        _ => {
            let text = String::from_utf8_lossy(&body).into_owned();
            (text.clone(), false, Some(text.into_bytes()))
        }
    };
    let expected = match body {
        Some(body) if body.len() > MAX_BODY => 413,
        Some(body) if is_form(&body, is_login) => 503,
        None | Some(_) => 400,
    };

    let mut event = if is_login { world.login_event.clone() } else { world.password_event.clone() };
    event["body"] = json!(sent);
    event["isBase64Encoded"] = json!(is_base64);
    let deadline = SystemTime::now() + Duration::from_mins(1);
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() * 1000);
    let answer = world.runtime.block_on(async {
        if is_login {
            let mut service = http::service(Site::default(), |request| world.login.handle(request, NOW));
            status(&mut service, &event, deadline).await
        } else {
            let mut service = http::service(Site::default(), |request| world.password.handle(request, NOW));
            status(&mut service, &event, deadline).await
        }
    });
    assert_eq!(answer, expected);
});

/// Returns `true` for a body with exactly the names of the contract, each once (R5, R30).
fn is_form(body: &[u8], is_login: bool) -> bool {
    let Some(form) = std::str::from_utf8(body).ok().and_then(members) else { return false };
    let has_only = |names: &[&str]| form.iter().all(|(name, _)| names.contains(&name.as_str()));
    let is_password = |value: Option<Value>| {
        value.as_ref().and_then(Value::as_str).is_some_and(|password| password.len() <= Password::MAX_BYTES)
    };
    if !is_login {
        return has_only(&["currentPassword", "newPassword"])
            && is_password(member(&form, "currentPassword"))
            && is_password(member(&form, "newPassword"));
    }
    let keep = form.iter().filter(|(name, _)| name == "checkedKeepLogin").map(|(_, value)| value.get());
    let info: Vec<_> = form.iter().filter(|(name, _)| name == "loginInfo").collect();
    let [(_, info)] = info[..] else { return false };
    let Some(info) = members(info.get()) else { return false };
    has_only(&["loginInfo", "checkedKeepLogin"])
        && matches!(keep.collect::<Vec<_>>()[..], [] | ["true" | "false" | "null"])
        && info.len() == 2
        && member(&info, "userId").is_some_and(|name| name.is_string())
        && is_password(member(&info, "password"))
}
