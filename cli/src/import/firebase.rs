//! Firebase: `firebase auth:export`, as JSON or as CSV without a header.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::Incoming;
use super::fields::Fields;

/// Why a file with hashes is not read without the parameters of the project.
pub(super) const NO_PARAMETERS: &str = "The file has password hashes of Firebase, and they need the hash parameters of \
    the Firebase project. Open the Firebase console, then Authentication, Users, the menu with three dots, Password hash \
    parameters. Save the text to a file and name it with --firebase-hash FILE.";

/// The number of columns of the CSV file. A comma follows the last one.
pub(super) const COLUMN_COUNT: usize = 28;

/// The columns that are read, with the names that they have in JSON.
const COLUMNS: [(usize, &str); 6] =
    [(0, "localId"), (1, "email"), (3, "passwordHash"), (4, "salt"), (5, "displayName"), (26, "disabled")];

/// The base64 of `REDACTED`, which the export has instead of a hash if the account may not read hashes.
const REDACTED: &str = "UkVEQUNURUQ=";

/// The hash parameters of a Firebase project.
#[derive(Clone)]
pub(crate) struct FirebaseHash {
    signer_key: String,
    salt_separator: String,
    rounds: u32,
    mem_cost: u32,
}

impl FirebaseHash {
    /// Reads the block `hash_config { … }` of the Firebase console, or the same names as JSON.
    ///
    /// # Errors
    /// Says which parameter is missing or unusable, without its value.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        // Neither base64 nor a number contains a comma, a colon, a bracket or a quotation mark.
        let pairs = text.split([',', '{', '}', '\n']).filter_map(|pair| pair.split_once(':'));
        let pairs: Vec<_> = pairs.map(|(name, value)| (unquoted(name), unquoted(value))).collect();
        let find = |name: &str| {
            let mut values = pairs.iter().filter(|pair| pair.0 == name).map(|pair| pair.1);
            match (values.next(), values.next()) {
                (Some(value), None) => Ok(value),
                (None, _) => bail!("The hash parameters of Firebase have no {name}."),
                (Some(_), Some(_)) => bail!("The hash parameters of Firebase have {name} twice."),
            }
        };
        let base64 =
            |name: &str| normalised(find(name)?).with_context(|| format!("The {name} of Firebase is not base64."));
        let number =
            |name: &str| find(name)?.parse().with_context(|| format!("The {name} of Firebase is not a number."));
        ensure!(find("algorithm")? == "SCRYPT", "The algorithm of the hash parameters of Firebase must be SCRYPT.");
        Ok(Self {
            signer_key: base64("base64_signer_key")?,
            salt_separator: base64("base64_salt_separator")?,
            rounds: number("rounds")?,
            mem_cost: number("mem_cost")?,
        })
    }

    /// Returns a hash in the form that login verifies.
    fn hash(&self, salt: &str, digest: &str) -> String {
        let Self { signer_key, salt_separator, rounds, mem_cost } = self;
        format!("$firescrypt$ln={mem_cost},r={rounds},p=1${salt}${digest}${salt_separator}${signer_key}")
    }
}

impl fmt::Debug for FirebaseHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirebaseHash(..)")
    }
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// Returns base64 with the standard alphabet and with padding. Firebase also writes the alphabet of URLs.
fn normalised(text: &str) -> Option<String> {
    let digits = text.trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(digits).or_else(|_| URL_SAFE_NO_PAD.decode(digits)).ok()?;
    Some(STANDARD.encode(bytes))
}

/// Returns the names of the columns of the CSV file, which has no header.
pub(super) fn columns() -> Vec<String> {
    let name = |index| COLUMNS.iter().find(|column| column.0 == index).map_or("", |column| column.1);
    (0..COLUMN_COUNT).map(|index| name(index).to_owned()).collect()
}

/// Reads a user.
pub(super) fn user(fields: &Fields, parameters: Option<&FirebaseHash>) -> Result<Incoming, String> {
    let Some(email) = fields.optional_text("email")? else {
        return Err(
            "The entry has no e-mail address. The user is anonymous, or signs in with a telephone number.".into()
        );
    };
    let password_hash = match (fields.optional_text("passwordHash")?, parameters) {
        (None, _) => None,
        (Some(digest), _) if digest == REDACTED => {
            return Err("The export has no hash, because the account that made \
            it lacks the permission firebaseauth.configs.getHashConfig. Export again as an owner of the project."
                .into());
        }
        (Some(_), None) => return Err(NO_PARAMETERS.into()),
        (Some(digest), Some(parameters)) => {
            let salt = fields.optional_text("salt")?.ok_or("The entry has a password hash and no salt.")?;
            let part = |text: &str| normalised(text).ok_or("The password hash or its salt is not base64.");
            Some(parameters.hash(&part(&salt)?, &part(&digest)?))
        }
    };
    Ok(Incoming {
        id: fields.id("localId")?,
        user_id: email.clone(),
        name: fields.text("displayName")?,
        disabled: fields.flag("disabled")?,
        password_hash,
        email,
        ..Incoming::default()
    })
}
