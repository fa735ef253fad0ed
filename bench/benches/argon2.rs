//! `cargo bench -p bench`: what a password hash costs, ours and those of others at the same parameters.
//!
//! Owns who is compared, and the comparison that counts: one after the other in turn, so that a slow minute of the
//! machine befalls all alike. Criterion measures each by itself before that. What makes another digest is not compared
//! at all.

use std::hint::black_box;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bench::statistics::Sample;
use criterion::{Criterion, SamplingMode};
use reference::Build;
use shared::config::Config;
use shared::passwords::{Hasher, Password};

const PASSWORD: &str = "correct horse battery staple";
const WARM_UP: usize = 5;
const ROUNDS: usize = 100;

/// One way to compute the hash of the password.
struct Contender {
    name: &'static str,
    hash: Box<dyn FnMut() -> Result<Vec<u8>>>,
}

fn main() -> Result<()> {
    let config = Config::from_lookup(testbed::settings(&[]))?;
    let mut contenders = contenders(&config)?;
    measured_by_criterion(&mut contenders);
    if std::env::args().any(|argument| argument == "--bench") {
        let samples = interleaved(&mut contenders)?;
        print(&config, &contenders, &samples)?;
    }
    Ok(())
}

/// Ours first: it makes the salt and the digest that all others are held against.
fn contenders(config: &Config) -> Result<Vec<Contender>> {
    let (hasher, password) = (Hasher::new(config)?, Password::new(PASSWORD)?);
    let phc = serde_json::to_value(hasher.hash(&password)?)?;
    let phc: Vec<_> = phc.as_str().context("a hash is a text")?.split('$').collect();
    let [_, "argon2id", _, _, salt, digest] = phc[..] else { bail!("that is no hash of ours") };
    let (salt, digest) = (STANDARD_NO_PAD.decode(salt)?, STANDARD_NO_PAD.decode(digest)?);

    let (kib, passes) = (config.hash_memory_kib, config.hash_iterations);
    let params = Params::new(kib, passes, 1, None)?;
    let (blocks, argon2) = (params.block_count(), Argon2::new(Algorithm::Argon2id, Version::V0x13, params));

    let mut others = vec![
        contender("argon2, fresh memory", {
            let (argon2, salt) = (argon2.clone(), salt.clone());
            move || {
                let mut digest = vec![0; 32];
                argon2.hash_password_into(PASSWORD.as_bytes(), &salt, &mut digest)?;
                Ok(digest)
            }
        }),
        contender("argon2, warm memory, not wiped", {
            let (salt, mut memory) = (salt.clone(), vec![Block::new(); blocks]);
            move || {
                let mut digest = vec![0; 32];
                argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), &salt, &mut digest, &mut memory)?;
                Ok(digest)
            }
        }),
    ];
    for build in Build::available() {
        let name = match build {
            Build::Plain => "C reference, plain, warm, wiped",
            Build::Avx2 => "C reference, AVX2, warm, wiped",
        };
        let salt = salt.clone();
        others.push(contender(name, move || {
            let digest = reference::argon2id(build, kib, passes, PASSWORD.as_bytes(), &salt);
            Ok(digest.context("the reference refuses")?.to_vec())
        }));
    }
    for other in &mut others {
        ensure!((other.hash)()? == digest, "{} makes another digest", other.name);
    }
    // Its salt is another each time, so its digest is checked here only.
    let ours = contender("ours: warm memory, wiped", move || {
        black_box(hasher.hash(&password)?);
        Ok(digest.clone())
    });
    others.insert(0, ours);
    Ok(others)
}

fn contender(name: &'static str, hash: impl FnMut() -> Result<Vec<u8>> + 'static) -> Contender {
    Contender { name, hash: Box::new(hash) }
}

fn measured_by_criterion(contenders: &mut [Contender]) {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("argon2id");
    group.sampling_mode(SamplingMode::Flat).sample_size(50);
    for Contender { name, hash } in contenders {
        group.bench_function(*name, |bencher| bencher.iter(&mut *hash));
    }
    group.finish();
    criterion.final_summary();
}

/// In every round each comes once, and another one comes first.
fn interleaved(contenders: &mut [Contender]) -> Result<Vec<Sample>> {
    let mut times = vec![Vec::new(); contenders.len()];
    let mut digest = None;
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            let Contender { name, hash } = &mut contenders[index];
            let started = Instant::now();
            let computed = black_box(hash()?);
            let took = started.elapsed();
            ensure!(*digest.get_or_insert_with(|| computed.clone()) == computed, "{name} makes another digest");
            if round >= WARM_UP {
                times[index].push(took);
            }
        }
    }
    Ok(times.into_iter().map(Sample::new).collect())
}

fn print(config: &Config, contenders: &[Contender], samples: &[Sample]) -> Result<()> {
    let (kib, passes) = (config.hash_memory_kib, config.hash_iterations);
    let mut out = io::stdout();
    writeln!(out, "Argon2id, {kib} KiB, {passes} passes, 1 lane; {ROUNDS} hashes each, in turn; times in ms\n")?;
    writeln!(out, "{:<32}{:>8}{:>8}{:>8}{:>8}", "", "q1", "median", "q3", "ratio")?;
    let ours = samples.first().map(Sample::median).unwrap_or_default();
    for (Contender { name, .. }, sample) in contenders.iter().zip(samples) {
        let [q1, median, q3] = [25, 50, 75].map(|percent| millis(sample.percentile(percent)));
        let ratio = sample.median().div_duration_f64(ours);
        writeln!(out, "{name:<32}{q1:>8.2}{median:>8.2}{q3:>8.2}{ratio:>8.2}")?;
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
