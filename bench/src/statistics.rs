//! The statistics behind each verdict.
//!
//! Owns percentiles, Holm's correction and Welch's t. The Mann-Whitney U test comes from the crate `statrs`. The tests
//! compare each result with `numpy` or `scipy`. Leaves the choice of samples and limits to the experiments.

use std::time::Duration;

use statrs::statistics::Statistics as _;
use statrs::stats_tests::Alternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUError, MannWhitneyUMethod, mannwhitneyu};

/// Measured times in ascending order.
#[derive(Clone, Debug)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// Sorts the times.
    #[must_use]
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// Returns the number of times.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if the sample holds no times.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a percentile, with linear interpolation between two times. Returns zero if the sample is empty.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let position = self.len().saturating_sub(1) * percent;
        let at = |index: usize| self.0.get(index).or(self.0.last()).copied().unwrap_or_default();
        let (below, above) = (at(position / 100), at(position / 100 + 1));
        let hundredths = u32::try_from(position % 100).unwrap_or_default();
        below + above.saturating_sub(below) * hundredths / 100
    }

    /// Returns the median.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.percentile(50)
    }
}

/// The result of a Mann-Whitney U test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// The number of pairs in which the time of the first sample is the longer one. A pair of equal times counts half.
    pub u: f64,
    /// The probability of a difference at least this large if both samples have the same distribution.
    pub p: f64,
}

impl MannWhitney {
    /// Runs the two-sided test with the normal approximation, corrected for ties and for continuity.
    ///
    /// The approximation is good if each sample has about twenty times or more.
    ///
    /// # Errors
    /// [`MannWhitneyUError::SampleTooSmall`] if a sample is empty.
    pub fn test(first: &Sample, second: &Sample) -> Result<Self, MannWhitneyUError> {
        let method = MannWhitneyUMethod::AsymptoticInclContinuityCorrection;
        let (u, p) = mannwhitneyu(&first.0, &second.0, method, Alternative::TwoSided)?;
        Ok(Self { u, p })
    }
}

/// Returns each p-value with Holm's correction for multiple comparisons (Holm, 1979).
///
/// If no two distributions differ, the probability that any corrected value is below a limit is at most that limit.
#[must_use]
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<_> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut corrected = vec![0.0; ps.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(ps[index] * float(ps.len() - rank)).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

/// Returns Welch's t: the difference of the two means, divided by its standard error.
#[must_use]
pub fn welch_t(first: &Sample, second: &Sample) -> f64 {
    let [(mean, error), (other_mean, other_error)] = [first, second].map(|sample| {
        let secs = sample.0.iter().map(Duration::as_secs_f64);
        (secs.clone().mean(), secs.variance() / float(sample.len()))
    });
    (mean - other_mean) / (error + other_error).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "no sample has 2^52 times")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(secs: impl IntoIterator<Item = u64>) -> Sample {
        Sample::new(secs.into_iter().map(Duration::from_secs).collect())
    }

    /// The tolerance is the precision of the error function in `statrs`.
    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-10, "{actual} instead of {expected}");
    }

    /// The expected values are from `numpy.percentile`.
    #[test]
    fn percentiles_equal_those_of_numpy() {
        let [even, odd] = [sample([4, 1, 3, 2]), sample([50, 15, 40, 20, 35])];
        let of = |sample: &Sample| [25, 50, 75, 95].map(|percent| sample.percentile(percent).as_millis());
        assert_eq!(of(&even), [1750, 2500, 3250, 3850]);
        assert_eq!(of(&odd), [20_000, 35_000, 40_000, 48_000]);
        assert_eq!((odd.percentile(100).as_secs(), sample([]).median()), (50, Duration::ZERO));
    }

    /// The expected values are from `scipy.stats.mannwhitneyu(…, method="asymptotic")`. The first case is the example
    /// in its documentation.
    #[test]
    fn mann_whitney_u_and_p_equal_those_of_scipy() {
        for (first, second, u, p) in [
            (sample([19, 22, 16, 29, 24]), sample([20, 11, 17, 12]), 17.0, 0.111_346_886_533_140_41),
            (sample([1, 2, 2, 3, 3, 3, 4, 5]), sample([2, 3, 4, 4, 5, 5, 6, 6, 7]), 13.5, 0.031_758_957_148_063_71),
            (sample(1..=40), sample(6..=45), 612.5, 0.071_895_773_418_913_43),
            (sample([7; 4]), sample([7; 5]), 10.0, 1.0),
        ] {
            let test = MannWhitney::test(&first, &second).unwrap();
            assert_close(test.u, u);
            assert_close(test.p, p);
            assert_close(MannWhitney::test(&second, &first).unwrap().p, p);
        }
    }

    #[test]
    fn mann_whitney_test_rejects_an_empty_sample() {
        for (first, second) in [(sample([]), sample([1])), (sample([1]), sample([])), (sample([]), sample([]))] {
            assert_eq!(MannWhitney::test(&first, &second), Err(MannWhitneyUError::SampleTooSmall));
        }
    }

    /// The expected values are from `scipy.stats.ttest_ind(…, equal_var=False)`.
    #[test]
    fn welch_t_equals_that_of_scipy() {
        assert_close(welch_t(&sample([19, 22, 16, 29, 24]), &sample([20, 11, 17, 12])), 2.283_148_255_687_047_7);
        let (first, second) =
            ([27, 21, 22, 24, 26, 23, 19, 27, 22, 25], [30, 28, 23, 31, 26, 29, 28, 34, 25, 27, 29, 33]);
        assert_close(welch_t(&sample(first), &sample(second)), -3.995_198_868_329_389);
    }

    /// The smallest p-value is multiplied by the number of comparisons, the next one by one less, and so on. No
    /// corrected value is below the one before it.
    #[test]
    fn holm_correction_is_computed_as_published() {
        for (ps, expected) in [
            (&[0.01, 0.04, 0.03, 0.005][..], &[0.03, 0.06, 0.06, 0.02][..]),
            (&[0.6, 0.9], &[1.0, 1.0]),
            (&[0.02], &[0.02]),
            (&[], &[]),
        ] {
            let corrected = holm(ps);
            assert_eq!(corrected.len(), expected.len());
            corrected.iter().zip(expected).for_each(|(actual, expected)| assert_close(*actual, *expected));
        }
    }
}
