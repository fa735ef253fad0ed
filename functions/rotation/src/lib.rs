//! The rotation of the keys, on a schedule.
//!
//! Each run reads the key sets and does the steps that are due: publish the next key, let it sign, drop the key whose
//! tokens have expired. A run that is repeated or that starts again after a crash does no harm, because a step is one
//! conditional write.

use std::time::Duration;

use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::access_algorithm;
use shared::keys::{Algorithm, Purpose, Rotation};
use shared::store::KeySets;
use shared::telemetry::events;

#[cfg(test)]
mod tests;

/// The purposes whose keys are rotated. The pepper belongs to the operator, and the key of the attempts table never
/// changes.
const PURPOSES: [Purpose; 3] = [Purpose::Access, Purpose::Refresh, Purpose::Device];

/// Rotates the keys of the service.
pub struct KeyRotation {
    /// The secrets that hold the key sets.
    pub key_sets: KeySets,
    /// How each purpose is rotated.
    pub rotations: [Rotation; 3],
}

impl KeyRotation {
    /// Reads:
    /// - the ARNs of the secrets;
    /// - `KEY_ROTATION_DAYS`: how long a key signs, 15 to 365 days, 90 by default. With a shorter time, a set of device
    ///   cookies, which are valid for 180 days, would have too many keys;
    /// - `ACCESS_ALGORITHM` and `ISSUER`: see [`access_algorithm`].
    ///
    /// # Errors
    /// [`Error::Setting`](shared::error::Error::Setting) for a missing or unsafe value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        let every = Duration::from_hours(24 * env.number("KEY_ROTATION_DAYS", 90, 15..=365)?);
        let access = access_algorithm(env)?;
        let rotations = PURPOSES.map(|purpose| {
            let algorithm = if purpose == Purpose::Access { access } else { Algorithm::Hs256 };
            Rotation { purpose, algorithm, every }
        });
        Ok(Self { key_sets: KeySets::from_env(&PURPOSES, env)?, rotations })
    }

    /// Does the steps that are due for each purpose. A failure of one purpose does not stop the others.
    ///
    /// # Errors
    /// The first error. The schedule tries again.
    pub async fn handle(&self, now: Timestamp) -> Result<()> {
        let mut outcome = Ok(());
        for rotation in &self.rotations {
            if let Err(error) = self.rotate(rotation, now).await {
                events::keys_not_rotated(rotation.purpose.name(), &error);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    async fn rotate(&self, rotation: &Rotation, now: Timestamp) -> Result<()> {
        let stored = self.key_sets.read(rotation.purpose).await?;
        let Some(next) = rotation.advance(&stored.set, now)? else { return Ok(()) };
        // Another run or an operator may have been first. The next run sees what is left to do.
        if self.key_sets.replace(&stored, &next).await? {
            events::keys_rotated(rotation.purpose.name(), &next.active(now).id, next.keys().len());
        }
        Ok(())
    }
}
