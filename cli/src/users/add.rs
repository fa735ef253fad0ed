//! `latchkey users add`.

use anyhow::Result;
use clap::Args;
use shared::id::UserId;
use shared::store::{Profile, User};

use super::password::NewPassword;
use super::show::UserRow;
use crate::Context;
use crate::ask::PasswordSource;
use crate::audit::{Action, Audit, Change};
use crate::output::say;
use crate::profile::check;
use crate::stack::budget;

/// The examples of `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  latchkey users add kim --email kim@example.com
  latchkey users add kim --email kim@example.com --name 'Kim Coding' --role admin
  pass show kim | latchkey users add kim --email kim@example.com --password-stdin
  latchkey users add kim --email kim@example.com --no-password";

/// Adds a user.
#[derive(Debug, Args)]
pub struct Add {
    /// The login name. Upper and lower case are the same name.
    login: String,
    /// The e-mail address. No two users have the same one.
    #[arg(long)]
    email: String,
    /// The full name.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// The job.
    #[arg(long, default_value = "", hide_default_value = true)]
    position: String,
    /// The place.
    #[arg(long, default_value = "", hide_default_value = true)]
    location: String,
    /// A line about the user.
    #[arg(long, default_value = "", hide_default_value = true)]
    bio: String,
    /// A role. Repeat it for several roles.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    #[command(flatten)]
    password: PasswordSource,
    /// Add the user without a password. The user cannot sign in until `set-password`.
    #[arg(long, conflicts_with = "password_stdin")]
    no_password: bool,
}

impl Add {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let profile = Profile {
            id: UserId::random()?,
            user_id: self.login.trim().to_owned(),
            email: self.email.trim().to_owned(),
            name: self.name,
            position: self.position,
            location: self.location,
            bio: self.bio,
            roles: self.roles,
        };
        check(&profile)?;
        let hash = if self.no_password {
            None
        } else {
            Some(NewPassword::settings(&stack).await?.read(self.password, &profile)?)
        };
        let (users, user) = (stack.users()?, User::new(profile));
        Audit::open(&stack, "users add")
            .await?
            .record(&[Change::of_user(Action::USER_ADDED, &user.profile.id)])
            .await?;
        users.create(&user, hash, &budget()).await?;
        say(&format!("Added {}.", user.profile.user_id));
        UserRow::of(&user).print(context.output)
    }
}
