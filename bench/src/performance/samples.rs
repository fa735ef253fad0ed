//! The samples of a measurement, in blocks.
//!
//! A block measures each subject once, one after another. So a disturbance of the machine affects all subjects, and a
//! ratio is computed between times of the same blocks.

use std::time::Duration;

use super::Measurement;
use crate::statistics::Sample;

/// How often the blocks are resampled for a confidence interval.
const RESAMPLES: usize = 1000;

/// What was measured of a subject in one block.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The times.
    pub times: Vec<Duration>,
    /// The CPU time of one start or call.
    pub cpu: Option<Duration>,
    /// The peak memory of the process in MiB.
    pub peak_mib: Option<f64>,
}

/// The blocks of a subject.
#[derive(Clone, Debug)]
pub struct Series {
    /// The scenario.
    pub scenario: &'static str,
    /// The subject.
    pub subject: String,
    /// What is measured.
    pub what: &'static str,
    /// The blocks, in the order of the run.
    pub blocks: Vec<Block>,
}

/// What a ratio compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The median time.
    Time,
    /// The median of the peak memory.
    Memory,
}

impl Series {
    /// Returns percentiles of all blocks, and medians of the CPU time and of the memory.
    #[must_use]
    pub fn measurement(&self) -> Measurement {
        let sample = Sample::new(self.blocks.iter().flat_map(|block| block.times.iter().copied()).collect());
        let [p50_ms, p90_ms, p99_ms] = [50, 90, 99].map(|percent| rounded(millis(sample.percentile(percent)), 3));
        let cpu: Vec<_> = self.blocks.iter().filter_map(|block| block.cpu.map(millis)).collect();
        let peak: Vec<_> = self.blocks.iter().filter_map(|block| block.peak_mib).collect();
        Measurement {
            scenario: self.scenario.to_owned(),
            subject: self.subject.clone(),
            what: self.what.to_owned(),
            count: sample.len(),
            p50_ms,
            p90_ms,
            p99_ms,
            cpu_ms: median(cpu).map(|cpu| rounded(cpu, 3)),
            peak_mib: median(peak).map(|peak| rounded(peak, 1)),
        }
    }

    fn median(&self, metric: Metric, blocks: &[usize]) -> Option<f64> {
        let chosen = blocks.iter().filter_map(|&block| self.blocks.get(block));
        match metric {
            Metric::Time => median(chosen.flat_map(|block| block.times.iter().copied().map(millis)).collect()),
            Metric::Memory => median(chosen.filter_map(|block| block.peak_mib).collect()),
        }
    }
}

/// Returns the quotient of two medians and its 95 % confidence interval, or `None` without samples. The interval comes
/// from resampling the blocks with replacement (bootstrap). The seed is fixed.
#[must_use]
pub fn quotient(above: &Series, below: &Series, metric: Metric) -> Option<(f64, [f64; 2])> {
    let count = above.blocks.len().min(below.blocks.len());
    let of = |blocks: &[usize]| Some(above.median(metric, blocks)? / below.median(metric, blocks)?);
    let value = of(&(0..count).collect::<Vec<_>>())?;
    let mut random = fastrand::Rng::with_seed(1);
    let resampled = (0..RESAMPLES).filter_map(|_| of(&(0..count).map(|_| random.usize(0..count)).collect::<Vec<_>>()));
    let mut resampled: Vec<_> = resampled.collect();
    resampled.sort_by(f64::total_cmp);
    let at = |index: usize| resampled.get(index).copied();
    let interval = [at(resampled.len() / 40)?, at(resampled.len() - 1 - resampled.len() / 40)?];
    Some((rounded(value, 3), interval.map(|end| rounded(end, 3))))
}

/// Rounds to this number of decimals.
#[must_use]
pub fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (value * factor).round() / factor
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    Some(if values.len().is_multiple_of(2) { f64::midpoint(lower, upper) } else { upper })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(blocks: &[&[u64]]) -> Series {
        let block = |times: &&[u64]| Block {
            times: times.iter().copied().map(Duration::from_millis).collect(),
            ..Block::default()
        };
        Series { scenario: "warm", subject: "s".into(), what: "w", blocks: blocks.iter().map(block).collect() }
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_quotient_of_medians_has_an_interval_of_zero_width_only_without_noise() {
        let (two, four) = (series(&[&[2, 2, 9], &[2, 2, 2]]), series(&[&[4, 4, 4], &[4, 4, 4]]));
        assert_eq!(quotient(&four, &two, Metric::Time), Some((2.0, [2.0, 2.0])));
        let noisy = series(&[&[4, 4], &[6, 6], &[8, 8], &[10, 10]]);
        let (value, [low, high]) =
            quotient(&noisy, &series(&[&[2, 2]; 4].map(|block| &block[..])), Metric::Time).unwrap();
        assert!(low < value && value < high, "{low} {value} {high}");
        assert_eq!(quotient(&four, &two, Metric::Memory), None);
    }

    /// A slow block slows both subjects, so the ratio stays.
    #[test]
    fn a_disturbance_of_a_block_does_not_widen_the_interval() {
        let (below, above) = (series(&[&[2], &[20], &[2], &[2]]), series(&[&[4], &[40], &[4], &[4]]));
        assert_eq!(quotient(&above, &below, Metric::Time), Some((2.0, [2.0, 2.0])));
    }

    #[test]
    fn a_measurement_has_the_percentiles_of_all_blocks() {
        let Measurement { count, p50_ms, p99_ms, cpu_ms, .. } = series(&[&[1, 2], &[3]]).measurement();
        assert_eq!((count, p50_ms, p99_ms, cpu_ms), (3, 2.0, 2.98, None));
    }
}
