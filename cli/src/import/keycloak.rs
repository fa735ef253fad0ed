//! Keycloak: the users of a realm, with their credentials.

use serde_json::{Map, Value};

use super::Incoming;
use super::fields::{Fields, full_name};
use super::own::PLAIN_PASSWORDS;

/// Reads a user.
pub(super) fn user(fields: &Fields) -> Result<Incoming, String> {
    if fields.value("serviceAccountClientId").or(fields.value("serviceAccountClientLink")).is_some() {
        return Err("The entry is the service account of a client, not a person.".into());
    }
    let email = fields.email("email")?;
    Ok(Incoming {
        id: fields.id("id")?,
        user_id: fields.optional_text("username")?.ok_or("The entry has no `username`.")?,
        name: full_name(&fields.text("firstName")?, &fields.text("lastName")?),
        roles: fields.texts("realmRoles")?.into_iter().filter(|role| !is_built_in(role)).collect(),
        disabled: fields.has("enabled") && !fields.flag("enabled")?,
        password_hash: password_hash(&fields.objects("credentials")?)?,
        email,
        ..Incoming::default()
    })
}

/// Returns `true` for a role that Keycloak gives to every user. It means nothing outside Keycloak.
fn is_built_in(role: &str) -> bool {
    role.starts_with("default-roles-") || matches!(role, "offline_access" | "uma_authorization")
}

/// Returns the credential with the password as JSON, which is one of the spellings of a hash.
fn password_hash(credentials: &[&Map<String, Value>]) -> Result<Option<String>, String> {
    let Some(password) = credentials.iter().find(|each| each.get("type").is_some_and(|of| of == "password")) else {
        return Ok(None);
    };
    if password.contains_key("secretData") {
        let data = |name: &str| (name.to_owned(), password.get(name).cloned().unwrap_or_default());
        let data: Map<_, _> = ["secretData", "credentialData"].map(data).into_iter().collect();
        return Ok(Some(Value::Object(data).to_string()));
    }
    if password.contains_key("value") {
        return Err(PLAIN_PASSWORDS.into());
    }
    Err("The password has no `secretData`. Export the realm with the command `kc.sh export`.".into())
}
