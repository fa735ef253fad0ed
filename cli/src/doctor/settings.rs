//! The settings of the functions: valid, and the same in all functions. No value of a setting is printed, because some
//! are secrets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use shared::config::Environment;
use shared::error::Error;
use shared::settings;

use super::report::Finding;
use super::tables::TABLES;
use crate::stack::{Stack, Variables, environment};

/// The functions of the template. A test compares them.
const FUNCTIONS: [&str; 8] = ["authorizer", "jwks", "login", "logout", "password", "rotation", "sessions", "userinfo"];

/// The functions that hash passwords. Only for them, the memory of the function limits a setting.
const HASHING: [&str; 2] = ["login", "password"];

/// The function that knows no user. It has [`OF_KEYS`] in place of [`OF_ALL`].
const KEYS: &str = "jwks";

/// The function that a schedule calls. It has [`OF_ROTATION`] in place of [`OF_ALL`].
const ROTATION: &str = "rotation";

/// The variables that the template gives to all functions except [`KEYS`] and [`ROTATION`]. A test compares them.
const OF_ALL: [&str; 12] = [
    "ACCESS_SECRET",
    "ACCESS_TTL",
    "ALLOWED_ORIGINS",
    "AUDIENCE",
    "COOKIE_DOMAIN",
    "ISSUER",
    "METRICS_NAMESPACE",
    "REFRESH_SECRET",
    "REFRESH_TTL",
    "SESSIONS_TABLE",
    "USERS_TABLE",
    "AWS_ENDPOINT_URL_DYNAMODB",
];

/// The variables of [`OF_ALL`] that the template gives to [`KEYS`]. A test compares them.
const OF_KEYS: [&str; 5] =
    ["ACCESS_SECRET", "ALLOWED_ORIGINS", "ISSUER", "METRICS_NAMESPACE", "AWS_ENDPOINT_URL_DYNAMODB"];

/// The variables that the template gives to [`ROTATION`] and to other functions. A test compares them.
const OF_ROTATION: [&str; 6] =
    ["ACCESS_SECRET", "DEVICE_SECRET", "ISSUER", "METRICS_NAMESPACE", "REFRESH_SECRET", "AWS_ENDPOINT_URL_DYNAMODB"];

/// The variables that the template gives to [`HASHING`] besides. A test compares them.
const OF_HASHING: [&str; 6] = [
    "ATTEMPTS_TABLE",
    "HASH_MEMORY_KIB",
    "PASSWORD_CHECK_MS",
    "PASSWORD_PEPPER",
    "SOURCE_FAILURES_PER_HOUR",
    "THROTTLE_SECRET",
];

/// The variables of each function.
pub(super) struct Settings(BTreeMap<String, Variables>);

impl Settings {
    /// Reads the variables of all functions of the template that the stack has. On a local stack, all functions have
    /// the same variables.
    ///
    /// # Errors
    /// Fails if they cannot be read.
    pub(super) async fn read(stack: &Stack) -> Result<Self> {
        let deployed = if stack.is_local() { None } else { Some(stack.functions().await?) };
        let is_there = |function: &str| {
            let is_it = |name: &String| name.eq_ignore_ascii_case(&format!("{function}Function"));
            deployed.as_ref().is_none_or(|functions| functions.keys().any(is_it))
        };
        let mut variables = BTreeMap::new();
        for function in FUNCTIONS.into_iter().filter(|function| is_there(function)) {
            variables.insert(function.to_owned(), stack.variables(function).await?);
        }
        Ok(Self(variables))
    }

    /// Returns a setting that all functions have. Empty if it is not set.
    pub(super) fn value(&self, name: &str) -> &str {
        let mut values = self.0.values().filter_map(|variables| variables.get(name));
        values.next().map_or("", String::as_str)
    }

    /// Checks that all functions exist, use the tables of the stack, and have the same value of each setting.
    pub(super) fn agreement(&self, stack: &Stack) -> Finding {
        let mut problems = self.missing();
        let current = "Deploy the current template: sam build && sam deploy";
        let by_hand = "If a deployment is running, wait for its end. CloudFormation does not undo a change by hand: \
                       correct the variable in the Lambda console, or give its parameter a new value with sam deploy";
        let fix = if problems.is_empty() { by_hand } else { current };
        for table in TABLES {
            problems.extend(self.with_another_table(table.variable, stack.table(table.variable)));
        }
        problems.extend(self.disagreements());
        if problems.is_empty() {
            return Finding::ok(format!(
                "{} functions have the same settings and the tables of the stack",
                self.0.len()
            ));
        }
        Finding::failed(problems.join("; "), fix)
    }

    /// Returns a sentence for each function that the stack does not have.
    fn missing(&self) -> Vec<String> {
        let missing = FUNCTIONS.into_iter().filter(|function| !self.0.contains_key(*function));
        missing.map(|function| format!("the stack has no function {function}")).collect()
    }

    /// Returns a sentence for each function that uses another table.
    fn with_another_table(&self, variable: &str, table: &str) -> Vec<String> {
        let others = self.0.iter().filter_map(|(function, variables)| {
            let found = variables.get(variable).map(String::as_str).or(has(function, variable).then_some(""))?;
            (found != table).then(|| format!("{function} has another {variable} than the stack"))
        });
        others.collect()
    }

    /// Returns a sentence for each setting of which two functions have different values.
    fn disagreements(&self) -> Vec<String> {
        let names: BTreeSet<&str> =
            self.0.values().flat_map(|variables| variables.keys().map(String::as_str)).collect();
        let is_own = |name: &&str| !name.starts_with("AWS_") || OF_ALL.contains(name);
        let tables = TABLES.map(|table| table.variable);
        let settings = names.into_iter().chain(OF_ALL).chain(OF_HASHING).collect::<BTreeSet<_>>();
        let settings = settings.into_iter().filter(|name| is_own(name) && !tables.contains(name));
        settings.filter_map(|name| self.disagreement(name)).collect()
    }

    fn disagreement(&self, name: &str) -> Option<String> {
        let mut by_value: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (function, variables) in &self.0 {
            let missing = has(function, name).then_some("");
            if let Some(value) = variables.get(name).map(String::as_str).or(missing) {
                by_value.entry(value).or_default().push(function);
            }
        }
        let mut groups: Vec<_> = by_value.into_values().map(|functions| functions.join(", ")).collect();
        groups.sort_by_key(String::len);
        (groups.len() > 1).then(|| format!("{name} differs between {}", groups.join(" and ")))
    }

    /// Checks that the functions start with these settings.
    pub(super) fn validity(&self, stack: &Stack) -> Finding {
        if self.0.is_empty() {
            return Finding::skipped("the stack has no functions");
        }
        let region = stack.sdk.region().map(ToString::to_string).unwrap_or_default();
        for function in HASHING.into_iter().filter(|function| self.0.contains_key(*function)) {
            if let Err(error) = settings::check(&self.environment_of(function, &region)) {
                return invalid(&error, stack.is_local());
            }
        }
        Finding::ok("the functions accept all settings, and no two secrets are equal")
    }

    /// Returns the settings of all functions, and the memory of this one.
    fn environment_of(&self, function: &str, region: &str) -> Environment {
        let mut all = Variables::new();
        for variables in self.0.values().chain(self.0.get(function)) {
            all.extend(variables.clone());
        }
        // The functions read these secrets. The check of the other settings needs only some secret in their place.
        for value in all.values_mut().filter(|value| value.starts_with("arn:")) {
            *value = stand_in(value);
        }
        // Lambda sets these. Only the presence of the credentials is checked.
        for (name, value) in [("AWS_REGION", region), ("AWS_ACCESS_KEY_ID", "-"), ("AWS_SECRET_ACCESS_KEY", "-")] {
            all.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        environment(all)
    }
}

/// Returns `true` if the template gives this variable to this function.
fn has(function: &str, variable: &str) -> bool {
    match function {
        KEYS => OF_KEYS.contains(&variable),
        ROTATION => OF_ROTATION.contains(&variable),
        _ => OF_ALL.contains(&variable) || OF_HASHING.contains(&variable) && HASHING.contains(&function),
    }
}

/// Returns a text that passes as a secret, the same one for the same ARN.
fn stand_in(arn: &str) -> String {
    format!("in place of the secret {arn}")
}

fn invalid(error: &Error, is_local: bool) -> Finding {
    let Error::Setting { name, problem } = error else { return Finding::error(&anyhow::anyhow!("{}", error.causes())) };
    let fix = if is_local {
        format!("Correct {name} in .env or in the environment, and start `cargo dev` again")
    } else if name.ends_with("_TABLE") || name.ends_with("_SECRET") {
        "Deploy the current template, which makes the tables and the secrets: sam build && sam deploy".to_owned()
    } else {
        format!("sam deploy --parameter-overrides {}=…, see docs/configuration.md", parameter(name))
    };
    Finding::failed(format!("{name} {problem}"), fix)
}

/// Returns the parameter of the template for a variable: `AccessTtl` for `ACCESS_TTL`.
fn parameter(variable: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_string() + &letters.as_str().to_lowercase())
    };
    variable.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use testbed::workspace::template;

    use super::*;

    /// The variables of all functions, as the template sets them.
    fn functions() -> BTreeMap<String, Variables> {
        let (mut functions, scheduled) = (template().variables(), template().scheduled_variables());
        functions.extend(scheduled);
        functions
    }

    /// The variables of all functions with the values of tests.
    fn settings(change: impl FnOnce(&mut BTreeMap<String, Variables>)) -> Settings {
        let values = testbed::settings(&[("AWS_ENDPOINT_URL_DYNAMODB", "")]);
        let mut functions = functions();
        for (function, variables) in &mut functions {
            for (name, value) in variables.iter_mut() {
                *value = values(name).unwrap_or_default();
            }
            let memory = if HASHING.contains(&function.as_str()) { "1769" } else { "256" };
            variables.insert("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), memory.to_owned());
        }
        change(&mut functions);
        Settings(functions)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        for function in HASHING {
            let checked = settings::check(&settings.environment_of(function, "eu-west-1"));
            checked.map_err(|error| format!("{:?}", invalid(&error, false)))?;
        }
        Ok(())
    }

    fn set(functions: &mut BTreeMap<String, Variables>, function: &str, name: &str, value: &str) {
        functions.get_mut(function).unwrap().insert(name.to_owned(), value.to_owned());
    }

    #[test]
    fn the_functions_and_their_variables_are_those_of_the_template() {
        let functions = functions();
        assert_eq!(functions.keys().collect::<Vec<_>>(), FUNCTIONS.iter().collect::<Vec<_>>());
        let common = |names: &[&str]| {
            let names = names.iter().map(|name| functions[*name].keys().cloned().collect::<BTreeSet<_>>());
            names.reduce(|all, names| &all & &names).unwrap()
        };
        let others: Vec<_> = FUNCTIONS.into_iter().filter(|function| ![KEYS, ROTATION].contains(function)).collect();
        let of_all = common(&others);
        assert_eq!(of_all, OF_ALL.map(str::to_owned).into());
        assert_eq!(&common(&[KEYS]) & &of_all, OF_KEYS.map(str::to_owned).into());
        assert_eq!(&common(&[ROTATION]) & &(&of_all | &common(&["login"])), OF_ROTATION.map(str::to_owned).into());
        // The variables of the pages and `REFRESH_GRACE` are optional, and other functions have them, too.
        let elsewhere = &common(&["logout", "sessions"]) | &common(&["login", "userinfo"]);
        assert_eq!(&(&common(&HASHING) - &of_all) - &elsewhere, OF_HASHING.map(str::to_owned).into());
        for variable in OF_ALL.into_iter().chain(OF_HASHING) {
            let is_made = ["_TABLE", "_SECRET"].iter().any(|end| variable.ends_with(end));
            let is_set_by_template = is_made || ["METRICS_NAMESPACE"].contains(&variable);
            let exists = template().parameters().contains_key(&parameter(variable));
            assert!(is_set_by_template || variable.starts_with("AWS_") || exists, "{variable}");
        }
    }

    #[test]
    fn equal_settings_are_fine_and_the_memory_of_functions_may_differ() {
        let settings = settings(|_| ());
        assert_eq!(settings.disagreements(), Vec::<String>::new());
        assert_eq!(check(&settings), Ok(()));
    }

    #[test]
    fn the_arns_of_secrets_are_valid_settings_if_they_are_different() {
        let with_arns = |arn: &dyn Fn(&str) -> String| {
            settings(|functions| {
                for (name, value) in functions.values_mut().flatten().filter(|(name, _)| name.ends_with("_SECRET")) {
                    *value = arn(name);
                }
            })
        };
        let arn = |name: &str| format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf");
        assert_eq!(check(&with_arns(&arn)), Ok(()));
        let found = check(&with_arns(&|_| arn("one"))).unwrap_err();
        assert!(found.contains("must differ from"), "{found}");
    }

    #[test]
    fn two_functions_with_different_settings_are_named_without_the_values() {
        let secret = "another-secret-for-tests-0123456789";
        for (function, name, text) in [
            ("userinfo", "ACCESS_SECRET", "ACCESS_SECRET differs between userinfo and authorizer, jwks, login"),
            ("login", "REFRESH_SECRET", "REFRESH_SECRET differs between login and"),
            ("password", "PASSWORD_PEPPER", "PASSWORD_PEPPER differs between login and password"),
            ("logout", "COOKIE_DOMAIN", "COOKIE_DOMAIN differs between logout and"),
            ("userinfo", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB differs between userinfo and"),
        ] {
            let found = settings(|functions| set(functions, function, name, secret)).disagreements();
            let [found] = &found[..] else { panic!("{name}: {found:?}") };
            assert!(found.contains(text) && !found.contains(secret), "{found}");
        }
    }

    #[test]
    fn a_function_that_lost_a_variable_is_named() {
        for (function, name) in [("sessions", "REFRESH_SECRET"), ("password", "THROTTLE_SECRET"), ("logout", "ISSUER")]
        {
            let is_set = |functions: &mut BTreeMap<String, Variables>| {
                for variables in functions.values_mut().filter(|variables| variables.contains_key(name)) {
                    variables.insert(name.to_owned(), "a-value".to_owned());
                }
                functions.get_mut(function).unwrap().remove(name);
            };
            let found = settings(is_set).disagreements();
            let [found] = &found[..] else { panic!("{name}: {found:?}") };
            assert!(found.starts_with(&format!("{name} differs between")) && found.contains(function), "{found}");
        }
    }

    #[test]
    fn a_missing_function_is_named() {
        let settings = settings(|functions| drop(functions.remove("sessions")));
        assert_eq!(settings.missing(), ["the stack has no function sessions"]);
        assert_eq!(settings.disagreements(), Vec::<String>::new());
    }

    #[test]
    fn a_function_with_another_table_is_named() {
        let settings = settings(|functions| set(functions, "userinfo", "USERS_TABLE", "OtherTable"));
        assert_eq!(
            settings.with_another_table("USERS_TABLE", "UsersTable"),
            ["userinfo has another USERS_TABLE than the stack"]
        );
        assert!(settings.with_another_table("ATTEMPTS_TABLE", "AttemptsTable").is_empty());
        let settings = self::settings(|functions| {
            functions.get_mut("sessions").unwrap().remove("USERS_TABLE");
            functions.get_mut("password").unwrap().remove("ATTEMPTS_TABLE");
        });
        let found = ["USERS_TABLE", "ATTEMPTS_TABLE"].map(|variable| {
            settings
                .with_another_table(variable, if variable == "USERS_TABLE" { "UsersTable" } else { "AttemptsTable" })
        });
        assert!(found[0][..] == ["sessions has another USERS_TABLE than the stack"], "{found:?}");
        assert!(found[1][..] == ["password has another ATTEMPTS_TABLE than the stack"], "{found:?}");
    }

    #[test]
    fn an_invalid_setting_is_named_with_the_parameter_and_without_the_value() {
        let everywhere = |name: &str, value: &str| {
            settings(|functions| {
                for variables in functions.values_mut().filter(|variables| variables.contains_key(name)) {
                    variables.insert(name.to_owned(), value.to_owned());
                }
            })
        };
        let equal = "access-secret-for-tests-0123456789";
        for (name, value, texts) in [
            ("ACCESS_SECRET", "", ["ACCESS_SECRET is not set", "makes the tables and the secrets"]),
            ("THROTTLE_SECRET", "short-value", ["THROTTLE_SECRET must have at least 32 bytes", "the secrets"]),
            ("REFRESH_SECRET", equal, ["REFRESH_SECRET must differ from ACCESS_SECRET", "the secrets"]),
            ("PASSWORD_PEPPER", equal, ["PASSWORD_PEPPER must differ from ", "PasswordPepper="]),
            ("USERS_TABLE", "", ["USERS_TABLE is not set", "makes the tables"]),
            ("ACCESS_TTL", "3", ["ACCESS_TTL must be", "AccessTtl="]),
            ("ACCESS_ALGORITHM", "RS256", ["ACCESS_ALGORITHM must be HS256 or EdDSA", "AccessAlgorithm="]),
            ("COOKIE_DOMAIN", "a b", ["COOKIE_DOMAIN must be", "CookieDomain="]),
            ("REQUIRED_ROLE", " ", ["REQUIRED_ROLE must not be blank", "RequiredRole="]),
            ("HASH_MEMORY_KIB", "1000000", ["HASH_MEMORY_KIB must be", "HashMemoryKib="]),
        ] {
            let found = check(&everywhere(name, value)).unwrap_err();
            assert!(texts.iter().all(|text| found.contains(text)), "{name}: {found}");
            assert!(value.len() < 4 || !found.contains(value), "{found}");
        }
        let found = check(&everywhere("ACCESS_ALGORITHM", "EdDSA")).unwrap_err();
        assert!(found.contains("ISSUER must be an address such as https://") && found.contains("Issuer="), "{found}");
    }
}
