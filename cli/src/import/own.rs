//! The names of Latchkey, as JSONL or as CSV.

use super::Incoming;
use super::fields::Fields;

/// All names. Only [`REQUIRED`] must be there.
pub(super) const NAMES: [&str; 10] =
    ["id", "userId", "email", "name", "position", "location", "bio", "roles", "disabled", "passwordHash"];

/// The names without which there is no user.
pub(super) const REQUIRED: [&str; 2] = ["userId", "email"];

/// Says why a name is not imported.
pub(super) fn problem(name: &str) -> Option<String> {
    if NAMES.contains(&name) {
        return None;
    }
    if name.eq_ignore_ascii_case("password") {
        return Some(PLAIN_PASSWORDS.into());
    }
    // Only a name that looks like one is quoted.
    let name = if name.len() <= 40 && name.chars().all(|letter| letter.is_alphanumeric() || "_- ".contains(letter)) {
        format!("The name `{name}` is unknown.")
    } else {
        "A name is unknown.".into()
    };
    Some(format!("{name} The names are {}.", NAMES.join(", ")))
}

/// Why plain passwords are refused.
pub(super) const PLAIN_PASSWORDS: &str = "Plain passwords are not imported: a file of plain passwords is a risk for every \
    account in it. Import the hashes as `passwordHash`, or leave the password out and set a new one.";

/// Reads a line of JSONL.
pub(super) fn json(fields: &Fields) -> Result<Incoming, String> {
    if let Some(problem) = fields.names().find_map(problem) {
        return Err(problem);
    }
    user(fields, fields.texts("roles")?)
}

/// Reads a record of CSV. Its roles are separated by spaces.
pub(super) fn csv(fields: &Fields) -> Result<Incoming, String> {
    user(fields, fields.text("roles")?.split_whitespace().map(str::to_owned).collect())
}

fn user(fields: &Fields, roles: Vec<String>) -> Result<Incoming, String> {
    Ok(Incoming {
        id: fields.id("id")?,
        user_id: fields.optional_text("userId")?.ok_or("The entry has no `userId`.")?,
        email: fields.email("email")?,
        name: fields.text("name")?,
        position: fields.text("position")?,
        location: fields.text("location")?,
        bio: fields.text("bio")?,
        roles,
        disabled: fields.flag("disabled")?,
        password_hash: fields.optional_text("passwordHash")?,
    })
}
