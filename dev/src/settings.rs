//! The settings of the functions in the local stack.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::auth::{Access, Authenticator};
use shared::config::Environment;
use shared::http::AllowedOrigins;
use shared::password::policy::Policy;
use shared::session::renewal::Rules;
use shared::session::{Lifetimes, sessions_per_user};
use shared::throttle::Devices;
use shared::token::{Cookies, Signer, Verifier};
use shared::{store, telemetry};

use crate::template::Template;

/// The variables of the functions, with their values.
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<String, String>);

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
        let mut settings: BTreeMap<String, String> = defaults.map(|(name, value)| (name.to_owned(), value)).into();
        settings.extend(template.table_variables());
        let settable = template.settings();
        let in_file = dotenv(&root.join(".env"))?.into_iter().filter(|(name, _)| settable.contains(name));
        let in_environment = settable.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
        settings.extend(in_file.chain(in_environment).filter(|(_, value)| !value.is_empty()));
        if browser.host_only {
            settings.insert("COOKIE_DOMAIN".to_owned(), String::new());
        }
        Ok(Self(settings))
    }

    /// Returns the settings with another value for one variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Returns all variables with their values.
    pub fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Returns the environment of a function.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let variables = self.0.clone();
        Environment::new(move |name| variables.get(name).cloned())
    }

    /// Reads every setting as the functions do, to report an invalid one before they are built.
    ///
    /// # Errors
    /// Names the first variable that is missing or invalid.
    pub fn check(&self) -> Result<()> {
        let env = self.environment();
        let check = || -> shared::error::Result<()> {
            Signer::from_env(&env)?;
            Verifier::for_access_tokens(&env)?;
            Verifier::for_refresh_tokens(&env)?;
            Cookies::from_env(&env)?;
            Lifetimes::from_env(&env)?;
            Rules::from_env(&env)?;
            sessions_per_user(&env)?;
            let client = store::connect(&env)?;
            Access::from_env(client.clone(), &env)?;
            Authenticator::from_env(client, &env)?;
            Devices::from_env(&env)?;
            Policy::from_env(&env)?;
            AllowedOrigins::from_env(&env)?;
            telemetry::metrics_namespace(&env)?;
            Ok(())
        };
        check().context("the functions would not start")
    }
}

fn dotenv(path: &Path) -> Result<Vec<(String, String)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let lines = dotenvy::from_path_iter(path).with_context(|| format!("cannot read {}", path.display()))?;
    // The error of the parser is dropped, because it quotes the line, which may contain a secret.
    lines.collect::<Result<_, _>>().map_err(|_| anyhow!("{} has a line that is not NAME=value", path.display()))
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
        Variables: { USERS_TABLE: !Ref UsersTable, LATCHKEY_TEST_SETTING: !Ref Setting, AWS_ENDPOINT_URL: !Ref Url }
";

    #[test]
    fn dotenv_sets_the_settings_of_the_template_and_no_other_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        file("template.yaml", TEMPLATE);
        file(".env", "LATCHKEY_TEST_SETTING=7\nUSERS_TABLE=theirs\nAWS_ENDPOINT_URL=https://aws.example\nOTHER=1\n");
        let template = Template::read(&folder.path().join("template.yaml")).unwrap();
        let browser = Browser { host_only: false, origins: "https://localhost:3000" };

        let Settings(settings) = Settings::new(folder.path(), &template, browser).unwrap();
        assert_eq!(settings["LATCHKEY_TEST_SETTING"], "7");
        assert_eq!(settings["USERS_TABLE"], "UsersTable");
        assert!(!settings.contains_key("AWS_ENDPOINT_URL") && !settings.contains_key("OTHER"));

        file(".env", "LATCHKEY_TEST_SETTING=\n");
        let Settings(settings) = Settings::new(folder.path(), &template, browser).unwrap();
        assert!(!settings.contains_key("LATCHKEY_TEST_SETTING"), "an empty value counts as missing");

        file(".env", "a line with a secret");
        let error = format!("{:#}", Settings::new(folder.path(), &template, browser).unwrap_err());
        assert!(error.contains(".env has a line that is not NAME=value") && !error.contains("secret"), "{error}");
    }
}
