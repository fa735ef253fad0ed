//! Rejects weak signing keys.
//!
//! Owns what a secret must be: long enough, random as far as a program can tell, and not an example from public code.
//! Anyone who guesses a signing key can sign tokens for every user. Therefore a weak key stops the cold start (R37,
//! R38).

/// The fewest bytes of a secret: the output size of HS256 (R37; RFC 7518 §3.2).
const MIN_BYTES: usize = 32;

/// The fewest different visible ASCII characters. 32 random bytes as text practically never have fewer.
const MIN_DIFFERENT_CHARACTERS: usize = 10;

/// Parts of examples and defaults of other projects, in lower case and without punctuation (R38). Public code has
/// hundreds of copies of each.
const PUBLIC_EXAMPLES: [&str; 24] = [
    // Placeholders.
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "yoursecret",
    "mysecret",
    "supersecret",
    "topsecret",
    "secretkey",
    "jwtsecret",
    "djangoinsecure",
    // Examples of jwt.io, FastAPI, Flask, Better Auth and Supabase, and of tutorials for Spring and ASP.NET.
    "astringsecretatleast",
    "your256bitsecret",
    "betterauthsecret123456789",
    "tokenwithatleast32characters",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",
    "413f4428472b4b6250655368566d5970337336763979244226452948404d6351",
    "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
    "bezkoder",
    // Keyboard patterns.
    "qwertyuiop",
    "abcdefghijklmnop",
    "passwordpassword",
];

/// How texts begin that stand in the place of a secret by mistake: ARNs, JSON, PEM, and files with a byte order mark.
/// An ARN would be a key that an attacker can guess.
const DOCUMENTS: [&str; 6] = ["arn:", "[", "{", "\"", "-----", "\u{feff}"];

/// Returns the weakness of a secret, without any part of it, or `None` if the secret is strong enough.
#[must_use]
pub fn weakness(secret: &str) -> Option<&'static str> {
    let bytes = secret.as_bytes();
    if DOCUMENTS.iter().any(|beginning| secret.trim_start().starts_with(beginning)) {
        return Some("is an ARN or a document, and not a secret");
    }
    if bytes.len() < MIN_BYTES {
        return Some("must have at least 32 bytes: `openssl rand -base64 32` makes one");
    }
    if different_characters(bytes) < MIN_DIFFERENT_CHARACTERS || is_repetition(bytes) {
        return Some("can be guessed: `openssl rand -base64 32` makes one that cannot");
    }
    let alphanumeric = secret.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = alphanumeric.map(|character| character.to_ascii_lowercase()).collect();
    let is_example = PUBLIC_EXAMPLES.iter().any(|example| plain.contains(example));
    is_example.then_some("is a public example: `openssl rand -base64 32` makes one of your own")
}

/// Counts the different visible ASCII characters.
fn different_characters(bytes: &[u8]) -> usize {
    let mut characters: Vec<_> = bytes.iter().filter(|byte| byte.is_ascii_graphic()).collect();
    characters.sort_unstable();
    characters.dedup();
    characters.len()
}

/// Returns `true` if the bytes repeat one part, which may be cut off at the end.
fn is_repetition(bytes: &[u8]) -> bool {
    let has_period = |period| bytes.iter().zip(bytes.iter().skip(period)).all(|(one, other)| one == other);
    (1..=bytes.len() / 2).any(has_period)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R37, F28.
    #[test]
    fn an_arn_or_a_document_is_no_secret() {
        let random = "q8Zk2LxV0sTn5WcR7yBd1MfH4gJp9Ae3uGiKo6Qw8Xz1Yv";
        assert_eq!(weakness(random), None);
        for text in [
            format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{random}"),
            format!(" arn:aws:secretsmanager:{random}"),
            format!("[{{\"secret\":\"{random}\"}}]"),
            format!("\u{feff}{{\"keys\":[]}}{random}"),
            format!("\"{random}\""),
            format!("-----BEGIN PRIVATE KEY-----\n{random}"),
        ] {
            assert_eq!(weakness(&text), Some("is an ARN or a document, and not a secret"), "{text}");
        }
    }

    /// R37.
    #[test]
    fn a_secret_of_fewer_than_32_bytes_is_weak() {
        for length in [0, 1, 31] {
            assert!(
                weakness(&"aB3+xY9/kLm0qWz".repeat(3)[..length]).unwrap().contains("at least 32 bytes"),
                "{length}"
            );
        }
        assert_eq!(weakness("aB3+xY9/kLm0qWzR5tUvN2hJcPdEfGi7"), None);
    }

    /// R37, R38.
    #[test]
    fn a_secret_that_repeats_a_part_is_weak() {
        for guess in ["a", "0", "\0", "abc", "0123456789", "0123456789abcdef", "correct-horse-battery-staple-"] {
            assert!(weakness(&guess.repeat(40)).unwrap().contains("can be guessed"), "{guess}");
            assert!(weakness(&guess.repeat(80)[..70]).unwrap().contains("can be guessed"), "{guess}, cut off");
        }
    }

    /// R38.
    #[test]
    fn a_public_example_is_weak() {
        for example in [
            "a-string-secret-at-least-256-bits-long",
            "your-256-bit-secret-your-256-bit-secret!",
            "super-secret-jwt-token-with-at-least-32-characters-long",
            "better-auth-secret-12345678901234567890",
            "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
            "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
            "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
            "413F4428472B4B6250655368566D5970337336763979244226452948404D6351",
            "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
            "======================BezKoder=Spring===========================",
            "ThisIsMySecretKeyForJwtTokens-1234567",
            "django-insecure-k3%2v!x8q@7z^m1&p4*w9(b6)n",
            "CHANGE_ME_to_at_least_32_bytes_please",
            "please-replace-me-with-32-random-bytes",
            "qwertyuiopasdfghjklzxcvbnm1234567890",
            "abcdefghijklmnopqrstuvwxyz0123456789",
        ] {
            assert!(weakness(example).unwrap().contains("public example"), "{example}");
        }
    }

    #[test]
    fn a_secret_from_openssl_is_strong() {
        for random in [
            "q0ZkzLr3cGd5mJp7TtYxNfVb1WsHuEa9OiKo2QlRwUc=",
            "f3b1a9c07d5e4826b0c9d8e7f6a51423f3b1a9c07d5e4826b0c9d8e7f6a51420",
        ] {
            assert_eq!(weakness(random), None);
        }
    }
}
