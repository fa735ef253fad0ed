//! Random times: arrivals of a day, and log-normal durations.

use fastrand::Rng;
use statrs::distribution::{ContinuousCDF as _, Normal};

use super::inputs::Spread;

/// Microseconds since midnight.
pub(super) type Micros = u64;

/// Microseconds of a second.
pub(super) const SECOND: Micros = 1_000_000;

/// Microseconds of an hour.
pub(super) const HOUR: Micros = 3600 * SECOND;

/// Microseconds of a day.
pub(super) const DAY: Micros = 24 * HOUR;

const MINUTE: Micros = 60 * SECOND;

/// Converts milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and a duration is short")]
#[must_use]
pub(super) fn micros(ms: f64) -> Micros {
    (ms * 1e3).round() as Micros
}

/// Converts to seconds.
#[expect(clippy::cast_precision_loss, reason = "a time of the day has fewer than 53 bits")]
#[must_use]
pub(super) fn seconds(time: Micros) -> f64 {
    time as f64 / 1e6
}

/// A log-normal distribution as a table of equally likely values.
pub(super) struct Durations(Vec<Micros>);

impl Durations {
    const VALUES: u16 = 4096;

    /// Makes the table.
    #[must_use]
    pub(super) fn new(spread: Spread) -> Self {
        let normal = Normal::standard();
        let sigma = (spread.p99 / spread.median).ln() / normal.inverse_cdf(0.99);
        let quantile = |step| normal.inverse_cdf((f64::from(step) + 0.5) / f64::from(Self::VALUES));
        Self((0..Self::VALUES).map(|step| micros(spread.median * (sigma * quantile(step)).exp())).collect())
    }

    /// Returns a random duration.
    pub(super) fn sample(&self, rng: &mut Rng) -> Micros {
        self.0[rng.usize(..self.0.len())]
    }
}

/// Random arrivals: a Poisson process whose rate changes every minute.
pub(super) struct Arrivals<R> {
    rate: R,
    rng: Rng,
    at: Micros,
}

impl<R: Fn(Micros) -> f64> Arrivals<R> {
    /// Returns the arrivals of a day with this rate a second.
    pub(super) fn new(rate: R, rng: Rng) -> Self {
        Self { rate, rng, at: 0 }
    }
}

impl<R: Fn(Micros) -> f64> Iterator for Arrivals<R> {
    type Item = Micros;

    /// Returns the next arrival. At the end of a minute it draws again, because a Poisson process has no memory.
    fn next(&mut self) -> Option<Micros> {
        while self.at < DAY {
            let (rate, end) = ((self.rate)(self.at), (self.at / MINUTE + 1) * MINUTE);
            let gap = if rate > 0.0 { micros(-(1.0 - self.rng.f64()).ln() / rate * 1e3) } else { DAY };
            if self.at + gap < end {
                self.at += gap;
                return Some(self.at);
            }
            self.at = end;
        }
        None
    }
}

/// Returns the rate a second at a time, for `total` requests a day. The weight of an hour is the rate in its middle.
/// Between two middles, the rate changes evenly.
#[must_use]
pub(super) fn rate(hours: &[f64; 24], total: f64, at: Micros) -> f64 {
    let position = seconds(at + DAY - HOUR / 2) / 3600.0;
    let hour = usize::try_from((at + DAY - HOUR / 2) / HOUR).unwrap_or_default();
    let share = position - position.floor();
    let weight = hours[hour % 24] * (1.0 - share) + hours[(hour + 1) % 24] * share;
    weight / hours.iter().sum::<f64>() * total / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: [f64; 24] =
        [1., 1., 1., 1., 1., 1., 2., 3., 4., 5., 6., 5., 4., 5., 4., 3., 4., 5., 6., 7., 5., 3., 2., 1.];

    #[test]
    fn arrivals_follow_the_rate_of_the_hour() {
        let total = 200_000.0;
        let times: Vec<_> = Arrivals::new(|at| rate(&HOURS, total, at), Rng::with_seed(1)).collect();
        assert!(times.is_sorted() && times.last() < Some(&DAY));
        assert!((f64::from(u32::try_from(times.len()).unwrap()) / total - 1.0).abs() < 0.01, "{}", times.len());
        let in_hour = |hour| times.iter().filter(|&&at| at / HOUR == hour).count();
        assert!(in_hour(19) > 5 * in_hour(2), "{} {}", in_hour(19), in_hour(2));
    }

    #[test]
    fn durations_have_the_median_and_the_99th_percentile_of_their_spread() {
        let durations = Durations::new(Spread { median: 4.0, p99: 15.0 });
        let mut rng = Rng::with_seed(1);
        let mut samples: Vec<_> = (0..100_000).map(|_| durations.sample(&mut rng)).collect();
        samples.sort_unstable();
        let at = |index: usize| seconds(samples[index]) * 1e3;
        assert!((at(50_000) - 4.0).abs() < 0.1 && (at(99_000) - 15.0).abs() < 1.0, "{} {}", at(50_000), at(99_000));
    }
}
