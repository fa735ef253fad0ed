//! Whether the time of a refused token tells how much of its signature is right (R15).
//!
//! Owns the tokens, how they are mixed and the verdict: the method of dudect (Reparaz, Balasch and Verbauwhede, 2017),
//! with one test over the faster nine tenths. Knows nothing of where the outcome is shown.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::claims::{Kind, Subject};
use shared::clock::Timestamp;
use shared::config::Config;
use shared::id::{SessionId, UserId};
use shared::session::Generation;
use shared::tokens::{Signer, Verifier};

use crate::statistics::{Sample, welch_t};

/// The bound of R15.
const LARGEST_T: f64 = 4.5;

/// What takes longer than so many per cent do was interrupted by something else.
const CROPPED_AT: usize = 90;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WARM_UP: usize = 10_000;
/// So many that no single one of them can make a difference.
const TOKENS: usize = 4096;

/// What was measured: refused tokens whose signature is wrong in the first byte, and in the last.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Wrong in the first byte.
    pub first: Sample,
    /// Wrong in the last byte.
    pub last: Sample,
    /// Welch's t between the two.
    pub t: f64,
}

impl Outcome {
    /// Whether nobody could tell the two apart (R15).
    #[must_use]
    pub fn passes(&self) -> bool {
        self.t.abs() < LARGEST_T
    }
}

/// Measures so many refusals, of either kind at random. Every token is read from the same place in memory. Where the
/// test is to fail, a comparison follows that stops at the first difference.
///
/// # Errors
/// Where no token can be made, or one is accepted.
pub fn run(measurements: usize, is_broken: bool, mut progress: impl FnMut(usize)) -> Result<Outcome> {
    let config = Config::from_lookup(testbed::settings(&[]))?;
    let verifier = Verifier::new(&config);
    let tokens = (0..TOKENS).map(|_| Trial::new(&config)).collect::<Result<Vec<_>>>()?;
    let mut times = [Vec::new(), Vec::new()];
    let mut presented = Vec::new();
    for measurement in 0..WARM_UP + measurements {
        let kind = usize::from(fastrand::bool());
        let trial = &tokens[fastrand::usize(..TOKENS)];
        presented.clear();
        presented.extend_from_slice(trial.wrong[kind].as_bytes());
        let started = Instant::now();
        let verdict = black_box(verifier.verify(Kind::Refresh, black_box(&presented), NOW));
        if is_broken {
            black_box(first_difference(&presented, trial.right.as_bytes()));
        }
        let took = started.elapsed();
        ensure!(verdict.is_err(), "a token with a wrong signature was accepted");
        if measurement >= WARM_UP {
            times[kind].push(took);
        }
        progress((measurement + 1) * 100 / (WARM_UP + measurements));
    }
    let limit = Sample::new(times.concat()).percentile(CROPPED_AT);
    let [first, last] = times.map(|times| cropped(times, limit));
    let t = welch_t(&first, &last);
    Ok(Outcome { first, last, t })
}

/// A good refresh token, and two that are not.
struct Trial {
    right: String,
    wrong: [String; 2],
}

impl Trial {
    fn new(config: &Config) -> Result<Self> {
        let (signer, user_id, session_id) = (Signer::new(config), UserId::random()?, SessionId::random()?);
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let expires_at = NOW + config.refresh_ttl;
        let generation = Generation { number: 1, kid: signer.refresh_kid(), issued_at: NOW, expires_at };
        let right = signer.refresh(&subject, &generation)?.expose().to_owned();
        Verifier::new(config).verify(Kind::Refresh, right.as_bytes(), NOW)?;
        let (message, signature) = right.rsplit_once('.').context("a token has a signature")?;
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        let wrong = [0, signature.len() - 1].map(|place| {
            let mut signature = signature.clone();
            signature[place] ^= fastrand::u8(1..);
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        });
        Ok(Self { right, wrong })
    }
}

/// What nobody should compare secrets with.
fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    one.iter().zip(other).position(|(a, b)| black_box(a) != black_box(b))
}

fn cropped(mut times: Vec<Duration>, limit: Duration) -> Sample {
    times.retain(|time| *time <= limit);
    Sample::new(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_wrong_where_it_should_be() {
        let config = Config::from_lookup(testbed::settings(&[])).unwrap();
        let trial = Trial::new(&config).unwrap();
        let signature = |token: &str| URL_SAFE_NO_PAD.decode(token.rsplit_once('.').unwrap().1).unwrap();
        let right = signature(&trial.right);
        for (wrong, place) in trial.wrong.iter().zip([0, 31]) {
            let different: Vec<_> = signature(wrong).iter().zip(&right).map(|(a, b)| a != b).collect();
            assert_eq!(different.iter().position(|differs| *differs), Some(place));
            assert_eq!(different.iter().filter(|differs| **differs).count(), 1);
        }
    }

    #[test]
    fn a_difference_of_means_beyond_the_bound_fails() {
        let sample = |from: u64| Sample::new((from..from + 1000).map(Duration::from_nanos).collect());
        for (first, last, passes) in [(1000, 1000, true), (1000, 1050, true), (1000, 1100, false), (1100, 1000, false)]
        {
            let (first, last) = (sample(first), sample(last));
            let t = welch_t(&first, &last);
            assert_eq!(Outcome { first, last, t }.passes(), passes, "{t}");
        }
    }
}
