//! Counts of durations, with a resolution of 1.6 %.

use super::chance::{Micros, seconds};

/// Each power of two is divided into 64 equal buckets.
const BITS: u32 = 6;

/// A histogram of durations.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u32>,
    total: u32,
}

impl Histogram {
    /// Counts one duration.
    pub(super) fn add(&mut self, duration: Micros) {
        let bucket = bucket(duration);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// Adds the counts of another histogram.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// Returns a percentile in milliseconds, or `None` without durations.
    #[must_use]
    pub(super) fn percentile(&self, percent: u32) -> Option<f64> {
        let rank = (u64::from(self.total) * u64::from(percent)).div_ceil(100).max(1);
        let mut below = 0_u64;
        let found = self.counts.iter().position(|&count| {
            below += u64::from(count);
            below >= rank
        });
        Some(seconds(middle(found?)) * 1e3)
    }
}

fn bucket(duration: Micros) -> usize {
    let shift = duration.checked_ilog2().unwrap_or_default().saturating_sub(BITS);
    usize::try_from((u64::from(shift) << BITS) + (duration >> shift)).unwrap_or(usize::MAX)
}

/// Returns the middle of a bucket.
fn middle(bucket: usize) -> Micros {
    let shift = (bucket >> BITS).saturating_sub(1);
    let low = (bucket - (shift << BITS)) << shift;
    Micros::try_from(low + (1 << shift) / 2).unwrap_or(Micros::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_found_again_within_the_resolution() {
        for duration in (0..200).chain((200..3_000_000).step_by(997)) {
            let found = middle(bucket(duration));
            assert!(found.abs_diff(duration) <= duration / 100, "{duration} became {found}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_durations() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), None);
        for ms in 1..=1000 {
            histogram.add(ms * 1000);
        }
        for (percent, ms) in [(50, 500.0), (90, 900.0), (99, 990.0)] {
            let found = histogram.percentile(percent).unwrap();
            assert!((found / ms - 1.0).abs() < 0.02, "{percent}: {found}");
        }
    }
}
