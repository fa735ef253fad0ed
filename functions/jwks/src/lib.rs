//! `GET /.well-known/jwks.json`: publishes the public keys of access tokens, so that other services can verify a token
//! without being able to sign one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, issuer_url, reply};
use shared::keys::{Key, Keys, Purpose};

/// Where the key set is.
const KEY_SET: &str = "/.well-known/jwks.json";

/// Where a verifier that knows only the issuer finds the address of the key set (RFC 8414 §3).
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// Everything that the function can touch.
pub struct Jwks {
    /// The keys of access tokens. Only their public parts leave the function.
    pub keys: Keys,
    /// The `iss` of every token, if it is the address of the service.
    pub issuer: Option<String>,
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Serialize)]
struct KeySet<'a> {
    keys: Vec<PublicKey<'a>>,
}

/// The public key of an Ed25519 key (RFC 8037 §2). It has no member for a secret (R55).
#[derive(Serialize)]
struct PublicKey<'a> {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: &'a str,
    x: String,
}

/// Authorization server metadata (RFC 8414 §2). The RFC requires `response_types_supported`. It is empty, because the
/// service is no OAuth server: it has no authorization endpoint.
#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    jwks_uri: String,
    response_types_supported: [&'static str; 0],
}

impl Jwks {
    /// Reads `ACCESS_SECRET` and `ISSUER`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a missing or unsafe value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        Ok(Self { keys: env.keys(Purpose::Access)?, issuer: issuer_url(env) })
    }

    /// Returns the public keys that verify tokens now or soon: a published key is listed before it signs. Keys without
    /// a public key, which are those of HS256, are never listed (R36). At the other path, returns where the keys are.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the metadata, if `ISSUER` is not the address of the service.
    pub fn handle(&self, request: &Request, now: Timestamp) -> http::Result<Reply> {
        request.accept("GET")?;
        if request.path() == METADATA {
            let issuer = self.issuer.as_deref().ok_or(Error::NotFound("document"))?;
            let metadata = Metadata { issuer, jwks_uri: format!("{issuer}{KEY_SET}"), response_types_supported: [] };
            return reply::public("application/json", &metadata);
        }
        let set = self.keys.set();
        let keys = set.keys().iter().filter(|key| !key.is_retired(now)).filter_map(|key| public_key(key)).collect();
        reply::public("application/jwk-set+json", &KeySet { keys })
    }
}

/// Returns the public key of a key, or `None` if it has none.
fn public_key(key: &Key) -> Option<PublicKey<'_>> {
    let x = URL_SAFE_NO_PAD.encode(key.public()?);
    Some(PublicKey { kty: "OKP", crv: "Ed25519", alg: key.algorithm().name(), usage: "sig", kid: &key.id, x })
}

#[cfg(test)]
mod tests;
