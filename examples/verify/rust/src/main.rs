//! Verifies an access token with the public keys of Latchkey, and prints the user id.
//!
//! `cargo run -- <address of the JWKS> <issuer> < token`

use std::error::Error;
use std::process::ExitCode;
use std::{env, io};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// The setting `AUDIENCE` of the stack.
const AUDIENCE: &str = "latchkey";

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(user) => println!("user: {user}"),
        // The reason is for the log of the service. A client only gets 401.
        Err(error) => {
            eprintln!("not valid: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run() -> Result<String, Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (key_set_url, issuer) = arguments.next().zip(arguments.next()).ok_or("needs a JWKS address and an issuer")?;
    // A service keeps the key set for 5 minutes, and reads it again if a token has a new `kid`.
    let keys: JwkSet = reqwest::blocking::get(key_set_url)?.error_for_status()?.json()?;
    user_of(io::read_to_string(io::stdin())?.trim(), &keys, &issuer)
}

/// Returns the user id.
///
/// # Errors
/// Fails if the token is not valid.
fn user_of(token: &str, keys: &JwkSet, issuer: &str) -> Result<String, Box<dyn Error>> {
    let header = decode_header(token)?;
    if header.typ.as_deref() != Some("at+jwt") {
        return Err("not an access token".into());
    }
    let key = header.kid.and_then(|kid| keys.find(&kid)).ok_or("no key with this kid")?;
    // The algorithm is fixed here, and never read from the token.
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    validation.leeway = 5;
    Ok(decode::<Claims>(token, &DecodingKey::from_jwk(key)?, &validation)?.claims.sub)
}
