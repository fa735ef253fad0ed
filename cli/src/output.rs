//! The output of a command: a table for people; JSON, JSON Lines or CSV for programs.
//!
//! The names and the order of the fields are stable. New fields come at the end.

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// A format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object for each line.
    Jsonl,
    /// Comma-separated values with a header (RFC 4180).
    Csv,
}

/// Prints records of one kind, page after page.
pub struct Printer {
    format: Format,
    columns: &'static [&'static str],
    out: Box<dyn Write>,
    printed: usize,
    is_list: bool,
}

impl Printer {
    /// Prints a list of records with these fields.
    #[must_use]
    pub fn list(format: Format, columns: &'static [&'static str]) -> Self {
        Self { format, columns, out: Box::new(io::stdout().lock()), printed: 0, is_list: true }
    }

    /// Prints one record.
    ///
    /// # Errors
    /// Fails if standard output is not writable.
    pub fn one(format: Format, columns: &'static [&'static str], record: &impl Serialize) -> Result<()> {
        let mut printer = Self { is_list: false, ..Self::list(format, columns) };
        printer.page(std::slice::from_ref(record))?;
        printer.finish()
    }

    /// Prints a page of records. In a table, the columns are aligned within a page.
    ///
    /// # Errors
    /// Fails if standard output is not writable.
    pub fn page(&mut self, records: &[impl Serialize]) -> Result<()> {
        let records = records.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        if !records.is_empty() {
            self.write(&records).context("cannot write to standard output")?;
            self.printed += records.len();
        }
        Ok(())
    }

    /// Ends the output of a list. Tells a person that an empty list is not an error.
    ///
    /// # Errors
    /// Fails if standard output is not writable.
    pub fn finish_or_say(self, if_empty: &str) -> Result<()> {
        if self.printed == 0 && self.format == Format::Table {
            say(if_empty);
        }
        self.finish()
    }

    /// Ends the output.
    ///
    /// # Errors
    /// Fails if standard output is not writable.
    pub fn finish(mut self) -> Result<()> {
        let end = match (self.format, self.is_list, self.printed) {
            (Format::Json, true, 0) => "[]\n",
            (Format::Json, true, _) => "\n]\n",
            (Format::Csv, true, 0) => &(self.columns.join(",") + "\r\n"),
            _ => "",
        };
        self.out.write_all(end.as_bytes()).and_then(|()| self.out.flush()).context("cannot write to standard output")
    }

    fn write(&mut self, records: &[Value]) -> io::Result<()> {
        match self.format {
            Format::Json if self.is_list => {
                for record in records {
                    let before = if self.printed == 0 { "[\n" } else { ",\n" };
                    write!(self.out, "{before}  {}", ordered(record, self.columns))?;
                    self.printed += 1;
                }
                self.printed -= records.len();
                Ok(())
            }
            Format::Json | Format::Jsonl => {
                records.iter().try_for_each(|record| writeln!(self.out, "{}", ordered(record, self.columns)))
            }
            Format::Csv => {
                let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut self.out);
                if self.printed == 0 {
                    csv.write_record(self.columns)?;
                }
                for record in records {
                    csv.write_record(self.columns.iter().map(|column| csv_cell(cell(&record[column]))))?;
                }
                csv.flush()
            }
            Format::Table if self.is_list => self.write_columns(records),
            Format::Table => records.iter().try_for_each(|record| self.write_fields(record)),
        }
    }

    fn write_columns(&mut self, records: &[Value]) -> io::Result<()> {
        let header: Vec<_> = self.columns.iter().map(|column| column.to_uppercase()).collect();
        let row = |record: &Value| self.columns.iter().map(|column| printable(&cell(&record[column]))).collect();
        let mut rows: Vec<Vec<String>> = records.iter().map(row).collect();
        if self.printed == 0 {
            rows.insert(0, header);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or_default();
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        for row in &rows {
            let cells =
                row.iter().zip(&widths).map(|(text, width)| format!("{text}{}", " ".repeat(width - text.width())));
            writeln!(self.out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }

    fn write_fields(&mut self, record: &Value) -> io::Result<()> {
        let width = self.columns.iter().map(|column| column.len()).max().unwrap_or_default();
        let fields = self.columns.iter().filter(|column| !record[**column].is_null());
        for column in fields {
            let line = format!("{column:<width$}  {}", printable(&cell(&record[*column])));
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Returns the object with its fields in the order of the columns.
fn ordered(record: &Value, columns: &[&str]) -> String {
    let fields = columns.iter().filter(|column| !record[**column].is_null());
    let fields = fields.map(|column| escaped_json(&format!("{}:{}", Value::from(*column), record[*column])));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Returns a value as one cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Escapes control characters and invisible ones. A name or a user agent comes from a stranger, and must control
/// neither the terminal nor the direction of the text.
#[must_use]
pub fn printable(text: &str) -> String {
    let escape = |character: char| {
        if is_hidden(character) { character.escape_unicode().to_string() } else { character.to_string() }
    };
    text.chars().map(escape).collect()
}

/// Escapes a text of several lines.
#[must_use]
pub fn shown(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes hidden characters of a JSON text as `\uXXXX`. They can only be in strings, so that the value is the same.
fn escaped_json(json: &str) -> String {
    let escape = |character: char| {
        if !is_hidden(character) {
            return character.to_string();
        }
        let units: Vec<_> = character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
        units.concat()
    };
    json.chars().map(escape).collect()
}

/// Returns a cell of CSV that no spreadsheet takes for a formula: OWASP, CSV Injection. An id may begin with `-`.
#[must_use]
pub fn csv_cell(value: String) -> String {
    let is_id = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_formula = value.starts_with(FORMULA) && !is_id;
    if is_formula { format!("'{value}") } else { value }
}

/// Returns the value of a cell that [`csv_cell`] wrote.
#[must_use]
pub fn without_csv_mark(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|value| value.starts_with(FORMULA)).unwrap_or(cell)
}

/// The beginnings of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Returns a number with its noun: `1 user`, `2 users`.
#[must_use]
pub fn number_of(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Prints a sentence to standard error, where it does not disturb the output of a script.
pub fn say(text: &str) {
    anstream::eprintln!("{}", shown(text));
}

/// Returns `true` if a person reads standard output.
#[must_use]
pub fn is_read_by_a_person() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Prints pages of records, and returns the output.
    fn printed(format: Format, is_list: bool, pages: &[&[Value]]) -> String {
        let out = Shared::default();
        let columns = &["userId", "name", "roles"];
        let mut printer = Printer { format, columns, out: Box::new(out.clone()), printed: 0, is_list };
        for page in pages {
            printer.page(page).unwrap();
        }
        printer.finish().unwrap();
        String::from_utf8(out.0.take()).unwrap()
    }

    #[test]
    fn each_format_prints_pages_as_one_output() {
        let kim = json!({ "userId": "kim", "name": "김, 코딩", "roles": ["a", "b"] });
        let park = json!({ "userId": "parkhacker", "name": null, "roles": [] });
        let pages: [&[Value]; 2] = [std::slice::from_ref(&kim), &[park]];
        let table = "USERID  NAME      ROLES\nkim     김, 코딩  a b\nparkhacker\n";
        assert_eq!(printed(Format::Table, true, &pages), table);
        let [one, other] =
            [r#"{"userId":"kim","name":"김, 코딩","roles":["a","b"]}"#, r#"{"userId":"parkhacker","roles":[]}"#];
        assert_eq!(printed(Format::Json, true, &pages), format!("[\n  {one},\n  {other}\n]\n"));
        assert_eq!(printed(Format::Jsonl, true, &pages), format!("{one}\n{other}\n"));
        assert_eq!(printed(Format::Csv, true, &pages), "userId,name,roles\r\nkim,\"김, 코딩\",a b\r\nparkhacker,,\r\n");
        assert_eq!(
            printed(Format::Table, false, &[std::slice::from_ref(&kim)]),
            "userId  kim\nname    김, 코딩\nroles   a b\n"
        );
        assert_eq!(printed(Format::Json, false, &[&[kim]]), format!("{one}\n"));
    }

    #[test]
    fn an_empty_list_is_valid_in_each_format() {
        let printed =
            [Format::Table, Format::Json, Format::Jsonl, Format::Csv].map(|format| printed(format, true, &[]));
        assert_eq!(printed, ["", "[]\n", "", "userId,name,roles\r\n"]);
    }

    /// OWASP, CSV Injection.
    #[test]
    fn no_cell_of_csv_is_a_formula_and_an_id_stays() {
        for formula in ["=HYPERLINK(\"http://evil.example\")", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(csv_cell(formula.to_owned()), format!("'{formula}"));
            assert_eq!(without_csv_mark(&csv_cell(formula.to_owned())), formula);
        }
        for harmless in ["-8sr5XpVfT8nDJZm1xMszw", "kim@example.com", "a=b", ""] {
            assert_eq!(csv_cell(harmless.to_owned()), harmless);
        }
    }

    #[test]
    fn a_control_character_of_a_stranger_does_not_reach_the_terminal() {
        let hostile = json!({ "userId": "\u{1b}[31mred\n\u{202e}", "name": "", "roles": [] });
        let table = printed(Format::Table, true, &[std::slice::from_ref(&hostile)]);
        assert!(table.contains(r"\u{1b}[31mred\u{a}\u{202e}"), "{table}");
        let json = printed(Format::Jsonl, true, &[std::slice::from_ref(&hostile)]);
        assert!(json.contains(r"\u001b[31mred\n\u202e"), "{json}");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["userId"], hostile["userId"]);
        for hidden in ["\u{61c}", "\u{2028}", "\u{2064}", "\u{feff}", "\u{ad}", "\u{e0041}", "\u{9b}", "\u{202e}"] {
            assert!(printable(hidden).is_ascii() && shown(hidden).is_ascii(), "{hidden:?}");
            let json = escaped_json(&Value::from(hidden).to_string());
            assert!(json.is_ascii() && serde_json::from_str::<String>(&json).unwrap() == hidden, "{json}");
        }
    }
}
