//! Django: the objects of `dumpdata` whose model is a user.

use super::Incoming;
use super::fields::{Fields, full_name, or};

/// Reads a user. Returns `None` for an object of another model.
pub(super) fn user(fields: &Fields) -> Result<Option<Incoming>, String> {
    let model = fields.optional_text("model")?.ok_or("The entry has no `model`.")?;
    if !model.to_ascii_lowercase().ends_with("user") {
        return Ok(None);
    }
    let entry = fields.object("fields")?;
    let entry = Fields::new(&entry);
    let email = entry.email("email")?;
    let parts = full_name(&entry.text("first_name")?, &entry.text("last_name")?);
    let roles = [("is_staff", "staff"), ("is_superuser", "superuser")];
    let roles = roles.into_iter().map(|(name, role)| Ok(entry.flag(name)?.then(|| role.to_owned())));
    let roles = roles.collect::<Result<Vec<_>, String>>()?;
    Ok(Some(Incoming {
        id: fields.id("pk")?,
        user_id: or(entry.text("username")?, &email),
        name: or(entry.first_text(&["name", "full_name"])?, &parts),
        roles: roles.into_iter().flatten().collect(),
        disabled: entry.has("is_active") && !entry.flag("is_active")?,
        // Django writes `!` and a random text for a user without a password.
        password_hash: entry.optional_text("password")?.filter(|hash| !hash.starts_with('!')),
        email,
        ..Incoming::default()
    }))
}
