//! Whether the time of a refusal tells who exists (R18, R19).
//!
//! Owns who is refused and for what, how the requests are mixed, and the verdict. Each goes as an event through the
//! real handler to an embedded DynamoDB. An account is tried five times and an address is hardly used twice, so that no
//! throttle slows one down, and whoever is named, as much is read and written. Knows nothing of where the outcome is
//! shown.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dev::people::KIM;
use login::Login;
use serde_json::json;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::id::UserId;
use shared::passwords::{Password, PasswordHash};
use shared::store::Budget;
use shared::users::Users;
use shared::{http, store};
use testbed::{Event, Tables};

use crate::statistics::{MannWhitney, Sample, holm};

/// The bounds of R18.
const FURTHEST_MEDIANS: f64 = 0.05;
const LEAST_PROBABLE: f64 = 0.01;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WARM_UP: usize = 20;

/// So many wrong passwords in a row are free (R20).
const TRIES: usize = 5;

/// Two passwords of the same length.
const RIGHT: &str = "correct horse battery staple";
const WRONG: &str = "correct horse battery basket";

/// Why somebody is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is nobody of that name.
    Unknown,
    /// The password is not that of the hash, which is ours.
    WrongPassword,
    /// The password is right, and the user shut out.
    Disabled,
    /// The stored hash cannot be used.
    UnusableHash,
    /// The password is not that of the hash, which is bcrypt's.
    Imported,
}

impl Reason {
    /// What it is called.
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

/// What is compared, and under which settings.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Who is refused: the unknown first, with whom all others are compared.
    pub reasons: Vec<Reason>,
    /// How many refusals of each kind.
    pub samples: usize,
    /// The cost of the imported hashes: bcrypt's, the logarithm of its rounds.
    pub imported_cost: u32,
    /// `PASSWORD_CHECK_MS`.
    pub check_ms: u32,
    /// Settings that only the unknown meet: none, unless the test is to fail.
    pub only_for_unknown: &'static [(&'static str, &'static str)],
}

impl Experiment {
    /// Measures. In every round each kind comes once, in random order, so that whatever else the machine does befalls
    /// all alike.
    ///
    /// # Errors
    /// Where an account cannot be opened, or a request is not refused as it should be.
    pub async fn run(&self, mut progress: impl FnMut(usize)) -> Result<Vec<(Reason, Sample)>> {
        let tables = Tables::new().await;
        let check_ms = self.check_ms.to_string();
        let settings = [("PASSWORD_CHECK_MS", check_ms.as_str())];
        let config = Config::from_lookup(tables.settings(&settings))?;
        let other = Config::from_lookup(tables.settings(&[self.only_for_unknown, &settings].concat()))?;
        let login = |config| Login::new(store::connect(config), config);
        let logins = [login(&config)?, login(&other)?];
        let mut services =
            logins.each_ref().map(|login| http::service(&config.allowed_origins, |request| login.handle(request, NOW)));
        let is_apart = |reason| reason == Reason::Unknown && !self.only_for_unknown.is_empty();

        let rounds = WARM_UP + self.samples;
        let accounts = self.open_accounts(&config, &logins[0], rounds.div_ceil(TRIES)).await?;
        let mut order: Vec<_> = (0..self.reasons.len()).collect();
        let mut times = vec![Vec::with_capacity(self.samples); order.len()];
        for round in 0..rounds {
            fastrand::shuffle(&mut order);
            for &kind in &order {
                let reason = self.reasons[kind];
                let event = attempt(&accounts[kind][round / TRIES], reason);
                let service = &mut services[usize::from(is_apart(reason))];
                let started = Instant::now();
                let reply = event.send(service).await;
                let took = started.elapsed();
                ensure!(reply.status == 401, "{} was answered with {}", reason.name(), reply.status);
                if round >= WARM_UP {
                    times[kind].push(took);
                }
            }
            progress((round + 1) * 100 / rounds);
        }
        Ok(self.reasons.iter().copied().zip(times.into_iter().map(Sample::new)).collect())
    }

    /// The names of so many accounts of each kind. They all look the same; those of the unknown are only made up.
    async fn open_accounts(&self, config: &Config, login: &Login, count: usize) -> Result<Vec<Vec<String>>> {
        let users = Users::new(store::connect(config), &config.users_table);
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

    /// The hash of an account; nothing where there is no account.
    fn stored_hash(&self, reason: Reason, login: &Login) -> Result<Option<PasswordHash>> {
        let text = match reason {
            Reason::Unknown => return Ok(None),
            Reason::WrongPassword | Reason::Disabled => {
                return Ok(Some(login.authentication.hasher.hash(&Password::new(RIGHT)?)?));
            }
            // It wants more memory than there is.
            Reason::UnusableHash => "$argon2id$v=19$m=1048577,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g".into(),
            Reason::Imported => bcrypt::hash(RIGHT, self.imported_cost)?,
        };
        Ok(Some(serde_json::from_value(text.into())?))
    }
}

/// How much one kind of refusal differs from those of unknown names.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// Of which kind.
    pub reason: Reason,
    /// Its median, over that of the unknown.
    pub ratio: f64,
    /// What the test says of the two.
    pub test: MannWhitney,
    /// Its p after Holm's correction over all kinds.
    pub corrected_p: f64,
}

impl Comparison {
    /// All kinds against the first.
    #[must_use]
    pub fn all(measured: &[(Reason, Sample)]) -> Vec<Self> {
        let Some(((_, unknown), others)) = measured.split_first() else { return Vec::new() };
        let tests: Vec<_> = others.iter().map(|(_, sample)| MannWhitney::test(unknown, sample)).collect();
        let corrected = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>());
        let compare = |(((reason, sample), test), corrected_p): ((&(Reason, Sample), &MannWhitney), f64)| Self {
            reason: *reason,
            ratio: sample.median().div_duration_f64(unknown.median()),
            test: *test,
            corrected_p,
        };
        others.iter().zip(&tests).zip(corrected).map(compare).collect()
    }

    /// Whether nobody could tell the two apart (R18).
    #[must_use]
    pub fn passes(&self) -> bool {
        (self.ratio - 1.0).abs() <= FURTHEST_MEDIANS && self.corrected_p > LEAST_PROBABLE
    }
}

/// How long it takes to compare a password with an imported hash of this cost: the slowest of three.
///
/// # Errors
/// Where there is no such cost.
pub fn imported_cost(cost: u32) -> Result<Duration> {
    let hash = bcrypt::hash(RIGHT, cost)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let started = Instant::now();
        bcrypt::verify(WRONG, &hash)?;
        slowest = slowest.max(started.elapsed());
    }
    Ok(slowest)
}

fn attempt(name: &str, reason: Reason) -> Event {
    let password = if reason == Reason::Disabled { RIGHT } else { WRONG };
    let body = json!({ "loginInfo": { "userId": name, "password": password }, "checkedKeepLogin": true });
    let [a, b, c] = std::array::from_fn(|_| fastrand::u8(100..200));
    let source_ip = json!(format!("10.{a}.{b}.{c}"));
    Event::recorded("login").body(body.to_string()).with("/requestContext/http/sourceIp", source_ip)
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
        Comparison::all(&measured).iter().map(Comparison::passes).collect()
    }

    #[test]
    fn the_same_times_pass() {
        assert_eq!(verdicts([sample(10_000..10_500), sample(10_002..10_502)]), [true, true]);
    }

    #[test]
    fn medians_that_are_close_and_still_told_apart_fail() {
        assert_eq!(verdicts([sample(10_040..10_540), sample(9_960..10_460)]), [false, false]);
    }

    /// What few measurements cannot prove is seen all the same.
    #[test]
    fn medians_that_are_far_apart_fail_however_few_there_are() {
        assert_eq!(
            verdicts([sample([10_900, 10_900]), sample([9_500, 9_500]), sample([10_250])]),
            [false, false, true]
        );
    }
}
