//! The fields of an entry, with checks that name the field and never quote its value.

use serde_json::{Map, Value};

/// Why an entry without an e-mail address is refused.
const NO_EMAIL: &str = "The entry has no e-mail address.";

/// The fields of an entry. `null` and an empty text are the same as an absent field.
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn new(entry: &'a Map<String, Value>) -> Self {
        Self(entry)
    }

    /// Returns the value of a field, or `None` if the field is absent.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null() && *value != "")
    }

    /// Returns `true` if there is a field of this name, even an empty one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns a text. It is empty if the field is absent.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        self.optional_text(name).map(Option::unwrap_or_default)
    }

    /// Returns a text, or `None` if the field is absent.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, String> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("The field `{name}` is not a text.")),
        }
    }

    /// Returns the first text that is not empty.
    pub(super) fn first_text(&self, names: &[&str]) -> Result<String, String> {
        for name in names {
            if let Some(text) = self.optional_text(name)? {
                return Ok(text);
            }
        }
        Ok(String::new())
    }

    /// Returns an id, which may be a number.
    pub(super) fn id(&self, name: &str) -> Result<Option<String>, String> {
        match self.value(name) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            _ => self.optional_text(name),
        }
    }

    /// Returns the e-mail address.
    pub(super) fn email(&self, name: &str) -> Result<String, String> {
        self.optional_text(name)?.ok_or_else(|| NO_EMAIL.into())
    }

    /// Returns `true` or `false`. A table also has `t`, `f`, `1` and `0`. An absent field is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        let is_true = match self.value(name) {
            None => Some(false),
            Some(Value::Bool(is_true)) => Some(*is_true),
            Some(Value::Number(number)) => number.as_u64().filter(|&number| number <= 1).map(|number| number == 1),
            Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "1" => Some(true),
                "false" | "f" | "0" => Some(false),
                _ => None,
            },
            Some(_) => None,
        };
        is_true.ok_or_else(|| format!("The field `{name}` is neither true nor false."))
    }

    /// Returns an object. A table has it as the text of JSON. It is empty if the field is absent.
    pub(super) fn object(&self, name: &str) -> Result<Map<String, Value>, String> {
        match self.value(name) {
            None => Some(Map::new()),
            Some(Value::Object(object)) => Some(object.clone()),
            Some(Value::String(text)) => serde_json::from_str(text).ok(),
            Some(_) => None,
        }
        .ok_or_else(|| format!("The field `{name}` is not a JSON object."))
    }

    /// Returns a list of texts. It is empty if the field is absent.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let values = match self.value(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values.as_slice(),
            Some(_) => &[Value::Null],
        };
        let texts: Option<_> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        texts.ok_or_else(|| format!("The field `{name}` is not an array of texts."))
    }

    /// Returns the elements of an array that are objects. It is empty if the field is absent.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<&'a Map<String, Value>>, String> {
        let values = match self.value(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values.as_slice(),
            Some(_) => &[Value::Null],
        };
        let objects: Option<_> = values.iter().map(Value::as_object).collect();
        objects.ok_or_else(|| format!("The field `{name}` is not an array of objects."))
    }
}

/// Joins a first and a last name.
pub(super) fn full_name(first: &str, last: &str) -> String {
    format!("{first} {last}").trim().to_owned()
}

/// Returns the first text, or the second if the first is empty.
pub(super) fn or(first: String, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { first }
}
