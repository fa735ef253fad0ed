//! Auth0: the export of password hashes, and the bulk user export, which has no hashes.

use serde_json::{Map, Value};

use super::Incoming;
use super::fields::{Fields, or};

/// The columns that a table must have.
pub(super) const REQUIRED: [&str; 2] = ["user_id", "email"];

/// Removes the apostrophe that Auth0 writes before every text in a table, so that a spreadsheet runs no formula.
pub(super) fn without_apostrophes(mut record: Map<String, Value>) -> Map<String, Value> {
    for value in record.values_mut() {
        if let Some(text) = value.as_str().and_then(|text| text.strip_prefix('\'')) {
            *value = text.into();
        }
    }
    record
}

/// Reads a user.
pub(super) fn user(fields: &Fields) -> Result<Incoming, String> {
    let email = match fields.optional_text("email")? {
        Some(email) => email,
        None => identifier(fields)?.ok_or("The entry has no e-mail address.")?,
    };
    Ok(Incoming {
        id: id(fields)?,
        user_id: or(fields.text("username")?, &email),
        name: fields.text("name")?,
        disabled: fields.flag("blocked")?,
        password_hash: password_hash(fields)?,
        email,
        ..Incoming::default()
    })
}

/// Returns the id in the form of the API and of the tokens: `auth0|` and the id of the database.
fn id(fields: &Fields) -> Result<Option<String>, String> {
    if let Some(id) = fields.optional_text("user_id")? {
        return Ok(Some(id));
    }
    let object_id = fields.value("_id").and_then(|id| id.get("$oid")).and_then(Value::as_str);
    let id = fields.id("alt_id")?.or_else(|| object_id.map(str::to_owned));
    Ok(id.map(|id| if id.starts_with("auth0|") { id } else { format!("auth0|{id}") }))
}

/// Returns the e-mail address of a user without the field `email`.
fn identifier(fields: &Fields) -> Result<Option<String>, String> {
    let identifiers = fields.objects("identifiers")?;
    let identifiers = identifiers.into_iter().map(Fields::new);
    identifiers
        .filter(|each| each.value("type").is_some_and(|of| of == "email"))
        .map(|each| each.text("value"))
        .next()
        .transpose()
}

/// Returns the hash. `custom_password_hash` is the hash of a system that the users were in before Auth0.
fn password_hash(fields: &Fields) -> Result<Option<String>, String> {
    if let Some(hash) = fields.optional_text("passwordHash")? {
        return Ok(Some(hash));
    }
    let custom = fields.object("custom_password_hash")?;
    let hash = Fields::new(&custom).object("hash")?;
    Fields::new(&hash).optional_text("value")
}
