//! `cargo bench -p bench`: compares our password hasher with the crates `argon2` and `argon2-rust` at the same
//! parameters.
//!
//! Criterion measures each candidate by itself first. The table at the end is the result to rely on: it measures the
//! candidates in turn, so that background load affects all of them alike. The benchmark stops if two candidates compute
//! different digests. Leaves the percentiles to `bench::statistics`.

use std::hint::black_box;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use argon2_rust::params::Memory;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bench::statistics::Sample;
use criterion::{Criterion, SamplingMode};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::password::{Hasher, Password};

const PASSWORD: &str = "correct horse battery staple";
/// The number of passes that our hasher always makes.
const PASSES: u32 = 2;
const WARM_UP: usize = 5;
const ROUNDS: usize = 100;

/// One way to compute the hash of the password.
struct Candidate {
    name: &'static str,
    hash: Box<dyn FnMut() -> Result<Vec<u8>>>,
}

fn main() -> Result<()> {
    let env = Environment::new(testbed::settings(&[]));
    let (memory_kib, mut candidates) = candidates(&env)?;
    measure_with_criterion(&mut candidates);
    if std::env::args().any(|argument| argument == "--bench") {
        let samples = measure_in_turn(&mut candidates)?;
        print(memory_kib, &candidates, &samples)?;
    }
    Ok(())
}

/// Returns the memory of a hash in KiB, and the candidates: our hasher, then the crates. Our hasher makes the
/// parameters, the salt and the digest for all candidates.
fn candidates(env: &Environment) -> Result<(u32, Vec<Candidate>)> {
    let (hasher, password) = (Hasher::from_env(env)?, Password::new(PASSWORD)?);
    let phc = serde_json::to_value(hasher.hash(&password, Timestamp::now())?)?;
    let phc: Vec<_> = phc.as_str().context("the hash is not a string")?.split('$').collect();
    let [_, "argon2id", _, costs, salt, digest] = phc[..] else { bail!("the hash is not a PHC string of ours") };
    let (salt, digest) = (STANDARD_NO_PAD.decode(salt)?, STANDARD_NO_PAD.decode(digest)?);

    let memory_kib = costs.strip_prefix("m=").and_then(|costs| costs.strip_suffix(&format!(",t={PASSES},p=1")));
    let memory_kib = memory_kib.context("the hash has other parameters")?.parse()?;
    let params = Params::new(memory_kib, PASSES, 1, None)?;
    let (blocks, argon2) = (params.block_count(), Argon2::new(Algorithm::Argon2id, Version::V0x13, params));

    let mut others = vec![
        candidate("argon2, fresh memory", {
            let (argon2, salt) = (argon2.clone(), salt.clone());
            move || {
                let mut digest = vec![0; 32];
                argon2.hash_password_into(PASSWORD.as_bytes(), &salt, &mut digest)?;
                Ok(digest)
            }
        }),
        candidate("argon2, warm memory, not wiped", {
            let (salt, mut memory) = (salt.clone(), vec![Block::new(); blocks]);
            move || {
                let mut digest = vec![0; 32];
                argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), &salt, &mut digest, &mut memory)?;
                Ok(digest)
            }
        }),
        candidate("argon2-rust, warm memory, wiped", {
            let params =
                argon2_rust::Params::builder().memory(Memory::kib(memory_kib.into())).passes(PASSES).build()?;
            let algorithm = argon2_rust::Algorithm::Argon2id;
            let mut hasher = argon2_rust::Argon2::new(algorithm, argon2_rust::Version::V0x13, params).hasher();
            move || {
                let mut digest = vec![0; 32];
                hasher.hash_into(PASSWORD.as_bytes(), &salt, &mut digest)?;
                Ok(digest)
            }
        }),
    ];
    for other in &mut others {
        ensure!((other.hash)()? == digest, "{} computes another digest", other.name);
    }
    // Our hasher uses a new salt each time, so that only the first digest, above, can be compared.
    let ours = candidate("ours: warm memory, wiped", move || {
        black_box(hasher.hash(&password, Timestamp::now())?);
        Ok(digest.clone())
    });
    others.insert(0, ours);
    Ok((memory_kib, others))
}

fn candidate(name: &'static str, hash: impl FnMut() -> Result<Vec<u8>> + 'static) -> Candidate {
    Candidate { name, hash: Box::new(hash) }
}

fn measure_with_criterion(candidates: &mut [Candidate]) {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("argon2id");
    group.sampling_mode(SamplingMode::Flat).sample_size(50);
    for Candidate { name, hash } in candidates {
        group.bench_function(*name, |bencher| bencher.iter(&mut *hash));
    }
    group.finish();
    criterion.final_summary();
}

/// Measures each candidate once in each round. Each round starts with another candidate.
fn measure_in_turn(candidates: &mut [Candidate]) -> Result<Vec<Sample>> {
    let mut times = vec![Vec::new(); candidates.len()];
    let mut digest = None;
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..candidates.len() {
            let index = (turn + round) % candidates.len();
            let Candidate { name, hash } = &mut candidates[index];
            let started = Instant::now();
            let computed = black_box(hash()?);
            let took = started.elapsed();
            ensure!(*digest.get_or_insert_with(|| computed.clone()) == computed, "{name} computes another digest");
            if round >= WARM_UP {
                times[index].push(took);
            }
        }
    }
    Ok(times.into_iter().map(Sample::new).collect())
}

fn print(memory_kib: u32, candidates: &[Candidate], samples: &[Sample]) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "Argon2id, {memory_kib} KiB, {PASSES} passes, 1 lane; {ROUNDS} hashes each, in turn; times in ms")?;
    writeln!(out, "argon2-rust uses {:?}\n", argon2_rust::detected_backend())?;
    writeln!(out, "{:<32}{:>8}{:>8}{:>8}{:>8}", "", "q1", "median", "q3", "ratio")?;
    let ours = samples.first().map(Sample::median).unwrap_or_default();
    for (Candidate { name, .. }, sample) in candidates.iter().zip(samples) {
        let [q1, median, q3] = [25, 50, 75].map(|percent| millis(sample.percentile(percent)));
        let ratio = sample.median().div_duration_f64(ours);
        writeln!(out, "{name:<32}{q1:>8.2}{median:>8.2}{q3:>8.2}{ratio:>8.2}")?;
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
