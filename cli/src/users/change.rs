//! `latchkey users set` and `latchkey users rename`.

use anyhow::{Context as _, Result};
use clap::Args;
use shared::error::Error;
use shared::id::UserId;
use shared::store::{Account, Profile, User, UserRecord, Users};

use super::{UserArgument, find_with_credentials};
use crate::Context;
use crate::audit::{Action, Audit, Change};
use crate::failure::changed_meanwhile;
use crate::output::say;
use crate::profile::check;
use crate::stack::budget;

/// The examples of `--help`.
pub(super) const SET_EXAMPLES: &str = "\
Examples:
  latchkey users set kim --name 'Kim Coding' --location Seoul
  latchkey users set kim --email kim@example.org
  latchkey users set kim --add-role admin --remove-role guest

A new e-mail address ends all sessions of the user.";

/// The examples of `--help`.
pub(super) const RENAME_EXAMPLES: &str = "\
Examples:
  latchkey users rename kim kimberly";

/// Changes attributes. Those that are not named stay as they are.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct Set {
    #[command(flatten)]
    user: UserArgument,
    /// The e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// The full name.
    #[arg(long)]
    name: Option<String>,
    /// The job title.
    #[arg(long)]
    position: Option<String>,
    /// The city or the office.
    #[arg(long)]
    location: Option<String>,
    /// A line about the user.
    #[arg(long)]
    bio: Option<String>,
    /// Add a role. Repeat it for several roles.
    #[arg(long = "add-role", value_name = "ROLE")]
    add_roles: Vec<String>,
    /// Remove a role. Repeat it for several roles.
    #[arg(long = "remove-role", value_name = "ROLE")]
    remove_roles: Vec<String>,
}

/// Changes the login name.
#[derive(Debug, Args)]
pub struct Rename {
    #[command(flatten)]
    user: UserArgument,
    /// The new login name.
    #[arg(value_name = "NEW_LOGIN", allow_hyphen_values = true)]
    login: String,
}

impl Set {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let user = self.user.clone();
        write(context, "users set", Action::USER_CHANGED, &user, |profile| self.apply(profile)).await
    }

    fn apply(self, profile: &mut Profile) {
        let set = |value: Option<String>, attribute: &mut String| {
            if let Some(value) = value {
                *attribute = value;
            }
        };
        set(self.email.map(|email| email.trim().to_owned()), &mut profile.email);
        set(self.name, &mut profile.name);
        set(self.position, &mut profile.position);
        set(self.location, &mut profile.location);
        set(self.bio, &mut profile.bio);
        profile.roles.retain(|role| !self.remove_roles.contains(role));
        for role in self.add_roles {
            if !profile.roles.contains(&role) {
                profile.roles.push(role);
            }
        }
    }
}

impl Rename {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let login = self.login.trim().to_owned();
        write(context, "users rename", Action::USER_RENAMED, &self.user, |profile| profile.user_id = login).await
    }
}

/// Writes a changed profile, on condition that what changes is as it was read.
async fn write(
    context: &Context,
    command: &'static str,
    action: Action,
    argument: &UserArgument,
    change: impl FnOnce(&mut Profile),
) -> Result<()> {
    let stack = context.stack().await?;
    let users = stack.users()?;
    let old: UserRecord = find_with_credentials(&users, argument).await?;
    let mut new: User = old.user.clone();
    change(&mut new.profile);
    check(&new.profile)?;
    let changed = changed_attributes(&old.user.profile, &new.profile);
    if changed.is_empty() {
        say(&format!("Nothing to change: {} is already like this.", old.user.profile.user_id));
        return Ok(());
    }
    refuse_names_of_others(&users, &new).await?;
    let event = Change::of_user(action, &new.profile.id).with("attributes", &changed);
    Audit::open(&stack, command).await?.record(&[event]).await?;
    if !users.change(&old, &new, &budget()).await? {
        return Err(changed_meanwhile().into());
    }
    let sessions = if changed.contains(&"email") { " All sessions have ended." } else { "" };
    let name = &old.user.profile.user_id;
    if changed == ["userId"] {
        say(&format!("{name} is now {}.", new.profile.user_id));
    } else {
        say(&format!("Changed {} of {name}.{sessions}", changed.join(", ")));
    }
    if changed.contains(&"userId") {
        // The counters belong to names. No user has the old name now. An attacker may have guessed at the new one.
        let attempts = stack.attempts().await?;
        let cleared = async {
            attempts.erase(&old.user.profile.user_id, &budget()).await?;
            attempts.unlock(&Account::named(&new.profile.user_id), &budget()).await
        };
        cleared.await.context("the user is renamed, but the counters of wrong passwords could not be deleted")?;
    }
    Ok(())
}

/// Refuses a name or an address of another user before an audit event is written.
async fn refuse_names_of_others(users: &Users, new: &User) -> Result<()> {
    let id = &new.profile.id;
    let owners = users.owners(&[&new.profile], &budget()).await?;
    let is_other = |owner: &Option<UserId>| owner.as_ref().is_some_and(|owner| owner != id);
    for owners in owners {
        for (owner, what) in [(owners.login_name, "login name"), (owners.email, "e-mail address")] {
            if is_other(&owner) {
                return Err(Error::Taken(what).into());
            }
        }
    }
    Ok(())
}

fn changed_attributes(old: &Profile, new: &Profile) -> Vec<&'static str> {
    let all = [
        ("userId", old.user_id != new.user_id),
        ("email", old.email != new.email),
        ("name", old.name != new.name),
        ("position", old.position != new.position),
        ("location", old.location != new.location),
        ("bio", old.bio != new.bio),
        ("roles", old.roles != new.roles),
    ];
    all.into_iter().filter_map(|(name, is_changed)| is_changed.then_some(name)).collect()
}
