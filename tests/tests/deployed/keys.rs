//! The keys of the deployed stack, with the commands of `docs/keys.md`. A deployment starts new instances, so that the
//! tests need not wait until each instance reads its keys again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use shared::clock::Timestamp;
use shared::keys::{KeySet, PUBLISH_LEAD, Purpose};
use testbed::contract::Stack;
use testbed::deployed::Emulator;

use super::{code_block, operator};

/// The page whose commands run here.
const PAGE: &str = "docs/keys.md";

/// Rotates, revokes and moves the keys of a stack that is in use.
pub(crate) async fn check(emulator: &Emulator, stack: &Stack) {
    let (old, next) = rotate(emulator, stack).await;
    revoke(emulator, stack, &old, &next).await;
    move_the_algorithm(emulator, stack).await;
    run(emulator, "keys_not_read", "").await;
}

/// R56: the next key signs, and the sessions live on. Returns the `kid` of the old key and of the next one.
async fn rotate(emulator: &Emulator, stack: &Stack) -> (String, String) {
    // The first run of the rotation writes the key sets, with the same keys.
    run(emulator, "sam remote invoke", "").await;
    let first = stack.access_token().await;
    assert_eq!(stack.status_for(&first).await, 200);
    let keys = emulator.key_set(Purpose::Access).await;
    let (old, next) = (keys.active(Timestamp::now()).id.clone(), next_of(&keys));
    assert_eq!(key_of(&first).0, old);
    assert_eq!(
        stack.json("/.well-known/jwks.json").await["keys"],
        Value::Array(Vec::new()),
        "HS256 has no public keys"
    );

    run(emulator, "keys promote", &next).await;
    assert_eq!(stack.status_for(&first).await, 200, "an instance with the old set");
    restart(emulator, "Rotated").await;
    let second = stack.access_token().await;
    assert_eq!(key_of(&second).0, next);
    assert_eq!([stack.status_for(&first).await, stack.status_for(&second).await], [200, 200]);
    (old, next)
}

/// R57: the token of a key that was dropped is refused.
async fn revoke(emulator: &Emulator, stack: &Stack, old: &str, next: &str) {
    let first = stack.access_token().await;
    assert_eq!(key_of(&first).0, next);
    run(emulator, "keys retire", next).await;
    restart(emulator, "Revoked").await;
    assert_eq!(stack.status_for(&first).await, 401);
    let second = stack.access_token().await;
    assert_eq!(key_of(&second).0, old, "the other new key has been published for less than 15 minutes");
    assert_eq!(stack.status_for(&second).await, 200);
}

/// R56, R58: the algorithm changes to `EdDSA` and back. No session ends.
async fn move_the_algorithm(emulator: &Emulator, stack: &Stack) {
    // The issuer is chosen before the first users come.
    emulator.run("sam deploy --parameter-overrides Issuer=https://api.example.com", &[]).await;
    let mut tokens = vec![stack.access_token().await];
    for (algorithm, back) in [("EdDSA", false), ("HS256", true)] {
        let block = code_block(PAGE, "AccessAlgorithm=EdDSA");
        emulator
            .run(&if back { block.replace("AccessAlgorithm=EdDSA", "AccessAlgorithm=HS256") } else { block }, &[])
            .await;
        // The first run publishes a key of the algorithm. A run 15 minutes later lets it sign.
        run(emulator, "sam remote invoke", "").await;
        emulator.age_keys(Purpose::Access, PUBLISH_LEAD).await;
        run(emulator, "sam remote invoke", "").await;
        restart(emulator, algorithm).await;
        let token = stack.access_token().await;
        assert_eq!(key_of(&token).1, algorithm);
        tokens.push(token);
        for token in &tokens {
            assert_eq!(stack.status_for(token).await, 200, "{algorithm}: {:?}", key_of(token));
        }
        let public = stack.json("/.well-known/jwks.json").await["keys"].as_array().unwrap().len();
        assert!(public > 0, "{algorithm}: the keys of EdDSA are public");
    }
    // R57: a key that signs no more is dropped.
    run(emulator, "keys retire", &key_of(&tokens[1]).0).await;
    restart(emulator, "Dropped").await;
    assert_eq!([stack.status_for(&tokens[1]).await, stack.status_for(&tokens[2]).await], [401, 200]);
    emulator.run("sam deploy --parameter-overrides Issuer=latchkey", &[]).await;
}

/// Runs the commands of the block of the page that contains this text. `KID` stands for the id of a key.
pub(crate) async fn run(emulator: &Emulator, text: &str, kid: &str) {
    for line in code_block(PAGE, text).lines() {
        let command = line.split('#').next().unwrap_or_default().trim().replace("KID", kid);
        let Some(arguments) = command.strip_prefix("cargo latchkey ") else {
            emulator.run(&command, &[]).await;
            continue;
        };
        eprintln!("$ {command}");
        // `keys retire` asks a person. Here, there is none.
        let yes = if arguments.starts_with("keys retire") { " --yes" } else { "" };
        eprintln!("{}", operator::latchkey(emulator, &format!("{arguments}{yes}")).await);
    }
}

/// Starts new instances of the functions: the name of the service is another one.
async fn restart(emulator: &Emulator, name: &str) {
    emulator.run(&format!("sam deploy --parameter-overrides ServiceName={name}"), &[]).await;
}

/// Returns the `kid` of the next key.
fn next_of(keys: &KeySet) -> String {
    keys.keys().iter().find(|key| key.sign_from.is_none()).unwrap().id.clone()
}

/// Returns the `kid` and the algorithm in the header of a token.
pub(crate) fn key_of(token: &str) -> (String, String) {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let text = |name: &str| header[name].as_str().unwrap().to_owned();
    (text("kid"), text("alg"))
}
