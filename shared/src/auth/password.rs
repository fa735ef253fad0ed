//! Authentication by a login name and a password.
//!
//! Owns the order of the steps: check the limits, read the stored records, count the attempt, hash, compare. For a
//! known device the stored records are read first, because they decide whether the device is still known. The order,
//! the reads, the writes and the hash are the same for every login name, whether it exists or not (R17, R18). Opens no
//! session and knows no token.

use std::time::Instant;

use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::password::{Comparison, Hasher, Password};
use crate::store::{Account, Attempt, Attempts, Channel, Client, Credentials, Reservation, User, Users};
use crate::telemetry::events;

/// Authenticates users by their password.
pub struct Authenticator {
    /// Reads users and their credentials.
    pub users: Users,
    /// Counts attempts.
    pub attempts: Attempts,
    /// Compares passwords.
    pub hasher: Hasher,
}

/// The stored records of an account.
type Stored = (Option<Credentials>, Option<User>);

/// A user whose password was right.
pub struct Authenticated {
    /// The user.
    pub user: User,
    /// The stored credentials.
    pub credentials: Credentials,
    needs_rehash: bool,
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

    /// Returns the user if the password is right. If a read fails, the attempt is not counted (F02).
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
        let (attempt, stored) = self.check_device(attempt, budget).await?;
        let admission = self.attempts.admit(attempt, now, budget).await?;
        let stored = match stored {
            Some(stored) => stored,
            None => self.stored(attempt.account, budget).await?,
        };
        let reservation = self.attempts.reserve(admission, now, budget).await?;
        let owner = stored.1.as_ref().map(|user| user.profile.id.clone());
        let outcome = self.compare(stored, password, now, started).await;
        let outcome = outcome.and_then(|authenticated| refuse_if_password_disabled(authenticated, &reservation));
        match &outcome {
            Ok(_) => self.attempts.succeeded(&reservation, budget).await,
            Err(_) if reservation.disables => {
                events::password_disabled(&reservation.counter_key, reservation.failures, owner.as_ref());
            }
            Err(_) => {}
        }
        outcome
    }

    /// Treats the device as unknown if it signed in with another password than the current one. Reads the stored
    /// records first, because they have the version of the current password.
    async fn check_device<'a>(&self, attempt: Attempt<'a>, budget: &Budget) -> Result<(Attempt<'a>, Option<Stored>)> {
        let Channel::KnownDevice(device) = attempt.channel else { return Ok((attempt, None)) };
        let stored = self.stored(attempt.account, budget).await?;
        let is_known = stored.0.as_ref().is_some_and(|found| found.password_version == device.password_version);
        let channel = if is_known { attempt.channel } else { Channel::Public };
        Ok((Attempt { channel, ..attempt }, Some(stored)))
    }

    /// Reads the stored records of an account. For an unknown account it makes the same two reads.
    async fn stored(&self, account: &Account<'_>, budget: &Budget) -> Result<Stored> {
        let credentials = self.users.credentials(account, budget).await?;
        let id = credentials.as_ref().map_or_else(UserId::random, |found| Ok(found.id.clone()))?;
        let user = self.users.find(&id, budget).await?;
        Ok((credentials, user))
    }

    async fn compare(
        &self,
        (credentials, user): Stored,
        password: &Password,
        now: Timestamp,
        started: Instant,
    ) -> Result<Authenticated> {
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
            Comparison::Right => Ok(Authenticated { user, credentials, needs_rehash: false }),
            Comparison::Outdated => Ok(Authenticated { user, credentials, needs_rehash: true }),
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
        if !authenticated.needs_rehash {
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
fn refuse_if_password_disabled(authenticated: Authenticated, reservation: &Reservation) -> Result<Authenticated> {
    if reservation.is_disabled {
        return refuse("disabled_password", Some(&authenticated.user.profile.id));
    }
    Ok(authenticated)
}

/// Refuses a login. The caller always gets the same error; only the log has the reason.
fn refuse<T>(reason: &'static str, user: Option<&UserId>) -> Result<T> {
    events::login_failed(reason, user);
    Err(Error::NotAuthorized)
}
