//! Recognises the format of a file from its first 64 KiB.

use std::io::{Cursor, Read as _};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;

use super::json::{LISTS, Layout};
use super::source::{End, Source};
use super::{Format, Input, auth0, cognito, firebase, own, supabase, table, wordpress};

/// How many bytes are looked at.
const HEAD: u64 = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file whose format is known.
pub(super) struct Opened {
    pub(super) format: Format,
    pub(super) content: Content,
    /// The first entries once more.
    pub(super) beginning: Content,
}

/// What a file contains.
pub(super) enum Content {
    Json { source: Source, layout: Layout },
    Csv { source: Source, columns: Vec<String>, header: Option<String> },
}

/// Recognises the format of a file, unless `from` names it.
///
/// # Errors
/// If the format is not recognised, or if the file does not have the format.
pub(super) fn open(mut input: Input, from: Option<Format>) -> anyhow::Result<Opened> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD).read_to_end(&mut head).context("The file cannot be read.")?;
    ensure!(!head.starts_with(b"\xff\xfe") && !head.starts_with(b"\xfe\xff"), "The file is UTF-16. Save it as UTF-8.");
    if head.starts_with(BYTE_ORDER_MARK) {
        head.drain(..BYTE_ORDER_MARK.len());
    }
    let is_json = match head.trim_ascii().first() {
        None => bail!("The file is empty."),
        Some(first) => matches!(first, b'{' | b'['),
    };
    let beginning: Input = Box::new(Cursor::new(head.clone()));
    let whole: Input = Box::new(Cursor::new(head.clone()).chain(input));
    if is_json {
        let names = Names::of(&head);
        let format = from.or_else(|| of_names(&names, &head)).with_context(not_recognised)?;
        ensure!(format != Format::Csv, "The file is JSON, and --from csv is for a table.");
        let layout = names.layout(&head)?;
        let content = |input| Content::Json { source: Source::new(input), layout };
        return Ok(Opened { format, content: content(whole), beginning: content(beginning) });
    }
    let mut source = Source::new(Box::new(Cursor::new(head.clone())));
    source.peek()?;
    let first = source.record()?.and_then(|record| table::Splitter::new().fields(&record.bytes)).unwrap_or_default();
    let format = from.or_else(|| of_columns(&first, &head)).with_context(not_recognised)?;
    let content = |input| csv(format, Source::new(input));
    Ok(Opened { format, content: content(whole)?, beginning: content(beginning)? })
}

fn not_recognised() -> String {
    let names = Format::value_variants().iter().filter_map(Format::to_possible_value);
    let names: Vec<_> = names.map(|name| name.get_name().to_owned()).collect();
    format!("The format of the file is not recognised. Name it with --from: {}.", names.join(", "))
}

/// Opens a table. Only the table of Firebase has no header.
fn csv(format: Format, mut source: Source) -> anyhow::Result<Content> {
    let required = match format {
        Format::Firebase => return Ok(Content::Csv { source, columns: firebase::columns(), header: None }),
        Format::Csv => own::REQUIRED,
        Format::Auth0 => auth0::REQUIRED,
        Format::Supabase => supabase::REQUIRED,
        Format::Wordpress => wordpress::REQUIRED,
        Format::Cognito => cognito::REQUIRED,
        Format::Jsonl | Format::Keycloak | Format::Django => bail!("The file is not JSON."),
    };
    source.peek()?;
    let record = source.record()?.context("The file is empty.")?;
    let columns =
        table::Splitter::new().fields(&record.bytes).context("The first line is not a header of CSV in UTF-8.")?;
    // The first line may be a user, even one with a password. It is not quoted then.
    let is_header = columns.iter().any(|column| required.contains(&column.as_str()));
    ensure!(is_header, "The first line is not a header. It must have the columns `{}`.", required.join("` and `"));
    for (index, name) in columns.iter().enumerate() {
        if let Some(problem) = (format == Format::Csv).then(|| own::problem(name)).flatten() {
            bail!(problem);
        }
        ensure!(!columns[..index].contains(name), "Column {} of the header has a name that another has.", index + 1);
    }
    for name in required {
        ensure!(columns.iter().any(|column| column == name), "The header has no column `{name}`.");
    }
    Ok(Content::Csv { source, columns, header: Some(String::from_utf8_lossy(&record.bytes).into_owned()) })
}

fn of_columns(columns: &[String], head: &[u8]) -> Option<Format> {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let is_flag = |at: usize| columns.get(at).is_some_and(|field| field == "true" || field == "false");
    if has("encrypted_password") || has("raw_user_meta_data") {
        Some(Format::Supabase)
    } else if has("user_login") {
        Some(Format::Wordpress)
    } else if has("cognito:username") {
        Some(Format::Cognito)
    } else if has("userId") {
        Some(Format::Csv)
    } else if has("user_id") && has_auth0_id(head) {
        Some(Format::Auth0)
    } else if columns.len() >= firebase::COLUMN_COUNT && is_flag(2) {
        Some(Format::Firebase)
    } else {
        None
    }
}

fn of_names(names: &Names, head: &[u8]) -> Option<Format> {
    let has = |name: &str| names.has(name);
    if has("model") && has("fields") {
        Some(Format::Django)
    } else if has("localId") {
        Some(Format::Firebase)
    } else if (has("_id") && has("tenant")) || (has("user_id") && (has("identities") || has_auth0_id(head))) {
        Some(Format::Auth0)
    } else if has("encrypted_password") || has("raw_user_meta_data") || (has("user_metadata") && has("aud")) {
        Some(Format::Supabase)
    } else if has("user_login") {
        Some(Format::Wordpress)
    } else if has("UserStatus") || (has("Username") && has("Attributes")) {
        Some(Format::Cognito)
    } else if has("realm") || (has("username") && (has("credentials") || has("realmRoles"))) {
        Some(Format::Keycloak)
    } else if has("userId") {
        Some(Format::Jsonl)
    } else {
        None
    }
}

/// Returns `true` if there is an id of Auth0, which names the provider of the user. Many systems have a field
/// `user_id`.
/// Taking one of them for Auth0 would lose its hashes.
fn has_auth0_id(head: &[u8]) -> bool {
    [&b"auth0|"[..], b"google-oauth2|"].iter().any(|id| head.windows(id.len()).any(|bytes| bytes == *id))
}

/// The names in the first bytes of a JSON document.
struct Names {
    /// How many brackets are open at a name, the name, and the first byte of its value.
    found: Vec<(usize, String, Option<u8>)>,
    starts_with_array: bool,
    /// `true` if the first value goes on after the first bytes.
    is_cut: bool,
}

impl Names {
    /// Reads strings and brackets only, so that broken JSON has names, too.
    fn of(head: &[u8]) -> Self {
        let (mut found, mut depth, mut was_closed, mut at) = (Vec::new(), 0_usize, false, 0);
        while let Some(&byte) = head.get(at) {
            at += 1;
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    was_closed |= depth == 0;
                }
                b'"' => {
                    let end = at + string_length(&head[at..]);
                    let after = head.get(end + 1..).unwrap_or_default().trim_ascii_start();
                    if let (Some(b':'), Ok(name)) = (after.first(), std::str::from_utf8(&head[at..end])) {
                        found.push((depth, name.to_owned(), after[1..].trim_ascii_start().first().copied()));
                    }
                    at = end + 1;
                }
                _ => {}
            }
        }
        let starts_with_array = head.trim_ascii_start().starts_with(b"[");
        Self { found, starts_with_array, is_cut: !was_closed }
    }

    /// Returns `true` if the document is an object around an array of users. A realm is one, even without users. An
    /// object that is longer than the first bytes is one, unless it has a name of a user.
    fn is_wrapped(&self) -> bool {
        let at_top = |names: &[&str]| self.found.iter().any(|(depth, name, _)| *depth == 1 && names.contains(&&**name));
        let is_list = |(depth, name, value): &(usize, String, Option<u8>)| {
            *depth == 1 && LISTS.contains(&name.as_str()) && *value == Some(b'[')
        };
        let is_user = at_top(&["email", "model", "userId", "user_login", "username", "Username"]);
        let is_long = self.is_cut || at_top(&["realm"]);
        !self.starts_with_array && (self.found.iter().any(is_list) || (is_long && !is_user))
    }

    /// Returns `true` if a user has this name, or the object around the users.
    fn has(&self, name: &str) -> bool {
        let depths: &[usize] = match (self.starts_with_array, self.is_wrapped()) {
            (true, _) => &[2],
            (false, true) => &[1, 3],
            (false, false) => &[1],
        };
        self.found.iter().any(|(depth, found, _)| depths.contains(depth) && found == name)
    }

    fn layout(&self, head: &[u8]) -> anyhow::Result<Layout> {
        if self.is_wrapped() {
            return Ok(Layout::Wrapped);
        }
        let mut source = Source::new(Box::new(Cursor::new(head.to_vec())));
        source.peek()?;
        let first = source.value()?.filter(|first| first.end == End::Complete);
        let is_on_lines = first.is_some_and(|first| {
            first.bytes.contains(&b'\n') && serde_json::from_slice::<serde::de::IgnoredAny>(&first.bytes).is_ok()
        });
        Ok(if self.starts_with_array || is_on_lines { Layout::Values } else { Layout::Lines })
    }
}

/// Returns the length of a string without its quotation marks.
fn string_length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|&byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(text.len())
}
