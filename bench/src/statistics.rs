//! The statistics that a verdict rests on.
//!
//! Owns quantiles, the Mann-Whitney U test, Holm's correction and Welch's t; each is held against what `scipy` says.
//! Knows nothing of what was measured.

use std::time::Duration;

/// Times in order of size.
#[derive(Clone, Debug)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// Puts times in order.
    #[must_use]
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that so many per cent stay under, between two of them where it falls there; none are zero.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let position = self.len().saturating_sub(1) * percent;
        let at = |index: usize| self.0.get(index).or(self.0.last()).copied().unwrap_or_default();
        let (below, above) = (at(position / 100), at(position / 100 + 1));
        let hundredths = u32::try_from(position % 100).unwrap_or_default();
        below + above.saturating_sub(below) * hundredths / 100
    }

    /// The one in the middle.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.percentile(50)
    }
}

/// What a Mann-Whitney U test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// In how many pairs the first is the longer one; equal ones count half.
    pub u: f64,
    /// How probable so large a difference is where there is none.
    pub p: f64,
}

impl MannWhitney {
    /// The two-sided test, by the normal approximation, corrected for ties and for continuity: good from about twenty
    /// on.
    #[must_use]
    pub fn test(first: &Sample, second: &Sample) -> Self {
        let marked = first.0.iter().map(|time| (time, true)).chain(second.0.iter().map(|time| (time, false)));
        let mut marked: Vec<_> = marked.collect();
        marked.sort_unstable();
        let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0.0);
        for equal in marked.chunk_by(|a, b| a.0 == b.0) {
            let size = float(equal.len());
            let rank = before + f64::midpoint(size, 1.0);
            rank_sum += rank * float(equal.iter().filter(|(_, is_first)| *is_first).count());
            ties += size.powi(3) - size;
            before += size;
        }
        let (m, n, all) = (float(first.len()), float(second.len()), before);
        let u = rank_sum - m * (m + 1.0) / 2.0;
        let deviation = (m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)))).sqrt();
        let z = ((u - m * n / 2.0).abs() - 0.5).max(0.0) / deviation;
        // All times equal: no deviation, and no difference.
        Self { u, p: if deviation > 0.0 { libm::erfc(z / 2.0_f64.sqrt()) } else { 1.0 } }
    }
}

/// Holm's correction: each p as it has to be read among the others, so that any one of them is below a bound by chance
/// no more often than the bound says.
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

/// Welch's t: by how many standard errors two means differ.
#[must_use]
pub fn welch_t(first: &Sample, second: &Sample) -> f64 {
    let [(mean, error), (other_mean, other_error)] = [first, second].map(|sample| {
        let n = float(sample.len());
        let mean = sample.0.iter().map(Duration::as_secs_f64).sum::<f64>() / n;
        let squares: f64 = sample.0.iter().map(|time| (time.as_secs_f64() - mean).powi(2)).sum();
        (mean, squares / (n - 1.0) / n)
    });
    (mean - other_mean) / (error + other_error).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "nobody measures 2^52 times")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(secs: impl IntoIterator<Item = u64>) -> Sample {
        Sample::new(secs.into_iter().map(Duration::from_secs).collect())
    }

    fn assert_close(is: f64, expected: f64) {
        assert!((is - expected).abs() < 1e-12, "{is} and not {expected}");
    }

    /// `numpy.percentile`.
    #[test]
    fn percentiles_are_those_of_numpy() {
        let [even, odd] = [sample([4, 1, 3, 2]), sample([50, 15, 40, 20, 35])];
        let of = |sample: &Sample| [25, 50, 75, 95].map(|percent| sample.percentile(percent).as_millis());
        assert_eq!(of(&even), [1750, 2500, 3250, 3850]);
        assert_eq!(of(&odd), [20_000, 35_000, 40_000, 48_000]);
        assert_eq!((odd.percentile(100).as_secs(), sample([]).median()), (50, Duration::ZERO));
    }

    /// `scipy.stats.mannwhitneyu(…, method="asymptotic")`; the first is the example of its documentation.
    #[test]
    fn u_and_p_are_those_of_scipy() {
        for (first, second, u, p) in [
            (sample([19, 22, 16, 29, 24]), sample([20, 11, 17, 12]), 17.0, 0.111_346_886_533_140_41),
            (sample([1, 2, 2, 3, 3, 3, 4, 5]), sample([2, 3, 4, 4, 5, 5, 6, 6, 7]), 13.5, 0.031_758_957_148_063_71),
            (sample(1..=40), sample(6..=45), 612.5, 0.071_895_773_418_913_43),
            (sample([7; 4]), sample([7; 5]), 10.0, 1.0),
        ] {
            let test = MannWhitney::test(&first, &second);
            assert_close(test.u, u);
            assert_close(test.p, p);
            assert_close(MannWhitney::test(&second, &first).p, p);
        }
    }

    /// `scipy.stats.ttest_ind(…, equal_var=False)`.
    #[test]
    fn t_is_that_of_scipy() {
        assert_close(welch_t(&sample([19, 22, 16, 29, 24]), &sample([20, 11, 17, 12])), 2.283_148_255_687_047_7);
        let (first, second) =
            ([27, 21, 22, 24, 26, 23, 19, 27, 22, 25], [30, 28, 23, 31, 26, 29, 28, 34, 25, 27, 29, 33]);
        assert_close(welch_t(&sample(first), &sample(second)), -3.995_198_868_329_389);
    }

    /// Holm (1979): the smallest is multiplied by all, the next by one less, and none falls below one before it.
    #[test]
    fn the_correction_is_holms() {
        for (ps, expected) in [
            (&[0.01, 0.04, 0.03, 0.005][..], &[0.03, 0.06, 0.06, 0.02][..]),
            (&[0.6, 0.9], &[1.0, 1.0]),
            (&[0.02], &[0.02]),
            (&[], &[]),
        ] {
            let corrected = holm(ps);
            assert_eq!(corrected.len(), expected.len());
            corrected.iter().zip(expected).for_each(|(is, expected)| assert_close(*is, *expected));
        }
    }
}
