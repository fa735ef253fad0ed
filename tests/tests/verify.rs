//! The examples of services that verify access tokens with the JWKS, on the local stack with an `EdDSA` key.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev::people::KIM;
use dev::processes::Process;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use testbed::local_stack::{self, Options};
use testbed::workspace::root;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Ed25519, RFC 8032 §7.1, test 1 in base64url: the secret and the public key.
const SECRET: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

const KID: &str = "local-1";

/// Where the certificate of the local stack is.
const CERTIFICATE: &str = "target/dev/localhost.pem";

/// R36, R55.
#[tokio::test]
async fn each_example_accepts_a_token_and_rejects_expired_and_forged_tokens() {
    let examples = install().await;
    let set = json!({
        "keys": [{ "kid": KID, "alg": "EdDSA", "secret": SECRET, "published_at": 0, "sign_from": 0 }]
    });
    let (port, set) = (local_stack::free_port(), set.to_string());
    let issuer = format!("https://localhost:{port}");
    let options = Options { access_secret: Some(&set), issuer: Some(&issuer), ..Options::default() };
    let (_process, stack) = local_stack::start_at(port, options).await;

    let metadata = stack.json("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["issuer"], issuer.as_str());
    let key_set = metadata["jwks_uri"].as_str().unwrap();
    assert_eq!(stack.json("/.well-known/jwks.json").await["keys"][0]["x"], PUBLIC);

    let (env, kim) = (local_stack::environment(&stack), KIM.user().unwrap());
    let good = stack.access_token().await;
    let two_days_ago = Timestamp::from_secs(Timestamp::now().as_secs() - 2 * 86_400);
    let (expired, _) = testbed::sign_in(&env, &kim, true, two_days_ago).await;
    let (_, refresh) = testbed::sign_in(&env, &kim, true, Timestamp::now()).await;
    let mut rejected = vec![("expired", expired), ("refresh token", refresh), ("changed", format!("{good}A"))];
    let public_keys = [
        ("forged with the text of the public key", PUBLIC.as_bytes().to_vec()),
        ("forged with the public key", URL_SAFE_NO_PAD.decode(PUBLIC).unwrap()),
    ];
    rejected.extend(public_keys.map(|(name, key)| (name, forged(&good, &key))));
    rejected.push(("without a signature", unsigned(&good)));

    for (name, program) in &examples {
        let verify = async |token: &str, issuer: &str| run(program, &[key_set, issuer], token).await;
        assert_eq!(verify(&good, &issuer).await, (Some(0), "user: 0\n".to_owned(), 0), "{name}");
        for (what, token) in &rejected {
            assert_eq!(verify(token, &issuer).await, (Some(1), String::new(), 1), "{name}: {what}");
        }
        let another = verify(&good, "https://auth.example.com").await;
        assert_eq!(another, (Some(1), String::new(), 1), "{name}: a token of another issuer");
    }
}

/// Returns the token with another header and the signature of HS256.
fn forged(token: &str, key: &[u8]) -> String {
    let message = with_header(token, &json!({ "alg": "HS256", "typ": "at+jwt", "kid": KID }));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Returns the token with the algorithm `none`.
fn unsigned(token: &str) -> String {
    format!("{}.", with_header(token, &json!({ "alg": "none", "typ": "at+jwt", "kid": KID })))
}

/// Returns the first two parts of a token, with another header.
fn with_header(token: &str, header: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), token.split('.').nth(1).unwrap())
}

/// Installs the examples. Returns the name and the command of each.
async fn install() -> [(&'static str, Vec<PathBuf>); 3] {
    let examples = root().join("examples/verify");
    let (node, python, rust) = (examples.join("node"), examples.join("python"), examples.join("rust"));
    let mut npm = Command::new("npm");
    npm.current_dir(&node).args(["ci", "--no-audit", "--no-fund"]);
    Process::start("npm ci", &mut npm).unwrap().finish().await.unwrap();
    let target = root().join("target/verify");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&rust).args(["build", "--locked", "--target-dir"]).arg(&target);
    Process::start("cargo build", &mut cargo).unwrap().finish().await.unwrap();
    // Where `.ci/run` installs PyJWT.
    let installed = root().join("target/tools/verify/bin/python");
    assert!(installed.is_file(), "PyJWT is not installed: run .ci/run, or install it in target/tools/verify");
    [
        ("node", vec!["node".into(), node.join("verify.js")]),
        ("python", vec![installed, python.join("verify.py")]),
        ("rust", vec![target.join("debug/latchkey-verify")]),
    ]
}

/// Runs a command with the token on standard input. Returns the exit code, the output, and the number of lines with the
/// reason.
async fn run(command: &[PathBuf], arguments: &[&str], token: &str) -> (Option<i32>, String, usize) {
    let certificate = root().join(CERTIFICATE);
    let mut command_line = Command::new(&command[0]);
    command_line
        .args(&command[1..])
        .args(arguments)
        .env("SSL_CERT_FILE", &certificate)
        .env("NODE_EXTRA_CA_CERTS", &certificate)
        .env("NO_PROXY", "localhost")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command_line.spawn().unwrap();
    // A program may end without reading the token.
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).await.ok();
    let output = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output()).await.unwrap().unwrap();
    let reason = String::from_utf8(output.stderr).unwrap();
    eprintln!("{}: {}", command[0].display(), reason.trim());
    assert!(!reason.contains(token.split('.').nth(1).unwrap()), "the reason quotes the token");
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), reason.lines().count())
}
