//! The keys of one purpose.
//!
//! Owns the format of a set and the rules that keep it usable: every token that is signed can be verified everywhere,
//! while some instances still have the set of up to 15 minutes ago (R56).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::key::{Algorithm, EPOCH, Key, is_same_secret};
use super::{Purpose, weakness};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::json;

/// How long a key is published before it signs, and how long the key before it still verifies what an instance with an
/// older set has signed. It is the greatest age of a set (F25).
pub const PUBLISH_LEAD: Duration = Duration::from_mins(15);

/// The most keys of a set. The rotation of device cookies, which are valid for 180 days, needs 15 of them at most.
const MAX_KEYS: usize = 32;

/// The longest `kid` in bytes.
const MAX_KID: usize = 64;

/// What is wrong with a set, without any secret of it.
pub type Problem = Cow<'static, str>;

/// The keys of one purpose. At each time, exactly one key signs. All keys that are not retired verify.
#[derive(Clone, Debug)]
pub struct KeySet {
    /// The key that began to sign first.
    first: Arc<Key>,
    keys: Vec<Arc<Key>>,
}

/// The form of a set in a secret. It has one of the two fields.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    /// The keys, as a rotation or an operator has written them.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<Entry>>,
    /// A random text from `CloudFormation`. Its first half is the key that signs, its second half is the next key. The
    /// halves are independent, because each character is random.
    #[serde(skip_serializing_if = "Option::is_none")]
    generated: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kid: String,
    alg: Cow<'static, str>,
    secret: String,
    published_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sign_from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retire_at: Option<Timestamp>,
}

impl KeySet {
    /// Reads a set: a JSON document, or the bare text of one HS256 key, which signs at once and never retires. So the
    /// secret in a `.env` file is a set.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) with the variable of the purpose, if the set breaks a rule
    /// (R37, R38).
    pub fn parse(purpose: Purpose, text: &str) -> Result<Self> {
        let keys = if text.trim_start().starts_with('{') { document(purpose, text) } else { bare(purpose, text) };
        let set = keys.and_then(|keys| Self::new(purpose, keys));
        set.map_err(|problem| Error::Setting { name: purpose.variable(), problem })
    }

    /// Makes a set of keys.
    ///
    /// # Errors
    /// Says which rule the keys break.
    pub fn new(purpose: Purpose, keys: Vec<Arc<Key>>) -> Result<Self, Problem> {
        if keys.len() > MAX_KEYS {
            return Err(format!("has more than {MAX_KEYS} keys").into());
        }
        for (index, key) in keys.iter().enumerate() {
            check(purpose, key).map_err(|problem| format!("has a key {} that {problem}", name(index, &key.id)))?;
            for other in keys.iter().take(index) {
                if other.id == key.id {
                    let mixed = if other.algorithm() == key.algorithm() { "keys" } else { "algorithms" };
                    return Err(format!("has two {mixed} with the kid {}", key.id).into());
                }
                if is_same_secret(other.expose(), key.expose()) {
                    return Err(format!("has one secret under the kids {} and {}", other.id, key.id).into());
                }
            }
        }
        let mut signing: Vec<_> = keys.iter().filter_map(|key| Some((key.sign_from?, key))).collect();
        signing.sort_by_key(|(from, _)| *from);
        let (Some((_, first)), Some((_, last))) = (signing.first(), signing.last()) else {
            return Err("has no key that signs: no key has sign_from".into());
        };
        if last.retire_at.is_some() {
            return Err(format!("retires the key {} without a later key that signs", last.id).into());
        }
        for pair in signing.windows(2) {
            let [(_, older), (from, newer)] = pair else { continue };
            if *from < newer.published_at + PUBLISH_LEAD {
                return Err(format!("signs with the key {} within 900 s after published_at", newer.id).into());
            }
            if older.retire_at.is_some_and(|at| at < *from + PUBLISH_LEAD) {
                return Err(format!("retires the key {} within 900 s after its successor signs", older.id).into());
            }
        }
        Ok(Self { first: Arc::clone(first), keys })
    }

    /// Returns the key that signs at `now`: of the keys that have begun to sign, the one that began last. If the clock
    /// is behind all of them, returns the first one.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> &Key {
        self.signing(now).unwrap_or(&self.first)
    }

    /// Returns the key that began to sign last, or `None` if no key has begun at `now`.
    #[must_use]
    pub fn signing(&self, now: Timestamp) -> Option<&Key> {
        let signing = self.keys.iter().filter(|key| key.sign_from.is_some_and(|from| from <= now));
        signing.max_by_key(|key| key.sign_from).map(Arc::as_ref)
    }

    /// Returns the key with this `kid`, or `None`. The key may be retired.
    #[must_use]
    pub fn by_id(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == kid).map(Arc::as_ref)
    }

    /// Returns all keys.
    #[must_use]
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// Returns each `kid` with the times at which the key begins to sign and retires.
    pub(crate) fn times(&self) -> Vec<(&str, Option<Timestamp>, Option<Timestamp>)> {
        self.keys.iter().map(|key| (key.id.as_str(), key.sign_from, key.retire_at)).collect()
    }

    /// Writes the set as a JSON document with its secrets.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if the set cannot be serialized.
    pub fn to_secret(&self) -> Result<SecretString> {
        let entry = |key: &Arc<Key>| Entry {
            kid: key.id.clone(),
            alg: key.algorithm().name().into(),
            secret: key.expose().expose_secret().to_owned(),
            published_at: key.published_at,
            sign_from: key.sign_from,
            retire_at: key.retire_at,
        };
        let document = Document { keys: Some(self.keys.iter().map(entry).collect()), generated: None };
        serde_json::to_string(&document).map(SecretString::from).map_err(Error::unexpected)
    }
}

/// Reads a set of one key, which signs at once.
fn bare(purpose: Purpose, secret: &str) -> Result<Vec<Arc<Key>>, Problem> {
    let mut key = Key::hs256(purpose, secret);
    key.sign_from = Some(EPOCH);
    // Without a name of the key, because there is only one.
    weakness(secret).map_or_else(|| Ok(vec![Arc::new(key)]), |weakness| Err(weakness.into()))
}

/// Reads the JSON document of a set.
fn document(purpose: Purpose, text: &str) -> Result<Vec<Arc<Key>>, Problem> {
    let document = json::object::<Document>(text.as_bytes());
    match document.map_err(|error| json::problem(text.as_bytes(), &error))? {
        Document { keys: Some(entries), generated: None } => {
            entries.into_iter().enumerate().map(|(index, entry)| entry.key(index)).collect()
        }
        Document { keys: None, generated: Some(text) } => {
            let (active, next) = halves(&text).ok_or("has a generated text of another form")?;
            let mut active = Key::hs256(purpose, active);
            active.sign_from = Some(EPOCH);
            Ok(vec![Arc::new(active), Arc::new(Key::hs256(purpose, next))])
        }
        _ => Err("needs either `keys` or `generated`".into()),
    }
}

/// Splits a text of visible ASCII characters into two halves of the same length.
fn halves(text: &str) -> Option<(&str, &str)> {
    let is_plain = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| text.split_at(text.len() / 2))
}

impl Entry {
    /// Makes the key of an entry.
    fn key(self, index: usize) -> Result<Arc<Key>, Problem> {
        let name = name(index, &self.kid).into_owned();
        let algorithm =
            Algorithm::named(&self.alg).ok_or_else(|| format!("has a key {name} whose alg is not HS256 or EdDSA"))?;
        let key = Key::new(algorithm, self.kid, self.secret.into());
        let mut key = key.ok_or_else(|| format!("has a key {name} that is not 32 bytes as base64url"))?;
        (key.published_at, key.sign_from, key.retire_at) = (self.published_at, self.sign_from, self.retire_at);
        Ok(Arc::new(key))
    }
}

/// Checks one key. Its `kid` must be safe in a header and in a log line.
fn check(purpose: Purpose, key: &Key) -> Result<(), Problem> {
    if !is_kid(&key.id) {
        return Err(format!("needs a kid of 1 to {MAX_KID} letters, digits, `-` and `_`").into());
    }
    if key.algorithm() == Algorithm::EdDsa && !purpose.is_public() {
        return Err("must be HS256: only access tokens are verified by others".into());
    }
    weakness(key.expose().expose_secret()).map_or(Ok(()), |weakness| Err(weakness.into()))
}

fn is_kid(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_KID).contains(&text.len()) && text.bytes().all(is_safe)
}

/// Returns how an error names a key: by its `kid`, or by its place if the `kid` is invalid.
fn name(index: usize, kid: &str) -> Cow<'_, str> {
    if is_kid(kid) { kid.into() } else { format!("number {}", index + 1).into() }
}
