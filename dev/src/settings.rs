//! The settings that the functions start with in the local stack.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::config::Config;

use crate::template::Template;

/// Variables and their values.
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<String, String>);

/// How the browser is to see the local stack.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Whether the cookies are host-only, as in a stack without a domain.
    pub host_only: bool,
    /// `https` or `http`.
    pub scheme: &'a str,
}

/// What an operator sets, and what may therefore be set here: in the environment first, in `.env` second.
const SETTABLE: [&str; 30] = [
    "ACCESS_SECRET",
    "REFRESH_SECRET",
    "PREVIOUS_ACCESS_SECRET",
    "PREVIOUS_REFRESH_SECRET",
    "COOKIE_DOMAIN",
    "ALLOWED_ORIGINS",
    "ISSUER",
    "AUDIENCE",
    "ACCESS_TTL",
    "REFRESH_TTL",
    "SESSION_MAX_TTL",
    "REPLAY_WINDOW",
    "SESSIONS_PER_USER",
    "REQUIRED_ROLE",
    "HASH_MEMORY_KIB",
    "HASH_ITERATIONS",
    "PASSWORD_PEPPER",
    "PREVIOUS_PASSWORD_PEPPER",
    "PASSWORD_CHECK_MS",
    "PASSWORD_MIN_LENGTH",
    "THROTTLE",
    "THROTTLE_SECRET",
    "FREE_FAILURES",
    "LONGEST_WAIT",
    "DISABLE_AFTER",
    "SOURCE_FAILURES_PER_HOUR",
    "ALARM_FAILURES_PER_MINUTE",
    "DEVICE_COOKIE",
    "DEVICE_TTL",
    "METRICS_NAMESPACE",
];

impl Settings {
    /// The defaults of the local stack, then what `.env` in `root` says, then what the environment says.
    ///
    /// # Errors
    /// Where `.env` cannot be understood.
    pub fn new(root: &Path, template: &Template, seen: &Seen<'_>) -> Result<Self> {
        let domain = if seen.host_only { "" } else { "localhost" };
        let defaults = [
            ("ACCESS_SECRET", random_secret()?),
            ("REFRESH_SECRET", random_secret()?),
            ("THROTTLE_SECRET", random_secret()?),
            // The contract: clients written for two cookies meet two.
            ("DEVICE_COOKIE", "off".to_owned()),
            // Lines for people: nobody counts here.
            ("METRICS_NAMESPACE", "off".to_owned()),
            ("COOKIE_DOMAIN", domain.to_owned()),
            ("ALLOWED_ORIGINS", format!("{}://localhost:3000", seen.scheme)),
            ("AWS_REGION", "eu-west-1".to_owned()),
            // Never the developer's own: nothing here may reach a real account.
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_SESSION_TOKEN", String::new()),
        ];
        let mut settings: BTreeMap<String, String> = defaults.map(|(name, value)| (name.to_owned(), value)).into();
        settings.extend(template.table_variables());
        let in_file = dotenv(&root.join(".env"))?;
        let in_environment = SETTABLE.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let said = in_file.into_iter().filter(|(name, _)| SETTABLE.contains(&name.as_str())).chain(in_environment);
        settings.extend(said.filter(|(_, value)| !value.is_empty()));
        if seen.host_only {
            settings.insert("COOKIE_DOMAIN".to_owned(), String::new());
        }
        Ok(Self(settings))
    }

    /// With this variable as well.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Every variable.
    pub fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// What a function makes of them.
    ///
    /// # Errors
    /// Where one of them would stop its start, by name.
    pub fn config(&self) -> Result<Config> {
        Config::from_lookup(|name| self.0.get(name).cloned()).context("the functions would not start")
    }
}

fn dotenv(path: &Path) -> Result<Vec<(String, String)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let lines = dotenvy::from_path_iter(path).with_context(|| format!("cannot read {}", path.display()))?;
    // The parser would quote the line, and on it may stand a secret.
    lines.collect::<Result<_, _>>().map_err(|_| anyhow!("{} has a line that is not NAME=value", path.display()))
}

/// 32 random bytes, as text.
fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok().context("the random number generator failed")?;
    Ok(STANDARD.encode(bytes))
}
