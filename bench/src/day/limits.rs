//! The limits of a login: that of API Gateway for the route, and the real throttles of `shared::throttle`.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::throttle::{Backoff, BucketLevel, FailureCount, LeakyBucket, Limit};

use super::chance::{Micros, SECOND, seconds};
use super::inputs::RouteLimit;

/// The time of midnight. Any time will do.
const MIDNIGHT: Timestamp = Timestamp::from_secs(1_800_000_000);

/// API Gateway's token bucket of one route.
pub(super) struct Gateway {
    limit: RouteLimit,
    tokens: f64,
    at: Micros,
}

impl Gateway {
    /// Returns a full bucket.
    #[must_use]
    pub(super) fn new(limit: RouteLimit) -> Self {
        Self { limit, tokens: limit.burst, at: 0 }
    }

    /// Returns whether the gateway passes a request on.
    pub(super) fn admits(&mut self, now: Micros) -> bool {
        self.tokens = (self.tokens + seconds(now - self.at) * self.limit.rate).min(self.limit.burst);
        self.at = now;
        let admits = self.tokens >= 1.0;
        if admits {
            self.tokens -= 1.0;
        }
        admits
    }
}

/// An attempt to sign in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// The login name.
    pub(super) name: u64,
    /// The source address, or `None` on a known device, which has a counter of its own.
    pub(super) address: Option<u64>,
    /// Whether the password is right.
    pub(super) is_right: bool,
}

/// Why the throttle refused an attempt, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The source sent too many wrong passwords.
    Source(Duration),
    /// The account, or the known device, got too many wrong passwords.
    Account(Duration),
}

/// The attempts table. It keeps the counts as `store::attempts` does. The limits are the real code.
pub(super) struct Attempts {
    backoff: Backoff,
    bucket: LeakyBucket,
    /// By login name, and by whether the device is known.
    accounts: Counts<(u64, bool), Backoff>,
    sources: Counts<u64, LeakyBucket>,
}

type Counts<K, L> = HashMap<K, <L as Limit>::Count>;

impl Attempts {
    /// Returns an empty table with this setting of `SOURCE_FAILURES_PER_HOUR`.
    #[must_use]
    pub(super) fn new(hourly: u32) -> Self {
        let (accounts, sources) = (HashMap::new(), HashMap::new());
        Self { backoff: Backoff::default(), bucket: LeakyBucket { hourly }, accounts, sources }
    }

    /// Counts an attempt as failed. Returns `true` if its password can be right, and `false` if the password is
    /// disabled.
    ///
    /// # Errors
    /// The refusal. It changes nothing.
    pub(super) fn count(&mut self, attempt: Attempt, now: Micros) -> Result<bool, Refusal> {
        let at = MIDNIGHT + Duration::from_secs(now / SECOND);
        let account = (attempt.name, attempt.address.is_none());
        let level = attempt.address.map(|address| admit(&self.bucket, &self.sources, address, at));
        let level = level.transpose().map_err(Refusal::Source)?;
        let count: FailureCount = admit(&self.backoff, &self.accounts, account, at).map_err(Refusal::Account)?;
        self.accounts.insert(account, count);
        self.sources.extend(attempt.address.zip(level));
        Ok(count.failures <= self.backoff.disable_after)
    }

    /// Undoes the count of an attempt that has succeeded.
    pub(super) fn succeeded(&mut self, attempt: Attempt) {
        self.accounts.remove(&(attempt.name, attempt.address.is_none()));
        if let Some(BucketLevel { level, .. }) = attempt.address.and_then(|address| self.sources.get_mut(&address)) {
            *level = level.saturating_sub(LeakyBucket::ATTEMPT);
        }
    }
}

fn admit<K: Copy + Eq + Hash, L: Limit>(
    limit: &L,
    counts: &Counts<K, L>,
    key: K,
    at: Timestamp,
) -> Result<L::Count, Duration> {
    limit.admit(counts.get(&key).copied(), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(name: u64, address: u64) -> Attempt {
        Attempt { name, address: Some(address), is_right: false }
    }

    #[test]
    fn the_gateway_admits_a_burst_and_then_its_rate() {
        let mut gateway = Gateway::new(RouteLimit { rate: 100.0, burst: 600.0 });
        let mut admitted = |second| (0..1000).filter(|_| gateway.admits(second * SECOND)).count();
        assert_eq!([0, 1, 3, 100].map(&mut admitted), [600, 100, 200, 600]);
    }

    #[test]
    fn a_source_gets_100_guesses_at_many_accounts_and_a_success_gives_one_back() {
        let mut attempts = Attempts::new(100);
        for name in 0..100 {
            assert_eq!(attempts.count(wrong(name, 7), 0), Ok(true), "{name}");
        }
        let refused = Err(Refusal::Source(Duration::from_secs(36)));
        assert_eq!(attempts.count(wrong(100, 7), 0), refused);
        assert_eq!(attempts.count(wrong(100, 8), 0), Ok(true), "another source");
        attempts.succeeded(wrong(99, 7));
        assert_eq!(attempts.count(wrong(99, 7), 0), Ok(true));
        assert_eq!(attempts.count(wrong(99, 7), 0), refused);
    }

    #[test]
    fn an_account_gets_five_guesses_from_many_sources_and_a_known_device_has_its_own() {
        let mut attempts = Attempts::new(100);
        for address in 0..5 {
            assert_eq!(attempts.count(wrong(1, address), 0), Ok(true));
        }
        assert_eq!(attempts.count(wrong(1, 9), 0), Err(Refusal::Account(Duration::from_secs(1))));
        assert_eq!(attempts.count(Attempt { address: None, ..wrong(1, 0) }, 0), Ok(true), "a known device");
        assert_eq!(attempts.count(wrong(1, 9), SECOND), Ok(true));
        attempts.succeeded(wrong(1, 9));
        assert_eq!(attempts.count(wrong(1, 9), SECOND), Ok(true));
    }
}
