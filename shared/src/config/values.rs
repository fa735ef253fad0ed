//! The values that must be different: secrets, keys and table names.
//!
//! Owns the comparison. One secret for both kinds of token would let a refresh token pass as an access token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;

use super::reject;
use crate::error::Result;
use crate::keys::{KeySet, Keys, Purpose, is_same_secret};

/// The values that a function has read, with the names of their variables. All clones share them.
#[derive(Clone, Default)]
pub(crate) struct Values(Arc<Mutex<Vec<Value>>>);

enum Value {
    Text(&'static str, SecretString),
    Keys(Keys),
}

impl Values {
    /// Adds a text.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) if another variable has the same value.
    pub(super) fn add_text(&self, name: &'static str, text: &SecretString) -> Result<()> {
        let mut values = self.lock();
        check(&values, name, text)?;
        let is_known = values.iter().any(|value| matches!(value, Value::Text(known, _) if *known == name));
        if !is_known {
            values.push(Value::Text(name, text.clone()));
        }
        Ok(())
    }

    /// Returns the keys of a purpose. Reads `text` if they have not been read before.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) if the set breaks a rule, or if another variable has one of its
    /// secrets.
    pub(super) fn keys(&self, purpose: Purpose, text: &str) -> Result<Keys> {
        let mut values = self.lock();
        if let Some(keys) = find(&values, purpose) {
            return Ok(keys.clone());
        }
        let keys = Keys::parse(purpose, text)?;
        check_set(&values, purpose, &keys.set())?;
        values.push(Value::Keys(keys.clone()));
        Ok(keys)
    }

    /// Replaces the set of a purpose, if a function uses it. Keeps the old set if the new one cannot be used. Returns
    /// the keys if they differ from those before.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting), as [`keys`](Self::keys).
    pub(crate) fn replace(&self, purpose: Purpose, text: &str) -> Result<Option<Keys>> {
        let values = self.lock();
        let Some(keys) = find(&values, purpose) else { return Ok(None) };
        let set = KeySet::parse(purpose, text)?;
        check_set(&values, purpose, &set)?;
        Ok(keys.replace(set).then(|| keys.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(values: &[Value], purpose: Purpose) -> Option<&Keys> {
    values.iter().find_map(|value| match value {
        Value::Keys(keys) if keys.purpose() == purpose => Some(keys),
        Value::Keys(_) | Value::Text(..) => None,
    })
}

fn check_set(values: &[Value], purpose: Purpose, set: &KeySet) -> Result<()> {
    set.keys().iter().try_for_each(|key| check(values, purpose.variable(), key.expose()))
}

/// Compares a text with the values of all other variables.
fn check(values: &[Value], name: &'static str, text: &SecretString) -> Result<()> {
    let is_text = |other: &SecretString| is_same_secret(other, text);
    for value in values {
        let (other, is_equal) = match value {
            Value::Text(other, known) => (*other, is_text(known)),
            Value::Keys(keys) => (keys.purpose().variable(), keys.set().keys().iter().any(|key| is_text(key.expose()))),
        };
        if is_equal && other != name {
            return reject(name, format!("must differ from {other}"));
        }
    }
    Ok(())
}
