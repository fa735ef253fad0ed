//! Reading users from the files of other systems.
//!
//! Owns the formats of the files and the spellings of password hashes. A file is read entry by entry, so that its size
//! does not matter. Nothing here writes to a table, and nothing checks whether login can verify a hash.

use std::fmt;
use std::io::BufRead;

use serde_json::{Map, Value};

mod auth0;
mod cognito;
mod detect;
mod django;
mod fields;
mod firebase;
mod json;
mod keycloak;
mod own;
mod source;
mod spelling;
mod supabase;
mod table;
#[cfg(test)]
mod tests;
mod wordpress;

use detect::Content;
use fields::Fields;
use json::{Document, Element};
use source::{End, Piece};
use table::Table;

pub(crate) use firebase::FirebaseHash;
pub(crate) use spelling::respell;

/// An open file, or standard input.
type Input = Box<dyn BufRead + Send>;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line, with the names of Latchkey
    Jsonl,
    /// A table with the names of Latchkey in its first line
    Csv,
    /// Auth0: the export of password hashes, or a bulk user export
    Auth0,
    /// Firebase: `firebase auth:export`, JSON or CSV
    Firebase,
    /// Supabase: the table auth.users, CSV or JSON
    Supabase,
    /// Keycloak: an export of a realm or of its users
    Keycloak,
    /// Django: `dumpdata`, JSON or JSONL
    Django,
    /// WordPress: `wp user list` or the table `wp_users`, CSV or JSON
    Wordpress,
    /// Amazon Cognito: `list-users`, or the CSV file of an import job
    Cognito,
}

/// A user of another system.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Incoming {
    /// The id in the other system.
    pub(crate) id: Option<String>,
    /// The login name.
    pub(crate) user_id: String,
    /// The e-mail address.
    pub(crate) email: String,
    /// The full name.
    pub(crate) name: String,
    /// The position, such as "Developer".
    pub(crate) position: String,
    /// The location, such as "Seoul".
    pub(crate) location: String,
    /// A text by the user about the user.
    pub(crate) bio: String,
    /// The roles.
    pub(crate) roles: Vec<String>,
    /// `true` if the user may not sign in.
    pub(crate) disabled: bool,
    /// The password hash in a spelling that login knows, if there is one. `None` if the user has no password.
    pub(crate) password_hash: Option<String>,
}

/// An entry of a file.
pub(crate) struct Entry {
    /// The line on which it starts, from 1.
    pub(crate) line: u64,
    /// The entry on one line, or as a record of CSV. A file of such lines, with the header if there is one, can be
    /// corrected and imported. Empty if the entry is too long.
    pub(crate) raw: String,
    /// The user, or why the entry is refused. The reason never quotes the entry.
    pub(crate) user: Result<Incoming, String>,
}

/// Reads the entries of a file.
pub(crate) struct Reader {
    format: Format,
    header: Option<String>,
    rows: Rows,
    firebase: Option<FirebaseHash>,
    is_finished: bool,
}

/// What the entries are cut from.
enum Rows {
    Json(Document),
    Csv(Table),
}

impl Rows {
    fn line_number(&self) -> u64 {
        match self {
            Self::Json(document) => document.source.line_number(),
            Self::Csv(table) => table.source.line_number(),
        }
    }
}

/// What an entry says.
type Parsed = Result<Map<String, Value>, String>;

impl Reader {
    /// Recognises the format of a file, unless `from` names it. `firebase` has the hash parameters of the Firebase
    /// project.
    ///
    /// # Errors
    /// If the format is not recognised, if a column of the table is unknown, missing or doubled, or if the hash
    /// parameters of Firebase are missing.
    pub(crate) fn open(input: Input, from: Option<Format>, firebase: Option<FirebaseHash>) -> anyhow::Result<Self> {
        let opened = detect::open(input, from)?;
        let mut beginning = Self::new(opened.format, opened.beginning, firebase.clone());
        // Reports it before any user is written, if the first entries show it.
        if beginning.any(|entry| entry.user.is_err_and(|reason| reason == firebase::NO_PARAMETERS)) {
            anyhow::bail!(firebase::NO_PARAMETERS);
        }
        Ok(Self::new(opened.format, opened.content, firebase))
    }

    fn new(format: Format, content: Content, firebase: Option<FirebaseHash>) -> Self {
        let (header, rows) = match content {
            Content::Json { source, layout } => (None, Rows::Json(Document::new(source, layout))),
            Content::Csv { source, columns, header } => (header, Rows::Csv(Table::new(source, columns))),
        };
        Self { format, header, rows, firebase, is_finished: false }
    }

    /// Returns the format of the file.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Returns the first line of a table, if it has the names of the columns.
    pub(crate) fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Returns the next entry, with its raw text and what it says.
    fn read(&mut self) -> std::io::Result<Option<(u64, Vec<u8>, Parsed)>> {
        let (piece, is_json) = match &mut self.rows {
            Rows::Csv(table) => (table.next()?, false),
            Rows::Json(document) => match document.next()? {
                Some(Element::Broken { line, reason, raw }) => return Ok(Some((line, raw, Err(reason.into())))),
                Some(Element::Found(piece)) => (Some(piece), true),
                None => (None, true),
            },
        };
        let Some(Piece { line, bytes, end }) = piece else { return Ok(None) };
        let parsed = match (end, &mut self.rows) {
            (End::TooLong, _) => Err("The entry is longer than 1 MiB.".into()),
            (End::Truncated, _) => Err("A quotation mark is not closed. The rest of the file is not read.".into()),
            (End::Complete, Rows::Csv(table)) if self.format == Format::Auth0 => {
                table.object(&bytes).map(auth0::without_apostrophes)
            }
            (End::Complete, Rows::Csv(table)) => table.object(&bytes),
            (End::Complete, Rows::Json(_)) => shared::json::object(&bytes)
                .map_err(|error| format!("The entry {}.", shared::json::problem(&bytes, &error))),
        };
        let bytes = if is_json { on_one_line(bytes) } else { bytes };
        Ok(Some((line, bytes, parsed)))
    }

    /// Returns the user of an entry, or `None` for an entry that is not about a user.
    fn user(&self, entry: &Map<String, Value>) -> Result<Option<Incoming>, String> {
        let fields = Fields::new(entry);
        let user = match self.format {
            Format::Jsonl => own::json(&fields),
            Format::Csv => own::csv(&fields),
            Format::Auth0 => auth0::user(&fields),
            Format::Firebase => firebase::user(&fields, self.firebase.as_ref()),
            Format::Supabase => supabase::user(&fields),
            Format::Keycloak => keycloak::user(&fields),
            Format::Django => return django::user(&fields),
            Format::Wordpress => wordpress::user(&fields),
            Format::Cognito => cognito::user(&fields),
        };
        user.map(Some)
    }
}

impl Iterator for Reader {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while !self.is_finished {
            let (line, raw, parsed) = match self.read() {
                Ok(Some(read)) => read,
                Ok(None) => break,
                Err(error) => {
                    self.is_finished = true;
                    return Some(Entry {
                        line: self.rows.line_number(),
                        raw: String::new(),
                        user: Err(format!("Reading failed: {error}.")),
                    });
                }
            };
            let user = match parsed.and_then(|entry| self.user(&entry)) {
                Ok(None) => continue,
                Ok(Some(user)) => Ok(respelled(user)),
                Err(reason) => Err(reason),
            };
            self.is_finished = user.as_ref().is_err_and(|reason| reason == firebase::NO_PARAMETERS);
            return Some(Entry { line, raw: String::from_utf8_lossy(&raw).into_owned(), user });
        }
        self.is_finished = true;
        None
    }
}

fn respelled(user: Incoming) -> Incoming {
    let password_hash = user.password_hash.map(|hash| respell(&hash).into_owned());
    Incoming { password_hash, ..user }
}

/// Replaces line ends by spaces. Valid JSON has line ends only where a space has the same meaning.
fn on_one_line(mut json: Vec<u8>) -> Vec<u8> {
    for byte in &mut json {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    json
}

/// Shows neither the hash nor personal data.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("id", &self.id)
            .field("disabled", &self.disabled)
            .field("has_password_hash", &self.password_hash.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("line", &self.line).field("user", &self.user).finish_non_exhaustive()
    }
}
