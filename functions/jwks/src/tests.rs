use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::http::Site;
use shared::keys::PUBLISH_LEAD;
use testbed::{Event, Reply};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ISSUER: &str = "https://auth.example.com";
/// Ed25519, RFC 8032 §7.1: the secrets and the public keys of tests 1 to 3 in base64url.
const PAIRS: [(&str, &str); 3] = [
    ("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
    ("TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"),
    ("xaqN9D-fg3vtt0QvMdy3sWbThTUHbwlLhc46LgtEWPc", "_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU"),
];
const SECRET: &str = "hs256-secret-for-tests-0123456789";

/// The times of a key in seconds after [`NOW`]: since when it signs, and when it retires.
type Times = (Option<i64>, Option<i64>);

const SIGNS: Times = (Some(-1_000_000), None);
const NEXT: Times = (None, None);

/// A key of a set. It was published long ago.
fn key(kid: &str, alg: &str, secret: &str, (sign_from, retire_at): Times) -> Value {
    let at = |secs: i64| NOW.as_secs().checked_add_signed(secs).unwrap();
    let mut key = json!({ "kid": kid, "alg": alg, "secret": secret, "published_at": 0 });
    for (name, time) in [("sign_from", sign_from), ("retire_at", retire_at)] {
        key.as_object_mut().unwrap().extend(time.map(|time| (name.to_owned(), at(time).into())));
    }
    key
}

fn jwks(keys: &[Value], issuer: &str) -> Jwks {
    let set = json!({ "keys": keys }).to_string();
    Jwks::from_env(&testbed::environment(&[("ACCESS_SECRET", &set), ("ISSUER", issuer)])).unwrap()
}

async fn send(jwks: &Jwks, event: Event, now: Timestamp) -> Reply {
    event.send(&mut http::service(Site::default(), async |request| jwks.handle(&request, now))).await
}

/// Returns the published keys of a set.
async fn published(keys: &[Value], now: Timestamp) -> Vec<Value> {
    let reply = send(&jwks(keys, ISSUER), Event::recorded("jwks"), now).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["keys"].as_array().unwrap().clone()
}

/// Returns the `kid` of each published key.
async fn kids(keys: &[Value], now: Timestamp) -> Vec<String> {
    published(keys, now).await.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// R55: RFC 7517, RFC 8037. The public key is that of RFC 8032.
#[tokio::test]
async fn the_key_set_has_the_public_key_of_each_key() {
    let keys = [key("one", "EdDSA", PAIRS[0].0, SIGNS), key("two", "EdDSA", PAIRS[1].0, NEXT)];
    let reply = send(&jwks(&keys, ISSUER), Event::recorded("jwks"), NOW).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/jwk-set+json")));
    let expected = |kid: &str, x: &str| json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x });
    assert_eq!(reply.json(), json!({ "keys": [expected("one", PAIRS[0].1), expected("two", PAIRS[1].1)] }));
}

/// R55: a key is published before it signs, and as long as it verifies.
#[tokio::test]
async fn a_next_key_is_listed_and_a_retired_key_is_not() {
    let (old, new) = ((Some(-1_000_000), Some(90_000)), (Some(0), None));
    let keys = [
        key("old", "EdDSA", PAIRS[0].0, old),
        key("new", "EdDSA", PAIRS[1].0, new),
        key("next", "EdDSA", PAIRS[2].0, NEXT),
    ];
    for (seconds, expected) in [(0, &["old", "new", "next"][..]), (89_999, &["old", "new", "next"])] {
        assert_eq!(kids(&keys, NOW + Duration::from_secs(seconds)).await, expected, "{seconds}");
    }
    assert_eq!(kids(&keys, NOW + Duration::from_hours(25)).await, ["new", "next"]);
    let before = Timestamp::from_secs(NOW.as_secs() - 1);
    assert_eq!(kids(&keys, before).await, ["old", "new", "next"], "the new key does not sign yet");
}

/// R36, R55: nothing of a secret that signs is published.
#[tokio::test]
async fn an_hs256_key_is_never_listed() {
    assert_eq!(published(&[key("a", "HS256", SECRET, SIGNS)], NOW).await, Vec::<Value>::new());
    let bare = Jwks::from_env(&testbed::environment(&[("ACCESS_SECRET", SECRET)])).unwrap();
    assert_eq!(send(&bare, Event::recorded("jwks"), NOW).await.body(), r#"{"keys":[]}"#);
    // While a stack changes its algorithm.
    let keys = [key("a", "HS256", SECRET, SIGNS), key("b", "EdDSA", PAIRS[0].0, NEXT)];
    assert_eq!(kids(&keys, NOW).await, ["b"]);
}

/// The rotation replaces the set while the function runs.
#[tokio::test]
async fn a_new_set_is_published_at_once() {
    let jwks = jwks(&[key("one", "EdDSA", PAIRS[0].0, SIGNS)], ISSUER);
    let next = json!({ "keys": [key("one", "EdDSA", PAIRS[0].0, SIGNS), key("two", "EdDSA", PAIRS[1].0, NEXT)] });
    jwks.keys.replace(shared::keys::KeySet::parse(Purpose::Access, &next.to_string()).unwrap());
    let reply = send(&jwks, Event::recorded("jwks"), NOW).await;
    assert_eq!(reply.json()["keys"][1]["kid"], "two");
}

/// R88, R89: a cache may keep the two documents. It forgets a set before a new key signs. Errors are not kept.
#[tokio::test]
async fn the_documents_may_be_cached_for_less_than_a_key_waits() {
    let function = jwks(&[key("one", "EdDSA", PAIRS[0].0, SIGNS)], ISSUER);
    for event in ["jwks", "jwks-metadata"].map(Event::recorded) {
        let reply = send(&function, event.clone(), NOW).await;
        let seconds = reply.header("cache-control").and_then(|value| value.strip_prefix("public, max-age="));
        let age = Duration::from_secs(seconds.unwrap().parse().unwrap());
        assert!(age >= Duration::from_mins(1) && age * 2 < PUBLISH_LEAD, "{age:?}");
        assert_eq!(reply.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        for (name, value) in [
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{name}");
        }
        assert!(reply.cookies.is_empty());
        for refused in [event.clone().method("POST"), event.header("host", "a:99999")] {
            assert_eq!(send(&function, refused, NOW).await.header("cache-control"), Some("no-store"));
        }
    }
    let no_address = jwks(&[key("one", "EdDSA", PAIRS[0].0, SIGNS)], "latchkey");
    let missing = send(&no_address, Event::recorded("jwks-metadata"), NOW).await;
    assert_eq!((missing.status, missing.header("cache-control")), (404, Some("no-store")));
}

/// R90.
#[tokio::test]
async fn another_method_is_405() {
    let function = jwks(&[key("one", "EdDSA", PAIRS[0].0, SIGNS)], ISSUER);
    for event in ["jwks", "jwks-metadata"].map(Event::recorded) {
        for method in ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get"] {
            let reply = send(&function, event.clone().method(method), NOW).await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET")), "{method}");
            let is_head = method == "HEAD";
            assert!(is_head || reply.header("content-type") == Some("application/problem+json"), "{method}");
        }
        let foreign = event.method("POST").header("sec-fetch-site", "cross-site");
        assert_eq!(send(&function, foreign, NOW).await.status, 403);
    }
}

/// A person who opens the address gets the same document.
#[tokio::test]
async fn a_browser_gets_the_same_documents() {
    let function = jwks(&[key("one", "EdDSA", PAIRS[0].0, SIGNS)], ISSUER);
    for event in ["jwks", "jwks-metadata"].map(Event::recorded) {
        let (one, other) =
            (send(&function, event.clone(), NOW).await, send(&function, event.opened().query("lang=ko"), NOW).await);
        assert_eq!((other.status, other.body(), &other.cookies), (200, one.body(), &one.cookies));
        assert_eq!(other.header("content-type"), one.header("content-type"));
    }
}

/// RFC 8414 §2.
#[tokio::test]
async fn the_metadata_lead_from_the_issuer_to_the_key_set() {
    let function = jwks(&[key("one", "EdDSA", PAIRS[0].0, SIGNS)], ISSUER);
    let reply = send(&function, Event::recorded("jwks-metadata"), NOW).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let expected = json!({
        "issuer": ISSUER,
        "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
        "response_types_supported": [],
    });
    assert_eq!(reply.json(), expected);
}

/// Such an issuer has no address at which the document could be.
#[tokio::test]
async fn an_issuer_that_is_no_https_address_has_no_metadata() {
    for issuer in ["", "latchkey", "http://localhost:4000", "https://auth.example.com/path", "https://a.example?x"] {
        let function = jwks(&[key("one", "EdDSA", PAIRS[0].0, SIGNS)], issuer);
        let reply = send(&function, Event::recorded("jwks-metadata"), NOW).await;
        assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/problem+json")), "{issuer}");
        assert_eq!(reply.json()["detail"], "There is no such document.", "{issuer}");
        assert_eq!(send(&function, Event::recorded("jwks"), NOW).await.status, 200, "{issuer}");
    }
}

/// An Ed25519 secret or an HS256 secret. Both are 32 random bytes as base64url, which is text that is never short.
fn any_key() -> impl Strategy<Value = (bool, [u8; 32], bool, Option<i64>)> {
    (any::<bool>(), any::<[u8; 32]>(), any::<bool>(), prop::option::of(-100_000_i64..100_000))
}

proptest! {
    /// R36, R55: for any set, the document has exactly the `EdDSA` keys that are not retired. They have the members of
    /// a public key and no others, and the document contains no secret.
    #[test]
    fn no_private_member_is_ever_published(keys in prop::collection::vec(any_key(), 1..8)) {
        let last = key("last", "EdDSA", PAIRS[0].0, (Some(0), None));
        let mut entries = vec![last];
        let mut expected = BTreeSet::from(["last".to_owned()]);
        let mut secrets = vec![PAIRS[0].0.to_owned()];
        for (index, (is_pair, bytes, is_next, retire_at)) in keys.into_iter().enumerate() {
            let (kid, secret) = (format!("k{index}"), URL_SAFE_NO_PAD.encode(bytes));
            let retire_at = retire_at.filter(|at| is_next || *at >= 900);
            let sign_from = (!is_next).then(|| -1_000_000 + i64::try_from(index).unwrap() * 1000);
            entries.push(key(&kid, if is_pair { "EdDSA" } else { "HS256" }, &secret, (sign_from, retire_at)));
            if is_pair && retire_at.is_none_or(|at| at > 0) {
                expected.insert(kid);
            }
            secrets.push(secret);
        }
        let set = json!({ "keys": entries }).to_string();
        let env = testbed::environment(&[("ACCESS_SECRET", &set), ("ISSUER", ISSUER)]);
        // A random secret that repeats a byte too often is rejected.
        let Ok(function) = Jwks::from_env(&env) else { return Err(TestCaseError::reject("a weak secret")) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reply = runtime.block_on(send(&function, Event::recorded("jwks"), NOW));
        prop_assert_eq!(reply.status, 200);
        let document = reply.json();
        prop_assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["keys"]);
        let mut found = BTreeSet::new();
        for key in document["keys"].as_array().unwrap() {
            let members: BTreeSet<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
            prop_assert!(members.into_iter().eq(["alg", "crv", "kid", "kty", "use", "x"]), "{}", key);
            prop_assert!(found.insert(key["kid"].as_str().unwrap().to_owned()), "{}", key);
        }
        prop_assert_eq!(found, expected);
        prop_assert!(secrets.iter().all(|secret| !reply.body().contains(secret)));
    }
}
