//! Time in whole seconds.
//!
//! Owns [`Timestamp`]. Only a `main.rs` calls [`Timestamp::now`]. All other code gets the current time as an argument.
//! Besides, only the timestamp of a metric and the deadline of an invocation read the system clock.

use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Whole seconds since the Unix epoch, below 2^53: the `NumericDate` of RFC 7519 §2, without fractions.
///
/// With the bound, a hostile `exp` cannot overflow. Below 2^53, a double (JavaScript) holds every integer exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Timestamp(u64);

impl Timestamp {
    const LIMIT: u64 = 1 << 53;

    /// Reads the system clock.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_secs(since_epoch.as_secs())
    }

    /// Returns the timestamp of `secs` seconds after the epoch. A value of 2^53 or more becomes the largest timestamp.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        if secs < Self::LIMIT { Self(secs) } else { Self(Self::LIMIT - 1) }
    }

    /// Returns the seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Formats the time as RFC 3339 in UTC. A time after the year 9999 is formatted as the last second of 9999.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.date_time().format(&Rfc3339).unwrap_or_default()
    }

    /// Returns date and time of day in UTC. A time after the year 9999 becomes the last second of 9999.
    #[must_use]
    pub fn date_time(self) -> OffsetDateTime {
        let secs = i64::try_from(self.0).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(secs).unwrap_or(PrimitiveDateTime::MAX.assume_utc())
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::from_secs(self.0.saturating_add(duration.as_secs()))
    }
}

impl TryFrom<u64> for Timestamp {
    type Error = &'static str;

    fn try_from(secs: u64) -> Result<Self, Self::Error> {
        if secs < Self::LIMIT { Ok(Self(secs)) } else { Err("a time of 2^53 seconds or more") }
    }
}

impl From<Timestamp> for u64 {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_secs(timestamp.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_formatted_as_rfc_3339() {
        assert_eq!(Timestamp::from_secs(1_800_000_000).rfc3339(), "2027-01-15T08:00:00Z");
        assert!(Timestamp::from_secs(u64::MAX).rfc3339().starts_with("9999-12-31T23:59:59"));
    }

    #[test]
    fn arithmetic_saturates_at_the_largest_timestamp() {
        let last = Timestamp::from_secs(u64::MAX);
        assert_eq!(last + Duration::MAX, last);
        assert_eq!(Timestamp::from_secs(5).since(Timestamp::from_secs(9)), Duration::ZERO);
    }

    /// R44: a time claim is a whole number of seconds in `[0, 2^53)`.
    #[test]
    fn only_whole_seconds_below_two_to_the_53_are_valid() {
        let read = |json: &str| serde_json::from_str::<Timestamp>(json);
        assert_eq!(read("1700000000").unwrap().as_secs(), 1_700_000_000);
        assert!(read("9007199254740991").is_ok());
        for invalid in [
            "9007199254740992",
            "18446744073709551615",
            "-1",
            "1.9",
            "1700000000.0",
            "1e308",
            "1e9",
            "true",
            "null",
            "\"never\"",
            "[]",
            "{}",
        ] {
            assert!(read(invalid).is_err(), "{invalid}");
        }
    }
}
