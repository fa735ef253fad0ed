//! How fast passwords may be guessed.
//!
//! Owns the two limits and the device cookie. [`Backoff`] limits one account: exponential backoff (R20).
//! [`LeakyBucket`] limits one source address (R24). Every attempt counts as failed until it has succeeded, so that
//! parallel guesses cannot exceed a limit (R21). Pure arithmetic: `store::attempts` keeps the counts.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;

mod backoff;
mod device;
mod leaky_bucket;

pub use backoff::{Backoff, FailureCount};
pub use device::{Device, DeviceCookie, Devices};
pub use leaky_bucket::{BucketLevel, LeakyBucket};

/// A limit for failed attempts.
pub trait Limit {
    /// The count that one record stores.
    type Count: Copy + Serialize + DeserializeOwned;

    /// Returns the count with one more attempt.
    ///
    /// # Errors
    /// How long to wait before the next attempt: whole seconds, at least one.
    fn admit(&self, count: Option<Self::Count>, now: Timestamp) -> Result<Self::Count, Duration>;

    /// Returns the time from which on the count no longer matters, or `None` if it is kept for ever.
    fn expires_at(&self, count: Self::Count) -> Option<Timestamp>;
}
