//! Tests whether the time to reject a refresh token reveals how much of its signature is right (R15).
//!
//! Owns the tokens, the order of the measurements and the verdict. The method is that of dudect (Reparaz, Balasch and
//! Verbauwhede, 2017), with a single test over the fastest 90 % of the times. Leaves the output to `bin/timing.rs`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::id::{SessionId, UserId};
use shared::token::{Generation, Signer, Subject, Verifier, refresh_ttl};

use crate::statistics::{Sample, welch_t};

/// The absolute value of Welch's t must be below this limit to pass (R15).
const MAX_T: f64 = 4.5;

/// Times above this percentile are dropped: other processes interrupted most of these measurements.
const CROP_PERCENTILE: usize = 90;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WARM_UP: usize = 10_000;
/// Large enough that no single token affects the result.
const TOKENS: usize = 4096;

/// The times to reject tokens whose signature is wrong in one byte.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The times for tokens with a wrong first byte.
    pub first: Sample,
    /// The times for tokens with a wrong last byte.
    pub last: Sample,
    /// Welch's t of the two samples.
    pub t: f64,
}

impl Outcome {
    /// Returns `true` if the time does not distinguish the two kinds of tokens (R15).
    #[must_use]
    pub fn passes(&self) -> bool {
        self.t.abs() < MAX_T
    }
}

/// Measures the time to reject a token and returns the two samples.
///
/// Each measurement chooses at random which byte is wrong. It copies the token into one buffer, so that all tokens are
/// read from the same address. With `is_broken`, each measurement includes a comparison that stops at the first
/// difference, so that the verdict should fail.
///
/// # Errors
/// If a token cannot be signed, or if a wrong token is accepted.
pub fn run(measurements: usize, is_broken: bool, mut progress: impl FnMut(usize)) -> Result<Outcome> {
    let env = Environment::new(testbed::settings(&[]));
    let verifier = Verifier::for_refresh_tokens(&env)?;
    let tokens = (0..TOKENS).map(|_| Trial::new(&env)).collect::<Result<Vec<_>>>()?;
    let mut times = [Vec::new(), Vec::new()];
    let mut presented = Vec::new();
    for measurement in 0..WARM_UP + measurements {
        let kind = usize::from(fastrand::bool());
        let trial = &tokens[fastrand::usize(..TOKENS)];
        presented.clear();
        presented.extend_from_slice(trial.wrong[kind].as_bytes());
        let started = Instant::now();
        let verdict = black_box(verifier.verify(black_box(&presented), NOW));
        if is_broken {
            black_box(first_difference(&presented, trial.right.as_bytes()));
        }
        let took = started.elapsed();
        ensure!(verdict.is_err(), "the verifier accepted a token with a wrong signature");
        if measurement >= WARM_UP {
            times[kind].push(took);
        }
        progress((measurement + 1) * 100 / (WARM_UP + measurements));
    }
    let limit = Sample::new(times.concat()).percentile(CROP_PERCENTILE);
    let [first, last] = times.map(|times| cropped(times, limit));
    let t = welch_t(&first, &last);
    Ok(Outcome { first, last, t })
}

/// A valid refresh token, and two copies of it with one wrong byte in the signature: the first byte and the last.
struct Trial {
    right: String,
    wrong: [String; 2],
}

impl Trial {
    fn new(env: &Environment) -> Result<Self> {
        let (signer, user_id, session_id) = (Signer::from_env(env)?, UserId::random()?, SessionId::random()?);
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let expires_at = NOW + refresh_ttl(env)?;
        let generation = Generation { number: 1, kid: &signer.refresh_kid(NOW), issued_at: NOW, expires_at };
        let right = signer.refresh(&subject, &generation)?.expose().to_owned();
        Verifier::for_refresh_tokens(env)?.verify(right.as_bytes(), NOW)?;
        let (message, signature) = right.rsplit_once('.').context("the token has no signature")?;
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        let wrong = [0, signature.len() - 1].map(|place| {
            let mut signature = signature.clone();
            signature[place] ^= fastrand::u8(1..);
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        });
        Ok(Self { right, wrong })
    }
}

/// Compares in variable time, which is unsafe for secrets.
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
    fn trial_has_a_wrong_first_or_last_signature_byte() {
        let env = Environment::new(testbed::settings(&[]));
        let trial = Trial::new(&env).unwrap();
        let signature = |token: &str| URL_SAFE_NO_PAD.decode(token.rsplit_once('.').unwrap().1).unwrap();
        let right = signature(&trial.right);
        for (wrong, place) in trial.wrong.iter().zip([0, 31]) {
            let different: Vec<_> = signature(wrong).iter().zip(&right).map(|(a, b)| a != b).collect();
            assert_eq!(different.iter().position(|differs| *differs), Some(place));
            assert_eq!(different.iter().filter(|differs| **differs).count(), 1);
        }
    }

    #[test]
    fn t_at_or_above_the_limit_fails() {
        let sample = |from: u64| Sample::new((from..from + 1000).map(Duration::from_nanos).collect());
        for (first, last, passes) in [(1000, 1000, true), (1000, 1050, true), (1000, 1100, false), (1100, 1000, false)]
        {
            let (first, last) = (sample(first), sample(last));
            let t = welch_t(&first, &last);
            assert_eq!(Outcome { first, last, t }.passes(), passes, "{t}");
        }
    }
}
