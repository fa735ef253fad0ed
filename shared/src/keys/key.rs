//! One key.
//!
//! Owns signatures, and the only place that touches the bytes of a signing key. The algorithm is a property of the key
//! and never of a token (R35, R36).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::Purpose;
use crate::clock::Timestamp;

/// The time of a key whose time is unknown.
pub(super) const EPOCH: Timestamp = Timestamp::from_secs(0);

/// The algorithm of a key, under its name in RFC 7518 §3.1 and RFC 8037 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256. Each service that verifies can also sign (R58).
    Hs256,
    /// Ed25519. A service verifies with the public key.
    EdDsa,
}

impl Algorithm {
    /// Returns the algorithm of this name, or `None`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Hs256, Self::EdDsa].into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Returns the `alg` of a token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key and the times at which it signs and verifies. A clone is cheap.
#[derive(Clone)]
pub struct Key {
    /// The `kid`: what a signature says about its key.
    pub id: String,
    /// When the key was added to the set. A copy of the set in another instance is at most 900 s older.
    pub published_at: Timestamp,
    /// When the key begins to sign. `None` means that a rotation or an operator decides.
    pub sign_from: Option<Timestamp>,
    /// When the key stops to verify.
    pub retire_at: Option<Timestamp>,
    pub(super) material: Arc<Material>,
    secret: SecretString,
}

#[expect(clippy::large_enum_variant, reason = "each key has one, behind an `Arc`")]
pub(super) enum Material {
    Hmac(hmac::Key),
    Pair(Ed25519KeyPair),
}

impl Key {
    /// Makes an HS256 key that has always been published. Its `kid` follows from its secret.
    pub(super) fn hs256(purpose: Purpose, secret: &str) -> Self {
        let material = Arc::new(Material::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())));
        let (id, secret) = (key_id(purpose, secret.as_bytes()), secret.into());
        Self { id, published_at: EPOCH, sign_from: None, retire_at: None, material, secret }
    }

    /// Makes a key from the text of its secret: any text for HS256, 32 bytes as base64url for `EdDSA`. Returns `None`
    /// if the secret does not fit the algorithm.
    pub(super) fn new(algorithm: Algorithm, id: String, secret: SecretString) -> Option<Self> {
        let text = secret.expose_secret();
        let material = match algorithm {
            Algorithm::Hs256 => Material::Hmac(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())),
            Algorithm::EdDsa => {
                let seed = URL_SAFE_NO_PAD.decode(text).ok()?;
                Material::Pair(Ed25519KeyPair::from_seed_unchecked(&seed).ok()?)
            }
        };
        Some(Self { id, published_at: EPOCH, sign_from: None, retire_at: None, material: Arc::new(material), secret })
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match *self.material {
            Material::Hmac(_) => Algorithm::Hs256,
            Material::Pair(_) => Algorithm::EdDsa,
        }
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &*self.material {
            Material::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Material::Pair(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Returns `true` if this is the signature of the message. Compares in constant time (R15).
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &*self.material {
            Material::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Pair(pair) => is_ed25519_signature(pair.public_key().as_ref(), message, signature),
        }
    }

    /// Returns the public key, or `None` for a key that has none.
    #[must_use]
    pub fn public(&self) -> Option<&[u8]> {
        match &*self.material {
            Material::Hmac(_) => None,
            Material::Pair(pair) => Some(pair.public_key().as_ref()),
        }
    }

    /// Returns `true` if the key no longer verifies at `now`.
    #[must_use]
    pub fn is_retired(&self, now: Timestamp) -> bool {
        self.retire_at.is_some_and(|at| at <= now)
    }

    /// Returns the text of the secret.
    #[must_use]
    pub fn expose(&self) -> &SecretString {
        &self.secret
    }
}

/// Compares two secrets in constant time (R15).
pub(crate) fn is_same_secret(one: &SecretString, other: &SecretString) -> bool {
    constant_time::verify_slices_are_equal(one.expose_secret().as_bytes(), other.expose_secret().as_bytes()).is_ok()
}

/// Verifies an Ed25519 signature (R51).
pub(super) fn is_ed25519_signature(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

/// Returns the `kid` of a secret: 64 bits of a SHA-256 over a label, the purpose and the secret. It does not reveal the
/// secret.
#[must_use]
pub fn key_id(purpose: Purpose, secret: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"latchkey key id\0");
    context.update(purpose.label().as_bytes());
    context.update(b"\0");
    context.update(secret);
    URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..8])
}

impl fmt::Debug for Key {
    /// Prints no part of the secret (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, published_at, sign_from, retire_at, .. } = self;
        f.debug_struct("Key")
            .field("id", id)
            .field("algorithm", &self.algorithm())
            .field("published_at", published_at)
            .field("sign_from", sign_from)
            .field("retire_at", retire_at)
            .finish_non_exhaustive()
    }
}
