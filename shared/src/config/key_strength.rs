//! Which secrets are none.
//!
//! Owns what a signing key must be besides secret: long enough, drawn at random as far as one can see, and nobody's example.
//! Whoever knows the key signs tokens of any user, so a key that can be guessed refuses to start.

/// The fewest bytes of a secret: as many as the hash of HS256 has (R37; RFC 7518 §3.2).
const SHORTEST: usize = 32;

/// The fewest different characters, of those that are plain ASCII. In 32 random bytes as text there are fewer once in more starts than there will ever be.
const FEWEST_CHARACTERS: usize = 10;

/// What examples and defaults of other projects say, in lower case and without the signs between words: as a secret, or as
/// part of one (R38). All of them are found in public code by the hundreds.
const KNOWN: [&str; 24] = [
    // Words that say what is to be put in their place.
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
    // What the pages of jwt.io, FastAPI, Flask, Better Auth and Supabase show, and tutorials for Spring and ASP.NET.
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
    // What fingers type.
    "qwertyuiop",
    "abcdefghijklmnop",
    "passwordpassword",
];

/// What is wrong with a secret, without a word of it; nothing where it will do.
#[must_use]
pub fn problem(secret: &str) -> Option<&'static str> {
    let bytes = secret.as_bytes();
    if bytes.len() < SHORTEST {
        return Some("must have at least 32 bytes: `openssl rand -base64 32` makes one");
    }
    let mut characters: Vec<_> = bytes.iter().filter(|byte| byte.is_ascii_graphic()).collect();
    characters.sort_unstable();
    characters.dedup();
    // Only a repetition looks the same a while further on.
    let repeats = |period| bytes.iter().zip(bytes.iter().skip(period)).all(|(one, other)| one == other);
    let repeats = (1..=bytes.len() / 2).any(repeats);
    if characters.len() < FEWEST_CHARACTERS || repeats {
        return Some("can be guessed: `openssl rand -base64 32` makes one that cannot");
    }
    let plain: String =
        secret.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect();
    KNOWN
        .iter()
        .any(|known| plain.contains(known))
        .then_some("is an example that others know: `openssl rand -base64 32` makes one of your own")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R37.
    #[test]
    fn a_secret_shorter_than_its_hash_is_none() {
        for length in [0, 1, 31] {
            assert!(problem(&"aB3+xY9/kLm0qWz".repeat(3)[..length]).unwrap().contains("at least 32 bytes"), "{length}");
        }
        assert_eq!(problem("aB3+xY9/kLm0qWzR5tUvN2hJcPdEfGi7"), None);
    }

    /// R37, R38.
    #[test]
    fn a_secret_that_repeats_itself_is_none() {
        for guess in ["a", "0", "\0", "abc", "0123456789", "0123456789abcdef", "correct-horse-battery-staple-"] {
            assert!(problem(&guess.repeat(40)).unwrap().contains("can be guessed"), "{guess}");
            assert!(problem(&guess.repeat(80)[..70]).unwrap().contains("can be guessed"), "{guess}, cut off");
        }
    }

    /// R38.
    #[test]
    fn an_example_of_others_is_no_secret() {
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
            assert!(problem(example).unwrap().contains("example that others know"), "{example}");
        }
    }

    #[test]
    fn what_openssl_draws_is_a_secret() {
        for drawn in [
            "q0ZkzLr3cGd5mJp7TtYxNfVb1WsHuEa9OiKo2QlRwUc=",
            "f3b1a9c07d5e4826b0c9d8e7f6a51423f3b1a9c07d5e4826b0c9d8e7f6a51420",
        ] {
            assert_eq!(problem(drawn), None);
        }
    }
}
