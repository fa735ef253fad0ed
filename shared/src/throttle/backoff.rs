//! How fast passwords may be guessed.
//!
//! Owns the two rules, and what they have to know of the attempts before: against one account, waits that double; from one
//! source, so many an hour. Every attempt counts as failed until it has succeeded, so that a guess is paid for before it is
//! made (R21). Knows nothing of names, addresses or where a tally is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How long a few failed attempts are remembered. Many are for ever: see [`Rule::forgotten_at`].
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

const HOUR: u32 = 3600;

/// The attempts that failed, as one record counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many; of a source in units of [`Rule::one`], because what drains is less than one.
    pub failures: u32,
    /// When that was so.
    pub at: Timestamp,
}

/// Whether another attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Some in a row are free; from then on each has to wait twice as long as the one before it (R20).
    Doubling {
        /// How many are free.
        free: u32,
        /// How long a wait becomes.
        longest: Duration,
        /// After how many none is right any more.
        disable_after: u32,
    },
    /// A bucket that each attempt adds to and that drains over time: of a source that many people share, successes do not
    /// make up for failures (R24).
    Draining {
        /// How many it holds, and how many drain in an hour; more than none.
        hourly: u32,
    },
}

impl Rule {
    /// The tally with one more attempt in it; or how long there can be none. A clock that is behind the one that wrote the tally
    /// waits longer, but never for what is free.
    ///
    /// # Errors
    /// The wait: whole seconds, at least one.
    pub fn admit(&self, seen: Option<Tally>, now: Timestamp) -> Result<Tally, Duration> {
        let none = Tally { failures: 0, at: now };
        let seen = seen.filter(|tally| self.forgotten_at(*tally).is_none_or(|end| now < end)).unwrap_or(none);
        let (left, wait) = match *self {
            Self::Doubling { .. } => {
                let wait = self.wait_after(seen.failures);
                (seen.failures, if wait.is_zero() { wait } else { (seen.at + wait).since(now) })
            }
            Self::Draining { hourly } => {
                let elapsed = now.since(seen.at).as_secs();
                let drained = u32::try_from(elapsed.saturating_mul(hourly.into())).unwrap_or(u32::MAX);
                let left = seen.failures.saturating_sub(drained);
                let too_much = (u64::from(left) + u64::from(HOUR)).saturating_sub(u64::from(hourly) * u64::from(HOUR));
                (left, Duration::from_secs(too_much.div_ceil(hourly.into())))
            }
        };
        if !wait.is_zero() {
            return Err(wait);
        }
        Ok(Tally { failures: left.saturating_add(self.one()), at: now.max(seen.at) })
    }

    /// What one attempt adds to a tally.
    #[must_use]
    pub fn one(&self) -> u32 {
        match self {
            Self::Doubling { .. } => 1,
            // So that what drains in a second is a whole number.
            Self::Draining { .. } => HOUR,
        }
    }

    /// When a tally no longer says anything: never, where a rule that doubles has come to its longest wait or to its end. Who
    /// tries a hundred passwords slowly has still tried a hundred.
    #[must_use]
    pub fn forgotten_at(&self, tally: Tally) -> Option<Timestamp> {
        match *self {
            Self::Doubling { longest, disable_after, .. } => {
                let is_over = tally.failures >= disable_after || self.wait_after(tally.failures) >= longest;
                (!is_over).then(|| tally.at + REMEMBERED)
            }
            Self::Draining { hourly } => Some(tally.at + Duration::from_secs(tally.failures.div_ceil(hourly).into())),
        }
    }

    fn wait_after(&self, failures: u32) -> Duration {
        match *self {
            Self::Doubling { free, longest, .. } => match failures.checked_sub(free) {
                None => Duration::ZERO,
                Some(more) => Duration::from_secs(1_u64.checked_shl(more).unwrap_or(u64::MAX)).min(longest),
            },
            Self::Draining { .. } => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const ACCOUNT: Rule = Rule::Doubling { free: 5, longest: Duration::from_mins(15), disable_after: 100 };
    const SOURCE: Rule = Rule::Draining { hourly: 100 };
    const MONTH: u64 = 30 * 86_400;

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn tally(failures: u32) -> Tally {
        Tally { failures, at: NOW }
    }

    /// R20, R23: five are free, then 2^(n-5) seconds, up to 900.
    #[test]
    fn five_failures_are_free_and_each_further_one_doubles_the_wait() {
        assert_eq!(ACCOUNT.admit(None, NOW), Ok(tally(1)));
        for failures in 0..5 {
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), NOW), Ok(tally(failures + 1)));
        }
        let wait = |failures| ACCOUNT.admit(Some(tally(failures)), NOW).unwrap_err().as_secs();
        assert_eq!((5..18).map(wait).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!([100, 1000, u32::MAX].map(wait), [900; 3]);
    }

    #[test]
    fn a_wait_ends_to_the_second_and_says_how_much_of_it_is_left() {
        for (failures, wait) in [(5, 1), (8, 8), (99, 900), (u32::MAX, 900)] {
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), after(wait - 1)), Err(Duration::from_secs(1)));
            let counted = ACCOUNT.admit(Some(tally(failures)), after(wait)).unwrap();
            assert_eq!(counted, Tally { failures: failures.saturating_add(1), at: after(wait) });
        }
    }

    #[test]
    fn a_few_failures_are_forgotten_after_a_month_and_many_never() {
        for failures in [1, 5, 14] {
            assert_eq!(ACCOUNT.forgotten_at(tally(failures)), Some(after(MONTH)));
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), after(MONTH)).unwrap().failures, 1);
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), after(MONTH - 1)).unwrap().failures, failures + 1);
        }
        for failures in [15, 99, 100] {
            assert_eq!(ACCOUNT.forgotten_at(tally(failures)), None);
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), after(12 * MONTH)).unwrap().failures, failures + 1);
        }
    }

    /// R20: also where the number is so low that no wait has become long.
    #[test]
    fn what_has_disabled_a_password_is_never_forgotten() {
        for (free, longest, disable_after) in [(5, 900, 6), (5, 900, 10), (1, 86_400, 2), (20, 86_400, 30)] {
            let rule = Rule::Doubling { free, longest: Duration::from_secs(longest), disable_after };
            assert_eq!(rule.forgotten_at(tally(disable_after)), None);
            assert!(rule.forgotten_at(tally(disable_after - 1)).is_some());
        }
    }

    /// The clocks of two instances differ: what is free stays free, a wait becomes longer, and nothing is written back in time.
    #[test]
    fn a_tally_from_the_future_only_makes_a_wait_longer() {
        let ahead = |failures| Some(Tally { failures, at: after(30) });
        assert_eq!(ACCOUNT.admit(ahead(4), NOW), Ok(Tally { failures: 5, at: after(30) }));
        assert_eq!(ACCOUNT.admit(ahead(6), NOW), Err(Duration::from_secs(32)));
        assert_eq!(SOURCE.admit(ahead(3600), NOW), Ok(Tally { failures: 7200, at: after(30) }));
    }

    /// R24.
    #[test]
    fn a_source_has_a_hundred_at_once_and_a_hundred_an_hour() {
        let mut seen = None;
        for count in 1..=100 {
            seen = Some(SOURCE.admit(seen, NOW).unwrap());
            assert_eq!(seen.unwrap().failures, count * SOURCE.one());
        }
        assert_eq!(SOURCE.admit(seen, NOW), Err(Duration::from_secs(36)));
        assert_eq!(SOURCE.admit(seen, after(35)), Err(Duration::from_secs(1)));
        let failures = |secs| SOURCE.admit(seen, after(secs)).unwrap().failures / SOURCE.one();
        assert_eq!([36, 1800, 3600].map(failures), [100, 51, 1]);
        assert_eq!(SOURCE.forgotten_at(seen.unwrap()), Some(after(3600)));
    }

    /// R24: what is less than a whole attempt is not lost with every look at it, and nothing drains twice.
    #[test]
    fn a_bucket_drains_as_fast_however_often_it_is_looked_at() {
        for hourly in [1, 7, 100, 1000, 1900, 2000, 3600, 3601, 5000, 100_000] {
            let rule = Rule::Draining { hourly };
            let (mut seen, mut admitted) = (tally(hourly * 3600), 0);
            for second in 1..=7200 {
                while let Ok(counted) = rule.admit(Some(seen), after(second)) {
                    (seen, admitted) = (counted, admitted + 1);
                }
            }
            assert_eq!(admitted, 2 * hourly, "in two hours");
        }
    }

    proptest::proptest! {
        /// Whatever a record says and whatever the clock: no overflow, and a wait that is worth saying.
        #[test]
        fn no_tally_breaks_a_rule(failures: u32, at: u64, now: u64, free in 1..=20_u32, longest in 1..=86_400_u64, hourly in 1..=100_000_u32) {
            let tally = Tally { failures, at: Timestamp::from_secs(at) };
            let doubling = Rule::Doubling { free, longest: Duration::from_secs(longest), disable_after: 100 };
            for rule in [doubling, Rule::Draining { hourly }] {
                match rule.admit(Some(tally), Timestamp::from_secs(now)) {
                    Ok(counted) => proptest::prop_assert!(counted.failures >= rule.one()),
                    Err(wait) => proptest::prop_assert!(wait >= Duration::from_secs(1)),
                }
            }
        }
    }
}
