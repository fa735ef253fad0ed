//! The stack that a command works on: a deployed one, or the one that `cargo dev` runs.
//!
//! Finds the tables, the address of the service and the settings of its functions. All rules about users and sessions
//! are those of `shared`, over the same tables.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use clap::Args;
use shared::budget::Budget;
use shared::config::Environment;
use shared::store::{Attempts, Counters, Sessions, Users};

use crate::failure::Failure;

mod deployed;
mod local_stack;

pub use deployed::refused;

/// Which stack a command works on.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Stack")]
pub struct Target {
    /// The name of the deployed stack.
    #[arg(long, value_name = "NAME", env = "LATCHKEY_STACK", global = true)]
    stack: Option<String>,
    /// Use the stack that `cargo dev` runs in this checkout. If several stacks run, give the port: --local=4100.
    #[arg(
        long, value_name = "PORT", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "",
        conflicts_with_all = ["profile", "region"]
    )]
    local: Option<String>,
    /// The profile of the AWS CLI that has the credentials.
    #[arg(long, value_name = "NAME", global = true)]
    profile: Option<String>,
    /// The region of the stack.
    #[arg(long, value_name = "REGION", global = true)]
    region: Option<String>,
}

/// A stack.
pub struct Stack {
    /// The name: that of the deployed stack, or the address of the local one.
    pub name: String,
    /// The address of the service.
    pub url: String,
    /// Where the stack is.
    pub place: Place,
    /// The credentials, the region and the endpoints for calls of AWS.
    pub sdk: SdkConfig,
    /// The names of the tables, by the variable that a function reads: `USERS_TABLE`, ….
    tables: BTreeMap<String, String>,
}

/// Where a stack is.
pub enum Place {
    /// In an account of AWS.
    Deployed,
    /// On this machine.
    Local(local_stack::Local),
}

/// The variables of a function, with its memory.
pub type Variables = BTreeMap<String, String>;

impl Target {
    /// Finds the stack.
    ///
    /// # Errors
    /// [`Failure::Invalid`] if no stack is named; [`Failure::NotFound`] if there is no such stack;
    /// [`Failure::Denied`] without credentials.
    pub async fn find(&self) -> Result<Stack> {
        match (&self.local, &self.stack) {
            (Some(port), _) => local_stack::find(port),
            (None, Some(name)) if !is_stack_name(name) => {
                let text = format!("{name} is not the name of a stack: letters, digits and hyphens.");
                Err(Failure::Invalid(text).into())
            }
            (None, Some(name)) => deployed::find(name, self.profile.as_deref(), self.region.clone()).await,
            (None, None) => {
                let text = "Which stack? Name a deployed one with --stack NAME or LATCHKEY_STACK, or use --local for \
                            the one that `cargo dev` runs here.";
                Err(Failure::Invalid(text.into()).into())
            }
        }
    }

    /// Returns `true` if the command line or the environment names a stack.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.stack.is_some() || self.local.is_some()
    }

    /// Returns the region of the command line.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Returns the name of the stack, if it is a deployed one with a valid name.
    #[must_use]
    pub fn stack_name(&self) -> Option<&str> {
        self.stack.as_deref().filter(|name| self.local.is_none() && is_stack_name(name))
    }
}

/// Returns `true` for a name that `CloudFormation` accepts. An ARN or a pattern is none.
fn is_stack_name(name: &str) -> bool {
    let is_accepted = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=128).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(is_accepted)
}

impl Stack {
    /// Returns the client of DynamoDB.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.sdk)
    }

    /// Returns the users table.
    ///
    /// # Errors
    /// Fails if the stack has none.
    pub fn users(&self) -> Result<Users> {
        Ok(Users::from_env(self.client(), &environment(self.tables.clone()))?)
    }

    /// Returns the sessions table.
    ///
    /// # Errors
    /// Fails if the stack has none.
    pub fn sessions(&self) -> Result<Sessions> {
        Ok(Sessions::from_env(self.client(), &environment(self.tables.clone()))?)
    }

    /// Returns the attempts table. Needs the settings of the function `login`.
    ///
    /// # Errors
    /// Fails if the settings cannot be read.
    pub async fn attempts(&self) -> Result<Attempts> {
        Ok(Attempts::from_env(self.client(), &self.settings(&["login"], &["THROTTLE_SECRET"]).await?)?)
    }

    /// Returns the counters of the attempts table. Needs no setting of a function.
    ///
    /// # Errors
    /// Fails if the stack has none.
    pub fn counters(&self) -> Result<Counters> {
        Ok(Counters::from_env(self.client(), &environment(self.tables.clone()))?)
    }

    /// Returns the name of a table: `USERS_TABLE`, `SESSIONS_TABLE` or `ATTEMPTS_TABLE`.
    #[must_use]
    pub fn table(&self, variable: &str) -> &str {
        self.tables.get(variable).map_or("", String::as_str)
    }

    /// Returns the settings of these functions as one environment, with the values of these secrets. Other variables
    /// may hold the ARN of a secret.
    ///
    /// # Errors
    /// Fails if they cannot be read.
    pub async fn settings(&self, functions: &[&str], secrets: &[&str]) -> Result<Environment> {
        let mut all = self.tables.clone();
        for function in functions {
            all.extend(self.variables(function).await?);
        }
        for name in secrets {
            if let Some(value) = all.get_mut(*name).filter(|value| value.starts_with("arn:")) {
                *value = deployed::secret(&self.sdk, value).await.with_context(|| format!("cannot read {name}"))?;
            }
        }
        Ok(environment(all))
    }

    /// Returns the variables of a function. `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` is its memory, as Lambda sets it.
    ///
    /// # Errors
    /// Fails if they cannot be read.
    pub async fn variables(&self, function: &str) -> Result<Variables> {
        match &self.place {
            Place::Local(local) => Ok(local.variables().clone()),
            Place::Deployed => deployed::variables(&self.sdk, &self.name, function)
                .await
                .with_context(|| format!("cannot read the settings of the function {function}")),
        }
    }

    /// Returns the names of the functions on AWS, by their names in the template.
    ///
    /// # Errors
    /// Fails if they cannot be read.
    pub async fn functions(&self) -> Result<BTreeMap<String, String>> {
        match &self.place {
            Place::Local(_) => Ok(BTreeMap::new()),
            Place::Deployed => deployed::functions(&self.sdk, &self.name).await,
        }
    }

    /// Returns `true` for a stack on this machine.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.place, Place::Local(_))
    }
}

/// Returns the budget of one step of an operator. It is longer than that of a request, because no user waits at a login
/// form, and a throttled table must not end a long import.
#[must_use]
pub fn budget() -> Budget {
    Budget::lasting(Duration::from_mins(2))
}

/// Returns an environment with these variables.
#[must_use]
pub fn environment(variables: Variables) -> Environment {
    Environment::new(move |name| variables.get(name).cloned())
}
