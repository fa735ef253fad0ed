//! Exponential backoff against guesses at one account.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Limit;
use crate::clock::Timestamp;

/// How long a failure count is kept while its wait is below the maximum.
const MEMORY: Duration = Duration::from_hours(30 * 24);

/// Some failures in a row are free. Each further one doubles the wait (R20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The number of failures without a wait.
    pub free_failures: u32,
    /// The longest wait.
    pub max_wait: Duration,
    /// The number of failures after which the password is disabled until an operator resets the counter.
    pub disable_after: u32,
}

impl Default for Backoff {
    /// Five free failures, waits of up to 15 minutes, and a limit of 100 (NIST SP 800-63B §3.2.2).
    fn default() -> Self {
        Self { free_failures: 5, max_wait: Duration::from_mins(15), disable_after: 100 }
    }
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCount {
    /// How many.
    pub failures: u32,
    /// The time of the last one.
    pub at: Timestamp,
}

impl Backoff {
    fn wait_after(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.free_failures) else { return Duration::ZERO };
        Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(self.max_wait)
    }
}

impl Limit for Backoff {
    type Count = FailureCount;

    /// If this instance's clock is behind that of the instance that counted the last attempt, a wait becomes longer. A
    /// free attempt is never delayed.
    fn admit(&self, count: Option<FailureCount>, now: Timestamp) -> Result<FailureCount, Duration> {
        let current = count.filter(|&count| self.expires_at(count).is_none_or(|end| now < end));
        let FailureCount { failures, at } = current.unwrap_or(FailureCount { failures: 0, at: now });
        let wait = self.wait_after(failures);
        let left = if wait.is_zero() { wait } else { (at + wait).since(now) };
        if left.is_zero() {
            Ok(FailureCount { failures: failures.saturating_add(1), at: now.max(at) })
        } else {
            Err(left)
        }
    }

    /// Returns `None` once the backoff has reached its maximum or the password is disabled. A slow guesser must not get
    /// a fresh count.
    fn expires_at(&self, count: FailureCount) -> Option<Timestamp> {
        let is_permanent = count.failures >= self.disable_after || self.wait_after(count.failures) >= self.max_wait;
        (!is_permanent).then(|| count.at + MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const MONTH: u64 = 30 * 86_400;

    fn backoff() -> Backoff {
        Backoff::default()
    }

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn count(failures: u32) -> FailureCount {
        FailureCount { failures, at: NOW }
    }

    /// R20, R23.
    #[test]
    fn five_failures_are_free_and_each_further_one_doubles_the_wait() {
        assert_eq!(backoff().admit(None, NOW), Ok(count(1)));
        for failures in 0..5 {
            assert_eq!(backoff().admit(Some(count(failures)), NOW), Ok(count(failures + 1)));
        }
        let wait = |failures| backoff().admit(Some(count(failures)), NOW).unwrap_err().as_secs();
        assert_eq!((5..18).map(wait).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!([100, 1000, u32::MAX].map(wait), [900; 3]);
    }

    #[test]
    fn a_wait_ends_to_the_second_and_the_error_says_how_much_is_left() {
        for (failures, wait) in [(5, 1), (8, 8), (99, 900), (u32::MAX, 900)] {
            assert_eq!(backoff().admit(Some(count(failures)), after(wait - 1)), Err(Duration::from_secs(1)));
            let counted = backoff().admit(Some(count(failures)), after(wait)).unwrap();
            assert_eq!(counted, FailureCount { failures: failures.saturating_add(1), at: after(wait) });
        }
    }

    #[test]
    fn few_failures_expire_after_a_month_and_many_never_do() {
        for failures in [1, 5, 14] {
            assert_eq!(backoff().expires_at(count(failures)), Some(after(MONTH)));
            assert_eq!(backoff().admit(Some(count(failures)), after(MONTH)).unwrap().failures, 1);
            assert_eq!(backoff().admit(Some(count(failures)), after(MONTH - 1)).unwrap().failures, failures + 1);
        }
        for failures in [15, 99, 100] {
            assert_eq!(backoff().expires_at(count(failures)), None);
            assert_eq!(backoff().admit(Some(count(failures)), after(12 * MONTH)).unwrap().failures, failures + 1);
        }
    }

    /// R20: even if `disable_after` is reached before the wait reaches its maximum.
    #[test]
    fn a_count_that_disables_the_password_never_expires() {
        for (free_failures, max_wait, disable_after) in [(5, 900, 6), (5, 900, 10), (1, 86_400, 2), (20, 86_400, 30)] {
            let backoff = Backoff { free_failures, max_wait: Duration::from_secs(max_wait), disable_after };
            assert_eq!(backoff.expires_at(count(disable_after)), None);
            assert!(backoff.expires_at(count(disable_after - 1)).is_some());
        }
    }

    /// The clocks of two instances differ.
    #[test]
    fn a_count_from_the_future_only_makes_a_wait_longer() {
        let ahead = |failures| Some(FailureCount { failures, at: after(30) });
        assert_eq!(backoff().admit(ahead(4), NOW), Ok(FailureCount { failures: 5, at: after(30) }));
        assert_eq!(backoff().admit(ahead(6), NOW), Err(Duration::from_secs(32)));
    }

    proptest::proptest! {
        #[test]
        fn no_stored_count_breaks_the_backoff(
            failures: u32,
            at: u64,
            now: u64,
            free_failures in 1..=20_u32,
            max_wait in 1..=86_400_u64,
        ) {
            let backoff = Backoff { free_failures, max_wait: Duration::from_secs(max_wait), disable_after: 100 };
            let count = FailureCount { failures, at: Timestamp::from_secs(at) };
            match backoff.admit(Some(count), Timestamp::from_secs(now)) {
                Ok(counted) => proptest::prop_assert!(counted.failures >= 1),
                Err(wait) => proptest::prop_assert!(wait >= Duration::from_secs(1)),
            }
        }
    }
}
