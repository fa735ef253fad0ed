//! Reading the environment.
//!
//! Owns [`Environment`]: required and optional variables, numbers with bounds, secrets and table names. Each module
//! reads its own settings with it, in a `from_env` constructor, and documents them there. A missing or unsafe value
//! stops the cold start. `docs/configuration.md` lists all variables. Only [`Environment::of_process`] touches the real
//! environment.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

mod key_strength;

use key_strength::weakness;

/// The longest name of a table in bytes. DynamoDB also accepts the ARN of a table as its name.
const MAX_TABLE_NAME: usize = 1024;

/// Returns the value of a variable, or `None`.
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The variables of a function.
pub struct Environment {
    lookup: Box<Lookup>,
    /// The secrets and table names that were read, with the names of their variables. No two values may be equal.
    distinct: Mutex<Vec<(&'static str, SecretString)>>,
}

impl Environment {
    /// Reads from the environment of the process.
    #[must_use]
    pub fn of_process() -> Self {
        // `to_string_lossy` replaces invalid UTF-8 with U+FFFD. Variables with a strict format then reject the value.
        Self::new(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Reads from `lookup`.
    #[must_use]
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { lookup: Box::new(lookup), distinct: Mutex::default() }
    }

    /// Returns a variable, or `None` if it is absent or empty. An empty value counts as absent, because `template.yaml`
    /// passes a parameter that is not set as an empty value.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// Returns a variable.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is absent.
    pub fn required(&self, name: &'static str) -> Result<String> {
        self.optional(name).map_or_else(|| reject(name, "is not set"), Ok)
    }

    /// Returns a variable of at most `max_bytes`, or `None` if it is absent or empty.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is blank or longer.
    pub fn text(&self, name: &'static str, max_bytes: usize) -> Result<Option<String>> {
        let Some(value) = self.optional(name) else { return Ok(None) };
        if value.trim().is_empty() {
            return reject(name, "must not be blank");
        }
        if value.len() > max_bytes {
            return reject(name, format!("must have at most {max_bytes} bytes"));
        }
        Ok(Some(value))
    }

    /// Returns a variable, or the default.
    #[must_use]
    pub fn or(&self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    /// Returns a number within bounds, or the default.
    ///
    /// # Errors
    /// [`Error::Setting`] for any other value.
    pub fn number<N>(&self, name: &'static str, default: N, bounds: RangeInclusive<N>) -> Result<N>
    where
        N: FromStr + PartialOrd + fmt::Display,
    {
        let Some(value) = self.optional(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|number| bounds.contains(number));
        number.map_or_else(|| reject(name, format!("must be {} to {}", bounds.start(), bounds.end())), Ok)
    }

    /// Returns a number of seconds within bounds, or the default.
    ///
    /// # Errors
    /// [`Error::Setting`] for any other value.
    pub fn seconds(&self, name: &'static str, default: u64, bounds: RangeInclusive<u64>) -> Result<Duration> {
        self.number(name, default, bounds).map(Duration::from_secs)
    }

    /// Returns `true` for `on`, which is the default, and `false` for `off`.
    ///
    /// # Errors
    /// [`Error::Setting`] for any other value.
    pub fn switch(&self, name: &'static str) -> Result<bool> {
        match self.or(name, "on").as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => reject(name, "must be on or off"),
        }
    }

    /// Returns the name of a table.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is absent, is longer than DynamoDB accepts, or names the same table as another
    /// variable.
    pub fn table(&self, name: &'static str) -> Result<String> {
        let table = self.required(name)?;
        self.text(name, MAX_TABLE_NAME)?;
        self.check_distinct(name, &table.clone().into())?;
        Ok(table)
    }

    /// Returns a secret.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is absent, weak (R37, R38) or equal to a secret in another variable.
    pub fn secret(&self, name: &'static str) -> Result<SecretString> {
        self.optional_secret(name)?.map_or_else(|| reject(name, "is not set"), Ok)
    }

    /// Returns a secret, or `None` if it is absent.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is weak (R37, R38) or equal to a secret in another variable. One secret for both kinds
    /// of token would let a refresh token pass as an access token.
    pub fn optional_secret(&self, name: &'static str) -> Result<Option<SecretString>> {
        let Some(secret) = self.optional(name).map(SecretString::from) else { return Ok(None) };
        if let Some(weakness) = weakness(secret.expose_secret()) {
            return reject(name, weakness);
        }
        self.check_distinct(name, &secret)?;
        Ok(Some(secret))
    }

    /// Compares a value with those of the other variables that were read before.
    fn check_distinct(&self, name: &'static str, value: &SecretString) -> Result<()> {
        let mut distinct = self.distinct.lock().unwrap_or_else(PoisonError::into_inner);
        let other = distinct.iter().find(|(_, other)| other.expose_secret() == value.expose_secret());
        match other {
            Some((other, _)) if *other != name => reject(name, format!("must differ from {other}")),
            Some(_) => Ok(()),
            None => {
                distinct.push((name, value.clone()));
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Environment {
    /// Prints nothing: the values include secrets (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// Rejects the value of a variable.
///
/// # Errors
/// Always [`Error::Setting`].
pub fn reject<T>(name: &'static str, problem: impl Into<Cow<'static, str>>) -> Result<T> {
    Err(Error::Setting { name, problem: problem.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "access-secret-0123456789-0123456789";

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment::new(move |name| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
    }

    /// The name and the text of a rejected variable.
    fn rejected<T: fmt::Debug>(outcome: Result<T>) -> (&'static str, String) {
        match outcome {
            Err(Error::Setting { name, problem }) => (name, problem.into_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let env = environment(&[("A", ""), ("B", "b")]);
        assert_eq!((env.optional("A"), env.optional("C"), env.optional("B").as_deref()), (None, None, Some("b")));
        assert_eq!(rejected(env.required("A")), ("A", "is not set".to_owned()));
        assert_eq!(env.required("B").unwrap(), "b");
        assert_eq!((env.or("A", "default").as_str(), env.or("B", "default").as_str()), ("default", "b"));
    }

    #[test]
    fn a_text_has_an_upper_bound() {
        let read = |value: &str| environment(&[("T", value)]).text("T", 4);
        assert_eq!((read("").unwrap(), read("four").unwrap()), (None, Some("four".to_owned())));
        assert_eq!(rejected(read("\t")), ("T", "must not be blank".to_owned()));
        for value in ["fives", "ééé"] {
            assert_eq!(rejected(read(value)), ("T", "must have at most 4 bytes".to_owned()), "{value}");
        }
        let table = |length: usize| environment(&[("T", &"t".repeat(length))]).table("T");
        assert!(table(1024).is_ok());
        assert_eq!(rejected(table(1025)), ("T", "must have at most 1024 bytes".to_owned()));
    }

    #[test]
    fn a_number_has_bounds_and_a_default() {
        assert_eq!(environment(&[]).number("N", 7, 1..=9).unwrap(), 7);
        for value in ["1", "9"] {
            assert_eq!(environment(&[("N", value)]).number("N", 7, 1..=9).unwrap().to_string(), value);
        }
        for value in ["0", "10", "-1", "1.5", "one", " 1", "99999999999999999999"] {
            let rejected = rejected(environment(&[("N", value)]).number("N", 7, 1..=9));
            assert_eq!(rejected, ("N", "must be 1 to 9".to_owned()), "{value}");
        }
        assert_eq!(environment(&[("N", "60")]).seconds("N", 1, 1..=60).unwrap(), Duration::from_mins(1));
    }

    #[test]
    fn a_switch_is_on_or_off() {
        for (value, expected) in [("", true), ("on", true), ("off", false)] {
            assert_eq!(environment(&[("S", value)]).switch("S").unwrap(), expected);
        }
        for value in ["On", "true", "0", "yes"] {
            assert_eq!(rejected(environment(&[("S", value)]).switch("S")).0, "S");
        }
    }

    /// R37, R38.
    #[test]
    fn the_error_for_a_weak_secret_has_its_name_and_not_its_value() {
        for value in ["too-short", "0123456789abcdef0123456789abcdef", "a-string-secret-at-least-256-bits-long"] {
            for read in
                [|env: &Environment| env.secret("S"), |env: &Environment| env.optional_secret("S").map(Option::unwrap)]
            {
                let (name, problem) = rejected(read(&environment(&[("S", value)])));
                assert_eq!(name, "S");
                assert!(!problem.contains(value), "{problem}");
            }
        }
        assert_eq!(rejected(environment(&[]).secret("S")).1, "is not set");
        assert!(environment(&[]).optional_secret("S").unwrap().is_none());
    }

    #[test]
    fn two_secrets_or_two_tables_with_one_value_stop_the_start() {
        let env = environment(&[("A", SECRET), ("B", SECRET), ("USERS", "t"), ("SESSIONS", "t")]);
        env.secret("A").unwrap();
        env.secret("A").unwrap();
        assert_eq!(rejected(env.optional_secret("B")), ("B", "must differ from A".to_owned()));
        env.table("USERS").unwrap();
        assert_eq!(rejected(env.table("SESSIONS")), ("SESSIONS", "must differ from USERS".to_owned()));
    }

    /// R97.
    #[test]
    fn the_environment_is_never_printed() {
        let env = environment(&[("A", SECRET)]);
        env.secret("A").unwrap();
        assert_eq!(format!("{env:?}"), "Environment { .. }");
    }
}
