use std::time::Duration;

use shared::keys::KeySet;
use testbed::{Fault, Log, SecretsManager};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: u64 = 86_400;
/// What `GenerateSecretString` makes.
const GENERATED: [&str; 3] = [
    "9naHVck6pbd4ZRj2SxphvDTwrzqwo72n3wZuot7UGAoKD1AFfDKZxCKu7SPCzX3ZeF981bmiIlN8YS2UbsHFj42g5hzdeDU1",
    "6Jsz7GolI8Gwfpttk0Ouy5Ev3CYeW61YrEjhRFyya1q79VfsecC5d8qk0FKE3FcGdE1fK9DoXWLCSUqRfNadvWP1yBwdN7Tt",
    "MCtJ0bZB535ya5Q6wNy6HajqpFGvu6pRLuFuaMwSov7d2lP3GU8g1UKzv352ivguvDVNJNEK6hz7YLagY2jTPD1kPmLIJNWu",
];

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

/// The secrets of a stack, as `CloudFormation` makes them.
struct World {
    manager: SecretsManager,
    arns: [String; 3],
    rotation: KeyRotation,
}

impl World {
    async fn new() -> Self {
        let manager = SecretsManager::default();
        let put =
            |(purpose, text): (Purpose, &str)| manager.put(purpose.name(), &format!(r#"{{"generated":"{text}"}}"#));
        let [access, refresh, device] = PURPOSES;
        let arns = [(access, GENERATED[0]), (refresh, GENERATED[1]), (device, GENERATED[2])].map(put);
        let endpoint = manager.serve().await;
        let settings = [
            ("ACCESS_SECRET", arns[0].as_str()),
            ("REFRESH_SECRET", &arns[1]),
            ("DEVICE_SECRET", &arns[2]),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &endpoint),
        ];
        let rotation = KeyRotation::from_env(&testbed::environment(&settings)).unwrap();
        Self { manager, arns, rotation }
    }

    fn sets(&self) -> [KeySet; 3] {
        let [access, refresh, device] = self.arns.each_ref().map(|arn| self.manager.current(arn));
        [(Purpose::Access, access), (Purpose::Refresh, refresh), (Purpose::Device, device)]
            .map(|(purpose, text)| KeySet::parse(purpose, &text).unwrap())
    }

    fn active(&self, now: Timestamp) -> [String; 3] {
        self.sets().map(|set| set.active(now).id.clone())
    }
}

/// R56.
#[tokio::test]
async fn the_keys_of_a_new_stack_are_rotated_after_90_days_and_run_again_without_effect() {
    let world = World::new().await;
    let first = world.active(NOW);
    world.rotation.handle(NOW).await.unwrap();
    assert_eq!(world.active(NOW), first);
    world.manager.calls();
    world.rotation.handle(after(3600)).await.unwrap();
    assert_eq!(world.manager.calls(), ["GetSecretValue"; 3], "nothing is due");

    let next = world.sets().map(|set| set.keys().iter().find(|key| key.sign_from.is_none()).unwrap().id.clone());
    let log = Log::start();
    world.rotation.handle(after(90 * DAY)).await.unwrap();
    assert_eq!(world.active(after(90 * DAY)), next, "the published keys sign");
    assert_eq!(log.events("keys_rotated").len(), 3);
    for (set, first) in world.sets().iter().zip(&first) {
        assert!(set.by_id(first).is_some(), "the old key verifies");
        assert!(set.keys().iter().any(|key| key.sign_from.is_none()), "a next key is always published");
    }
    // A day, 30 days and 180 days, with 900 s and a minute.
    for (index, days) in [1, 30, 180].into_iter().enumerate() {
        let retired = after((90 + days) * DAY + 960);
        world.rotation.handle(Timestamp::from_secs(retired.as_secs() - 1)).await.unwrap();
        assert!(world.sets()[index].by_id(&first[index]).is_some(), "{index}");
        world.rotation.handle(retired).await.unwrap();
        assert!(world.sets()[index].by_id(&first[index]).is_none(), "{index}");
    }
}

/// The rotation is killed, or a call fails, at each of its steps. The next run finishes the work.
#[tokio::test]
async fn a_run_that_is_cut_off_at_any_call_is_finished_by_the_next_run() {
    for fault in
        [Fault::LoseReply, Fault::Refuse(400, "AccessDeniedException"), Fault::Refuse(500, "InternalServiceError")]
    {
        for call in 0..9 {
            let world = World::new().await;
            let promoted = after(90 * DAY);
            world.rotation.handle(NOW).await.unwrap();
            let next =
                world.sets().map(|set| set.keys().iter().find(|key| key.sign_from.is_none()).unwrap().id.clone());
            // A lost reply is repeated by the SDK. So each fault comes as often as the SDK tries.
            let faults: Vec<_> = std::iter::repeat_n(Fault::Pass, call).chain([fault; 3]).collect();
            world.manager.fail(&faults);
            world.rotation.handle(promoted).await.ok();
            world.manager.fail(&[]);
            for set in world.sets() {
                assert!(set.keys().len() <= 3, "{fault:?} at call {call}: no key is added twice");
            }
            world.rotation.handle(after(90 * DAY + 3600)).await.unwrap();
            assert_eq!(world.active(after(90 * DAY + 3600)), next, "{fault:?} at call {call}");
        }
    }
}

/// Two runs at once, and a run beside a change of an operator.
#[tokio::test]
async fn of_two_runs_at_once_one_changes_each_set() {
    let world = World::new().await;
    world.rotation.handle(NOW).await.unwrap();
    let promoted = after(90 * DAY);
    let (one, other) = tokio::join!(world.rotation.handle(promoted), world.rotation.handle(promoted));
    one.unwrap();
    other.unwrap();
    assert!(world.sets().iter().all(|set| set.keys().len() == 3), "{:?}", world.sets());

    let stored = world.rotation.key_sets.read(Purpose::Access).await.unwrap();
    let ours = stored.set.with_next(Purpose::Access, shared::keys::Algorithm::Hs256, promoted).unwrap();
    let theirs = stored.set.with_next(Purpose::Access, shared::keys::Algorithm::Hs256, promoted).unwrap();
    assert!(world.rotation.key_sets.replace(&stored, &theirs).await.unwrap());
    assert!(!world.rotation.key_sets.replace(&stored, &ours).await.unwrap(), "the set is not the one that was read");
    let current = &world.sets()[0];
    assert_eq!(current.keys().len(), 4);
    assert!(theirs.keys().iter().all(|key| current.by_id(&key.id).is_some()));
}

/// F28: a set that an operator broke is not touched, and the others are rotated.
#[tokio::test]
async fn a_set_that_cannot_be_read_is_left_alone_with_an_event() {
    let world = World::new().await;
    world.manager.put("refresh", "not a key set");
    let log = Log::start();
    assert!(world.rotation.handle(NOW).await.is_err());
    assert_eq!(world.manager.current(&world.arns[1]), "not a key set");
    let failed = log.events("keys_not_rotated");
    assert!(failed.len() == 1 && failed[0]["purpose"] == "refresh", "{failed:?}");
    assert!(world.manager.current(&world.arns[2]).starts_with(r#"{"keys":"#), "the device keys were rotated");
}

#[test]
fn a_secret_in_place_of_an_arn_and_a_wrong_interval_stop_the_start() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf";
    let arns = [("ACCESS_SECRET", arn), ("REFRESH_SECRET", arn), ("DEVICE_SECRET", arn)];
    let start = |changes: &[(&str, &str)]| KeyRotation::from_env(&testbed::environment(&[changes, &arns].concat()));
    assert!(start(&[]).is_ok());
    for (name, value) in [
        ("ACCESS_SECRET", "access-secret-for-tests-0123456789"),
        ("DEVICE_SECRET", ""),
        ("KEY_ROTATION_DAYS", "14"),
        ("KEY_ROTATION_DAYS", "366"),
        ("ACCESS_ALGORITHM", "RS256"),
        ("ACCESS_ALGORITHM", "none"),
    ] {
        let refused = start(&[(name, value)]).map(drop).unwrap_err();
        assert!(matches!(refused, shared::error::Error::Setting { name: named, .. } if named == name), "{name}");
    }
}

/// A verifier finds the keys at the address in `iss`.
#[test]
fn eddsa_needs_an_issuer_that_is_an_https_address() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf";
    let arns = [("ACCESS_SECRET", arn), ("REFRESH_SECRET", arn), ("DEVICE_SECRET", arn)];
    let start = |algorithm: &str, issuer: &str| {
        let settings = [("ACCESS_ALGORITHM", algorithm), ("ISSUER", issuer)];
        KeyRotation::from_env(&testbed::environment(&[&settings[..], &arns].concat()))
    };
    for issuer in ["https://auth.example.com", "https://auth.example.com:8443", "https://localhost:4000"] {
        assert!(start("EdDSA", issuer).is_ok(), "{issuer}");
    }
    for issuer in [
        "",
        "latchkey",
        "auth.example.com",
        "http://auth.example.com",
        "http://localhost",
        "https://",
        "https://auth.example.com/",
        "https://auth.example.com/path",
        "https://auth.example.com?query",
        "https://auth.example.com#fragment",
        "https://user@auth.example.com",
        "https://Auth.example.com",
        " https://auth.example.com",
    ] {
        let refused = start("EdDSA", issuer).map(drop).unwrap_err();
        assert!(matches!(refused, shared::error::Error::Setting { name: "ISSUER", .. }), "{issuer}: {refused:?}");
        assert!(start("HS256", issuer).is_ok(), "{issuer}");
    }
}
