use std::collections::HashSet;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn hasher(changes: &[(&str, &str)]) -> Hasher {
    Hasher::from_env(&Environment::new(testbed::settings(changes))).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn compare(hasher: &Hasher, text: &str, stored: &PasswordHash) -> Comparison {
    hasher.compare(&password(text), &hasher.parse(&stored.0).map(Some), NOW)
}

/// R1.
#[test]
fn a_hash_is_argon2id_with_the_configured_cost_and_its_own_salt() {
    let hasher = hasher(&[]);
    let stored: Vec<_> = (0..8).map(|_| hasher.hash(&password("1234"), NOW).unwrap().0).collect();
    assert!(stored.iter().all(|hash| hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")), "{stored:?}");
    let read: Vec<_> = stored.iter().map(|hash| Argon::parse(hash, u32::MAX).unwrap()).collect();
    assert!(read.iter().all(|hash| hash.salt.len() >= 16 && hash.digest.len() == 32));
    let salts: HashSet<_> = read.iter().map(|hash| &hash.salt).collect();
    assert_eq!(salts.len(), stored.len());
}

/// R1. Draws the salts without computing the hashes.
#[test]
fn a_thousand_salts_are_all_different() {
    let salts: HashSet<[u8; 16]> = (0..1000).map(|_| random().unwrap()).collect();
    assert_eq!(salts.len(), 1000);
}

/// R5, R7: every byte counts, also at the end of a long password and after a NUL.
#[test]
fn only_the_right_password_matches() {
    let hasher = hasher(&[]);
    let long = "p".repeat(1000);
    let (of_72, of_4096) = ("q".repeat(72), "r".repeat(4096));
    for (right, wrong) in [
        ("correct horse", &["", "correct hors", "correct horse ", "Correct horse", "correct horse\0"][..]),
        ("ab\0cd", &["ab", "ab\0ce"]),
        (&of_72, &[&"q".repeat(71), &"q".repeat(73)]),
        (&long, &[&"p".repeat(1001), &"p".repeat(999)]),
        (&of_4096, &[&"r".repeat(4095)]),
        (&"\u{e9}".repeat(64), &[&"\u{e9}".repeat(63), &"e".repeat(64)]),
        ("\u{1f511}\u{fe0f}", &["\u{1f511}"]),
    ] {
        let hash = hasher.hash(&password(right), NOW).unwrap();
        assert_eq!(compare(&hasher, right, &hash), Comparison::Right, "{right:?}");
        for wrong in wrong {
            assert_eq!(compare(&hasher, wrong, &hash), Comparison::Wrong, "{wrong:?}");
        }
    }
}

/// R5.
#[test]
fn a_password_above_4_kib_is_rejected_before_it_is_hashed() {
    assert!(matches!(Password::new(&"x".repeat(4097)), Err(Error::InvalidRequest(_))));
    assert!(matches!(Password::new(&"\u{e9}".repeat(2049)), Err(Error::InvalidRequest(_))));
}

/// R7.
#[test]
fn composed_and_decomposed_letters_are_the_same_password() {
    let hasher = hasher(&[]);
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    for one in [composed, decomposed] {
        let hash = hasher.hash(&password(one), NOW).unwrap();
        for other in [composed, decomposed] {
            assert_eq!(compare(&hasher, other, &hash), Comparison::Right, "{one:?} {other:?}");
        }
    }
}

/// R3: another algorithm, other parameters, or another Unicode form.
#[test]
fn a_hash_that_differs_from_a_new_one_is_outdated() {
    let today = hasher(&[]);
    let at_another_cost = hasher(&[("HASH_MEMORY_KIB", "20000")]).hash(&password("1234"), NOW).unwrap();
    assert_eq!(compare(&today, "1234", &at_another_cost), Comparison::Outdated);
    assert_eq!(compare(&today, "1235", &at_another_cost), Comparison::Wrong);
    for foreign in [
        "$argon2id$v=19$m=19456,t=2,p=2$c29tZXNhbHRzb21lc2FsdA$",
        "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
        "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$",
        "$argon2id$v=19$m=19456,t=2,p=1,data=c29tZQ$c29tZXNhbHRzb21lc2FsdA$",
    ] {
        let blank = Argon::parse(&format!("{foreign}{}", STANDARD_NO_PAD.encode([0; 32])), u32::MAX).unwrap();
        let digest = blank.compute(b"1234", &today.memory).unwrap();
        let hash = today.import(&format!("{foreign}{}", STANDARD_NO_PAD.encode(digest))).unwrap();
        assert_eq!(compare(&today, "1234", &hash), Comparison::Outdated, "{foreign}");
    }
    let decomposed = ours(&today.params, vec![7; 16], vec![0; 32]).compute("e\u{301}".as_bytes(), &today.memory);
    let (salt, digest) = (STANDARD_NO_PAD.encode([7; 16]), STANDARD_NO_PAD.encode(decomposed.unwrap()));
    let imported = today.import(&format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}")).unwrap();
    assert_eq!(compare(&today, "e\u{301}", &imported), Comparison::Outdated);
    assert_eq!(compare(&today, "\u{e9}", &imported), Comparison::Wrong, "the composed form was never hashed");
}

#[tokio::test]
async fn no_password_matches_without_a_hash() {
    let hasher = hasher(&[]);
    for text in ["", "1234"] {
        assert_eq!(hasher.verify(&password(text), None, NOW, Instant::now()).await, Comparison::Wrong);
    }
}

/// R18: the decoy is computed like any other hash. A password with two Unicode forms is compared twice in both cases.
#[test]
fn verifying_costs_the_same_with_and_without_a_stored_hash() {
    let hasher = hasher(&[("HASH_MEMORY_KIB", "20000")]);
    let hash = hasher.hash(&password("1234"), NOW).unwrap();
    let Stored::Argon(decoy) = &hasher.decoy else { panic!("not Argon2") };
    let ours = Argon::parse(&hash.0, u32::MAX).unwrap();
    assert_eq!((decoy.algorithm, decoy.version), (ours.algorithm, ours.version));
    assert_eq!(decoy.params.block_count(), ours.params.block_count());
    assert_eq!((decoy.salt.len(), decoy.digest.len()), (ours.salt.len(), ours.digest.len()));
    let unusable = PasswordHash("1234".into());
    for stored in [None, Some(&hash), Some(&unusable)] {
        for (text, cost) in [("1235", 1), ("e\u{301}", 2)] {
            let before = hasher.evaluations();
            hasher.compare(&password(text), &stored.map(|hash| hasher.parse(&hash.0)).transpose(), NOW);
            assert_eq!(hasher.evaluations() - before, cost, "{stored:?}");
        }
    }
}

/// R19.
#[tokio::test]
async fn verifying_takes_at_least_the_configured_time() {
    let hasher = hasher(&[("PASSWORD_CHECK_MS", "300")]);
    let hash = hasher.hash(&password("1234"), NOW).unwrap();
    for stored in [None, Some(&hash), Some(&PasswordHash("1234".into()))] {
        for (text, least) in [("1234", 300), ("1235", 300), ("e\u{301}", 600)] {
            let started = Instant::now();
            hasher.verify(&password(text), stored, NOW, Instant::now()).await;
            assert!(started.elapsed() >= Duration::from_millis(least), "{stored:?}");
        }
    }
}

/// R19.
#[tokio::test]
async fn a_hash_that_is_slower_than_the_configured_time_is_an_event() {
    let ours = hasher(&[]).hash(&password("1234"), NOW).unwrap();
    let imported = PasswordHash("$2b$04$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m".into());
    for (floor, hash, reported) in [("0", &imported, 1), ("0", &ours, 0), ("3000", &imported, 0)] {
        let (hasher, log) = (hasher(&[("PASSWORD_CHECK_MS", floor)]), testbed::Log::start());
        hasher.verify(&password("4321"), Some(hash), NOW, Instant::now()).await;
        assert_eq!(log.events("slow_password_hash").len(), reported, "{floor} {hash:?}");
    }
}

const PEPPERS: [&str; 2] = ["first-pepper-0123456789-0123456789", "other-pepper-9876543210-9876543210"];

/// R14.
#[test]
fn a_pepper_can_be_rotated_and_the_hash_names_its_pepper() {
    let [first, other] = PEPPERS;
    let plain = hasher(&[]);
    let peppered = hasher(&[("PASSWORD_PEPPER", first)]);
    let changed = hasher(&[("PASSWORD_PEPPER", &testbed::key_set("PASSWORD_PEPPER", &[first, other], &[]))]);
    let lost = hasher(&[("PASSWORD_PEPPER", other)]);

    let (old, hash) = (plain.hash(&password("1234"), NOW).unwrap(), peppered.hash(&password("1234"), NOW).unwrap());
    assert_eq!(compare(&peppered, "1234", &old), Comparison::Outdated, "hashed without a pepper");
    assert_eq!(compare(&peppered, "1234", &hash), Comparison::Right);
    assert_eq!(compare(&peppered, "1235", &hash), Comparison::Wrong);
    assert_eq!(compare(&changed, "1234", &hash), Comparison::Outdated);
    assert!(matches!(compare(&lost, "1234", &hash), Comparison::Unusable(_)));
    assert!(matches!(compare(&plain, "1234", &hash), Comparison::Unusable(_)));

    let renewed = changed.hash(&password("1234"), NOW).unwrap();
    assert_eq!(compare(&lost, "1234", &renewed), Comparison::Right, "hashed with the new pepper");
    let forged = renewed.0.split(",keyid=").next().unwrap().to_owned() + &renewed.0[renewed.0.find("$v=19").unwrap()..];
    assert!(!matches!(compare(&lost, "1234", &PasswordHash(forged)), Comparison::Right));
    assert!(hash.0.contains(",keyid=") && !hash.0.contains(first));
}

/// R14: no instance uses the first pepper for new hashes before all instances have it.
#[test]
fn a_first_pepper_only_verifies_until_it_signs() {
    let set = testbed::key_set("PASSWORD_PEPPER", &[PEPPERS[0]], &[]);
    let set = set.replace(r#""sign_from":0"#, r#""sign_from":1800000001"#);
    let previous = hasher(&[("PASSWORD_PEPPER", &set)]);
    let peppered = hasher(&[("PASSWORD_PEPPER", PEPPERS[0])]).hash(&password("1234"), NOW).unwrap();
    assert_eq!(compare(&previous, "1234", &peppered), Comparison::Outdated);
    let plain = previous.hash(&password("1234"), NOW).unwrap();
    assert!(!plain.0.contains("keyid"));
    assert!(previous.hash(&password("1234"), NOW + Duration::from_secs(1)).unwrap().0.contains("keyid"));
    assert_eq!(compare(&previous, "1234", &plain), Comparison::Right);
}

/// R14.
#[test]
fn a_peppered_digest_is_not_the_output_of_argon2() {
    let peppered = hasher(&[("PASSWORD_PEPPER", PEPPERS[0])]);
    let hash = peppered.hash(&password("1234"), NOW).unwrap();
    let read = Argon::parse(&hash.0, u32::MAX).unwrap();
    assert_ne!(read.compute(b"1234", &peppered.memory).unwrap(), read.digest);
}

/// Checks the memory that the instance keeps. The second hash needs more, so it gets new blocks and does not use the
/// kept memory.
#[test]
fn the_kept_memory_is_blank_after_a_hash() {
    let memory = Memory::new(16).unwrap();
    let blank =
        Argon::parse(&format!("$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ${}", STANDARD_NO_PAD.encode([0; 32])), 64);
    blank.unwrap().compute(b"1234", &memory).unwrap();
    assert!(memory.is_blank());
    let larger =
        Argon::parse(&format!("$argon2id$v=19$m=32,t=1,p=1$c29tZXNhbHQ${}", STANDARD_NO_PAD.encode([0; 32])), 64);
    let first = larger.unwrap().compute(b"1234", &memory).unwrap();
    assert!(memory.is_blank() && first != [0; 32]);
}

/// The setting that stops the start.
fn rejected(changes: &[(&str, &str)]) -> &'static str {
    match Hasher::from_env(&Environment::new(testbed::settings(changes))) {
        Err(Error::Setting { name, .. }) => name,
        other => panic!("{changes:?} gave {:?}", other.map(drop)),
    }
}

/// R2.
#[test]
fn a_cost_below_the_floor_stops_the_start() {
    for memory in ["0", "4096", "19455"] {
        assert_eq!(rejected(&[("HASH_MEMORY_KIB", memory)]), "HASH_MEMORY_KIB");
    }
    for memory in ["19456", "65536"] {
        hasher(&[("HASH_MEMORY_KIB", memory)]);
    }
}

/// F32.
#[test]
fn a_cost_above_a_quarter_of_the_memory_stops_the_start() {
    hasher(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"), ("HASH_MEMORY_KIB", "131072")]);
    let on_512_mb = [("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"), ("HASH_MEMORY_KIB", "131073")];
    assert_eq!(rejected(&on_512_mb), "HASH_MEMORY_KIB");
    assert_eq!(rejected(&[("HASH_MEMORY_KIB", "1048577")]), "HASH_MEMORY_KIB");
}

/// R97.
#[test]
fn passwords_and_hashes_are_never_printed() {
    let hash = hasher(&[]).hash(&password("hunter42"), NOW).unwrap();
    assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    assert!(!format!("{:?}", password("hunter42")).contains("hunter42"));
}
