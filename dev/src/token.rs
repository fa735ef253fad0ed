//! A token taken apart, for people who want to see what is in one.
//!
//! Knows no key: it reads whatever has the shape of a signed JWT, ours or not, good or not, and checks nothing. What
//! checks a token is `shared::tokens`.

use std::fmt;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use time::OffsetDateTime;

use crate::event;

/// The longest text that is looked at: far more than fits into a cookie.
const LONGEST: usize = 64 * 1024;

/// The widest member that the remarks are moved aside for.
const WIDEST: usize = 48;

/// Both tokens of a demonstration user who signs in to the local stack at `url`, taken apart.
///
/// # Errors
/// Where the local stack does not run there.
pub async fn live(url: &str, certificate: &Path) -> Result<String> {
    let cookies = event::cookies(url, certificate).await?;
    let tokens = cookies.iter().filter_map(|cookie| cookie.split_once('='));
    let tokens = tokens.filter(|(name, _)| name.ends_with("_jwt"));
    let described = tokens.map(|(name, token)| Ok(format!("{name}: {}", Parts::of(token)?)));
    Ok(described.collect::<Result<Vec<_>>>()?.join("\n"))
}

/// The token that `input` holds, taken apart.
///
/// # Errors
/// Where it cannot be read or holds no token.
pub fn read(input: impl Read) -> Result<String> {
    let mut text = Vec::new();
    let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    input.take(limit.saturating_add(1)).read_to_end(&mut text).context("standard input cannot be read")?;
    let text = str::from_utf8(&text).context("this is no token: it is not even text")?;
    given(text)
}

/// A token that somebody brought, taken apart.
///
/// # Errors
/// Where it is none.
pub fn given(text: &str) -> Result<String> {
    Ok(format!("A token: {}", Parts::of(text)?))
}

/// A signed JWT in its three parts (RFC 7515 §7.1).
#[derive(Debug)]
pub struct Parts<'a> {
    header: Part<'a>,
    payload: Part<'a>,
    signature: &'a str,
    signature_bytes: usize,
}

/// A part that holds JSON.
#[derive(Debug)]
struct Part<'a> {
    text: &'a str,
    members: Members,
}

impl<'a> Parts<'a> {
    /// The parts of a token. Nothing is checked but the form: that takes a key.
    ///
    /// # Errors
    /// Where the text has not the form of a signed JWT; says in which way, and does not repeat it.
    pub fn of(text: &'a str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            bail!("this is no token: it is empty");
        }
        if text.len() > LONGEST {
            bail!("this is no token of ours: it is longer than {LONGEST} bytes");
        }
        let parts: Vec<_> = text.split('.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            bail!("this is no signed token: it has {} of the three parts that stand between dots", parts.len());
        };
        Ok(Self {
            header: Part::of("header", header)?,
            payload: Part::of("payload", payload)?,
            signature,
            signature_bytes: decode("signature", signature)?.len(),
        })
    }

    /// What the signature is, and what it would take to check it.
    fn remark_on_signature(&self) -> String {
        let algorithm = self.header.members.text("alg").unwrap_or_default();
        let key = match self.header.members.text("typ") {
            _ if !algorithm.starts_with("HS") => "the key of whoever issued it",
            Some("at+jwt") => "the secret (ACCESS_SECRET)",
            Some("rt+jwt") => "the secret (REFRESH_SECRET)",
            _ => "the secret",
        };
        let algorithm = if algorithm.is_empty() { "an algorithm that is not named".into() } else { plain(algorithm) };
        match self.signature_bytes {
            0 => "nothing: this token is not signed, so nothing that it says means anything".to_owned(),
            bytes => format!(
                "{bytes} bytes, made with {algorithm} over the first two parts as they travel, the dot between them \
                 included.\n  It cannot be checked without {key}; so nothing was checked here."
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
            writeln!(f, "\n  The {name} says:")?;
            part.members.write(f)?;
        }
        writeln!(f, "\n  The signature is:\n  {}", self.remark_on_signature())
    }
}

impl<'a> Part<'a> {
    fn of(name: &'static str, text: &'a str) -> Result<Self> {
        let json = decode(name, text)?;
        let members = serde_json::from_slice(&json).ok();
        Ok(Self { text, members: members.with_context(|| format!("this is no token: its {name} is no JSON object"))? })
    }
}

fn decode(name: &'static str, part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).with_context(|| format!("this is no token: its {name} is not base64url"))
}

/// The members of a JSON object in the order in which they stand there, those that stand there twice included.
#[derive(Debug)]
struct Members(Vec<(String, Value)>);

impl Members {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name)?.1.as_str()
    }

    /// One line for each, with a remark beside it.
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
        let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|&width| width <= WIDEST).max();
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

/// What a member of a header or of a payload is, in a few words.
fn remark(name: &str, value: &Value) -> String {
    let remark = match (name, value.as_str()) {
        ("alg", Some("HS256")) => "how it is signed: HMAC with SHA-256",
        ("alg", _) => "how it is signed",
        ("kid", _) => "which key signed it: a name for the secret, not the secret",
        ("typ", Some("at+jwt")) => "which kind of token: access",
        ("typ", Some("rt+jwt")) => "which kind of token: refresh",
        ("typ", _) => "which kind of token: neither of ours",
        ("iss", _) => "who issued it",
        ("aud", _) => "whom it is for",
        ("sub", _) => "the user",
        ("id", _) => "the user again, where older services read it",
        ("email", _) => "the user's address; another one in the store ends the token",
        ("sid", _) => "the session: this one login",
        ("iat", _) => return at("issued at", value),
        ("exp", _) => return at("good until", value),
        ("nbf", _) => return at("not good before", value),
        ("jti", _) => "a name for this one token",
        ("roles", _) => "what the user may do",
        ("gen", _) => "its generation: the session's refresh tokens are counted from 1",
        _ => UNKNOWN,
    };
    remark.to_owned()
}

const UNKNOWN: &str = "not one of ours";

/// A time in words and as a date.
fn at(words: &str, value: &Value) -> String {
    let time = value.as_i64().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(time) = time else { return format!("{words} a time that is none") };
    let (hour, minute, second) = time.to_hms();
    format!("{words} {} {hour:02}:{minute:02}:{second:02} UTC", time.date())
}

/// Text that a terminal prints and does not obey: a token may come from anywhere.
fn plain(text: &str) -> String {
    let escaped = |char: char| if char.is_control() { format!("\\u{:04x}", u32::from(char)) } else { char.into() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::claims::Subject;
    use shared::clock::Timestamp;
    use shared::config::Config;
    use shared::id::{SessionId, UserId};
    use shared::session::Generation;
    use shared::tokens::Signer;

    use super::*;

    fn token(header: &str, payload: &str, signature: &[u8]) -> String {
        [header.as_bytes(), payload.as_bytes(), signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    /// An access token and a refresh token as the functions sign them.
    fn ours() -> [String; 2] {
        let config = Config::from_lookup(|name| {
            let value = match name {
                "ACCESS_SECRET" => "access-secret-0123456789-0123456789",
                "REFRESH_SECRET" => "refresh-secret-0123456789-012345678",
                "USERS_TABLE" | "SESSIONS_TABLE" | "AWS_REGION" | "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => name,
                _ => return None,
            };
            Some(value.to_owned())
        });
        let (signer, now) = (Signer::new(&config.unwrap()), Timestamp::from_secs(1_800_000_000));
        let (user_id, session_id) = (UserId::parse("0").unwrap(), SessionId::random().unwrap());
        let (email, roles) = ("kim@example.com", ["admin".to_owned()]);
        let subject = Subject { user_id: &user_id, email, roles: &roles, session_id: &session_id };
        let week = now + Duration::from_hours(7 * 24);
        let generation = Generation { number: 1, kid: signer.refresh_kid(), issued_at: now, expires_at: week };
        let tokens = [signer.access(&subject, now, week), signer.refresh(&subject, &generation)];
        tokens.map(|token| token.unwrap().expose().to_owned())
    }

    #[test]
    fn every_claim_that_we_issue_is_explained() {
        for (token, secret) in ours().iter().zip(["ACCESS_SECRET", "REFRESH_SECRET"]) {
            let said = given(token).unwrap();
            assert!(!said.contains(UNKNOWN) && !said.contains("neither of ours"), "{said}");
            assert!(token.split('.').all(|part| said.contains(part)), "{said}");
            assert!(said.contains("32 bytes, made with HS256") && said.contains(secret), "{said}");
        }
    }

    #[test]
    fn claims_stand_in_the_order_of_the_token_with_their_remarks() {
        let said = given(&token("{}", r#"{"sub":"0","exp":1800000000,"aud":["a"]}"#, b"s")).unwrap();
        let payload = "  The payload says:
  {
    \"sub\": \"0\",         the user
    \"exp\": 1800000000,  good until 2027-01-15 08:00:00 UTC
    \"aud\": [\"a\"]        whom it is for
  }
";
        assert!(said.contains(payload), "{said}");
    }

    #[test]
    fn what_is_not_ours_is_taken_apart_all_the_same() {
        let said = given(&token(r#"{"alg":"RS256"}"#, r#"{"sub":1,"sub":2,"exp":"soon","x":{}}"#, b"s")).unwrap();
        for part in ["\"sub\": 1,", "\"sub\": 2,", "a time that is none", UNKNOWN, "the key of whoever issued it"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(given(&token(r#"{"alg":"none"}"#, "{}", b"")).unwrap().contains("not signed"));
    }

    #[test]
    fn a_time_that_no_calendar_has_is_not_a_crash() {
        for time in ["1e300", "-1e300", "18446744073709551615", "-9223372036854775808", "1.5", "null", "[]"] {
            let said = given(&token("{}", &format!(r#"{{"exp":{time}}}"#), b"s")).unwrap();
            assert!(said.contains("a time that is none"), "{said}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_in_words_that_do_not_repeat_it() {
        let too_long = "a".repeat(LONGEST + 1);
        let deep = token("{}", &format!(r#"{{"a":{}}}"#, "[".repeat(10_000)), b"s");
        let (no_object, no_json) = (token("{}", "\"secret\"", b"s"), token("{", "{}", b"s"));
        for (text, problem) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("kimcoding", "it has 1 of the three parts"),
            ("secret.secret", "it has 2 of the three parts"),
            ("a.b.c.d.e", "it has 5 of the three parts"),
            ("..", "its header is no JSON object"),
            ("e30.e30.c=", "its signature is not base64url"),
            ("e30.e30+.c2Vj", "its payload is not base64url"),
            ("e3\u{0}.e30.c2Vj", "its header is not base64url"),
            ("김.코.딩", "its header is not base64url"),
            (no_json.as_str(), "its header is no JSON object"),
            (no_object.as_str(), "its payload is no JSON object"),
            (deep.as_str(), "its payload is no JSON object"),
            (too_long.as_str(), "it is longer than 65536 bytes"),
        ] {
            let refused = format!("{:#}", given(text).unwrap_err());
            assert!(refused.contains(problem), "{problem}: {refused}");
            assert!(!refused.contains("secret") && !refused.contains("kimcoding"), "{refused}");
        }
    }

    #[test]
    fn standard_input_may_end_in_a_new_line_and_hold_anything() {
        let token = token("{}", "{}", b"s");
        assert_eq!(read(format!("{token}\r\n").as_bytes()).unwrap(), given(&token).unwrap());
        assert!(read(&b"\xff\xfe"[..]).unwrap_err().to_string().contains("not even text"));
        assert!(read(std::io::repeat(b'a')).unwrap_err().to_string().contains("longer than"));
    }

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        let payload = "{\"\u{9b}31m\":\"\\u001b[2J\u{7f}\"}";
        let said = given(&token("{\"alg\":\"\\u001b[0m\"}", payload, b"s")).unwrap();
        assert!(!said.chars().any(|char| char.is_control() && char != '\n'), "{said:?}");
    }
}
