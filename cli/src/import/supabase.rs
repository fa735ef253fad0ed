//! Supabase: the table `auth.users`, and the users of its API, which have no hashes.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Incoming;
use super::fields::{Fields, full_name, or};

/// The columns that a table must have.
pub(super) const REQUIRED: [&str; 2] = ["id", "email"];

/// Reads a user.
pub(super) fn user(fields: &Fields) -> Result<Incoming, String> {
    if present(fields, "deleted_at")?.is_some() {
        return Err("The user is deleted.".into());
    }
    if fields.flag("is_anonymous")? {
        return Err("The user is anonymous.".into());
    }
    let email = fields.email("email")?;
    let named = if fields.has("raw_user_meta_data") { "raw_user_meta_data" } else { "user_metadata" };
    let named = fields.object(named)?;
    let named = Fields::new(&named);
    let parts = full_name(&named.text("first_name")?, &named.text("last_name")?);
    Ok(Incoming {
        id: fields.id("id")?,
        user_id: email.clone(),
        name: or(named.first_text(&["full_name", "name", "display_name"])?, &parts),
        disabled: is_banned(fields)?,
        password_hash: present(fields, "encrypted_password")?,
        email,
        ..Incoming::default()
    })
}

/// Returns a text. A table that an editor exported may have `null` for an absent value.
fn present(fields: &Fields, name: &str) -> Result<Option<String>, String> {
    Ok(fields.optional_text(name)?.filter(|text| !text.eq_ignore_ascii_case("null")))
}

/// Returns `true` if the user is banned now.
fn is_banned(fields: &Fields) -> Result<bool, String> {
    let Some(until) = present(fields, "banned_until")? else { return Ok(false) };
    if until == "infinity" {
        return Ok(true);
    }
    // PostgreSQL writes a space before the time, and `+00` for `+00:00`.
    let mut until = until.replacen(' ', "T", 1);
    match until.len().checked_sub(3).and_then(|at| until.get(at..)) {
        Some(offset) if offset.starts_with(['+', '-']) => until.push_str(":00"),
        _ => {}
    }
    let until = OffsetDateTime::parse(&until, &Rfc3339).map_err(|_| "The field `banned_until` is not a time.")?;
    Ok(until > OffsetDateTime::now_utc())
}
