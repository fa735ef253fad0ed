//! Amazon Cognito: the output of `list-users`, and the CSV file of an import job. Neither has password hashes.

use serde_json::{Map, Value};

use super::Incoming;
use super::fields::{Fields, full_name, or};

/// The columns that a table must have.
pub(super) const REQUIRED: [&str; 2] = ["cognito:username", "email"];

/// Reads a user.
pub(super) fn user(fields: &Fields) -> Result<Incoming, String> {
    if fields.has("Attributes") {
        let attributes = attributes(fields)?;
        let user = with_attributes(&Fields::new(&attributes), fields.text("Username")?)?;
        return Ok(Incoming { disabled: fields.has("Enabled") && !fields.flag("Enabled")?, ..user });
    }
    with_attributes(fields, fields.text("cognito:username")?)
}

/// Returns the attributes of a user. `list-users` has them as pairs of a name and a value.
fn attributes(fields: &Fields) -> Result<Map<String, Value>, String> {
    let pairs = fields.objects("Attributes")?.into_iter().map(Fields::new);
    pairs.map(|pair| Ok((pair.text("Name")?, Value::String(pair.text("Value")?)))).collect()
}

/// Builds a user. In a user pool whose users sign in with an e-mail address, the username is the id.
fn with_attributes(attributes: &Fields, username: String) -> Result<Incoming, String> {
    let email = attributes.email("email")?;
    let id = attributes.optional_text("sub")?;
    let username = if Some(&username) == id.as_ref() { String::new() } else { username };
    let parts = full_name(&attributes.text("given_name")?, &attributes.text("family_name")?);
    Ok(Incoming {
        id,
        user_id: or(username, &email),
        name: or(attributes.text("name")?, &parts),
        email,
        ..Incoming::default()
    })
}
