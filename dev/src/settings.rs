//! The settings of the functions in the local stack.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::config::Environment;

use crate::env_file::{self, Variable};
use crate::template::Template;

/// The variables of the functions, with their values.
#[derive(Clone, Debug)]
pub struct Settings {
    variables: BTreeMap<String, String>,
    /// What `.env` sets without effect: a sentence for each variable.
    ignored: Vec<String>,
}

/// The stack as the browser sees it.
#[derive(Clone, Copy, Debug)]
pub struct Browser<'a> {
    /// `true` for host-only cookies, as in a stack without a cookie domain.
    pub host_only: bool,
    /// The default of `ALLOWED_ORIGINS`.
    pub origins: &'a str,
}

impl Settings {
    /// Collects the settings: the defaults of the local stack, then `.env` in `root`, then the environment. A later
    /// source takes precedence. An empty value counts as missing.
    ///
    /// # Errors
    /// Fails if `.env` has an invalid line.
    pub fn new(root: &Path, template: &Template, browser: Browser<'_>) -> Result<Self> {
        let domain = if browser.host_only { "" } else { "localhost" };
        let defaults = [
            ("ACCESS_SECRET", random_secret()?),
            ("REFRESH_SECRET", random_secret()?),
            ("THROTTLE_SECRET", random_secret()?),
            ("DEVICE_SECRET", random_secret()?),
            // The contract has two cookies. Existing clients would not expect a third one.
            ("DEVICE_COOKIE", "off".to_owned()),
            // CloudWatch does not read the local log.
            ("METRICS_NAMESPACE", "off".to_owned()),
            ("COOKIE_DOMAIN", domain.to_owned()),
            ("ALLOWED_ORIGINS", browser.origins.to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            // Not the credentials of the developer: the local stack must not reach a real account.
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_SESSION_TOKEN", String::new()),
        ];
        let mut variables: BTreeMap<String, String> = defaults.map(|(name, value)| (name.to_owned(), value)).into();
        let tables = template.table_variables();
        variables.extend(tables.clone());
        let settable = template.settings();
        let in_environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let why_ignored = |name: &str| match name {
            _ if name.starts_with("AWS_") => Some("the local stack uses no AWS account"),
            _ if tables.contains_key(name) => Some("the local stack sets it"),
            _ if !settable.contains(name) => Some("no function reads it"),
            "COOKIE_DOMAIN" if browser.host_only => Some("--host-only is set"),
            _ => in_environment(name).map(|_| "the environment sets it"),
        };

        let (mut ignored, mut lines) = (Vec::new(), BTreeMap::new());
        let in_file = env_file::read(&root.join(".env"))?.into_iter().filter(|variable| !variable.value.is_empty());
        for Variable { name, value, line } in in_file {
            if let Some(reason) = why_ignored(&name) {
                ignored.push(format!(".env line {line}: {name} is ignored ({reason})"));
                continue;
            }
            if let Some(earlier) = lines.insert(name.clone(), line) {
                ignored.push(format!(".env line {earlier}: {name} is ignored (line {line} sets it again)"));
            }
            variables.insert(name, value);
        }
        variables.extend(settable.into_iter().filter_map(|name| in_environment(&name).map(|value| (name, value))));
        if browser.host_only {
            variables.insert("COOKIE_DOMAIN".to_owned(), String::new());
        }
        Ok(Self { variables, ignored })
    }

    /// Returns a sentence for each variable that `.env` sets without effect.
    pub(crate) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Returns the settings with another value for one variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// Returns all variables with their values.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Returns the environment of a function.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let variables = self.variables.clone();
        Environment::new(move |name| variables.get(name).cloned())
    }

    /// Reads every setting as the functions do, to report an invalid one before they are built.
    ///
    /// # Errors
    /// Names the first variable that is missing or invalid.
    pub fn check(&self) -> Result<()> {
        shared::settings::check(&self.environment()).context("the functions would not start")
    }
}

/// Returns 32 random bytes in base64.
fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok().context("the random number generator failed")?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEMPLATE: &str = "\
Resources:
  UsersTable: { Type: AWS::DynamoDB::Table, Properties: {} }
  LoginFunction:
    Type: AWS::Serverless::Function
    Properties:
      Environment:
        Variables: { USERS_TABLE: !Ref UsersTable, LATCHKEY_TEST_SETTING: !Ref Setting, COOKIE_DOMAIN: !Ref Domain,
                     AWS_ENDPOINT_URL: !Ref Url, PATH: !Ref Path }
";

    /// Writes `.env` beside a template, and returns the settings.
    fn settings(env_file: &str, host_only: bool) -> Result<Settings> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        file("template.yaml", TEMPLATE);
        file(".env", env_file);
        let template = Template::read(&folder.path().join("template.yaml")).unwrap();
        Settings::new(folder.path(), &template, Browser { host_only, origins: "https://localhost:3000" })
    }

    #[test]
    fn dotenv_sets_the_settings_of_the_template_and_no_other_variable() {
        let text = "LATCHKEY_TEST_SETTING=7\nUSERS_TABLE=theirs\nAWS_ENDPOINT_URL=https://aws.example\nOTHER=1\n";
        let Settings { variables, .. } = settings(text, false).unwrap();
        assert_eq!(variables["LATCHKEY_TEST_SETTING"], "7");
        assert_eq!(variables["USERS_TABLE"], "UsersTable");
        assert!(!variables.contains_key("AWS_ENDPOINT_URL") && !variables.contains_key("OTHER"));

        let Settings { variables, ignored } = settings("LATCHKEY_TEST_SETTING=\nOTHER=\n", false).unwrap();
        assert!(!variables.contains_key("LATCHKEY_TEST_SETTING"), "an empty value counts as missing");
        assert_eq!(ignored, Vec::<String>::new());
    }

    #[test]
    fn each_ignored_name_in_dotenv_is_reported_with_its_line_and_the_reason() {
        let text = "\
# a comment
LATCHKEY_TEST_SETTING=7
latchkey_test_setting=7
USERS_TABLE=theirs
AWS_PROFILE=work
LATCHKEY_TEST_SETTING=8
COOKIE_DOMAIN=example.com
PATH=/bin
";
        let reported = |host_only| settings(text, host_only).unwrap().ignored;
        let expected = [
            ".env line 3: latchkey_test_setting is ignored (no function reads it)",
            ".env line 4: USERS_TABLE is ignored (the local stack sets it)",
            ".env line 5: AWS_PROFILE is ignored (the local stack uses no AWS account)",
            ".env line 2: LATCHKEY_TEST_SETTING is ignored (line 6 sets it again)",
            ".env line 8: PATH is ignored (the environment sets it)",
        ];
        assert_eq!(reported(false), expected);
        let host_only = ".env line 7: COOKIE_DOMAIN is ignored (--host-only is set)";
        assert!(reported(true).iter().any(|sentence| sentence == host_only));
        assert_eq!(settings(text, false).unwrap().variables["COOKIE_DOMAIN"], "example.com");
    }

    #[test]
    fn an_invalid_line_of_dotenv_is_an_error() {
        let error = format!("{:#}", settings("OTHER=1\na line with a secret", false).unwrap_err());
        assert!(error.contains(".env line 2 is not NAME=value") && !error.contains("secret"), "{error}");
    }
}
