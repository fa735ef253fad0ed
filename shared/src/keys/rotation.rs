//! The steps of a rotation.
//!
//! Owns which key is added, promoted, retired and dropped, and when. A step makes a new set of an old one. It refuses
//! an order that would sign a user out, except in an emergency.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Purpose;
use super::key::{Algorithm, EPOCH, Key, key_id};
use super::set::{KeySet, PUBLISH_LEAD, Problem};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::random;

/// How much longer a key verifies than what it has signed is valid. Covers the leeway of tokens and clocks that differ.
const MARGIN: Duration = Duration::from_mins(1);

/// How the keys of a purpose are rotated.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// What the keys are for.
    pub purpose: Purpose,
    /// The algorithm of new keys.
    pub algorithm: Algorithm,
    /// How long a key signs.
    pub every: Duration,
}

impl Rotation {
    /// Returns the set after the steps that are due at `now`, or `None` if no step is due. One write of the set then
    /// does all steps.
    ///
    /// - A key whose `retire_at` has passed is dropped.
    /// - A next key is published, if there is none of the algorithm.
    /// - The next key is promoted when the active key has signed for long enough, or has another algorithm. In the same
    ///   step, the set gets another next key.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the random number generator fails.
    pub fn advance(&self, set: &KeySet, now: Timestamp) -> Result<Option<KeySet>> {
        let mut keys = set.copies();
        let before = keys.len();
        keys.retain(|key| !key.is_retired(now));
        // A next key of another algorithm has signed nothing.
        keys.retain(|key| key.sign_from.is_some() || key.algorithm() == self.algorithm);
        let mut has_changed = keys.len() != before;
        let active = set.active(now);
        // `CloudFormation` does not say when it made the first key. If that key no longer signs, its time does not
        // matter.
        for key in keys.iter_mut().filter(|key| key.id == active.id && key.sign_from == Some(EPOCH)) {
            key.sign_from = Some(now);
            has_changed = true;
        }
        if keys.iter().all(|key| key.sign_from.is_some()) {
            keys.push(new_key(self.purpose, self.algorithm, now)?);
            has_changed = true;
        }
        let since = active.sign_from.filter(|from| *from != EPOCH).unwrap_or(now);
        let is_due = now.since(since) >= self.every || active.algorithm() != self.algorithm;
        let is_ready = |key: &&Key| key.sign_from.is_none() && key.published_at + PUBLISH_LEAD <= now;
        let next = keys.iter().find(is_ready).map(|key| key.id.clone());
        if let Some(next) = next.filter(|_| is_due) {
            promote(self.purpose, &mut keys, &next, now);
            if keys.iter().all(|key| key.sign_from.is_some()) {
                keys.push(new_key(self.purpose, self.algorithm, now)?);
            }
            has_changed = true;
        }
        let set = |keys| set_of(self.purpose, keys).map_err(|problem| Error::unexpected(problem.into_owned()));
        if has_changed { set(keys).map(Some) } else { Ok(None) }
    }
}

impl KeySet {
    /// Returns the set with a new key that is published and does not sign yet.
    ///
    /// # Errors
    /// Says why the set cannot have another key.
    pub fn with_next(&self, purpose: Purpose, algorithm: Algorithm, now: Timestamp) -> Result<Self, Problem> {
        let mut keys = self.copies();
        keys.push(new_key(purpose, algorithm, now).map_err(|error| error.causes())?);
        set_of(purpose, keys)
    }

    /// Returns the set in which this key signs from now on. The key that signed before retires when all that it has
    /// signed has expired.
    ///
    /// # Errors
    /// Says why the key cannot sign.
    pub fn with_promoted(&self, purpose: Purpose, kid: &str, now: Timestamp) -> Result<Self, Problem> {
        let key = self.by_id(kid).ok_or("has no such key")?;
        if key.sign_from.is_some() {
            return Err("can promote only a key that has not signed".into());
        }
        let ready = key.published_at + PUBLISH_LEAD;
        if now < ready {
            let wait = ready.since(now).as_secs();
            return Err(format!("has instances that may not know this key yet. Wait {wait} s").into());
        }
        let mut keys = self.copies();
        promote(purpose, &mut keys, kid, now);
        set_of(purpose, keys)
    }

    /// Returns the set without this key, although tokens of it may be valid. They are then refused. If it is the key
    /// that signs, the next key signs at once. If instances may not know the next key yet, the key before it signs
    /// again. Without both, a key signs that some instances learn within 300 s.
    ///
    /// # Errors
    /// Says why the set cannot lose the key.
    pub fn without(&self, purpose: Purpose, kid: &str, now: Timestamp) -> Result<Self, Problem> {
        let algorithm = self.by_id(kid).ok_or("has no such key")?.algorithm();
        let was_active = self.active(now).id == kid;
        let mut keys = self.copies();
        keys.retain(|key| key.id != kid && !key.is_retired(now));
        let new_key = || new_key(purpose, algorithm, now).map_err(|error| error.causes());
        if was_active {
            let is_ready = |key: &&mut Key| key.sign_from.is_none() && key.published_at + PUBLISH_LEAD <= now;
            let is_earlier = |key: &&mut Key| key.sign_from.is_some_and(|from| from <= now) && !key.is_retired(now);
            if let Some(next) = keys.iter_mut().find(is_ready) {
                next.sign_from = Some(now);
            } else if let Some(earlier) = keys.iter_mut().filter(is_earlier).max_by_key(|key| key.sign_from) {
                earlier.retire_at = None;
            } else if let Some(next) = keys.iter_mut().find(|key| key.sign_from.is_none()) {
                next.sign_from = Some(now);
            } else {
                let mut key = new_key()?;
                key.sign_from = Some(now);
                keys.push(key);
            }
        }
        if keys.iter().all(|key| key.sign_from.is_some()) {
            keys.push(new_key()?);
        }
        // Instances with the old set still sign with an older key for a while.
        let last = keys.iter().filter_map(|key| key.sign_from).max();
        if let Some(last) = last.filter(|_| was_active) {
            for key in keys.iter_mut().filter(|key| key.sign_from.is_some_and(|from| from < last)) {
                key.retire_at = key.retire_at.map(|at| at.max(last + PUBLISH_LEAD));
            }
        }
        set_of(purpose, keys)
    }

    fn copies(&self) -> Vec<Key> {
        self.keys().iter().map(|key| Key::clone(key)).collect()
    }

    /// Returns `true` if a token of this key may still be valid at `now`, so that to drop the key ends sessions.
    #[must_use]
    pub fn is_in_use(&self, kid: &str, now: Timestamp) -> bool {
        self.by_id(kid).is_some_and(|key| key.sign_from.is_some_and(|from| from <= now) && !key.is_retired(now))
    }
}

fn set_of(purpose: Purpose, keys: Vec<Key>) -> Result<KeySet, Problem> {
    KeySet::new(purpose, keys.into_iter().map(Arc::new).collect())
}

/// Lets a key sign, and retires the keys that signed before.
fn promote(purpose: Purpose, keys: &mut [Key], kid: &str, now: Timestamp) {
    let retire_at = purpose.lifetime().map(|lifetime| now + PUBLISH_LEAD + lifetime + MARGIN);
    for key in keys {
        if key.id == kid {
            key.sign_from = Some(now);
        } else if key.sign_from.is_some() && key.retire_at.is_none() {
            key.retire_at = retire_at;
        }
    }
}

/// Makes a key of 32 random bytes, which is published at `now`.
fn new_key(purpose: Purpose, algorithm: Algorithm, now: Timestamp) -> Result<Key> {
    let secret = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let id = key_id(purpose, secret.as_bytes());
    let key = Key::new(algorithm, id, secret.into());
    let mut key = key.ok_or_else(|| Error::unexpected("a new key does not fit its algorithm"))?;
    key.published_at = now;
    Ok(key)
}
