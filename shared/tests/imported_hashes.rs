//! Imported password hashes: correct ones from the test suites of other projects, and malformed ones.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::password::{Comparison, Hasher, Password};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// `imported_hashes.json`. The file names the source of each entry.
#[derive(Deserialize)]
struct Corpus {
    correct: Vec<Entry>,
    malformed: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    format: String,
    hash: String,
    #[serde(default)]
    password: String,
}

fn corpus() -> Corpus {
    serde_json::from_str(include_str!("imported_hashes.json")).unwrap()
}

fn hasher(changes: &[(&str, &str)]) -> Hasher {
    Hasher::from_env(&Environment::new(testbed::settings(changes))).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

/// Returns the password with another 18th character, or with another last one if it is shorter. The change is within
/// the first 72 bytes, because bcrypt ignores the rest (R6).
fn changed(text: &str) -> String {
    let mut chars: Vec<_> = text.chars().take(18).collect();
    match chars.pop() {
        Some('x') => chars.push('y'),
        _ => chars.push('x'),
    }
    chars.into_iter().chain(text.chars().skip(18)).collect()
}

/// R13.
#[tokio::test]
async fn every_known_hash_matches_its_password_and_no_other() {
    let hasher = hasher(&[]);
    let formats = [
        ("argon2", 39),
        ("bcrypt", 28),
        ("django_argon2", 5),
        ("django_bcrypt", 7),
        ("django_bcrypt_sha256", 10),
        ("django_pbkdf2_sha1", 4),
        ("django_pbkdf2_sha256", 4),
        ("django_scrypt", 3),
        ("firescrypt", 3),
        ("pbkdf2_phc_sha1", 3),
        ("pbkdf2_phc_sha256", 2),
        ("pbkdf2_phc_sha512", 4),
        ("pbkdf2_sha1", 2),
        ("pbkdf2_sha256", 2),
        ("pbkdf2_sha512", 2),
        ("phpass", 11),
        ("scrypt", 10),
        ("sha512_crypt", 18),
        ("wordpress", 5),
    ];
    let corpus = corpus();
    for (format, count) in formats {
        assert_eq!(corpus.correct.iter().filter(|entry| entry.format == format).count(), count, "{format}");
    }
    for Entry { format, hash, password: right } in &corpus.correct {
        if hash.starts_with("$scrypt$ln=10,r=8,p=16$") {
            assert!(hasher.import(hash).is_err(), "this vector of the scrypt paper has more lanes than R12 allows");
            continue;
        }
        let stored = hasher.import(hash).unwrap_or_else(|error| panic!("{format} {hash}: {error}"));
        let comparison = hasher.verify(&password(right), Some(&stored), NOW, Instant::now()).await;
        assert_eq!(comparison, Comparison::Outdated, "{format} {hash}");
        let wrong = hasher.verify(&password(&changed(right)), Some(&stored), NOW, Instant::now()).await;
        assert_eq!(wrong, Comparison::Wrong, "{format} {hash}");
    }
}

/// R11: an import rejects it. If it is stored anyway, no password matches it, and nothing panics.
#[tokio::test]
async fn a_malformed_hash_is_not_imported_and_matches_no_password() {
    let hasher = hasher(&[]);
    let corpus = corpus();
    assert!(corpus.malformed.len() > 500);
    let imported: Vec<_> = corpus.malformed.iter().filter(|entry| hasher.import(&entry.hash).is_ok()).collect();
    let imported: Vec<_> = imported.iter().map(|entry| format!("{} {:?}", entry.format, entry.hash)).collect();
    assert!(imported.is_empty(), "{imported:#?}");
    for Entry { format, hash, .. } in corpus.malformed.iter().step_by(10) {
        let stored = serde_json::from_value(hash.as_str().into()).unwrap();
        let before = hasher.evaluations();
        let comparison = hasher.verify(&password("password"), Some(&stored), NOW, Instant::now()).await;
        assert!(matches!(comparison, Comparison::Unusable(_)), "{format} {hash:?}: {comparison:?}");
        assert_eq!(hasher.evaluations() - before, 1, "the cost is one hash");
    }
}

/// R12: a hash that would use up the memory or the time of the function is rejected before it is computed.
#[test]
fn a_hash_that_costs_too_much_is_rejected_at_once() {
    let (small, large) = (hasher(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")]), hasher(&[]));
    let argon =
        |params| format!("$argon2id$v=19${params}$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g");
    let bcrypt = |cost| format!("$2b${cost}$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m");
    let scrypt = |params| format!("$scrypt${params}$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g");
    let pbkdf2 = |rounds| format!("$pbkdf2-sha256${rounds}$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g");
    let pbkdf2_of =
        |bytes: usize| format!("$pbkdf2-sha256$i=1000$c29tZXNhbHQ${}", STANDARD_NO_PAD.encode(vec![7; bytes]));
    let firebase =
        |params| format!("$firescrypt${params}$c2FsdA==$c29tZWhhc2hzb21laGFzaA==$Bw==$c29tZWhhc2hzb21laGFzaA==");
    let crypt = |rounds| format!("$6$rounds={rounds}$JvTuqzqw9bQ8iBl6${}", "A".repeat(85) + ".");
    let phpass = |rounds| format!("$P${rounds}12345678{}", "A".repeat(21) + ".");
    let cases = [
        (argon("m=131072,t=2,p=1"), true, true),
        (argon("m=131073,t=2,p=1"), false, true),
        (argon("m=1048576,t=2,p=1"), false, true),
        (argon("m=1048577,t=2,p=1"), false, false),
        (argon("m=4294967295,t=2,p=1"), false, false),
        (argon("m=19456,t=10,p=16"), true, true),
        (argon("m=19456,t=11,p=1"), false, false),
        (argon("m=19456,t=2,p=17"), false, false),
        (bcrypt("15"), true, true),
        (bcrypt("16"), false, false),
        (bcrypt("31"), false, false),
        (scrypt("ln=17,r=8,p=10"), true, true),
        (scrypt("ln=18,r=8,p=1"), false, false),
        (scrypt("ln=17,r=9,p=1"), false, false),
        (scrypt("ln=16,r=16,p=10"), true, true),
        (scrypt("ln=17,r=16,p=1"), false, false),
        (scrypt("ln=14,r=16,p=1"), true, true),
        (scrypt("ln=14,r=17,p=1"), false, false),
        (scrypt("ln=17,r=8,p=11"), false, false),
        (firebase("ln=17,r=8,p=1"), true, true),
        (firebase("ln=18,r=8,p=1"), false, false),
        (firebase("ln=17,r=16,p=1"), false, false),
        (pbkdf2("10000000"), true, true),
        (pbkdf2("10000001"), false, false),
        (pbkdf2_of(32), true, true),
        (pbkdf2_of(33), false, false),
        (crypt("1000000"), true, true),
        (crypt("1000001"), false, false),
        (phpass("I"), true, true),
        (phpass("J"), false, false),
    ];
    let started = Instant::now();
    for (hash, fits_small, fits_large) in &cases {
        assert_eq!(small.import(hash).is_ok(), *fits_small, "{hash} in a function with 512 MB");
        assert_eq!(large.import(hash).is_ok(), *fits_large, "{hash} without a known memory size");
    }
    assert!(started.elapsed() < Duration::from_secs(1), "a hash was computed");
    let wordpress = |cost| format!("$wp$2y${cost}$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m");
    assert!(large.import(&wordpress("15")).is_ok() && large.import(&wordpress("16")).is_err());
    let tiny = hasher(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]);
    assert!(tiny.import(&scrypt("ln=15,r=8,p=1")).is_ok() && tiny.import(&scrypt("ln=16,r=8,p=1")).is_err());
}

/// R12, R32: phpass and SHA-512 crypt hash the whole password in every round, so that a long password would take
/// minutes.
#[tokio::test]
async fn a_password_over_128_bytes_never_matches_phpass_or_sha512_crypt() {
    let (longest, longer) = ("p".repeat(128), "p".repeat(129));
    let phpass = "$P$I12345678".to_owned() + &"A".repeat(21) + ".";
    let crypt = "$6$rounds=1000000$JvTuqzqw9bQ8iBl6$".to_owned() + &"A".repeat(85) + ".";
    let hasher = hasher(&[]);
    for hash in [phpass, crypt] {
        let stored = hasher.import(&hash).unwrap();
        let (started, before) = (Instant::now(), hasher.evaluations());
        assert_eq!(hasher.verify(&password(&longer), Some(&stored), NOW, Instant::now()).await, Comparison::Wrong);
        assert!(started.elapsed() < Duration::from_millis(500), "{hash}: {:?}", started.elapsed());
        assert_eq!(hasher.evaluations() - before, 1, "the cost is one hash, as for an unknown user");
        assert_eq!(hasher.verify(&password(&longest), Some(&stored), NOW, Instant::now()).await, Comparison::Wrong);
        assert!(started.elapsed() < Duration::from_secs(20), "{hash}: {:?}", started.elapsed());
    }
}

/// R6: bcrypt ignores everything after 72 bytes. An imported user may have a longer password. A hash of ours covers all
/// bytes.
#[tokio::test]
async fn an_imported_bcrypt_hash_compares_only_72_bytes() {
    let hasher = hasher(&[]);
    let of_80 = hasher.import(&bcrypt::hash("a".repeat(80), 4).unwrap()).unwrap();
    for (length, comparison) in
        [(71, Comparison::Wrong), (72, Comparison::Outdated), (73, Comparison::Outdated), (80, Comparison::Outdated)]
    {
        assert_eq!(
            hasher.verify(&password(&"a".repeat(length)), Some(&of_80), NOW, Instant::now()).await,
            comparison,
            "{length}"
        );
    }
    let ours = hasher.hash(&password(&"a".repeat(72)), NOW).unwrap();
    assert_eq!(hasher.verify(&password(&"a".repeat(72)), Some(&ours), NOW, Instant::now()).await, Comparison::Right);
    assert_eq!(
        hasher.verify(&password(&"a".repeat(80)), Some(&ours), NOW, Instant::now()).await,
        Comparison::Wrong,
        "our hash covers all bytes"
    );
}

/// R6, R7: `WordPress` gives bcrypt a digest of the password, so that every byte counts.
#[tokio::test]
async fn every_byte_of_a_password_counts_with_a_wordpress_hash() {
    let hasher = hasher(&[]);
    let corpus = corpus();
    let entry = corpus.correct.iter().find(|entry| entry.format == "wordpress" && entry.password.len() == 100).unwrap();
    let (stored, right) = (hasher.import(&entry.hash).unwrap(), &entry.password);
    for (typed, comparison) in [
        (right.clone(), Comparison::Outdated),
        (right[..72].to_owned(), Comparison::Wrong),
        (right[..99].to_owned(), Comparison::Wrong),
        (format!("{right}\0{right}"), Comparison::Wrong),
    ] {
        assert_eq!(hasher.verify(&password(&typed), Some(&stored), NOW, Instant::now()).await, comparison, "{typed:?}");
    }
}

/// R7: for bcrypt alone, "ab" and "ab\0ab" are the same password, because it repeats a password with a NUL at its end.
#[tokio::test]
async fn a_nul_counts_in_a_password_with_a_bcrypt_hash() {
    let hasher = hasher(&[]);
    let stored = hasher.import(&bcrypt::hash("ab", 4).unwrap()).unwrap();
    for (typed, comparison) in
        [("ab", Comparison::Outdated), ("ab\0ab", Comparison::Wrong), ("ab\0", Comparison::Wrong)]
    {
        let before = hasher.evaluations();
        assert_eq!(hasher.verify(&password(typed), Some(&stored), NOW, Instant::now()).await, comparison, "{typed:?}");
        assert_eq!(hasher.evaluations() - before, 1, "{typed:?}");
    }
}

/// R19: the number of hashes does not depend on whether the first form is right.
#[tokio::test]
async fn a_password_with_two_unicode_forms_always_costs_two_hashes() {
    let hasher = hasher(&[]);
    let stored = hasher.import(&bcrypt::hash("e\u{301}", 4).unwrap()).unwrap();
    for (typed, comparison) in [("e\u{301}", Comparison::Outdated), ("a\u{301}", Comparison::Wrong)] {
        let before = hasher.evaluations();
        assert_eq!(hasher.verify(&password(typed), Some(&stored), NOW, Instant::now()).await, comparison, "{typed:?}");
        assert_eq!(hasher.evaluations() - before, 2, "{typed:?}");
    }
}

/// R7: another system may have hashed the password as it was typed, or its composed form (NFC).
#[tokio::test]
async fn an_imported_hash_is_compared_with_the_typed_and_the_composed_form() {
    let hasher = hasher(&[]);
    let (composed, decomposed) = ("caf\u{e9} caf\u{e9}", "cafe\u{301} cafe\u{301}");
    for made_of in [composed, decomposed] {
        let stored = hasher.import(&bcrypt::hash(made_of, 4).unwrap()).unwrap();
        assert_eq!(
            hasher.verify(&password(decomposed), Some(&stored), NOW, Instant::now()).await,
            Comparison::Outdated,
            "{made_of:?}"
        );
        let by_composed = hasher.verify(&password(composed), Some(&stored), NOW, Instant::now()).await;
        assert_eq!(by_composed == Comparison::Outdated, made_of == composed);
    }
}
