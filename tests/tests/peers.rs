//! The peers of the benchmark answer as our functions do, with the same calls of DynamoDB. Otherwise the comparison
//! would not be fair. `bench/peers/README.md` describes them.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev::processes::Process;
use lambda_simulator::Simulator;
use lambda_simulator::process::{ManagedProcess, ProcessConfig, ProcessRole};
use login::Login;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::id::UserId;
use shared::store;
use testbed::workspace::root;
use testbed::{Event, Meter, Reply, Tables};
use tokio::process::Command;
use tokio::sync::OnceCell;
use userinfo::Userinfo;

/// Starts `userinfo` in Python. The simulator does not send the media type of an event, which Lambda sends. Without it,
/// `awslambdaric` does not parse the event.
const PYTHON: &str = "
import json, sys, userinfo
from awslambdaric.__main__ import main
handler = userinfo.handler
userinfo.handler = lambda event, context: handler(json.loads(event), context)
main([sys.argv[0], 'userinfo.handler'])
";

/// A process of a peer, with a Runtime API of its own. Use it on one thread, as the simulator requires.
struct Peer {
    runtime_api: Simulator,
    _process: ManagedProcess,
}

impl Peer {
    /// Starts a function of the peer in Node.js.
    async fn node(function: &str, variables: &[(&'static str, String)]) -> Self {
        let folder = root().join("bench/peers/node");
        let runtime_client = folder.join("node_modules/aws-lambda-ric/bin/index.mjs");
        let handler = folder.join(format!("dist/{function}.handler"));
        let [runtime_client, handler] = [runtime_client, handler].map(|path| path.to_str().unwrap().to_owned());
        // The simulator wants the path of a program, and `env` finds it.
        Self::start(Path::new("/usr/bin/env"), &["node".to_owned(), runtime_client, handler], variables).await
    }

    /// Starts `userinfo` of the peer in Python.
    async fn python(variables: &[(&'static str, String)]) -> Self {
        let modules = root().join("bench/peers/python").to_str().unwrap().to_owned();
        let variables = [variables, &[("PYTHONPATH", modules)]].concat();
        let arguments = ["-c", PYTHON].map(str::to_owned);
        Self::start(&root().join("target/peers/python/bin/python"), &arguments, &variables).await
    }

    async fn start(program: &Path, arguments: &[String], variables: &[(&'static str, String)]) -> Self {
        let runtime_api = Simulator::builder().function_name("Peer").build().await.unwrap();
        let config = ProcessConfig::new(program, ProcessRole::Runtime);
        let config = arguments.iter().fold(config, ProcessConfig::arg);
        let config = variables.iter().fold(config, |config, (name, value)| config.env(*name, value));
        let process = runtime_api.spawn_process_with_config(config).unwrap();
        Self { runtime_api, _process: process }
    }

    async fn send(&self, event: &Event) -> Reply {
        let request = self.runtime_api.enqueue_payload(event.payload()).await;
        let done = self.runtime_api.wait_for_invocation_complete(&request, Duration::from_secs(30)).await.unwrap();
        serde_json::from_value(done.response.unwrap().payload).unwrap()
    }
}

/// Our functions over tables that count calls.
struct Ours {
    env: Environment,
    calls: Meter,
}

impl Ours {
    async fn over(tables: &Tables) -> Self {
        let (settings, calls) = tables.metered().await;
        Self { env: Environment::new(settings), calls }
    }

    async fn userinfo(&self, event: &Event) -> Reply {
        let userinfo = Userinfo::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        let handler = |request| userinfo.handle(request, Timestamp::now());
        event.send(&mut http::service(Site::from_env(&self.env).unwrap(), handler)).await
    }

    async fn login(&self, event: &Event) -> Reply {
        let login = Login::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        let handler = |request| login.handle(request, Timestamp::now());
        event.send(&mut http::service(Site::from_env(&self.env).unwrap(), handler)).await
    }
}

/// Installs the peers once for all tests.
async fn install() {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let install = async || {
        let mut command = Command::new(root().join("bench/peers/install"));
        Process::start("bench/peers/install", &mut command).unwrap().finish().await.unwrap();
    };
    INSTALLED.get_or_init(install).await;
}

fn userinfo(cookies: &[String]) -> Event {
    Event::recorded("userinfo").cookies(cookies)
}

/// Returns status, headers and body.
fn answer(reply: &Reply) -> (u16, BTreeMap<&str, &str>, &str) {
    let headers = reply.header_names().map(|name| (name, reply.header(name).unwrap()));
    (reply.status, headers.collect(), reply.body())
}

/// Returns the calls since the last time, with their capacity units. Those that ran at the same time are in any order.
fn sorted(calls: &Meter) -> Vec<(String, String)> {
    let mut calls: Vec<_> = calls.take().into_iter().map(|(call, units)| (call, units.to_string())).collect();
    calls.sort();
    calls
}

/// Returns the claims of a token.
fn claims(token: &str) -> Value {
    part(token, 1)
}

/// Returns the header (0) or the claims (1) of a token.
fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// Returns the token with another value in its header (0) or in its claims (1), signed with the key of access tokens.
fn signed_with(token: &str, index: usize, name: &str, value: &str) -> String {
    let mut parts = [part(token, 0), part(token, 1)];
    parts[index][name] = value.into();
    let message = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let secret = testbed::settings(&[])("ACCESS_SECRET").unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Returns the record of the session of a token.
fn session_of(tables: &Tables, token: &str) -> Value {
    let id = &claims(token)["sid"];
    tables.items("SessionsTable").into_iter().find(|session| session["session_id"]["S"] == *id).unwrap()
}

#[tokio::test]
async fn each_peer_answers_userinfo_as_our_function_does() {
    install().await;
    let tables = Tables::new().await;
    let ours = Ours::over(&tables).await;
    let (kim, now) = (testbed::add_kim(&ours.env).await, Timestamp::now());
    let park = testbed::add_park(&ours.env).await;
    let mut unknown = kim.clone();
    unknown.profile.id = UserId::parse("9").unwrap();
    let two_days_ago = Timestamp::from_secs(now.as_secs() - 2 * 86_400);

    let (valid, refresh) = testbed::sign_in(&ours.env, &kim, true, now).await;
    let (expired, _) = testbed::sign_in(&ours.env, &kim, true, two_days_ago).await;
    let (of_unknown, _) = testbed::sign_in(&ours.env, &unknown, true, now).await;
    let (of_disabled, _) = testbed::sign_in(&ours.env, &park, true, now).await;
    let [(of_ended, _), (of_expired, _), (of_other_epoch, _)] = [
        testbed::sign_in(&ours.env, &kim, true, now).await,
        testbed::sign_in(&ours.env, &kim, true, now).await,
        testbed::sign_in(&ours.env, &kim, true, now).await,
    ];
    let past = (now.as_secs() - 1).to_string();
    for (token, attribute, value) in
        [(&of_ended, "ended_at", &past), (&of_expired, "idle_exp", &past), (&of_other_epoch, "epoch", &"2".to_owned())]
    {
        let mut session = session_of(&tables, token);
        session[attribute] = json!({ "N": value });
        tables.put("SessionsTable", &session);
    }
    let mut disabled = tables.items("UsersTable").into_iter().find(|user| user["pk"]["S"] == "user#1").unwrap();
    disabled["disabled"] = json!({ "BOOL": true });
    tables.put("UsersTable", &disabled);
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let changed = format!("{message}.{other}{}", &signature[1..]);

    let of_token = |token: &str| userinfo(&[format!("access_jwt={token}")]);
    let cases = [
        ("a valid token", 200, of_token(&valid)),
        ("a bearer token", 200, userinfo(&[]).header("authorization", &format!("Bearer {valid}"))),
        ("no cookie", 401, Event::recorded("userinfo-without")),
        ("an expired token", 401, of_token(&expired)),
        ("an ended session", 401, of_token(&of_ended)),
        ("an expired session", 401, of_token(&of_expired)),
        ("a session of another epoch", 401, of_token(&of_other_epoch)),
        ("an unknown user", 401, of_token(&of_unknown)),
        ("a disabled user", 401, of_token(&of_disabled)),
        ("a changed signature", 401, of_token(&changed)),
        ("a refresh token", 401, of_token(&refresh)),
        ("the same token, signed here", 200, of_token(&signed_with(&valid, 0, "typ", "at+jwt"))),
        ("another type", 401, of_token(&signed_with(&valid, 0, "typ", "JWT"))),
        ("another algorithm", 401, of_token(&signed_with(&valid, 0, "alg", "none"))),
        ("another key id", 401, of_token(&signed_with(&valid, 0, "kid", "another"))),
        ("another issuer", 401, of_token(&signed_with(&valid, 1, "iss", "another"))),
        ("another audience", 401, of_token(&signed_with(&valid, 1, "aud", "another"))),
        ("another address", 401, of_token(&signed_with(&valid, 1, "email", "park@example.com"))),
        ("two tokens", 401, userinfo(&[format!("access_jwt={valid}"), format!("access_jwt={expired}")])),
    ];
    let (variables, calls) = tables.metered_variables().await;
    let peers = [("node", Peer::node("userinfo", &variables).await), ("python", Peer::python(&variables).await)];
    let _ = ours.calls.take();
    for (case, status, event) in &cases {
        let expected = ours.userinfo(event).await;
        let expected_calls = sorted(&ours.calls);
        assert_eq!(expected.status, *status, "{case}");
        for (name, peer) in &peers {
            let reply = peer.send(event).await;
            assert_eq!(answer(&reply), answer(&expected), "{name}: {case}");
            // Ours reads records of two epochs a second time.
            if *case != "a session of another epoch" {
                assert_eq!(sorted(&calls), expected_calls, "{name}: {case}");
            }
        }
        let _ = calls.take();
    }
}

/// Ours repeats the renewal of the peer, and the peer repeats ours. The same record gives the same refresh token,
/// except that `jsonwebtoken` decides the order of the names in its header.
#[tokio::test]
async fn the_peer_in_node_renews_a_session_as_our_function_does() {
    install().await;
    let tables = Tables::new().await;
    let ours = Ours::over(&tables).await;
    let kim = testbed::add_kim(&ours.env).await;
    let (variables, calls) = tables.metered_variables().await;
    let peer = Peer::node("userinfo", &variables).await;
    for peer_is_first in [true, false] {
        let (_, refresh) = testbed::sign_in(&ours.env, &kim, true, Timestamp::now()).await;
        let event = userinfo(&[format!("refresh_jwt={refresh}")]);
        let _ = (calls.take(), ours.calls.take());
        let (theirs, own) = if peer_is_first {
            let theirs = peer.send(&event).await;
            (theirs, ours.userinfo(&event).await)
        } else {
            let own = ours.userinfo(&event).await;
            (peer.send(&event).await, own)
        };
        assert_eq!((theirs.status, own.status), (200, 200));
        assert_eq!(answer(&theirs), answer(&own));
        let claims_of = |reply: &Reply| claims(reply.cookie("refresh_jwt").unwrap());
        assert_eq!(claims_of(&theirs), claims_of(&own), "peer first: {peer_is_first}");
        assert_eq!(attributes(&theirs), attributes(&own));
        let access = theirs.cookie("access_jwt").unwrap();
        assert_eq!(ours.userinfo(&userinfo(&[format!("access_jwt={access}")])).await.status, 200);
        assert_eq!(session_of(&tables, access)["gen"]["N"], "2", "one renewal");
        let names: Vec<_> = calls.take().into_iter().map(|(call, _)| call).collect();
        assert_eq!(names, if peer_is_first { &["BatchGetItem", "UpdateItem"][..] } else { &["BatchGetItem"] });
    }
}

/// Returns the cookies without their values and times.
fn attributes(reply: &Reply) -> Vec<String> {
    let parts = |line: &String| {
        let (pair, attributes) = line.split_once("; ").unwrap();
        let name = pair.split('=').next().unwrap();
        format!("{name}; {}", attributes.split("; Max-Age").next().unwrap())
    };
    reply.cookies.iter().map(parts).collect()
}

#[tokio::test]
async fn the_peer_in_node_signs_in_as_our_function_does() {
    install().await;
    let tables = Tables::new().await;
    let ours = Ours::over(&tables).await;
    testbed::add_kim(&ours.env).await;
    let (variables, calls) = tables.metered_variables().await;
    let peer = Peer::node("login", &variables).await;
    let form = |user: &str, password: &str, persistent: bool| {
        let login = json!({ "loginInfo": { "userId": user, "password": password }, "checkedKeepLogin": persistent });
        Event::recorded("login").body(login.to_string())
    };
    for (case, status, event) in [
        ("right", 302, form(" KimCoding", "1234", true)),
        ("right, not persistent", 302, form("kimcoding", "1234", false)),
        ("wrong password", 401, form("kimcoding", "12345", true)),
        ("unknown user", 401, form("nobody", "1234", true)),
    ] {
        let _ = (calls.take(), ours.calls.take());
        let expected = ours.login(&event).await;
        let reply = peer.send(&event).await;
        assert_eq!(expected.status, status, "{case}");
        assert_eq!(answer(&reply), answer(&expected), "{case}");
        assert_eq!(attributes(&reply), attributes(&expected), "{case}");
        assert_eq!(sorted(&calls), sorted(&ours.calls), "{case}");
        if let Some(access) = reply.cookie("access_jwt") {
            assert_eq!(ours.userinfo(&userinfo(&[format!("access_jwt={access}")])).await.status, 200, "{case}");
        }
    }
    let sessions = tables.items("SessionsTable");
    let attributes: BTreeSet<BTreeSet<_>> =
        sessions.iter().map(|session| session.as_object().unwrap().keys().collect()).collect();
    assert_eq!((sessions.len(), attributes.len()), (4, 1), "the records have the same attributes: {attributes:?}");

    let mut attempts = tables.items("AttemptsTable").into_iter();
    let mut locked =
        attempts.find(|count| count["counter_key"]["S"].as_str().unwrap().starts_with("account#")).unwrap();
    locked["failures"] = json!({ "N": "20" });
    tables.put("AttemptsTable", &locked);
    for user in ["kimcoding", "nobody"] {
        let event = form(user, "12345", true);
        assert_eq!(peer.send(&event).await.status, ours.login(&event).await.status, "{user}");
    }
}
