//! Password hashes, as a table holds them or somebody brings them along (R11, R12, R13): a password, a line feed, the hash.
//!
//! What is accepted must cost no more than the caps that are documented, by a second reading of its parameters; have one form
//! only; and be one that a password can be compared with, in the time that its parameters say. What is refused must match
//! nothing. Only what is cheap is computed: the caps themselves take seconds.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::FutureExt as _;
use fuzz::config;
use libfuzzer_sys::fuzz_target;
use shared::passwords::{Hasher, Password, PasswordHash, Verdict};

/// A quarter of the 512 MiB that the function has.
const LARGEST_KIB: u64 = 128 * 1024;
/// What is computed, in estimated nanoseconds, and how long it may really take on a busy machine with everything counted.
const CHEAP: u64 = 1_000_000;
const AT_MOST: Duration = Duration::from_secs(2);

static HASHER: LazyLock<Hasher> = LazyLock::new(|| {
    Hasher::new(&config(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")])).expect("the settings are good")
});

fuzz_target!(|input: &[u8]| {
    let hasher = &*HASHER;
    let text = String::from_utf8_lossy(input);
    let (password, hash) = text.split_once('\n').unwrap_or(("password", &text));
    let Ok(password) = Password::new(password) else { return };
    let imported = hasher.import(hash);
    let stored: PasswordHash = serde_json::from_value(hash.into()).expect("any text is a stored hash");
    if imported.is_err() {
        // It costs a hash of ours: not each time.
        if hash.len() % 64 == 63 {
            assert!(matches!(verify(hasher, &password, &stored), Verdict::Unusable(_)));
        }
        return;
    }
    let nanoseconds = cost(hash).expect("a format with parameters that can be read");
    if nanoseconds <= CHEAP {
        let started = Instant::now();
        let verdict = verify(hasher, &password, &stored);
        assert!(matches!(verdict, Verdict::Wrong | Verdict::Outdated), "{verdict:?}");
        assert!(started.elapsed() < AT_MOST, "{:?}", started.elapsed());
    }
});

/// Each form of the password is compared, and each costs one hash (R19).
fn verify(hasher: &Hasher, password: &Password, stored: &PasswordHash) -> Verdict {
    let before = hasher.evaluations();
    let verdict = hasher.verify(password, Some(stored), Instant::now()).now_or_never().expect("nothing to wait for");
    assert!((1..=2).contains(&(hasher.evaluations() - before)));
    verdict
}

/// How long a hash takes, very roughly, once every parameter has been found within its cap.
fn cost(hash: &str) -> Option<u64> {
    let fields: Vec<_> = hash.split('$').collect();
    if hash.starts_with("$argon2") || hash.starts_with("argon2$") {
        return argon2(&fields);
    }
    if fields[0].starts_with("bcrypt") || matches!(fields.get(1), Some(&"2a" | &"2b" | &"2y")) {
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
    assert!(n <= 1 << 17 && (1..=8).contains(&r) && (1..=10).contains(&p), "scrypt: {n} {r} {p}");
    assert!(128 * n * r <= LARGEST_KIB * 1024, "scrypt: {n} {r}");
    Some(n * r * p * 400)
}

/// Also that it is written in the one form that there is.
fn argon2(fields: &[&str]) -> Option<u64> {
    let at = fields.iter().position(|field| field.starts_with("m="))?;
    let mut parameters = fields[at].split(',');
    let costs: Vec<_> = parameters.by_ref().take(3).collect();
    let [memory, passes, lanes] = numbers(&costs.join(","), ["m", "t", "p"])?;
    assert!((8..=LARGEST_KIB).contains(&memory), "Argon2: m={memory}");
    assert!((1..=10).contains(&passes) && (1..=16).contains(&lanes), "Argon2: t={passes},p={lanes}");
    let [salt, digest] = fields[at + 1..] else { panic!("no salt and hash at the end") };
    for (part, shortest) in [(salt, 8), (digest, 16)] {
        let bytes = STANDARD_NO_PAD.decode(part).expect("base64");
        assert!(bytes.len() >= shortest && STANDARD_NO_PAD.encode(&bytes) == part, "{part}");
    }
    Some(memory * passes * 400)
}

/// The values in `ln=14,r=8,p=1`, in this order and no others.
fn numbers<const N: usize>(text: &str, names: [&str; N]) -> Option<[u64; N]> {
    let pairs: Vec<_> = text.split(',').map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
    let values: Vec<_> = pairs
        .iter()
        .zip(names)
        .map(|((name, value), wanted)| plain(value).filter(|_| *name == wanted))
        .collect::<Option<_>>()?;
    values.try_into().ok().filter(|_| pairs.len() == N)
}

/// A number as it is written: what is read and written again is the same.
fn plain(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
