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
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};
use crate::keys::{Keys, Purpose, weakness};

mod values;

pub(crate) use values::Values;

/// The longest name of a table in bytes. DynamoDB also accepts the ARN of a table as its name.
const MAX_TABLE_NAME: usize = 1024;

/// Returns the value of a variable, or `None`.
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The variables of a function.
pub struct Environment {
    lookup: Box<Lookup>,
    /// The values that were read from Secrets Manager. They take precedence.
    provided: Vec<(&'static str, SecretString)>,
    /// The secrets and table names that were read. No two may be equal.
    values: Values,
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
        Self { lookup: Box::new(lookup), provided: Vec::new(), values: Values::default() }
    }

    /// Returns a variable, or `None` if it is absent or empty. An empty value counts as absent, because `template.yaml`
    /// passes a parameter that is not set as an empty value.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        let provided = self.provided.iter().find(|(variable, _)| *variable == name);
        let value = provided.map(|(_, value)| value.expose_secret().to_owned()).or_else(|| (self.lookup)(name));
        value.filter(|value| !value.is_empty())
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
        self.values.add_text(name, &table.clone().into())?;
        Ok(table)
    }

    /// Returns a secret.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is absent, weak (R37, R38), equal to a secret in another variable, or an ARN.
    pub fn secret(&self, name: &'static str) -> Result<SecretString> {
        let secret = SecretString::from(self.required(name)?);
        check_was_read(name, secret.expose_secret())?;
        if let Some(weakness) = weakness(secret.expose_secret()) {
            return reject(name, weakness);
        }
        self.values.add_text(name, &secret)?;
        Ok(secret)
    }

    /// Returns the keys of a purpose. All calls return the same keys.
    ///
    /// # Errors
    /// [`Error::Setting`] if they are absent, break a rule of a [`KeySet`](crate::keys::KeySet), have a secret of
    /// another variable, or are an ARN.
    pub fn keys(&self, purpose: Purpose) -> Result<Keys> {
        self.optional_keys(purpose)?.map_or_else(|| reject(purpose.variable(), "is not set"), Ok)
    }

    /// Returns the keys of a purpose, or `None` if they are absent.
    ///
    /// # Errors
    /// [`Error::Setting`], as [`keys`](Self::keys).
    pub fn optional_keys(&self, purpose: Purpose) -> Result<Option<Keys>> {
        let Some(text) = self.optional(purpose.variable()).map(SecretString::from) else { return Ok(None) };
        check_was_read(purpose.variable(), text.expose_secret())?;
        self.values.keys(purpose, text.expose_secret()).map(Some)
    }

    /// Returns the ARN of the secret that a variable names in place of its value, or `None`.
    #[must_use]
    pub fn arn(&self, name: &str) -> Option<String> {
        self.optional(name).filter(|value| is_arn(value))
    }

    /// Sets the value of a variable that names a secret.
    pub(crate) fn provide(&mut self, name: &'static str, secret: SecretString) {
        self.provided.push((name, secret));
    }

    /// Returns the values that must be different.
    pub(crate) fn values(&self) -> Values {
        self.values.clone()
    }
}

/// Returns `true` if a value is the ARN of a secret, and not the secret.
fn is_arn(value: &str) -> bool {
    value.trim_start().starts_with("arn:")
}

/// Rejects an ARN. As a key, it could be guessed.
fn check_was_read(name: &'static str, value: &str) -> Result<()> {
    if is_arn(value) { reject(name, "is an ARN, and its secret was not read") } else { Ok(()) }
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
            let (name, problem) = rejected(environment(&[("S", value)]).secret("S"));
            assert_eq!(name, "S");
            assert!(!problem.contains(value), "{problem}");
            let (name, problem) = rejected(environment(&[("ACCESS_SECRET", value)]).keys(Purpose::Access));
            assert_eq!(name, "ACCESS_SECRET");
            assert!(!problem.contains(value), "{problem}");
        }
        assert_eq!(rejected(environment(&[]).secret("S")).1, "is not set");
        assert_eq!(rejected(environment(&[]).keys(Purpose::Access)).1, "is not set");
        assert!(environment(&[]).optional_keys(Purpose::Pepper).unwrap().is_none());
    }

    #[test]
    fn two_secrets_or_two_tables_with_one_value_stop_the_start() {
        let keys = testbed::key_set("REFRESH_SECRET", &["refresh-secret-0123456789-012345678"], &[SECRET]);
        let variables = [("A", SECRET), ("ACCESS_SECRET", SECRET), ("REFRESH_SECRET", &keys)];
        let env = environment(&[&variables[..], &[("B", SECRET), ("USERS", "t"), ("SESSIONS", "t")]].concat());
        env.secret("A").unwrap();
        env.secret("A").unwrap();
        assert_eq!(rejected(env.secret("B")), ("B", "must differ from A".to_owned()));
        for purpose in [Purpose::Access, Purpose::Refresh] {
            assert_eq!(rejected(env.keys(purpose)), (purpose.variable(), "must differ from A".to_owned()));
        }
        env.table("USERS").unwrap();
        assert_eq!(rejected(env.table("SESSIONS")), ("SESSIONS", "must differ from USERS".to_owned()));
    }

    /// An ARN of which the secret was not read would be a key that an attacker can guess.
    #[test]
    fn an_arn_is_not_a_secret() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AccessSecret-AbCdEf";
        let env = environment(&[("A", arn), ("ACCESS_SECRET", arn)]);
        assert_eq!(env.arn("A").as_deref(), Some(arn));
        assert_eq!(rejected(env.secret("A")).1, "is an ARN, and its secret was not read");
        assert_eq!(rejected(env.keys(Purpose::Access)).1, "is an ARN, and its secret was not read");
        assert_eq!(environment(&[("A", SECRET)]).arn("A"), None);
    }

    /// R97.
    #[test]
    fn the_environment_is_never_printed() {
        let env = environment(&[("A", SECRET)]);
        env.secret("A").unwrap();
        assert_eq!(format!("{env:?}"), "Environment { .. }");
    }
}
