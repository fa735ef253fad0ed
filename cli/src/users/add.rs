//! `latchkey users add`.

use anyhow::{Context as _, Result};
use clap::Args;
use shared::clock::Timestamp;
use shared::error::Error;
use shared::id::UserId;
use shared::store::{Account, Owners, Profile, User, Users};

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
  latchkey users add kim --email kim@example.com --name Kim --role admin
  pass show kim | latchkey users add kim --email kim@example.com --password-stdin
  latchkey users add kim --email kim@example.com --no-password";

/// Adds a user.
#[derive(Debug, Args)]
pub struct Add {
    /// The login name. Upper and lower case are the same name.
    #[arg(allow_hyphen_values = true)]
    login: String,
    /// The e-mail address. No two users have the same one.
    #[arg(long)]
    email: String,
    /// The full name.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// The job title.
    #[arg(long, default_value = "", hide_default_value = true)]
    position: String,
    /// The city or the office.
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
        let users = stack.users()?;
        refuse_taken(&users, &profile).await?;
        let settings = NewPassword::settings(&stack).await?;
        let hash = if self.no_password { None } else { Some(settings.read(self.password, &profile)?) };
        let user = User::new_at(profile, Timestamp::now());
        Audit::open(&stack, "users add")
            .await?
            .record(&[Change::of_user(Action::USER_ADDED, &user.profile.id)])
            .await?;
        users.create(&user, hash, &budget()).await?;
        say(&format!("Added {}.", user.profile.user_id));
        // An attacker may have guessed at this name before.
        let unlocked = stack.attempts().await?.unlock(&Account::named(&user.profile.user_id), &budget()).await;
        unlocked.context("the user is added, but older counters of wrong passwords could not be deleted")?;
        UserRow::of(&user).print(context.output)
    }
}

/// Refuses a name, an address or an id of another user before an audit event is written.
pub(super) async fn refuse_taken(users: &Users, profile: &Profile) -> Result<()> {
    let owners = users.owners(&[profile], &budget()).await?;
    let taken = owners.first().and_then(Owners::taken);
    taken.map_or(Ok(()), |what| Err(Error::Taken(what).into()))
}
