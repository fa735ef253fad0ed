//! Spellings of password hashes: what other systems write for a hash that login verifies.
//!
//! A hash is rewritten only if its salt, its parameters and its digest stay the same. Anything else is left as it is.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value;

/// Returns a hash in the spelling that login knows. Returns any other text unchanged.
pub(crate) fn respell(hash: &str) -> Cow<'_, str> {
    let rewritten = if hash.starts_with("scrypt:") || hash.starts_with("pbkdf2:") {
        werkzeug(hash)
    } else if is_json(hash) {
        keycloak(hash)
    } else if let Some((encoder, rest)) = hash.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        spring(encoder, rest)
    } else {
        better_auth(hash).or_else(|| asp_net(hash))
    };
    rewritten.map_or(Cow::Borrowed(hash), Cow::Owned)
}

fn is_json(hash: &str) -> bool {
    hash.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"'))
}

/// Werkzeug, which Flask uses: `scrypt:32768:8:1$salt$hex` and `pbkdf2:sha256:600000$salt$hex`. The salt is a text.
fn werkzeug(hash: &str) -> Option<String> {
    let [method, salt, digest] = array(hash.split('$'))?;
    let digest = hex(digest)?;
    match *method.split(':').collect::<Vec<_>>() {
        ["scrypt", n, r, p] => {
            let log_n = number(n).filter(|n| n.is_power_of_two())?.ilog2();
            Some(scrypt(log_n, number(r)?, number(p)?, salt.as_bytes(), &digest))
        }
        ["pbkdf2", function, iterations] => pbkdf2(function, number(iterations)?, salt.as_bytes(), digest),
        _ => None,
    }
}

/// Better Auth: `salt:key` in hexadecimal digits. The salt is the text of its digits. The parameters are fixed.
fn better_auth(hash: &str) -> Option<String> {
    let (salt, key) = hash.split_once(':')?;
    let (salt_bytes, key) = (hex(salt)?, hex(key)?);
    let is_own = salt_bytes.len() == 16 && key.len() == 64;
    is_own.then(|| scrypt(14, 16, 1, salt.as_bytes(), &key))
}

/// ASP.NET Core Identity: base64 of a format number, the parameters, the salt and the digest.
fn asp_net(hash: &str) -> Option<String> {
    let bytes = STANDARD.decode(hash).ok()?;
    match bytes.split_first()? {
        // Version 2: PBKDF2 with SHA-1 and 1000 iterations, 16 bytes of salt, 32 bytes of digest.
        (0, rest) => {
            let (salt, digest) = rest.split_at_checked(16).filter(|(_, digest)| digest.len() == 32)?;
            pbkdf2("sha1", 1000, salt, digest.to_vec())
        }
        // Version 3: the hash function, the iterations and the length of the salt, as big-endian numbers of 4 bytes.
        (1, rest) => {
            let (parameters, rest) = rest.split_at_checked(12)?;
            let [function, iterations, salt] = array(parameters.chunks_exact(4).map(big_endian))?;
            let function = *["sha1", "sha256", "sha512"].get(usize::try_from(function).ok()?)?;
            let (salt, digest) = rest.split_at_checked(usize::try_from(salt).ok()?)?;
            pbkdf2(function, iterations.into(), salt, digest.to_vec())
        }
        _ => None,
    }
}

/// Spring Security: the name of the encoder in braces, and its hash.
fn spring(encoder: &str, hash: &str) -> Option<String> {
    match encoder {
        "bcrypt" | "argon2" | "argon2@SpringSecurity_v5_8" => {
            Some(hash.to_owned()).filter(|hash| hash.starts_with('$'))
        }
        "pbkdf2" => spring_pbkdf2("sha1", 185_000, 8, hash),
        "pbkdf2@SpringSecurity_v5_8" => spring_pbkdf2("sha256", 310_000, 16, hash),
        "scrypt" | "scrypt@SpringSecurity_v5_8" => {
            let ["", parameters, salt, digest] = array(hash.split('$'))? else { return None };
            let parameters = u64::from_str_radix(parameters, 16).ok()?;
            let (log_n, r, p) = (u32::try_from(parameters >> 16).ok()?, parameters >> 8 & 0xff, parameters & 0xff);
            Some(scrypt(log_n, r, p, &STANDARD.decode(salt).ok()?, &STANDARD.decode(digest).ok()?))
        }
        _ => None,
    }
}

/// The hexadecimal digits of a salt and of 32 bytes of digest. The parameters are those of the encoder.
fn spring_pbkdf2(function: &str, iterations: u64, salt: usize, hash: &str) -> Option<String> {
    let bytes = hex(hash).filter(|bytes| bytes.len() == salt + 32)?;
    let (salt, digest) = bytes.split_at(salt);
    pbkdf2(function, iterations, salt, digest.to_vec())
}

/// Keycloak: a credential, with its data as JSON or as texts of JSON.
fn keycloak(credential: &str) -> Option<String> {
    let credential: Value = serde_json::from_str(credential).ok()?;
    let part = |name| match credential.get(name)? {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    };
    let (secret, data): (Value, Value) = (part("secretData")?, part("credentialData")?);
    let value = secret.get("value")?.as_str()?;
    let algorithm = data.get("algorithm")?.as_str()?;
    let iterations = data.get("hashIterations")?.as_u64()?;
    if algorithm == "bcrypt" {
        // An extension of Keycloak: the value is a complete hash.
        return Some(value.to_owned()).filter(|hash| hash.starts_with("$2"));
    }
    let (digest, salt) = (STANDARD.decode(value).ok()?, STANDARD.decode(secret.get("salt")?.as_str()?).ok()?);
    match algorithm {
        "pbkdf2" => pbkdf2("sha1", iterations, &salt, digest),
        "pbkdf2-sha256" => pbkdf2("sha256", iterations, &salt, digest),
        "pbkdf2-sha512" => pbkdf2("sha512", iterations, &salt, digest),
        "argon2" => {
            let parameter = |name| data.get("additionalParameters")?.get(name)?.get(0)?.as_str();
            let (kind, memory, lanes) = (parameter("type")?, parameter("memory")?, parameter("parallelism")?);
            let version = match parameter("version")? {
                "1.3" => 19,
                "1.0" => 16,
                _ => return None,
            };
            let (memory, lanes) = (number(memory)?, number(lanes)?);
            let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
            let is_known = matches!(kind, "i" | "d" | "id");
            let hash = format!("$argon2{kind}$v={version}$m={memory},t={iterations},p={lanes}${salt}${digest}");
            Some(hash).filter(|_| is_known)
        }
        _ => None,
    }
}

/// Returns an scrypt hash as a PHC string.
fn scrypt(log_n: u32, r: u64, p: u64, salt: &[u8], digest: &[u8]) -> String {
    let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
    format!("$scrypt$ln={log_n},r={r},p={p}${salt}${digest}")
}

/// Returns a PBKDF2 hash as a PHC string. The digest is cut to the length of the output of the hash function, because
/// login does not compute more. PBKDF2 computes a longer digest in blocks of this length, each without the others
/// (RFC 8018 §5.2). The first block alone therefore tells whether a password is right.
fn pbkdf2(function: &str, iterations: u64, salt: &[u8], mut digest: Vec<u8>) -> Option<String> {
    digest.truncate(match function {
        "sha1" => 20,
        "sha256" => 32,
        "sha512" => 64,
        _ => return None,
    });
    let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
    Some(format!("$pbkdf2-{function}$i={iterations}${salt}${digest}"))
}

/// Returns the items, if there are exactly `N`.
fn array<T, const N: usize>(items: impl Iterator<Item = T>) -> Option<[T; N]> {
    items.collect::<Vec<_>>().try_into().ok()
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// Returns a number without a sign and without leading zeros.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// Decodes hexadecimal digits.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits = digits.collect::<Option<Vec<_>>>().filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
