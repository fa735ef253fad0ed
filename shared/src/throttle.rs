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

const HOUR: u64 = 3600;

/// The attempts that failed, as one record counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
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
    },
    /// A bucket that each attempt adds to and that drains over time: of a source that many people share, successes do not
    /// make up for failures (R24).
    Draining {
        /// How many it holds, and how many drain in an hour; more than none.
        hourly: u32,
    },
}

impl Rule {
    /// The tally with one more attempt in it; or how long there can be none.
    ///
    /// # Errors
    /// The wait: whole seconds, at least one.
    pub fn admit(&self, seen: Option<Tally>, now: Timestamp) -> Result<Tally, Duration> {
        let none = Tally { failures: 0, at: now };
        let seen = seen.filter(|tally| self.forgotten_at(*tally).is_none_or(|end| now < end)).unwrap_or(none);
        let (counted, open_at) = match *self {
            Self::Doubling { .. } => (Tally { at: now, ..seen }, seen.at + self.wait_after(seen.failures)),
            Self::Draining { hourly } => {
                let left = drained(seen, hourly, now);
                let open_at = if left.failures < hourly {
                    now
                } else {
                    left.at + Duration::from_secs(HOUR.div_ceil(hourly.into()))
                };
                (left, open_at)
            }
        };
        if open_at > now {
            return Err(open_at.since(now));
        }
        Ok(Tally { failures: counted.failures.saturating_add(1), ..counted })
    }

    /// When a tally no longer says anything: never, where a rule that doubles has come to its longest wait. Who tries a hundred
    /// passwords slowly has still tried a hundred.
    #[must_use]
    pub fn forgotten_at(&self, tally: Tally) -> Option<Timestamp> {
        match *self {
            Self::Doubling { longest, .. } => {
                (self.wait_after(tally.failures) < longest).then(|| tally.at + REMEMBERED)
            }
            Self::Draining { hourly } => {
                Some(tally.at + Duration::from_secs((u64::from(tally.failures) * HOUR).div_ceil(hourly.into())))
            }
        }
    }

    fn wait_after(&self, failures: u32) -> Duration {
        match *self {
            Self::Doubling { free, longest } => match failures.checked_sub(free) {
                None => Duration::ZERO,
                Some(more) => Duration::from_secs(1_u64.checked_shl(more).unwrap_or(u64::MAX)).min(longest),
            },
            Self::Draining { .. } => Duration::ZERO,
        }
    }
}

/// What is left in a bucket by now. What has drained is taken off in whole attempts, and the time with it.
fn drained(seen: Tally, hourly: u32, now: Timestamp) -> Tally {
    let gone = now.since(seen.at).as_secs().saturating_mul(hourly.into()) / HOUR;
    match u32::try_from(gone).ok().and_then(|gone| seen.failures.checked_sub(gone)) {
        None | Some(0) => Tally { failures: 0, at: now },
        Some(left) => Tally { failures: left, at: seen.at + Duration::from_secs(gone * HOUR / u64::from(hourly)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const ACCOUNT: Rule = Rule::Doubling { free: 5, longest: Duration::from_mins(15) };
    const SOURCE: Rule = Rule::Draining { hourly: 100 };

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn tally(failures: u32) -> Tally {
        Tally { failures, at: NOW }
    }

    /// R20, R23: five are free, then 2^(n-5) seconds, up to 900.
    #[test]
    fn five_failures_are_free_and_each_further_one_doubles_the_wait() {
        assert_eq!(ACCOUNT.admit(None, NOW), Ok(Tally { failures: 1, at: NOW }));
        for failures in 0..5 {
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), NOW), Ok(Tally { failures: failures + 1, at: NOW }));
        }
        let waits: Vec<_> =
            (5..18).map(|failures| ACCOUNT.admit(Some(tally(failures)), NOW).unwrap_err().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        for failures in [100, 1000, u32::MAX] {
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), NOW), Err(Duration::from_mins(15)));
        }
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
        let month = 30 * 86_400;
        for failures in [1, 5, 14] {
            assert_eq!(ACCOUNT.forgotten_at(tally(failures)), Some(after(month)));
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), after(month)).unwrap().failures, 1);
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), after(month - 1)).unwrap().failures, failures + 1);
        }
        for failures in [15, 99, 100] {
            assert_eq!(ACCOUNT.forgotten_at(tally(failures)), None);
            assert_eq!(ACCOUNT.admit(Some(tally(failures)), after(12 * month)).unwrap().failures, failures + 1);
        }
    }

    /// A clock that is behind the one that wrote the record waits longer, and never fails.
    #[test]
    fn a_tally_from_the_future_only_makes_the_wait_longer() {
        let ahead = Some(Tally { failures: 6, at: after(30) });
        assert_eq!(ACCOUNT.admit(ahead, NOW), Err(Duration::from_secs(32)));
        assert_eq!(SOURCE.admit(ahead, NOW), Ok(Tally { failures: 7, at: after(30) }));
    }

    /// R24.
    #[test]
    fn a_source_has_a_hundred_at_once_and_a_hundred_an_hour() {
        let mut seen = None;
        for count in 1..=100 {
            seen = Some(SOURCE.admit(seen, NOW).unwrap());
            assert_eq!(seen.unwrap().failures, count);
        }
        assert_eq!(SOURCE.admit(seen, NOW), Err(Duration::from_secs(36)));
        assert_eq!(SOURCE.admit(seen, after(35)), Err(Duration::from_secs(1)));
        assert_eq!(SOURCE.admit(seen, after(36)), Ok(Tally { failures: 100, at: after(36) }));
        assert_eq!(SOURCE.admit(seen, after(1800)), Ok(Tally { failures: 51, at: after(1800) }));
        assert_eq!(SOURCE.admit(seen, after(3600)), Ok(Tally { failures: 1, at: after(3600) }));
    }

    /// What is less than a whole attempt is not lost with every look at it.
    #[test]
    fn a_bucket_drains_as_fast_however_often_it_is_looked_at() {
        for hourly in [1, 7, 100, 3600, 5000, 100_000] {
            let rule = Rule::Draining { hourly };
            let full = Tally { failures: hourly, at: NOW };
            let (mut seen, mut admitted) = (full, 0);
            for second in 1..=7200 {
                if let Ok(counted) = rule.admit(Some(seen), after(second)) {
                    (seen, admitted) = (counted, admitted + 1);
                }
            }
            let fair = (2 * hourly).min(7200);
            assert!((fair - 1..=fair).contains(&admitted), "{hourly} an hour: {admitted} in two hours");
        }
    }

    proptest::proptest! {
        /// Whatever a record says and whatever the clock: no overflow, and a wait that is worth saying.
        #[test]
        fn no_tally_breaks_a_rule(failures: u32, at: u64, now: u64, free in 1..=20_u32, longest in 1..=86_400_u64, hourly in 1..=100_000_u32) {
            let tally = Tally { failures, at: Timestamp::from_secs(at) };
            for rule in [Rule::Doubling { free, longest: Duration::from_secs(longest) }, Rule::Draining { hourly }] {
                match rule.admit(Some(tally), Timestamp::from_secs(now)) {
                    Ok(counted) => proptest::prop_assert!(counted.failures >= 1),
                    Err(wait) => proptest::prop_assert!(wait >= Duration::from_secs(1)),
                }
            }
        }
    }
}
