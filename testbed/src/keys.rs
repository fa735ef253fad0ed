use serde_json::json;
use shared::keys::{Purpose, key_id};

/// Returns the key set of a variable after rotations: `signing` are its keys in the order in which they began to sign,
/// the last one signs. `next` are published keys that do not sign. All of them have been published for years.
#[must_use]
pub fn key_set(variable: &str, signing: &[&str], next: &[&str]) -> String {
    let purposes = [Purpose::Access, Purpose::Refresh, Purpose::Device, Purpose::Pepper];
    let purpose = purposes.into_iter().find(|purpose| purpose.variable() == variable).unwrap();
    let key = |secret: &str, sign_from: Option<usize>| {
        let kid = key_id(purpose, secret.as_bytes());
        json!({ "kid": kid, "alg": "HS256", "secret": secret, "published_at": 0, "sign_from": sign_from })
    };
    let signing = signing.iter().enumerate().map(|(index, secret)| key(secret, Some(index * 1000)));
    let keys: Vec<_> = signing.chain(next.iter().map(|secret| key(secret, None))).collect();
    json!({ "keys": keys }).to_string()
}
