//! The secrets of a deployed function, from Secrets Manager.
//!
//! Owns when they are read: all of them at the start, and the key sets again while the function runs. A function whose
//! variables hold the secrets themselves, as in the local stack, reads nothing.

use std::cell::LazyCell;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use futures_util::future::try_join_all;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::aws::Aws;
use crate::budget::REQUEST_BUDGET;
use crate::clock::Timestamp;
use crate::config::{Environment, Values};
use crate::error::{Error, Result};
use crate::keys::Purpose;
use crate::telemetry::events;

/// The age at which a key set is read again. A key that an operator drops is refused everywhere after this time (R57).
const MAX_AGE: Duration = Duration::from_mins(5);

/// The age at which a key set may no longer be used, if it cannot be read again (F25).
const MAX_STALE: Duration = Duration::from_mins(15);

/// How long after a failure Secrets Manager is asked again. In between, requests do not wait for it.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a request waits for the key sets, if the old ones may still be used.
const PATIENCE: Duration = Duration::from_millis(800);

/// The variables that may hold the ARN of a secret which is read only once.
const FIXED: [&str; 1] = ["THROTTLE_SECRET"];

/// The purposes whose key sets are read again.
const PURPOSES: [Purpose; 4] = [Purpose::Access, Purpose::Refresh, Purpose::Device, Purpose::Pepper];

/// The secrets of this instance.
pub struct Secrets {
    values: Values,
    sources: Mutex<Vec<Source>>,
}

/// The secret that holds the key set of a purpose.
struct Source {
    client: Client,
    purpose: Purpose,
    arn: String,
    read_at: Timestamp,
    tried_at: Timestamp,
}

impl Secrets {
    /// Reads the secrets whose ARNs the variables of `env` hold, and provides them in `env`. The calls run at the same
    /// time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`] if a secret cannot be read (F26); [`Error::Setting`] without
    /// credentials.
    pub async fn read(env: &mut Environment, now: Timestamp) -> Result<Self> {
        Self::read_with(&Aws::from_env(env)?, env, now).await
    }

    /// Reads the secrets with a client of `aws`. Makes a client only if a variable holds an ARN, because a client
    /// takes a fifth of the instructions of a start.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub(super) async fn read_with(aws: &Aws, env: &mut Environment, now: Timestamp) -> Result<Self> {
        let arns = |name: &'static str| env.arn(name).map(|arn| (name, arn));
        let named: Vec<_> = FIXED.into_iter().chain(PURPOSES.map(Purpose::variable)).filter_map(arns).collect();
        let client = LazyCell::new(|| aws.secrets_manager());
        let secrets = try_join_all(named.iter().map(|(_, arn)| fetch(&client, arn))).await?;
        for ((name, _), secret) in named.iter().zip(secrets) {
            env.provide(name, secret);
        }
        let source = |purpose: Purpose| {
            let (_, arn) = named.iter().find(|(name, _)| *name == purpose.variable())?;
            Some(Source { client: Client::clone(&client), purpose, arn: arn.clone(), read_at: now, tried_at: now })
        };
        let sources = PURPOSES.into_iter().filter_map(source).collect();
        Ok(Self { values: env.values(), sources: Mutex::new(sources) })
    }

    /// Reads the key sets again if they are older than 300 s. Keeps a set if the new one cannot be used (F28).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a set is older than 900 s and cannot be read (F25).
    pub async fn refresh(&self, now: Timestamp) -> Result<()> {
        let mut sources = self.sources.lock().await;
        for source in sources.iter_mut() {
            source.correct_clock(now);
        }
        let due: Vec<_> = sources.iter_mut().filter(|source| source.is_due(now)).collect();
        let read = due.into_iter().map(|source| async move {
            source.tried_at = now;
            let patience = if source.is_stale(now) { REQUEST_BUDGET } else { PATIENCE };
            let outcome = timeout(patience, fetch(&source.client, &source.arn)).await;
            (source, outcome.unwrap_or_else(|elapsed| Err(Error::Unavailable(elapsed.into()))))
        });
        for (source, outcome) in futures_util::future::join_all(read).await {
            match outcome {
                Ok(secret) => {
                    source.read_at = now;
                    self.replace(source.purpose, &secret);
                }
                Err(error) => events::keys_not_read(source.purpose.name(), &error),
            }
        }
        if sources.iter().any(|source| source.is_stale(now)) {
            return Err(Error::Unavailable("the key sets are older than 900 s".into()));
        }
        Ok(())
    }

    fn replace(&self, purpose: Purpose, secret: &SecretString) {
        match self.values.replace(purpose, secret.expose_secret()) {
            Ok(Some(changed)) => events::keys_loaded(&changed),
            Ok(None) => {}
            Err(error) => events::keys_rejected(purpose.name(), &error.to_string()),
        }
    }
}

impl Source {
    fn is_due(&self, now: Timestamp) -> bool {
        let is_old = now.since(self.read_at) >= MAX_AGE;
        let is_pause = self.tried_at > self.read_at && now.since(self.tried_at) < PAUSE;
        // Without a set that may be used, no request can be answered. So the next one tries again.
        is_old && (!is_pause || self.is_stale(now))
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.read_at) >= MAX_STALE
    }

    /// Makes a set due if the clock was set back. How old the set is, is then unknown.
    fn correct_clock(&mut self, now: Timestamp) {
        if now < self.read_at {
            self.read_at = Timestamp::from_secs(now.as_secs().saturating_sub(MAX_AGE.as_secs()));
            self.tried_at = self.read_at;
        }
    }
}

/// Reads the current version of a secret.
async fn fetch(client: &Client, arn: &str) -> Result<SecretString> {
    let output = client.get_secret_value().secret_id(arn).send().await?;
    let text = output.secret_string.ok_or_else(|| Error::Misconfigured("the secret has no text".into()))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use testbed::{Fault, Log, SecretsManager};

    use super::*;
    use crate::keys::Keys;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const OLD: &str = "old-access-secret-0123456789-012345";
    const NEW: &str = "new-access-secret-9876543210-987654";

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    /// A function with one key set in Secrets Manager.
    struct World {
        manager: SecretsManager,
        secrets: Secrets,
        keys: Keys,
    }

    async fn started(manager: &SecretsManager) -> Result<(Secrets, Environment)> {
        let arn = manager.put("access", OLD);
        let throttle = manager.put("throttle", "throttle-secret-of-the-stack-0123456789");
        let endpoint = manager.serve().await;
        let changes = [
            ("ACCESS_SECRET", arn.as_str()),
            ("THROTTLE_SECRET", &throttle),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &endpoint),
        ];
        let mut env = Environment::new(testbed::settings(&changes));
        let secrets = Secrets::read(&mut env, NOW).await?;
        Ok((secrets, env))
    }

    impl World {
        async fn new() -> Self {
            let manager = SecretsManager::default();
            let (secrets, env) = started(&manager).await.unwrap();
            let keys = env.keys(Purpose::Access).unwrap();
            manager.calls();
            Self { manager, secrets, keys }
        }

        fn knows(&self, secret: &str) -> bool {
            self.keys.set().keys().iter().any(|key| key.expose().expose_secret() == secret)
        }
    }

    #[tokio::test]
    async fn a_function_reads_its_secrets_at_the_start() {
        let manager = SecretsManager::default();
        let (_, env) = started(&manager).await.unwrap();
        assert_eq!(manager.calls(), ["GetSecretValue"; 2]);
        assert_eq!(env.keys(Purpose::Access).unwrap().set().active(NOW).expose().expose_secret(), OLD);
        assert!(env.secret("THROTTLE_SECRET").unwrap().expose_secret().starts_with("throttle-secret-of-the-stack"));
        assert!(env.keys(Purpose::Refresh).is_ok(), "a variable that holds the secret itself");
    }

    #[tokio::test]
    async fn without_arns_nothing_is_read() {
        let mut env =
            Environment::new(testbed::settings(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")]));
        let secrets = Secrets::read(&mut env, NOW).await.unwrap();
        secrets.refresh(after(1_000_000)).await.unwrap();
        assert!(env.keys(Purpose::Access).is_ok());
    }

    /// R57: a key that was dropped is unknown 300 s later.
    #[tokio::test]
    async fn a_key_set_is_read_again_after_300_s() {
        let world = World::new().await;
        world.manager.put("access", &testbed::key_set("ACCESS_SECRET", &[NEW], &[]));
        world.secrets.refresh(after(299)).await.unwrap();
        assert!(world.knows(OLD) && world.manager.calls().is_empty());
        world.secrets.refresh(after(300)).await.unwrap();
        assert!(world.knows(NEW) && !world.knows(OLD));
        assert_eq!(world.manager.calls(), ["GetSecretValue"], "the key of the attempts table is not read again");
        world.secrets.refresh(after(301)).await.unwrap();
        assert!(world.manager.calls().is_empty());
        world.secrets.refresh(Timestamp::from_secs(NOW.as_secs() - 1000)).await.unwrap();
        assert_eq!(world.manager.calls(), ["GetSecretValue"], "the clock was set back");
    }

    /// F25: the keys are used for 900 s, then the answer is 503. Requests wait for Secrets Manager once in 30 s.
    #[tokio::test]
    async fn an_outage_of_secrets_manager_is_survived_for_900_s() {
        let refusals = [Fault::Refuse(500, "InternalServiceError"), Fault::Refuse(400, "ThrottlingException")];
        for fault in [refusals[0], refusals[1], Fault::Refuse(400, "AccessDeniedException"), Fault::Conflict] {
            let (world, log) = (World::new().await, Log::start());
            world.manager.fail(&[fault; 99]);
            for secs in [300, 320, 329, 899] {
                world.secrets.refresh(after(secs)).await.unwrap();
                assert!(world.knows(OLD), "{fault:?} after {secs} s");
            }
            assert_eq!(log.events("keys_not_read").len(), 2, "{fault:?}: at 300 s and at 899 s");
            let stale = world.secrets.refresh(after(900)).await;
            assert!(matches!(stale, Err(Error::Unavailable(_))), "{fault:?}: {stale:?}");
            world.manager.fail(&[]);
            world.secrets.refresh(after(901)).await.unwrap();
            assert!(world.knows(OLD), "{fault:?}");
        }
    }

    /// F25: Secrets Manager that does not answer costs one request 0.8 s.
    #[tokio::test]
    async fn a_request_does_not_wait_long_for_secrets_manager() {
        let world = World::new().await;
        world.manager.fail(&[Fault::Stall; 99]);
        let started = Instant::now();
        for secs in 300..330 {
            world.secrets.refresh(after(secs)).await.unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }

    /// F26: no secret, no service.
    #[tokio::test]
    async fn a_function_without_its_secrets_does_not_start() {
        let faults = [
            (Fault::Refuse(500, "InternalServiceError"), true),
            (Fault::Refuse(400, "ThrottlingException"), true),
            (Fault::Refuse(400, "AccessDeniedException"), false),
            (Fault::Refuse(400, "ResourceNotFoundException"), false),
            (Fault::Stall, true),
        ];
        for (fault, is_outage) in faults {
            let (manager, begun) = (SecretsManager::default(), Instant::now());
            manager.fail(&[fault; 99]);
            let refused = started(&manager).await.map(drop).unwrap_err();
            assert_eq!(matches!(refused, Error::Unavailable(_)), is_outage, "{fault:?}: {refused:?}");
            assert!(begun.elapsed() < Duration::from_secs(4), "{fault:?}: {:?}", begun.elapsed());
        }
    }

    /// F28.
    #[tokio::test]
    async fn a_set_that_cannot_be_used_leaves_the_last_good_one_and_an_event() {
        let same = testbed::key_set("ACCESS_SECRET", &["throttle-secret-of-the-stack-0123456789"], &[]);
        for bad in ["", "{", "short", "{}", r#"{"keys":[]}"#, &same, &"0".repeat(40)] {
            let (manager, log) = (SecretsManager::default(), Log::start());
            let (secrets, env) = started(&manager).await.unwrap();
            let (keys, _) = (env.keys(Purpose::Access).unwrap(), env.secret("THROTTLE_SECRET").unwrap());
            manager.put("access", bad);
            for secs in [300, 600, 900, 1200, 100_000] {
                secrets.refresh(after(secs)).await.unwrap();
                assert_eq!(keys.set().active(NOW).expose().expose_secret(), OLD, "{bad}");
            }
            let rejected = log.events("keys_rejected");
            assert_eq!(rejected.len(), 5, "{bad}");
            assert!(bad.len() < 3 || !format!("{rejected:?}").contains(bad), "{rejected:?}");
            manager.put("access", NEW);
            secrets.refresh(after(200_000)).await.unwrap();
            assert_eq!(keys.set().active(NOW).expose().expose_secret(), NEW);
        }
    }

    /// R99: the keys are logged when they change, and not at each read.
    #[tokio::test]
    async fn a_changed_set_is_logged_without_its_secrets() {
        let (world, log) = (World::new().await, Log::start());
        world.secrets.refresh(after(300)).await.unwrap();
        assert!(log.events("key_loaded").is_empty());
        world.manager.put("access", &testbed::key_set("ACCESS_SECRET", &[OLD, NEW], &[]));
        world.secrets.refresh(after(600)).await.unwrap();
        let loaded = log.events("key_loaded");
        assert_eq!(loaded.len(), 2);
        assert!(!format!("{loaded:?}").contains("secret-"), "{loaded:?}");
    }

    /// One refresh at a time: the others wait for it.
    #[tokio::test]
    async fn concurrent_requests_read_a_set_once() {
        let world = World::new().await;
        let refreshes = (0..50).map(|_| world.secrets.refresh(after(300)));
        try_join_all(refreshes).await.unwrap();
        assert_eq!(world.manager.calls(), ["GetSecretValue"]);
    }
}
