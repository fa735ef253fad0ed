//! A rotation of the keys while the service runs. Half of the instances have an old key set, and clients renew their
//! sessions all the time.

use std::time::Duration;

use rotation::KeyRotation;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::keys::{KeySet, Purpose};
use shared::store::Secrets;
use testbed::{Event, SecretsManager, Tables};

use crate::world::{DAY, NOW, Service};

/// The keys of a stack: those of access tokens and of refresh tokens.
struct Keys {
    manager: SecretsManager,
    endpoint: String,
    access: String,
    refresh: String,
    device: String,
}

impl Keys {
    async fn new() -> Self {
        let manager = SecretsManager::default();
        let endpoint = manager.serve().await;
        let put = |name| manager.put(name, &format!("{name}-secret-of-the-fleet-0123456789abcdef"));
        let [access, refresh, device] = ["access", "refresh", "device"].map(put);
        Self { manager, endpoint, access, refresh, device }
    }

    fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let ours = [
            ("ACCESS_SECRET", self.access.as_str()),
            ("REFRESH_SECRET", &self.refresh),
            ("DEVICE_SECRET", &self.device),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.endpoint),
        ];
        [&ours[..], more].concat()
    }

    fn rotation(&self, algorithm: &str) -> KeyRotation {
        let settings = self.settings(&[
            ("KEY_ROTATION_DAYS", "15"),
            ("ACCESS_ALGORITHM", algorithm),
            ("ISSUER", "https://api.example.com"),
        ]);
        KeyRotation::from_env(&testbed::environment(&settings)).unwrap()
    }

    fn access_keys(&self) -> KeySet {
        KeySet::parse(Purpose::Access, &self.manager.current(&self.access)).unwrap()
    }
}

/// A running instance of every function.
struct Instance {
    service: Service,
    secrets: Secrets,
    /// How old the key sets of this instance become before it reads them again.
    patience: u64,
    read_at: Timestamp,
}

impl Instance {
    async fn start(keys: &Keys, tables: &Tables, patience: u64, now: Timestamp) -> Self {
        let (env, secrets) = start(keys, tables, now).await;
        Self { service: Service::new(env), secrets, patience, read_at: now }
    }

    /// Answers a request with these tokens. Returns the status, and the refresh token of the response.
    async fn userinfo(&mut self, access: &str, refresh: &str, now: Timestamp) -> (u16, Tokens) {
        if now.since(self.read_at).as_secs() >= self.patience {
            self.secrets.refresh(now).await.unwrap();
            self.read_at = now;
        }
        let cookies = [("access_jwt", access), ("refresh_jwt", refresh)];
        let cookies = cookies.iter().filter(|(_, value)| !value.is_empty());
        let event = Event::recorded("userinfo").cookies(cookies.map(|(name, value)| format!("{name}={value}")));
        let reply = self.service.send(&event, now).await.reply;
        let cookie = |name| reply.cookie(name).map(str::to_owned);
        (reply.status, Tokens { access: cookie("access_jwt"), refresh: cookie("refresh_jwt") })
    }
}

/// Reads the secrets of a function with the default lifetimes.
async fn start(keys: &Keys, tables: &Tables, now: Timestamp) -> (Environment, Secrets) {
    let mut env = tables.environment(&keys.settings(&[("ISSUER", "https://api.example.com")]));
    let secrets = Secrets::read(&mut env, now).await.unwrap();
    (env, secrets)
}

/// The cookies of a response.
struct Tokens {
    access: Option<String>,
    refresh: Option<String>,
}

/// A small generator of pseudo-random numbers, so that each run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// R56, F27: a whole rotation, from the published key to the dropped one. The slow half of the instances reads the key
/// sets as late as possible.
#[tokio::test]
async fn a_rotation_refuses_none_of_10000_requests() {
    fleet("HS256").await;
}

/// R36, R56: the same, while the algorithm of access tokens changes.
#[tokio::test]
async fn a_change_of_the_algorithm_refuses_none_of_10000_requests() {
    fleet("EdDSA").await;
}

async fn fleet(algorithm: &str) {
    let (keys, tables, mut random) = (Keys::new().await, Tables::new().await, Random(15));
    let rotation = keys.rotation(algorithm);
    rotation.handle(NOW).await.unwrap();
    let first = keys.access_keys().active(NOW).id.clone();

    // The rotation is due 10 minutes after the start, or in the first hour for another algorithm.
    let begin = NOW + Duration::from_secs(15 * DAY - 600);
    let mut instances = Vec::new();
    for patience in [0, 0, 0, 0, 899, 899, 899, 899] {
        instances.push(Instance::start(&keys, &tables, patience, begin).await);
    }
    let user = testbed::add_kim(&tables.environment(&[])).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let (env, _) = start(&keys, &tables, begin).await;
        clients.push(testbed::sign_in(&env, &user, true, begin).await);
    }

    let mut next_run = begin + Duration::from_mins(10);
    let (mut now, mut renewals, mut active) = (begin, 0, Vec::new());
    for request in 0..10_000 {
        now = now + Duration::from_secs(random.below(21));
        if next_run <= now {
            rotation.handle(now).await.unwrap();
            next_run = now + Duration::from_hours(1);
        }
        let signing = keys.access_keys().active(now).id.clone();
        if active.last() != Some(&signing) {
            active.push(signing);
        }
        let client = &mut clients[usize::try_from(random.below(40)).unwrap()];
        let at = |random: &mut Random| usize::try_from(random.below(8)).unwrap();
        let renews = random.below(10) == 0;
        let access = if renews { "" } else { client.0.as_str() };
        let (status, tokens) = instances[at(&mut random)].userinfo(access, &client.1, now).await;
        assert_eq!(status, 200, "request {request}, {algorithm}, {} s after the start", now.since(begin).as_secs());
        if let (Some(access), Some(refresh)) = (tokens.access, tokens.refresh) {
            renewals += 1;
            // The browser sends the old refresh token again, and another instance answers.
            let (status, again) = instances[at(&mut random)].userinfo("", &client.1, now).await;
            assert_eq!((status, again.refresh.as_deref()), (200, Some(refresh.as_str())), "request {request}");
            *client = (access, refresh);
        }
    }
    assert!(now.since(begin) > Duration::from_secs(DAY + 3600), "the rotation is over");
    assert!(renewals > 500, "{renewals} renewals");
    assert!(active.len() == 2 && active[0] == first, "{active:?}");
    assert_eq!(keys.access_keys().active(now).algorithm().name(), algorithm);
    assert!(keys.access_keys().by_id(&first).is_none(), "the old key is dropped");
}

/// R57: a key that leaked is dropped. What it has signed is refused after 300 s, by every instance.
#[tokio::test]
async fn tokens_of_a_dropped_key_are_refused_after_300_s() {
    let (keys, tables) = (Keys::new().await, Tables::new().await);
    let rotation = keys.rotation("HS256");
    rotation.handle(NOW).await.unwrap();
    let now = NOW + Duration::from_secs(1000);
    let mut instances = Vec::new();
    for _ in 0..4 {
        instances.push(Instance::start(&keys, &tables, 0, now).await);
    }
    let user = testbed::add_kim(&tables.environment(&[])).await;
    let (env, _) = start(&keys, &tables, now).await;
    let (access, refresh) = testbed::sign_in(&env, &user, true, now).await;

    let stored = rotation.key_sets.read(Purpose::Access).await.unwrap();
    let leaked = stored.set.active(now).id.clone();
    let without = stored.set.without(Purpose::Access, &leaked, now).unwrap();
    assert!(rotation.key_sets.replace(&stored, &without).await.unwrap());
    for instance in &mut instances {
        let (before, _) = instance.userinfo(&access, "", now + Duration::from_secs(299)).await;
        let (after, _) = instance.userinfo(&access, "", now + Duration::from_mins(5)).await;
        assert_eq!((before, after), (200, 401));
    }
    // The session lives on: the refresh token has another key, and the new access token is of the next key.
    let (status, tokens) = instances[0].userinfo("", &refresh, now + Duration::from_mins(5)).await;
    assert_eq!(status, 200);
    for instance in &mut instances {
        let access = tokens.access.as_deref().unwrap();
        assert_eq!(instance.userinfo(access, "", now + Duration::from_secs(301)).await.0, 200);
    }
}
