//! Explains a token: its three parts, and every claim.
//!
//! Decodes any signed JWT (RFC 7519), also an expired, forged or foreign one. Has no key and verifies nothing; that is
//! the job of `shared::token`.

use std::fmt;
use std::io::Read;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use time::OffsetDateTime;

use crate::target::Target;

/// The maximum length of a token in bytes. A cookie is far shorter.
const MAX_BYTES: usize = 64 * 1024;

/// The maximum width of a member that determines the column of the remarks.
const MAX_WIDTH: usize = 48;

/// Signs in as `kimcoding` and explains the tokens of this login.
///
/// # Errors
/// Fails if the stack does not respond.
pub async fn of_new_login(target: &Target) -> Result<String> {
    let cookies = target.sign_in_as_kim().await?;
    let explained = tokens(&cookies).map(|(name, token)| Ok(format!("{name}: {}", Parts::of(token)?)));
    Ok(explained.collect::<Result<Vec<_>>>()?.join("\n"))
}

/// Returns the session id in the tokens of a login.
///
/// # Errors
/// Fails if no cookie contains a token with a session id.
pub(crate) fn session_id(cookies: &[String]) -> Result<String> {
    let (_, token) = tokens(cookies).next().context("the login set no token")?;
    let id = Parts::of(token)?.payload.members.text("sid").map(str::to_owned);
    id.context("the token has no session id")
}

/// Returns the cookies that contain a token: name and token.
fn tokens(cookies: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let cookies = cookies.iter().filter_map(|cookie| cookie.split_once('='));
    cookies.filter(|(name, _)| name.ends_with("_jwt"))
}

/// Explains the token that `input` contains.
///
/// # Errors
/// Fails if the input cannot be read or is not a signed JWT.
pub fn read(input: impl Read) -> Result<String> {
    let mut text = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    input.take(limit.saturating_add(1)).read_to_end(&mut text).context("cannot read standard input")?;
    let text = str::from_utf8(&text).context("not a token: the input is not UTF-8 text")?;
    explain(text)
}

/// Explains a token.
///
/// # Errors
/// Fails if the text is not a signed JWT.
pub fn explain(text: &str) -> Result<String> {
    Ok(format!("token: {}", Parts::of(text)?))
}

/// The three parts of a signed JWT (RFC 7515 §7.1).
#[derive(Debug)]
pub struct Parts<'a> {
    header: Part<'a>,
    payload: Part<'a>,
    signature: &'a str,
    signature_bytes: usize,
}

/// A part that contains JSON.
#[derive(Debug)]
struct Part<'a> {
    text: &'a str,
    members: Members,
}

impl<'a> Parts<'a> {
    /// Splits a token into its parts and decodes them. Does not verify the signature.
    ///
    /// # Errors
    /// Fails if the text does not have the form of a signed JWT. The error does not quote the text.
    pub fn of(text: &'a str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            bail!("not a token: the text is empty");
        }
        if text.len() > MAX_BYTES {
            bail!("not a token of Latchkey: it is longer than {MAX_BYTES} bytes");
        }
        let parts: Vec<_> = text.split('.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            bail!("not a signed token: expected 3 parts with dots between them, found {}", parts.len());
        };
        Ok(Self {
            header: Part::of("header", header)?,
            payload: Part::of("payload", payload)?,
            signature,
            signature_bytes: decode("signature", signature)?.len(),
        })
    }

    /// Describes the signature, and the key that verifies it.
    fn signature_remark(&self) -> String {
        let algorithm = self.header.members.text("alg").unwrap_or_default();
        let key = match self.header.members.text("typ") {
            _ if !algorithm.starts_with("HS") => "the key of its issuer",
            Some("at+jwt") => "the secret ACCESS_SECRET",
            Some("rt+jwt") => "the secret REFRESH_SECRET",
            _ => "its secret",
        };
        let algorithm = if algorithm.is_empty() { "an unnamed algorithm".into() } else { plain(algorithm) };
        match self.signature_bytes {
            0 => "empty: this token is not signed, so its content proves nothing.".to_owned(),
            bytes => format!(
                "{bytes} bytes, computed with {algorithm} over the encoded header, a dot and the encoded payload.\n  \
                 Only {key} can verify it. This command has verified nothing."
            ),
        }
    }
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, payload, signature, .. } = self;
        let length = header.text.len() + payload.text.len() + signature.len() + 2;
        writeln!(f, "{length} bytes, three parts with dots between them\n")?;
        for (name, part) in [("header", header.text), ("payload", payload.text), ("signature", signature)] {
            writeln!(f, "  {name:<10} {part}")?;
        }
        for (name, part) in [("header", header), ("payload", payload)] {
            writeln!(f, "\n  {name}:")?;
            part.members.write(f)?;
        }
        writeln!(f, "\n  signature:\n  {}", self.signature_remark())
    }
}

impl<'a> Part<'a> {
    fn of(name: &'static str, text: &'a str) -> Result<Self> {
        let json = decode(name, text)?;
        let members = serde_json::from_slice(&json).ok();
        Ok(Self { text, members: members.with_context(|| format!("not a token: its {name} is not a JSON object"))? })
    }
}

fn decode(name: &'static str, part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).with_context(|| format!("not a token: its {name} is not base64url"))
}

/// The members of a JSON object in their order, including duplicates.
#[derive(Debug)]
struct Members(Vec<(String, Value)>);

impl Members {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name)?.1.as_str()
    }

    /// Writes one line for each member, with a remark beside it.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        let lines: Vec<_> = self
            .0
            .iter()
            .enumerate()
            .map(|(index, (name, value))| {
                let comma = if index == last { "" } else { "," };
                (
                    format!("{}: {}{comma}", plain(&Value::from(name.as_str()).to_string()), plain(&value.to_string())),
                    remark(name, value),
                )
            })
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|&width| width <= MAX_WIDTH).max();
        writeln!(f, "  {{")?;
        for (line, remark) in lines {
            writeln!(f, "    {line:<width$}  {remark}", width = width.unwrap_or_default())?;
        }
        writeln!(f, "  }}")
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Explains a member of a header or a payload in a few words.
fn remark(name: &str, value: &Value) -> String {
    let remark = match (name, value.as_str()) {
        ("alg", Some("HS256")) => "signature algorithm: HMAC with SHA-256",
        ("alg", _) => "signature algorithm",
        ("kid", _) => "key id: a name of the secret, not the secret",
        ("typ", Some("at+jwt")) => "type: access token",
        ("typ", Some("rt+jwt")) => "type: refresh token",
        ("typ", _) => "type: not a type of Latchkey",
        ("iss", _) => "issuer",
        ("aud", _) => "audience: the services that accept it",
        ("sub", _) => "subject: the id of the user",
        ("id", _) => "the id of the user again, for older services",
        ("email", _) => "e-mail address: after a change of the address, the token is no longer valid",
        ("sid", _) => "session id",
        ("iat", _) => return at("issued at", value),
        ("exp", _) => return at("expires at", value),
        ("nbf", _) => return at("not valid before", value),
        ("jti", _) => "id of this token",
        ("roles", _) => "roles of the user",
        ("gen", _) => "generation: the number of this refresh token in its session",
        _ => UNKNOWN,
    };
    remark.to_owned()
}

const UNKNOWN: &str = "not a claim of Latchkey";

/// Describes a time as a date.
fn at(words: &str, value: &Value) -> String {
    let time = value.as_i64().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(time) = time else { return format!("{words} an invalid time") };
    let (hour, minute, second) = time.to_hms();
    format!("{words} {} {hour:02}:{minute:02}:{second:02} UTC", time.date())
}

/// Escapes control characters, so that a foreign token cannot control the terminal.
fn plain(text: &str) -> String {
    let escaped = |char: char| if char.is_control() { format!("\\u{:04x}", u32::from(char)) } else { char.into() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::clock::Timestamp;
    use shared::config::Environment;
    use shared::id::{SessionId, UserId};
    use shared::token::{Generation, Signer, Subject};

    use super::*;

    fn token(header: &str, payload: &str, signature: &[u8]) -> String {
        [header.as_bytes(), payload.as_bytes(), signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    /// Returns an access token and a refresh token as the functions sign them.
    fn ours() -> [String; 2] {
        let env = Environment::new(|name| {
            let value = match name {
                "ACCESS_SECRET" => "access-secret-0123456789-0123456789",
                "REFRESH_SECRET" => "refresh-secret-0123456789-012345678",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let (signer, now) = (Signer::from_env(&env).unwrap(), Timestamp::from_secs(1_800_000_000));
        let (user_id, session_id) = (UserId::parse("0").unwrap(), SessionId::random().unwrap());
        let (email, roles) = ("kim@example.com", ["admin".to_owned()]);
        let subject = Subject { user_id: &user_id, email, roles: &roles, session_id: &session_id };
        let week = now + Duration::from_hours(7 * 24);
        let generation = Generation { number: 1, kid: &signer.refresh_kid(now), issued_at: now, expires_at: week };
        let tokens = [signer.access(&subject, now, week), signer.refresh(&subject, &generation)];
        tokens.map(|token| token.unwrap().expose().to_owned())
    }

    #[test]
    fn every_claim_of_our_tokens_is_explained() {
        for (token, secret) in ours().iter().zip(["ACCESS_SECRET", "REFRESH_SECRET"]) {
            let text = explain(token).unwrap();
            assert!(!text.contains(UNKNOWN) && !text.contains("not a type of Latchkey"), "{text}");
            assert!(token.split('.').all(|part| text.contains(part)), "{text}");
            assert!(text.contains("32 bytes, computed with HS256") && text.contains(secret), "{text}");
        }
    }

    #[test]
    fn claims_keep_the_order_of_the_token() {
        let text = explain(&token("{}", r#"{"sub":"0","exp":1800000000,"aud":["a"]}"#, b"s")).unwrap();
        let payload = "  payload:
  {
    \"sub\": \"0\",         subject: the id of the user
    \"exp\": 1800000000,  expires at 2027-01-15 08:00:00 UTC
    \"aud\": [\"a\"]        audience: the services that accept it
  }
";
        assert!(text.contains(payload), "{text}");
    }

    #[test]
    fn foreign_tokens_are_explained() {
        let text = explain(&token(r#"{"alg":"RS256"}"#, r#"{"sub":1,"sub":2,"exp":"soon","x":{}}"#, b"s")).unwrap();
        for part in ["\"sub\": 1,", "\"sub\": 2,", "an invalid time", UNKNOWN, "the key of its issuer"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(explain(&token(r#"{"alg":"none"}"#, "{}", b"")).unwrap().contains("not signed"));
    }

    #[test]
    fn an_invalid_time_does_not_panic() {
        for time in ["1e300", "-1e300", "18446744073709551615", "-9223372036854775808", "1.5", "null", "[]"] {
            let text = explain(&token("{}", &format!(r#"{{"exp":{time}}}"#), b"s")).unwrap();
            assert!(text.contains("an invalid time"), "{text}");
        }
    }

    #[test]
    fn invalid_tokens_are_rejected_without_quoting_them() {
        let too_long = "a".repeat(MAX_BYTES + 1);
        let deep = token("{}", &format!(r#"{{"a":{}}}"#, "[".repeat(10_000)), b"s");
        let (no_object, no_json) = (token("{}", "\"secret\"", b"s"), token("{", "{}", b"s"));
        for (text, problem) in [
            ("", "the text is empty"),
            (" \n", "the text is empty"),
            ("kimcoding", "expected 3 parts with dots between them, found 1"),
            ("secret.secret", "expected 3 parts with dots between them, found 2"),
            ("a.b.c.d.e", "expected 3 parts with dots between them, found 5"),
            ("..", "its header is not a JSON object"),
            ("e30.e30.c=", "its signature is not base64url"),
            ("e30.e30+.c2Vj", "its payload is not base64url"),
            ("e3\u{0}.e30.c2Vj", "its header is not base64url"),
            ("김.코.딩", "its header is not base64url"),
            (no_json.as_str(), "its header is not a JSON object"),
            (no_object.as_str(), "its payload is not a JSON object"),
            (deep.as_str(), "its payload is not a JSON object"),
            (too_long.as_str(), "it is longer than 65536 bytes"),
        ] {
            let error = format!("{:#}", explain(text).unwrap_err());
            assert!(error.contains(problem), "{problem}: {error}");
            assert!(!error.contains("secret") && !error.contains("kimcoding"), "{error}");
        }
    }

    #[test]
    fn standard_input_may_end_with_a_newline_and_contain_any_bytes() {
        let token = token("{}", "{}", b"s");
        assert_eq!(read(format!("{token}\r\n").as_bytes()).unwrap(), explain(&token).unwrap());
        assert!(read(&b"\xff\xfe"[..]).unwrap_err().to_string().contains("not UTF-8 text"));
        assert!(read(std::io::repeat(b'a')).unwrap_err().to_string().contains("longer than"));
    }

    #[test]
    fn control_characters_are_escaped() {
        let payload = "{\"\u{9b}31m\":\"\\u001b[2J\u{7f}\"}";
        let text = explain(&token("{\"alg\":\"\\u001b[0m\"}", payload, b"s")).unwrap();
        assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{text:?}");
    }
}
