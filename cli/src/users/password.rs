//! `latchkey users set-password`, and the policy for passwords that an operator sets.

use anyhow::{Context as _, Result};
use clap::Args;
use secrecy::ExposeSecret as _;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::page::service_name;
use shared::password::policy::{PersonalWords, Policy};
use shared::password::{Hasher, Password, PasswordHash};
use shared::store::{Account, Profile};

use super::{UserArgument, find, find_with_credentials};
use crate::Context;
use crate::ask::PasswordSource;
use crate::audit::{Action, Audit, Change};
use crate::failure::changed_meanwhile;
use crate::output::say;
use crate::stack::{Stack, budget};

/// The examples of `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  latchkey users set-password kim
  pass show kim | latchkey users set-password kim --password-stdin";

/// Sets a password.
#[derive(Debug, Args)]
pub struct SetPassword {
    #[command(flatten)]
    user: UserArgument,
    #[command(flatten)]
    password: PasswordSource,
}

impl SetPassword {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let users = stack.users()?;
        let user = find(&users, &self.user).await?;
        let hash = NewPassword::settings(&stack).await?.read(self.password, &user.profile)?;
        // The operator may have taken a while to type. The user of the first read is the one that is meant.
        let id = UserArgument { user: format!("id:{}", user.profile.id) };
        let record = find_with_credentials(&users, &id).await?;
        let profile = &record.user.profile;
        Audit::open(&stack, "users set-password")
            .await?
            .record(&[Change::of_user(Action::PASSWORD_SET, &profile.id)])
            .await?;
        if !users.set_password(&record.user, &record.credentials, &hash, &budget()).await? {
            return Err(changed_meanwhile().into());
        }
        say(&format!("{} has a new password. All sessions have ended.", profile.user_id));
        // The failures were at the old password.
        let account = Account::named(&profile.user_id);
        let unlocked = stack.attempts().await?.unlock(&account, &budget()).await;
        unlocked.context("the password is set, but the counters of wrong passwords could not be deleted")
    }
}

/// How the stack accepts and hashes a new password: as `PUT /password` does.
pub(super) struct NewPassword {
    policy: Policy,
    hasher: Hasher,
    /// The names of the service, which must not be a password.
    services: [String; 2],
}

impl NewPassword {
    /// Reads the settings of the functions `login` and `password`.
    ///
    /// # Errors
    /// Fails if they cannot be read.
    pub(super) async fn settings(stack: &Stack) -> Result<Self> {
        let env: Environment = stack.settings(&["login", "password"], &["PASSWORD_PEPPER"]).await?;
        let read = || {
            let (policy, hasher) = (Policy::from_env(&env)?, Hasher::from_env(&env)?);
            let services = [env.or("ISSUER", "latchkey"), service_name(&env)?];
            Ok::<_, Error>(Self { policy, hasher, services })
        };
        read().context("the settings of the stack are invalid")
    }

    /// Reads a new password, checks it and hashes it.
    ///
    /// # Errors
    /// Says what is wrong with the password.
    pub(super) fn read(&self, source: PasswordSource, profile: &Profile) -> Result<PasswordHash> {
        let password = source.read()?;
        let password = Password::new(password.expose_secret())?;
        let words = PersonalWords {
            login_name: &profile.user_id,
            email: &profile.email,
            name: &profile.name,
            services: self.services.each_ref().map(String::as_str),
            current_password: None,
        };
        self.policy.check(password.expose(), &words).map_err(Error::from)?;
        Ok(self.hasher.hash(&password, Timestamp::now())?)
    }
}
