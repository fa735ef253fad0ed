//! Password hashes as a table stores them or an operator imports them (R11, R12, R13). The input is a password, a line
//! feed and the hash.
//!
//! An accepted hash must cost no more than the documented caps, by a second reading of its parameters. It must have
//! only one notation, and a password must be comparable with it, in the time that its parameters say. No password
//! matches a rejected hash. Only cheap hashes are computed, because one at the caps takes seconds.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::FutureExt as _;
use fuzz::env;
use libfuzzer_sys::fuzz_target;
use shared::clock::Timestamp;
use shared::password::{Comparison, Hasher, Password, PasswordHash};

/// A quarter of the function's memory, which is 512 MiB.
const MAX_KIB: u64 = 128 * 1024;
/// The largest estimated cost in nanoseconds of a hash that is computed.
const CHEAP: u64 = 1_000_000;
/// The longest real time of such a hash, on a busy machine.
const MAX_TIME: Duration = Duration::from_secs(2);

static HASHER: LazyLock<Hasher> =
    LazyLock::new(|| Hasher::from_env(&env(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")])).expect("good settings"));

fuzz_target!(|input: &[u8]| {
    let hasher = &*HASHER;
    let text = String::from_utf8_lossy(input);
    let (password, hash) = text.split_once('\n').unwrap_or(("password", &text));
    let Ok(password) = Password::new(password) else { return };
    let imported = hasher.import(hash);
    let stored: PasswordHash = serde_json::from_value(hash.into()).expect("any text is a stored hash");
    if imported.is_err() {
        // This costs one hash of ours, so that it is not done for each input.
        if hash.len() % 64 == 63 {
            assert!(matches!(verify(hasher, &password, &stored), Comparison::Unusable(_)));
        }
        return;
    }
    let nanoseconds = cost(hash).expect("an accepted hash has readable parameters");
    if nanoseconds <= CHEAP {
        let started = Instant::now();
        let comparison = verify(hasher, &password, &stored);
        assert!(matches!(comparison, Comparison::Wrong | Comparison::Outdated), "{comparison:?}");
        assert!(started.elapsed() < MAX_TIME, "{:?}", started.elapsed());
    }
});

/// Compares a password with a hash. Asserts that each Unicode form of the password costs one hash (R19).
fn verify(hasher: &Hasher, password: &Password, stored: &PasswordHash) -> Comparison {
    let before = hasher.evaluations();
    let comparison = hasher
        .verify(password, Some(stored), Timestamp::now(), Instant::now())
        .now_or_never()
        .expect("PASSWORD_CHECK_MS is 0");
    assert!((1..=2).contains(&(hasher.evaluations() - before)));
    comparison
}

/// Asserts that every parameter is within its cap. Returns a rough estimate of the time of the hash in nanoseconds.
fn cost(hash: &str) -> Option<u64> {
    let fields: Vec<_> = hash.split('$').collect();
    if hash.starts_with("$argon2") || hash.starts_with("argon2$") {
        return argon2(&fields);
    }
    if fields[0].starts_with("bcrypt") || matches!(fields.get(1), Some(&"2a" | &"2b" | &"2y" | &"wp")) {
        let cost = fields.iter().find(|field| field.len() == 2 && field.bytes().all(|byte| byte.is_ascii_digit()))?;
        let cost: u32 = cost.parse().ok()?;
        assert!((4..=15).contains(&cost), "bcrypt: {cost}");
        return Some(60_000 << cost);
    }
    if let Some(rounds) = hash.strip_prefix("$P$").or_else(|| hash.strip_prefix("$H$")) {
        let log2 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".find(rounds.chars().next()?)?;
        assert!((7..=20).contains(&log2), "phpass: {log2}");
        return Some(300 << log2);
    }
    if hash.starts_with("$6$") {
        let rounds = fields[2].strip_prefix("rounds=").map_or(Some(5000), plain)?;
        assert!((1000..=1_000_000).contains(&rounds), "SHA-512 crypt: {rounds}");
        return Some(rounds * 1000);
    }
    let name = if fields[0].is_empty() { fields.get(1)? } else { fields.first()? };
    if name.starts_with("pbkdf2") {
        let parameters = fields[if fields[0].is_empty() { 2 } else { 1 }];
        let iterations = plain(parameters).or_else(|| plain(parameters.strip_prefix("i=")?.split(',').next()?))?;
        assert!((1..=10_000_000).contains(&iterations), "PBKDF2: {iterations}");
        return Some(iterations * 1000);
    }
    let (n, r, p) = match &fields[..] {
        ["scrypt", n, _, r, p, _] => (plain(n)?, plain(r)?, plain(p)?),
        ["", "scrypt" | "firescrypt", parameters, ..] => {
            let [log2, r, p] = numbers(parameters, ["ln", "r", "p"])?;
            (1_u64.checked_shl(log2.try_into().ok()?)?, r, p)
        }
        _ => return None,
    };
    assert!(n <= 1 << 17 && (1..=16).contains(&r) && (1..=10).contains(&p), "scrypt: {n} {r} {p}");
    assert!(n * r <= 1 << 20, "scrypt: {n} {r}");
    assert!(128 * n * r <= MAX_KIB * 1024, "scrypt: {n} {r}");
    Some(n * r * p * 400)
}

/// Does the same for Argon2. Asserts also that salt and digest have the only notation.
fn argon2(fields: &[&str]) -> Option<u64> {
    let at = fields.iter().position(|field| field.starts_with("m="))?;
    let mut parameters = fields[at].split(',');
    let costs: Vec<_> = parameters.by_ref().take(3).collect();
    let [memory, passes, lanes] = numbers(&costs.join(","), ["m", "t", "p"])?;
    assert!((8..=MAX_KIB).contains(&memory), "Argon2: m={memory}");
    assert!((1..=10).contains(&passes) && (1..=16).contains(&lanes), "Argon2: t={passes},p={lanes}");
    let [salt, digest] = fields[at + 1..] else { panic!("the hash does not end with salt and digest") };
    for (part, shortest) in [(salt, 8), (digest, 16)] {
        let bytes = STANDARD_NO_PAD.decode(part).expect("base64");
        assert!(bytes.len() >= shortest && STANDARD_NO_PAD.encode(&bytes) == part, "{part}");
    }
    Some(memory * passes * 400)
}

/// Returns the numbers in a text such as `ln=14,r=8,p=1`, or `None` unless it has exactly these names in this order.
fn numbers<const N: usize>(text: &str, names: [&str; N]) -> Option<[u64; N]> {
    let pairs: Vec<_> = text.split(',').map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
    let values: Vec<_> = pairs
        .iter()
        .zip(names)
        .map(|((name, value), wanted)| plain(value).filter(|_| *name == wanted))
        .collect::<Option<_>>()?;
    values.try_into().ok().filter(|_| pairs.len() == N)
}

/// Returns a number in its only notation: without a sign and without leading zeros.
fn plain(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
