//! Authentication by a login name and a password.
//!
//! Owns the order of the steps: read the counters and the credentials, check the limits, read the user, count the
//! attempt, hash, compare. The order, the reads, the writes and the hash are the same for every login name, whether it
//! exists or not (R17, R18). Opens no session and knows no token.

use std::time::{Duration, Instant};

use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::password::{Comparison, Hasher, Password};
use crate::store::{Attempt, Attempts, Client, Credentials, Reservation, User, Users};
use crate::telemetry::events;

/// How long a refusal without a hash takes at least. Reading credentials takes longer if they exist (R18).
const MIN_REFUSAL: Duration = Duration::from_millis(10);

/// Authenticates users by their password.
pub struct Authenticator {
    /// Reads users and their credentials.
    pub users: Users,
    /// Counts attempts.
    pub attempts: Attempts,
    /// Compares passwords.
    pub hasher: Hasher,
}

/// A user whose password was right.
pub struct Authenticated {
    /// The user.
    pub user: User,
    /// The stored credentials.
    pub credentials: Credentials,
    is_outdated: bool,
    reservation: Reservation,
}

/// The records of an account whose password was right.
struct Matched {
    user: User,
    credentials: Credentials,
    is_outdated: bool,
}

impl Authenticator {
    /// Reads the settings of its parts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value; [`Error::Unexpected`] without memory for a hash.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self {
            users: Users::from_env(client.clone(), env)?,
            attempts: Attempts::from_env(client, env)?,
            hasher: Hasher::from_env(env)?,
        })
    }

    /// Returns the user if the password is right. If a read fails, the attempt is not counted (F02). The attempt counts
    /// as failed until the caller calls [`succeeded`](Self::succeeded), which every caller must do.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`] if the login name or the password is wrong; [`Error::TooManyAttempts`];
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn authenticate(
        &self,
        attempt: Attempt<'_>,
        password: &Password,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Authenticated> {
        let started = Instant::now();
        let authenticated = self.attempt(attempt, password, now, started, budget).await;
        if let Err(Error::TooManyAttempts { .. }) = authenticated {
            tokio::time::sleep(MIN_REFUSAL.saturating_sub(started.elapsed())).await;
        }
        authenticated
    }

    async fn attempt(
        &self,
        attempt: Attempt<'_>,
        password: &Password,
        now: Timestamp,
        started: Instant,
        budget: &Budget,
    ) -> Result<Authenticated> {
        let (admission, credentials) = self.attempts.admit(attempt, now, budget).await?;
        // For an unknown account the same read is made.
        let id = credentials.as_ref().map_or_else(UserId::random, |found| Ok(found.id.clone()))?;
        let user = self.users.find(&id, budget).await?;
        let owner = user.as_ref().map(|user| user.profile.id.clone());
        let reservation = self.attempts.reserve(admission, now, budget).await?;
        let compared = self.compare((credentials, user), password, now, started).await;
        let compared = compared.and_then(|matched| refuse_if_password_disabled(matched, &reservation));
        if compared.is_err() && reservation.disables {
            events::password_disabled(&reservation.counter_key, reservation.failures, owner.as_ref());
        }
        let Matched { user, credentials, is_outdated } = compared?;
        Ok(Authenticated { user, credentials, is_outdated, reservation })
    }

    /// Records that the attempt has succeeded. Best effort: a right password stays right if this cannot be written.
    pub async fn succeeded(&self, authenticated: &Authenticated, budget: &Budget) {
        self.attempts.succeeded(&authenticated.reservation, budget).await;
    }

    async fn compare(
        &self,
        (credentials, user): (Option<Credentials>, Option<User>),
        password: &Password,
        now: Timestamp,
        started: Instant,
    ) -> Result<Matched> {
        let hash = credentials.as_ref().and_then(|found| found.password_hash.as_ref());
        let comparison = self.hasher.verify(password, hash, now, started).await;
        let (Some(credentials), Some(user)) = (credentials, user) else { return refuse("unknown_user", None) };
        let id = &user.profile.id;
        match comparison {
            Comparison::Unusable(problem) => {
                events::password_hash_unusable(id, problem);
                refuse("unusable_hash", Some(id))
            }
            Comparison::Wrong if credentials.password_hash.is_none() => refuse("no_password", Some(id)),
            Comparison::Wrong => refuse("wrong_password", Some(id)),
            _ if user.disabled => refuse("disabled_user", Some(id)),
            _ if user.password_version != credentials.password_version => refuse("changed_meanwhile", Some(id)),
            Comparison::Right => Ok(Matched { user, credentials, is_outdated: false }),
            Comparison::Outdated => Ok(Matched { user, credentials, is_outdated: true }),
        }
    }

    /// Replaces an imported hash, or one with old parameters (R3). Best effort: the login succeeds in any case.
    pub async fn rehash_if_outdated(
        &self,
        authenticated: &Authenticated,
        password: &Password,
        now: Timestamp,
        budget: &Budget,
    ) {
        if !authenticated.is_outdated {
            return;
        }
        let profile = &authenticated.user.profile;
        let rehashed = async {
            let new = self.hasher.hash(password, now)?;
            self.users.rehash(&profile.user_id, &authenticated.credentials, &new, budget).await
        };
        match rehashed.await {
            Ok(true) => events::password_rehashed(&profile.id),
            Ok(false) => {}
            Err(error) => events::password_rehash_failed(&profile.id, &error),
        }
    }
}

/// Refuses a right password after too many wrong ones (R20).
fn refuse_if_password_disabled(matched: Matched, reservation: &Reservation) -> Result<Matched> {
    if reservation.is_disabled {
        return refuse("disabled_password", Some(&matched.user.profile.id));
    }
    Ok(matched)
}

/// Refuses a login. The caller always gets the same error; only the log has the reason.
fn refuse<T>(reason: &'static str, user: Option<&UserId>) -> Result<T> {
    events::login_failed(reason, user);
    Err(Error::NotAuthorized)
}
