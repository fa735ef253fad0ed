//! Who is asking, by a name and a password.
//!
//! Owns the order in which that is found out, and that it is the same order, with the same reads, the same writes and the
//! same hash, whoever is named (R17, R18): may this be tried at all, what is stored, count the try, hash, compare.
//! Opens no session and knows no token.

use std::time::Instant;

use crate::attempts::{Attempt, Attempts, Reservation, Way};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::passwords::{Hasher, Password, Verdict};
use crate::store::{Budget, Client};
use crate::users::{Account, Credentials, User, Users};

/// Everything that it takes to say whether a password is right.
pub struct Authentication {
    /// Who there is.
    pub users: Users,
    /// How often it was tried; nothing where that is switched off.
    pub attempts: Option<Attempts>,
    /// Compares.
    pub hasher: Hasher,
}

/// What there is for an account, as far as there is anything.
type Stored = (Option<Credentials>, Option<User>);

/// Somebody whose password was right.
pub struct Proven {
    /// Who.
    pub user: User,
    /// What the password was compared with.
    pub credentials: Credentials,
    is_outdated: bool,
}

impl Authentication {
    /// The tables, rules and cost of this configuration.
    ///
    /// # Errors
    /// As [`Attempts::new`] and [`Hasher::new`].
    pub fn new(client: Client, config: &Config) -> Result<Self> {
        Ok(Self {
            users: Users::new(client.clone(), &config.users_table),
            attempts: Attempts::new(client, config)?,
            hasher: Hasher::new(config)?,
        })
    }

    /// The user at whose account this is tried, if this is the password. An outage before the password is looked at counts nothing (F02).
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] whatever is wrong with either; [`Error::TooManyAttempts`] where it was tried too often;
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn prove(
        &self,
        attempt: Attempt<'_>,
        password: &Password,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Proven> {
        let asked = Instant::now();
        let Some(attempts) = &self.attempts else {
            let stored = self.stored(attempt.account, budget).await?;
            return self.compare(stored, password, asked).await;
        };
        let (attempt, stored) = self.by_device(attempt, budget).await?;
        let admission = attempts.admit(attempt, now, budget).await?;
        let stored = match stored {
            Some(stored) => stored,
            None => self.stored(attempt.account, budget).await?,
        };
        let reservation = attempts.reserve(admission, now, budget).await?;
        let owner = stored.1.as_ref().map(|user| user.profile.id.clone());
        let outcome = self.compare(stored, password, asked).await;
        let outcome = self.settle(attempts, &reservation, outcome, now, budget).await;
        if outcome.is_err() && reservation.is_last {
            let (lane, failures, user) = (reservation.lane, reservation.failures, owner.as_ref().map(UserId::as_str));
            tracing::error!(
                event = "password_disabled",
                lane,
                failures,
                user,
                "Too many passwords were wrong in a row: none is right in this lane any more. Once the owner of the account is \
                 known to be safe, delete the lane from the attempts table."
            );
        }
        outcome
    }

    /// A device is one only for the password with which somebody signed in on it: what is stored says so, and is read first for
    /// whoever brings such a cookie.
    async fn by_device<'a>(&self, attempt: Attempt<'a>, budget: &Budget) -> Result<(Attempt<'a>, Option<Stored>)> {
        let Way::Device(device) = attempt.way else { return Ok((attempt, None)) };
        let stored = self.stored(attempt.account, budget).await?;
        let is_known = stored.0.as_ref().is_some_and(|found| found.password_version == device.password_version);
        let way = if is_known { attempt.way } else { Way::Outside };
        Ok((Attempt { way, ..attempt }, Some(stored)))
    }

    /// What is stored for an account. Where there is none, as much is read.
    async fn stored(&self, account: &Account<'_>, budget: &Budget) -> Result<Stored> {
        let credentials = self.users.credentials(account, budget).await?;
        let id = credentials.as_ref().map_or_else(UserId::random, |found| Ok(found.id.clone()))?;
        let user = self.users.find(&id, budget).await?;
        Ok((credentials, user))
    }

    async fn compare(&self, (credentials, user): Stored, password: &Password, asked: Instant) -> Result<Proven> {
        let hash = credentials.as_ref().map(|found| &found.password_hash);
        let verdict = self.hasher.verify(password, hash, asked).await;
        let (Some(credentials), Some(user)) = (credentials, user) else { return refused("unknown_user", None) };
        match verdict {
            Verdict::Unusable(problem) => {
                let user = user.profile.id.as_str();
                tracing::error!(event = "password_hash_unusable", user, problem, "Its owner cannot sign in.");
                refused("unusable_hash", Some(user))
            }
            Verdict::Wrong => refused("wrong_password", Some(user.profile.id.as_str())),
            _ if user.disabled => refused("disabled_user", Some(user.profile.id.as_str())),
            _ if user.password_version != credentials.password_version => {
                refused("changed_meanwhile", Some(user.profile.id.as_str()))
            }
            Verdict::Right => Ok(Proven { user, credentials, is_outdated: false }),
            Verdict::Outdated => Ok(Proven { user, credentials, is_outdated: true }),
        }
    }

    /// Writes down what came of a try that was counted.
    async fn settle(
        &self,
        attempts: &Attempts,
        reservation: &Reservation,
        outcome: Result<Proven>,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Proven> {
        let outcome = match outcome {
            Ok(Proven { user, .. }) if reservation.is_disabled => {
                refused("disabled_password", Some(user.profile.id.as_str()))
            }
            outcome => outcome,
        };
        match outcome {
            Ok(_) => attempts.succeeded(reservation, budget).await,
            Err(_) => attempts.failed(now, budget).await,
        }
        outcome
    }

    /// Puts a hash of today in place of one that was imported or made at another cost (R3). It is done as far as possible: who
    /// has given the right password is in.
    pub async fn renew_hash(&self, proven: &Proven, password: &Password, budget: &Budget) {
        if !proven.is_outdated {
            return;
        }
        let user = proven.user.profile.id.as_str();
        let renewed = async {
            let new = self.hasher.hash(password)?;
            self.users.rehash(&proven.user.profile.user_id, &proven.credentials, &new, budget).await
        };
        match renewed.await {
            Ok(true) => tracing::info!(event = "password_rehashed", user, "A password was hashed anew."),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                event = "password_rehash_failed",
                user,
                causes = error.causes(),
                "A password could not be hashed anew; the next login tries again."
            ),
        }
    }
}

/// One refusal, whatever the reason; the reason is for the log.
fn refused<T>(reason: &'static str, user: Option<&str>) -> Result<T> {
    tracing::info!(event = "login_failed", reason, user, "A password was refused.");
    Err(Error::NotAuthorized)
}
