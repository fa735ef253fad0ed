//! A leaky bucket against guesses from one source address.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Limit;
use crate::clock::Timestamp;

/// Each attempt fills the bucket, and the bucket leaks over time. Many people may share an address. Therefore a success
/// gives back one attempt and does not empty the bucket (R24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeakyBucket {
    /// How many attempts the bucket holds, and how many leak out in an hour. At least one.
    pub hourly: u32,
}

/// The level of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketLevel {
    /// The level in units of 1/3600 attempt.
    pub level: u32,
    /// The time at which the bucket had this level.
    pub at: Timestamp,
}

impl LeakyBucket {
    /// The units that one attempt adds to [`BucketLevel::level`]. A bucket of `hourly` attempts then leaks exactly
    /// `hourly` units a second, so that the level is always a whole number.
    pub const ATTEMPT: u32 = 3600;

    /// Returns how many attempts are in the bucket at `now`, rounded up.
    #[must_use]
    pub fn attempts(self, count: BucketLevel, now: Timestamp) -> u32 {
        self.left(count, now).div_ceil(Self::ATTEMPT)
    }

    /// Returns the level at `now`, after what has leaked out.
    fn left(self, BucketLevel { level, at }: BucketLevel, now: Timestamp) -> u32 {
        let leaked = now.since(at).as_secs().saturating_mul(self.hourly.into());
        level.saturating_sub(u32::try_from(leaked).unwrap_or(u32::MAX))
    }
}

impl Limit for LeakyBucket {
    type Count = BucketLevel;

    fn admit(&self, count: Option<BucketLevel>, now: Timestamp) -> Result<BucketLevel, Duration> {
        let count = count.unwrap_or(BucketLevel { level: 0, at: now });
        let (level, at) = (self.left(count, now), count.at);
        let capacity = u64::from(self.hourly) * u64::from(Self::ATTEMPT);
        let excess = (u64::from(level) + u64::from(Self::ATTEMPT)).saturating_sub(capacity);
        if excess > 0 {
            return Err(Duration::from_secs(excess.div_ceil(self.hourly.into())));
        }
        Ok(BucketLevel { level: level.saturating_add(Self::ATTEMPT), at: now.max(at) })
    }

    /// Returns the time at which the bucket is empty.
    fn expires_at(&self, count: BucketLevel) -> Option<Timestamp> {
        Some(count.at + Duration::from_secs(count.level.div_ceil(self.hourly).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: u32 = LeakyBucket::ATTEMPT;
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const BUCKET: LeakyBucket = LeakyBucket { hourly: 100 };

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    /// R24.
    #[test]
    fn a_source_has_100_attempts_at_once_and_100_an_hour() {
        let mut count = None;
        for attempts in 1..=100 {
            count = Some(BUCKET.admit(count, NOW).unwrap());
            assert_eq!(count.unwrap().level, attempts * ATTEMPT);
        }
        assert_eq!(BUCKET.admit(count, NOW), Err(Duration::from_secs(36)));
        assert_eq!(BUCKET.admit(count, after(35)), Err(Duration::from_secs(1)));
        let attempts = |secs| BUCKET.admit(count, after(secs)).unwrap().level / ATTEMPT;
        assert_eq!([36, 1800, 3600].map(attempts), [100, 51, 1]);
        assert_eq!(BUCKET.expires_at(count.unwrap()), Some(after(3600)));
    }

    /// R24: no fraction of an attempt gets lost, and nothing leaks twice.
    #[test]
    fn checking_a_bucket_more_often_does_not_change_its_leak_rate() {
        for hourly in [1, 7, 100, 1000, 1900, 2000, 3600, 3601, 5000, 100_000] {
            let bucket = LeakyBucket { hourly };
            let (mut count, mut admitted) = (BucketLevel { level: hourly * 3600, at: NOW }, 0);
            for second in 1..=7200 {
                while let Ok(counted) = bucket.admit(Some(count), after(second)) {
                    (count, admitted) = (counted, admitted + 1);
                }
            }
            assert_eq!(admitted, 2 * hourly, "in two hours");
        }
    }

    /// The clocks of two instances differ.
    #[test]
    fn a_level_from_the_future_does_not_leak() {
        let ahead = Some(BucketLevel { level: 3600, at: after(30) });
        assert_eq!(BUCKET.admit(ahead, NOW), Ok(BucketLevel { level: 7200, at: after(30) }));
    }

    proptest::proptest! {
        #[test]
        fn no_stored_level_breaks_the_bucket(level: u32, at: u64, now: u64, hourly in 1..=100_000_u32) {
            let count = BucketLevel { level, at: Timestamp::from_secs(at) };
            match (LeakyBucket { hourly }).admit(Some(count), Timestamp::from_secs(now)) {
                Ok(counted) => proptest::prop_assert!(counted.level >= ATTEMPT),
                Err(wait) => proptest::prop_assert!(wait >= Duration::from_secs(1)),
            }
        }
    }
}
