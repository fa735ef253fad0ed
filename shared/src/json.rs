//! Strict JSON objects.
//!
//! Owns two rules that `serde` does not have. A struct must be a JSON object: `serde` also reads a derived struct from
//! an array, so that `["kim","1234"]` would pass as a login (R30). No name may occur twice in an object, not even an
//! ignored one (R47). The types themselves reject unknown names, with `deny_unknown_fields`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Parses one JSON object. Nothing but white space may stand before or after it.
///
/// # Errors
/// If the text is not the JSON of a `T`.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<Object<T>>(bytes).map(|Object(value)| value)
}

/// Says what is wrong with a text that [`object`] rejected, and where. Never quotes the text, which may hold a
/// password.
#[must_use]
pub fn problem(bytes: &[u8], error: &serde_json::Error) -> Cow<'static, str> {
    if bytes.trim_ascii().is_empty() {
        return "is empty".into();
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        return "starts with a byte order mark".into();
    }
    if std::str::from_utf8(bytes).is_err() || bytes.contains(&0) {
        return "is not UTF-8 text".into();
    }
    let text = error.to_string();
    let known = PROBLEMS.iter().find(|(start, _)| text.starts_with(start)).map(|(_, problem)| (*problem).into());
    let problem: Cow<'static, str> = known.unwrap_or_else(|| missing_field(&text));
    format!("{problem} (line {}, column {})", error.line(), error.column()).into()
}

/// The first bytes of some UTF-8 texts, which JSON does not allow (RFC 8259 §8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How the errors of `serde_json` begin, and what to say instead. The rest of such an error may quote the text. The
/// tests show that the beginnings still match.
const PROBLEMS: [(&str, &str); 12] = [
    ("unexpected end of hex escape", LONE_SURROGATE),
    ("lone leading surrogate in hex escape", LONE_SURROGATE),
    ("control character", "has a control character in a string: write it as an escape such as \\n"),
    ("invalid escape", "has an invalid escape in a string: write a backslash as \\\\"),
    ("trailing characters", "has more text after the JSON object"),
    ("trailing comma", "has a comma before a closing bracket"),
    ("EOF", "ends too early"),
    ("invalid type", WRONG_TYPE),
    ("invalid value", WRONG_TYPE),
    ("number out of range", WRONG_TYPE),
    ("unknown field", "has an unknown field"),
    (TWICE, "has a field twice"),
];

const LONE_SURROGATE: &str = "has half of a surrogate pair in a string, such as \\ud800 alone";

const WRONG_TYPE: &str = "has a value of the wrong type";

const TWICE: &str = "a name occurs twice";

/// Returns the text for a missing field, with the name, which is always one of ours. Returns the text for invalid JSON
/// if the error is another one.
fn missing_field(error: &str) -> Cow<'static, str> {
    let name = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    name.map_or("is not valid JSON".into(), |name| format!("lacks the field {name}").into())
}

/// A `T` that is deserialized from a JSON object only.
pub struct Object<T>(pub T);

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(UniqueNames { map, seen: Vec::new() })).map(Object)
    }
}

/// Rejects a name that occurs twice.
struct UniqueNames<A> {
    map: A,
    seen: Vec<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for UniqueNames<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(name) = self.map.next_key::<String>()? else { return Ok(None) };
        if self.seen.contains(&name) {
            return Err(A::Error::custom(TWICE));
        }
        let key = seed.deserialize(name.as_str().into_deserializer())?;
        self.seen.push(name);
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        left: u8,
        right: Object<Inner>,
    }

    #[derive(Deserialize)]
    struct Inner {
        word: String,
    }

    fn told(text: &[u8]) -> Cow<'static, str> {
        problem(text, &object::<Pair>(text).err().unwrap())
    }

    #[test]
    fn the_problem_of_an_invalid_text_is_named_and_the_text_is_not_quoted() {
        for (text, expected) in [
            (&b""[..], "is empty"),
            (b" \r\n\t", "is empty"),
            (b"\xef\xbb\xbf{}", "starts with a byte order mark"),
            (b"{\"left\":\xff}", "is not UTF-8 text"),
            (b"{\0\"\0", "is not UTF-8 text"),
            (b"\xff\xfe{\0", "is not UTF-8 text"),
            (b"{\"left\":1}\0", "is not UTF-8 text"),
            (br#"{"right":{"word":"\ud800"}}"#, "has half of a surrogate pair in a string, such as \\ud800 alone"),
            (br#"{"right":{"word":"\ud800x"}}"#, "has half of a surrogate pair in a string, such as \\ud800 alone"),
            (br#"{"right":{"word":"\ud800A"}}"#, "has half of a surrogate pair in a string, such as \\ud800 alone"),
            (
                br#"{"right":{"word":"\ud800\u0041"}}"#,
                "has half of a surrogate pair in a string, such as \\ud800 alone",
            ),
            (br#"{"right":{"word":"\udc00"}}"#, "has half of a surrogate pair in a string, such as \\ud800 alone"),
            (br#"{"\ud800":1}"#, "has half of a surrogate pair in a string, such as \\ud800 alone"),
            (
                b"{\"right\":{\"word\":\"a\nb\"}}",
                "has a control character in a string: write it as an escape such as \\n",
            ),
            (br#"{"right":{"word":"\p"}}"#, "has an invalid escape in a string: write a backslash as \\\\"),
            (br#"{"left":1,"right":{"word":"a"}} {}"#, "has more text after the JSON object"),
            (br#"{"left":1,"right":{"word":"a",}}"#, "has a comma before a closing bracket"),
            (br#"{"left":1"#, "ends too early"),
            (br#"{"left":"#, "ends too early"),
            (br#"{"left":NaN}"#, "is not valid JSON"),
            (br"{'left':1}", "is not valid JSON"),
            (b"left=1&right=2", "is not valid JSON"),
            (br#"{"left":"1"}"#, "has a value of the wrong type"),
            (br#"{"left":1e999}"#, "has a value of the wrong type"),
            (br#"{"left":999}"#, "has a value of the wrong type"),
            (br#"{"right":{"word":7}}"#, "has a value of the wrong type"),
            (br#"{"right":{"word":null}}"#, "has a value of the wrong type"),
            (br#"{"right":["a"]}"#, "has a value of the wrong type"),
            (b"[]", "has a value of the wrong type"),
            (br#"{"left":1,"more":1}"#, "has an unknown field"),
            (br#"{"left":1,"left":1}"#, "has a field twice"),
            (br#"{"left":1}"#, "lacks the field right"),
            (br#"{"left":1,"right":{}}"#, "lacks the field word"),
        ] {
            let told = told(text);
            let (problem, _) = told.split_once(" (line ").unwrap_or((&told, ""));
            assert_eq!(problem, expected, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(told(br#"{"left":1}"#), "lacks the field right (line 1, column 10)");
    }

    /// R30, R47.
    #[test]
    fn a_struct_is_read_only_from_an_object_with_unique_names() {
        let pair: Pair = object(br#" {"left":1,"right":{"word":"a","ignored":1}} "#).unwrap();
        assert_eq!((pair.left, pair.right.word.as_str()), (1, "a"));
        for other in [
            r#"[1,{"word":"a"}]"#,
            r#"{"left":1,"right":["a"]}"#,
            r#"{"left":1,"left":1,"right":{"word":"a"}}"#,
            r#"{"left":1,"right":{"word":"a"},"more":1}"#,
            r#"{"left":1,"right":{"word":"a","ignored":1,"ignored":1}}"#,
            r#"{"left":1,"right":{"word":"a"}} {}"#,
            r#"{"left":1}"#,
            "null",
            "1",
            "",
        ] {
            assert!(object::<Pair>(other.as_bytes()).is_err(), "{other}");
        }
    }
}
