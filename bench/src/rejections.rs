//! Tests whether the response time of a rejected login reveals which users exist (R18, R19).
//!
//! Owns the reasons for rejection, the order of the requests and the verdict. Each request is a Lambda event that goes
//! through the real handler to an embedded DynamoDB. Each account gets five attempts and each source address is random,
//! so that no attempt is throttled and each one makes the same reads and writes. In the experiment with throttled
//! attempts, all of them come from one address that has reached its limit. Leaves the output to `bin/timing.rs`.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dev::people::KIM;
use login::Login;
use serde_json::json;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::id::UserId;
use shared::password::{Password, PasswordHash};
use shared::store::{self, Users};
use testbed::{Event, Tables};

use crate::statistics::{MannWhitney, Sample, holm};

/// The largest relative difference of two medians that passes (R18).
const MAX_MEDIAN_DIFFERENCE: f64 = 0.05;
/// A corrected p-value must be above this level to pass (R18).
const SIGNIFICANCE_LEVEL: f64 = 0.01;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WARM_UP: usize = 20;

/// The number of consecutive failed attempts before the exponential backoff begins (R20).
const ATTEMPTS_PER_ACCOUNT: usize = 5;

/// The right and the wrong password have the same length.
const RIGHT: &str = "correct horse battery staple";
const WRONG: &str = "correct horse battery basket";

/// The reason why a login is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No user has the name.
    Unknown,
    /// The password does not match the stored hash, which is ours.
    WrongPassword,
    /// The password matches, but the user is disabled.
    Disabled,
    /// The stored hash costs too much to be computed.
    UnusableHash,
    /// The password does not match the stored hash, which is an imported bcrypt hash.
    Imported,
}

impl Reason {
    /// Returns the name that the output shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::WrongPassword => "wrong password",
            Self::Disabled => "disabled",
            Self::UnusableHash => "unusable hash",
            Self::Imported => "imported",
        }
    }
}

/// The reasons to compare and the settings of the two login functions.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The reasons for rejection. All others are compared with the first one, [`Reason::Unknown`].
    pub reasons: Vec<Reason>,
    /// The number of rejected logins for each reason.
    pub samples: usize,
    /// The bcrypt cost of the imported hashes: the binary logarithm of the number of rounds.
    pub imported_cost: u32,
    /// The value of `PASSWORD_CHECK_MS`.
    pub check_ms: u32,
    /// Whether the source address of all attempts has reached its limit.
    pub is_throttled: bool,
    /// Settings that apply to unknown names only. They are empty, unless the experiment should fail.
    pub settings_for_unknown: &'static [(&'static str, &'static str)],
}

impl Experiment {
    /// Runs the experiment and returns the response times for each reason.
    ///
    /// Each round measures each reason once, in random order. Background load on the machine therefore affects all
    /// reasons alike.
    ///
    /// # Errors
    /// If an account cannot be created, or if a response is not 401, or not 429 if attempts are throttled.
    pub async fn run(&self, mut progress: impl FnMut(usize)) -> Result<Vec<(Reason, Sample)>> {
        let tables = Tables::new().await;
        let check_ms = self.check_ms.to_string();
        let hourly = if self.is_throttled { "1" } else { "100" };
        let settings = [("PASSWORD_CHECK_MS", check_ms.as_str()), ("SOURCE_FAILURES_PER_HOUR", hourly)];
        let env = Environment::new(tables.settings(&settings));
        let settings_for_unknown = [self.settings_for_unknown, &settings].concat();
        let env_for_unknown = Environment::new(tables.settings(&settings_for_unknown));
        let login = |env| Login::from_env(store::connect(env)?, env);
        let logins = [login(&env)?, login(&env_for_unknown)?];
        let origins = Site::from_env(&env)?;
        let mut services =
            logins.each_ref().map(|login| http::service(origins.clone(), |request| login.handle(request, NOW)));
        let has_other_settings = |reason| reason == Reason::Unknown && !self.settings_for_unknown.is_empty();

        let rounds = WARM_UP + self.samples;
        let accounts = self.create_accounts(&env, &logins[0], rounds.div_ceil(ATTEMPTS_PER_ACCOUNT)).await?;
        let mut order: Vec<_> = (0..self.reasons.len()).collect();
        let mut times = vec![Vec::with_capacity(self.samples); order.len()];
        if self.is_throttled {
            self.attempt("nobody", Reason::Unknown).send(&mut services[0]).await;
        }
        let expected = if self.is_throttled { 429 } else { 401 };
        for round in 0..rounds {
            fastrand::shuffle(&mut order);
            for &index in &order {
                let reason = self.reasons[index];
                let event = self.attempt(&accounts[index][round / ATTEMPTS_PER_ACCOUNT], reason);
                let service = &mut services[usize::from(has_other_settings(reason))];
                let started = Instant::now();
                let reply = event.send(service).await;
                let took = started.elapsed();
                let (name, status) = (reason.name(), reply.status);
                ensure!(
                    status == expected,
                    "a login was answered with {status} instead of {expected} (reason: {name})"
                );
                if round >= WARM_UP {
                    times[index].push(took);
                }
            }
            progress((round + 1) * 100 / rounds);
        }
        Ok(self.reasons.iter().copied().zip(times.into_iter().map(Sample::new)).collect())
    }

    /// Creates `count` accounts for each reason and returns their names, which are random and of one length.
    ///
    /// For [`Reason::Unknown`] it returns names without creating accounts.
    async fn create_accounts(&self, env: &Environment, login: &Login, count: usize) -> Result<Vec<Vec<String>>> {
        let users = Users::from_env(store::connect(env)?, env)?;
        let mut accounts = Vec::new();
        for reason in &self.reasons {
            let hash = self.stored_hash(*reason, login)?;
            let names: Vec<_> = (0..count).map(|_| format!("{:016x}", fastrand::u64(..))).collect();
            for name in hash.iter().flat_map(|_| &names) {
                let mut user = KIM.user()?;
                user.profile.id = UserId::parse(name)?;
                user.profile.user_id.clone_from(name);
                user.profile.email = format!("{name}@example.com");
                user.disabled = *reason == Reason::Disabled;
                if let Some(hash) = &hash {
                    users.create(&user, hash.clone(), &Budget::new(None)).await?;
                }
            }
            accounts.push(names);
        }
        Ok(accounts)
    }

    fn attempt(&self, name: &str, reason: Reason) -> Event {
        let password = if reason == Reason::Disabled { RIGHT } else { WRONG };
        let body = json!({ "loginInfo": { "userId": name, "password": password }, "checkedKeepLogin": true });
        let [a, b, c] = if self.is_throttled { [0; 3] } else { std::array::from_fn(|_| fastrand::u8(100..200)) };
        let source_ip = json!(format!("10.{a}.{b}.{c}"));
        Event::recorded("login").body(body.to_string()).with("/requestContext/http/sourceIp", source_ip)
    }

    /// Returns the hash to store for an account, or `None` if no account is created for this reason.
    fn stored_hash(&self, reason: Reason, login: &Login) -> Result<Option<PasswordHash>> {
        let text = match reason {
            Reason::Unknown => return Ok(None),
            Reason::WrongPassword | Reason::Disabled => {
                return Ok(Some(login.authenticator.hasher.hash(&Password::new(RIGHT)?, Timestamp::now())?));
            }
            // The hash asks for one KiB more than the limit of 1 GiB.
            Reason::UnusableHash => "$argon2id$v=19$m=1048577,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g".into(),
            Reason::Imported => bcrypt::hash(RIGHT, self.imported_cost)?,
        };
        Ok(Some(serde_json::from_value(text.into())?))
    }
}

/// The comparison of one reason with [`Reason::Unknown`].
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The reason that is compared.
    pub reason: Reason,
    /// The median for this reason, divided by the median for [`Reason::Unknown`].
    pub ratio: f64,
    /// The Mann-Whitney U test of the two samples.
    pub test: MannWhitney,
    /// The p-value of the test, with Holm's correction for all comparisons of the experiment.
    pub corrected_p: f64,
}

impl Comparison {
    /// Compares each reason with the first one.
    ///
    /// # Errors
    /// If a sample is empty.
    pub fn all(measured: &[(Reason, Sample)]) -> Result<Vec<Self>> {
        let Some(((_, unknown), others)) = measured.split_first() else { return Ok(Vec::new()) };
        let tests = others.iter().map(|(_, sample)| MannWhitney::test(unknown, sample));
        let tests = tests.collect::<Result<Vec<_>, _>>()?;
        let corrected = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>());
        let compare = |(((reason, sample), test), corrected_p): ((&(Reason, Sample), MannWhitney), f64)| Self {
            reason: *reason,
            ratio: sample.median().div_duration_f64(unknown.median()),
            test,
            corrected_p,
        };
        Ok(others.iter().zip(tests).zip(corrected).map(compare).collect())
    }

    /// Returns `true` if the response time does not distinguish the two reasons (R18).
    #[must_use]
    pub fn passes(&self) -> bool {
        (self.ratio - 1.0).abs() <= MAX_MEDIAN_DIFFERENCE && self.corrected_p > SIGNIFICANCE_LEVEL
    }
}

/// Returns the time that bcrypt takes at this cost to verify a password: the slowest of three measurements.
///
/// # Errors
/// If bcrypt does not support the cost.
pub fn bcrypt_time(cost: u32) -> Result<Duration> {
    let hash = bcrypt::hash(RIGHT, cost)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let started = Instant::now();
        bcrypt::verify(WRONG, &hash)?;
        slowest = slowest.max(started.elapsed());
    }
    Ok(slowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(nanos: impl IntoIterator<Item = u64>) -> Sample {
        Sample::new(nanos.into_iter().map(Duration::from_nanos).collect())
    }

    fn verdicts(others: impl IntoIterator<Item = Sample>) -> Vec<bool> {
        let unknown = (Reason::Unknown, sample(10_000..10_500));
        let others = others.into_iter().map(|sample| (Reason::Imported, sample));
        let measured: Vec<_> = std::iter::once(unknown).chain(others).collect();
        Comparison::all(&measured).unwrap().iter().map(Comparison::passes).collect()
    }

    #[test]
    fn equal_distributions_pass() {
        assert_eq!(verdicts([sample(10_000..10_500), sample(10_002..10_502)]), [true, true]);
    }

    #[test]
    fn significant_difference_with_close_medians_fails() {
        assert_eq!(verdicts([sample(10_040..10_540), sample(9_960..10_460)]), [false, false]);
    }

    /// A sample of one or two times is too small for a significant test result.
    #[test]
    fn distant_medians_fail_even_in_small_samples() {
        assert_eq!(
            verdicts([sample([10_900, 10_900]), sample([9_500, 9_500]), sample([10_250])]),
            [false, false, true]
        );
    }
}
