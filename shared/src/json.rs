//! Strict JSON objects.
//!
//! Owns two rules that `serde` does not have. A struct must be a JSON object: `serde` also reads a derived struct from
//! an array, so that `["kim","1234"]` would pass as a login (R30). No name may occur twice in an object, not even an
//! ignored one (R47). The types themselves reject unknown names, with `deny_unknown_fields`.

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
            return Err(A::Error::custom("a name occurs twice"));
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
