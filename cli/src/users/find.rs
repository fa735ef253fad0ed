//! The user that an argument names.

use anyhow::{Context as _, Result};
use clap::Args;
use shared::error::Error;
use shared::id::UserId;
use shared::store::{LoginName, User, UserRecord, Users};

use crate::failure::Failure;
use crate::stack::budget;

/// A user, by login name, e-mail address or id.
#[derive(Clone, Debug, Args)]
pub struct UserArgument {
    /// The login name, the e-mail address or the id of the user. `name:`, `email:` or `id:` before it says which.
    #[arg(value_name = "USER", allow_hyphen_values = true)]
    pub user: String,
}

/// Finds the user that an argument names. If it is the login name of one user and the id of another, asks for a prefix:
/// users choose their login names, so that one could be the id of another user.
///
/// # Errors
/// [`Failure::NotFound`] if there is no such user; [`Failure::Conflict`] if there are several.
pub async fn find(users: &Users, argument: &UserArgument) -> Result<User> {
    let text = argument.user.trim();
    let prefixed = |prefix: &str| text.strip_prefix(prefix);
    let (name, email, id) = match (prefixed("name:"), prefixed("email:"), prefixed("id:")) {
        (None, None, None) => (Some(text), Some(text), Some(text)),
        only => only,
    };
    let mut found: Vec<User> = Vec::new();
    if let Some(Ok(name)) = name.map(LoginName::parse) {
        found.extend(users.find_by_login_name(&name, &budget()).await?.map(|record| record.user));
    }
    if let Some(email) = email {
        match users.find_by_email(email, &budget()).await {
            Ok(user) => found.extend(user),
            Err(Error::InvalidRequest(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(Ok(id)) = id.map(UserId::parse) {
        found.extend(users.find(&id, &budget()).await?);
    }
    found.sort_by(|one, other| one.profile.id.as_str().cmp(other.profile.id.as_str()));
    found.dedup_by(|one, other| one.profile.id == other.profile.id);
    match (found.len(), found.pop()) {
        (1, Some(user)) => Ok(user),
        (_, None) => Err(Failure::NotFound(format!("There is no user {text}.")).into()),
        (_, Some(last)) => {
            let ids: Vec<_> = found.iter().chain([&last]).map(|user| format!("id:{}", user.profile.id)).collect();
            let text = format!("{text} names several users: {}. Use one of these.", ids.join(", "));
            Err(Failure::Conflict(text).into())
        }
    }
}

/// Finds the user that an argument names, with the credentials.
///
/// # Errors
/// The failures of [`find`]. Fails if the login record is missing.
pub(super) async fn find_with_credentials(users: &Users, argument: &UserArgument) -> Result<UserRecord> {
    let user = find(users, argument).await?;
    let credentials = users.credentials_of(&user, &budget()).await?;
    let credentials = credentials.with_context(|| format!("the user {} has no login record", user.profile.id))?;
    Ok(UserRecord { user, credentials })
}

/// Returns the login name and the id of a user, for a sentence.
pub(super) fn described(user: &User) -> String {
    format!("{} (id {})", user.profile.user_id, user.profile.id)
}
