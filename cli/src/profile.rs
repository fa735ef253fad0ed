//! The limits of a profile, which the tables do not have.

use anyhow::Result;
use shared::store::{LoginName, Profile};
use shared::token::roles_fit;

use crate::failure::Failure;

/// The most bytes of the free texts of a profile together. `/userinfo` returns all of them.
const MAX_TEXTS: usize = 4096;

/// The prefixes of an argument that says what it is. A login name must not look like one of them.
pub const PREFIXES: [&str; 3] = ["id:", "name:", "email:"];

/// Checks names, roles and texts before they are written.
///
/// # Errors
/// [`Failure::Invalid`] says what is too large.
pub fn check(profile: &Profile) -> Result<(), Failure> {
    profile.check_names().map_err(|error| Failure::Invalid(error.to_string()))?;
    let name = LoginName::parse(&profile.user_id).map_err(|error| Failure::Invalid(error.to_string()))?;
    if PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix)) {
        return Err(Failure::Invalid("A login name must not begin with id:, name: or email:.".into()));
    }
    if !roles_fit(&profile.roles) {
        let text = "The roles need more than 1 KiB, so that no token could carry them. Use fewer or shorter roles.";
        return Err(Failure::Invalid(text.into()));
    }
    if profile.roles.iter().any(|role| role.is_empty() || role.contains(char::is_whitespace)) {
        return Err(Failure::Invalid("A role is a word without white space.".into()));
    }
    let Profile { name, position, location, bio, .. } = profile;
    let size: usize = [name, position, location, bio].map(String::len).into_iter().sum();
    if size > MAX_TEXTS {
        return Err(Failure::Invalid(format!(
            "Name, position, location and bio have {size} bytes. {MAX_TEXTS} are allowed."
        )));
    }
    Ok(())
}
