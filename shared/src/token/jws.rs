//! Signed tokens in compact form (RFC 7515).
//!
//! Owns the header, the encoding and the signature of a token. Every property of a signature (algorithm, `typ`, `kid`)
//! comes from the key set and never from a token (R35, R36, R40, R42).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{Claims, Kind, Token};
use crate::error::{Error, Result};
use crate::json;
use crate::keys::{Key, KeySet};

/// The longest accepted token in bytes: what a browser stores in one cookie (R49).
const MAX_TOKEN: usize = 4096;

/// The only accepted header. Unknown names (`crit`, `jwk`, `jku`, `x5u`, `zip`, …) and repeated names are rejected
/// (R39, R41, R47).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// Signs a token with these claims.
///
/// # Errors
/// [`Error::Unexpected`] if the claims cannot be serialized.
pub(super) fn sign(kind: Kind, key: &Key, claims: &Claims) -> Result<Token> {
    let header = format!(r#"{{"alg":"{}","kid":"{}","typ":"{}"}}"#, key.algorithm().name(), key.id, kind.typ());
    let payload = serde_json::to_vec(claims).map_err(Error::unexpected)?;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    Ok(Token { kind, expires_at: claims.exp, text: format!("{message}.{signature}").into() })
}

/// Verifies the size, the shape, the header and the signature of a token. Returns its payload (the JSON of the claims)
/// and its key, which can be retired.
///
/// # Errors
/// [`Error::NotAuthorized`] for every other token.
pub(super) fn verified_payload<'k>(kind: Kind, keys: &'k KeySet, token: &[u8]) -> Result<(Vec<u8>, &'k Key)> {
    let Parts { message, header, payload, signature } = Parts::of(token).ok_or(Error::NotAuthorized)?;
    let header: Header = json::object(&decode(header)?).map_err(|_| Error::NotAuthorized)?;
    let key = keys.by_id(&header.kid).ok_or(Error::NotAuthorized)?;
    let typ = header.typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if header.alg != key.algorithm().name() || typ != kind.typ() {
        return Err(Error::NotAuthorized);
    }
    if key.has_signed(message.as_bytes(), &decode(signature)?) {
        Ok((decode(payload)?, key))
    } else {
        Err(Error::NotAuthorized)
    }
}

/// The parts of a compact JWS (RFC 7515 §7.1).
struct Parts<'a> {
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Returns the parts, or `None` if the token is too long or not three parts of base64url (R48, R49).
    fn of(token: &'a [u8]) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (message, signature) = std::str::from_utf8(token).ok()?.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let is_base64url = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let is_jws = [header, payload, signature].into_iter().all(is_base64url);
        is_jws.then_some(Self { message, header, payload, signature })
    }
}

/// Decodes base64url. Rejects padding and non-zero trailing bits (R48).
fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::NotAuthorized)
}
