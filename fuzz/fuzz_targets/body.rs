//! The body of `POST /login` and `PUT /password` (R30, R32), through the real functions.
//!
//! The first byte says which function, whether the body travels as text, as base64 or as what calls itself base64, and whether
//! white space fills it up to the largest that is read, or to one byte more.
//!
//! The tables cannot be reached: what is a form, by a second reading, is answered 503, and everything else 400 or 413.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fuzz::{NOW, config, expect_panics_of_the_adapter, member, members, status};
use libfuzzer_sys::fuzz_target;
use login::Login;
use password::PasswordChange;
use serde_json::{Value, json};
use shared::claims::Subject;
use shared::http;
use shared::id::{SessionId, UserId};
use shared::passwords::Password;
use shared::store::{self, Client};
use shared::tokens::Signer;
use tokio::runtime::{Builder, Runtime};

const LARGEST: usize = 8 * 1024;

struct World {
    login: Login,
    password: PasswordChange,
    login_event: Value,
    password_event: Value,
    runtime: Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let config = config(&[]);
    let client = store::connect(&config);
    let unreachable = client.config().to_builder().http_client(SharedHttpClient::new(Unreachable));
    let client = Client::from_conf(unreachable.retry_config(RetryConfig::disabled()).build());

    let (user_id, session_id) = (UserId::parse("0").expect("an id"), SessionId::random().expect("an id"));
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let token = Signer::new(&config).access(&subject, NOW, NOW + Duration::from_hours(1)).expect("a token");
    let mut password_event: Value = serde_json::from_str(include_str!("../../events/password.json")).expect("JSON");
    password_event["cookies"] = json!([format!("access_jwt={}", token.expose())]);
    World {
        login: Login::new(client.clone(), &config).expect("the settings are good"),
        password: PasswordChange::new(client, &config).expect("the settings are good"),
        login_event: serde_json::from_str(include_str!("../../events/login.json")).expect("JSON"),
        password_event,
        runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
    }
});

/// What every call to DynamoDB ends at.
#[derive(Clone, Debug)]
struct Unreachable;

impl HttpConnector for Unreachable {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::io("nobody listens".into())))
    }
}

impl HttpClient for Unreachable {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fuzz_target!(init: expect_panics_of_the_adapter(), |input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let world = &*WORLD;
    let is_login = how & 1 == 0;
    let mut body = rest.to_vec();
    match how >> 3 & 3 {
        1 => body.resize(body.len().max(LARGEST), b' '),
        2 => body.resize(body.len().max(LARGEST + 1), b' '),
        _ => {}
    }
    let (sent, is_base64, body) = match how >> 1 & 3 {
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
        Some(body) if body.len() > LARGEST => 413,
        Some(body) if is_form(&body, is_login) => 503,
        None | Some(_) => 400,
    };

    let mut event = if is_login { world.login_event.clone() } else { world.password_event.clone() };
    event["body"] = json!(sent);
    event["isBase64Encoded"] = json!(is_base64);
    let deadline = SystemTime::now() + Duration::from_mins(1);
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() * 1000);
    let answered = world.runtime.block_on(async {
        if is_login {
            let mut service = http::service(&[], |request| world.login.handle(request, NOW));
            status(&mut service, &event, deadline).await
        } else {
            let mut service = http::service(&[], |request| world.password.handle(request, NOW));
            status(&mut service, &event, deadline).await
        }
    });
    assert_eq!(answered, expected);
});

/// R5, R30: the names of the contract, each once, and no others.
fn is_form(body: &[u8], is_login: bool) -> bool {
    let Some(form) = std::str::from_utf8(body).ok().and_then(members) else { return false };
    let has_only = |names: &[&str]| form.iter().all(|(name, _)| names.contains(&name.as_str()));
    let is_password = |value: Option<Value>| {
        value.as_ref().and_then(Value::as_str).is_some_and(|password| password.len() <= Password::LONGEST)
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
