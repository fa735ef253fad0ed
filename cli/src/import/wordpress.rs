//! `WordPress`: the output of `wp user list`, and the table `wp_users`.

use super::Incoming;
use super::fields::Fields;

/// The columns that a table must have.
pub(super) const REQUIRED: [&str; 2] = ["user_login", "user_email"];

/// Reads a user.
pub(super) fn user(fields: &Fields) -> Result<Incoming, String> {
    if fields.flag("deleted")? {
        return Err("The user is deleted.".into());
    }
    let email = fields.email("user_email")?;
    // One text, with a comma between two roles.
    let roles = fields.text("roles")?;
    Ok(Incoming {
        id: fields.id("ID")?,
        user_id: fields.optional_text("user_login")?.ok_or("The entry has no `user_login`.")?,
        name: fields.text("display_name")?,
        roles: roles.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect(),
        disabled: fields.flag("spam")?,
        password_hash: fields.optional_text("user_pass")?,
        email,
        ..Incoming::default()
    })
}
