//! Reads CSV: a header with the names of the columns, and records.

use std::io::{self, Cursor};

use serde_json::{Map, Value};

use super::source::{End, Piece, Source};

/// Splits records into their fields. One parser for all records, because a new one costs more than a record.
pub(super) struct Splitter(csv::Reader<Cursor<Vec<u8>>>);

impl Splitter {
    pub(super) fn new() -> Self {
        let mut builder = csv::ReaderBuilder::new();
        Self(builder.has_headers(false).flexible(true).from_reader(Cursor::default()))
    }

    /// Splits one record. Returns `None` unless the text is exactly one record of UTF-8 text.
    pub(super) fn fields(&mut self, record: &[u8]) -> Option<Vec<String>> {
        let text = [record, b"\n"].concat();
        let end = self.0.position().byte() + text.len() as u64;
        *self.0.get_mut() = Cursor::new(text);
        let mut fields = csv::StringRecord::new();
        if self.0.read_record(&mut fields).unwrap_or(false) && self.0.position().byte() == end {
            return Some(fields.iter().map(str::to_owned).collect());
        }
        // The parser still holds a part of the text, or takes it for the end of a file.
        *self = Self::new();
        None
    }
}

/// A table that is read record by record.
pub(super) struct Table {
    pub(super) source: Source,
    columns: Vec<String>,
    splitter: Splitter,
}

impl Table {
    /// Takes a source after its header.
    pub(super) fn new(source: Source, columns: Vec<String>) -> Self {
        Self { source, columns, splitter: Splitter::new() }
    }

    /// Returns the next record, or `None` at the end of the table. Blank lines are no records.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        while let Some(piece) = self.source.record()? {
            if piece.end != End::Complete || !piece.bytes.trim_ascii().is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Returns the fields of a record with their names. An empty field is absent, because CSV has no other notation for
    /// an absent value.
    ///
    /// # Errors
    /// Says what is wrong with the record.
    pub(super) fn object(&mut self, record: &[u8]) -> Result<Map<String, Value>, String> {
        if std::str::from_utf8(record).is_err() {
            return Err("The line is not UTF-8 text.".into());
        }
        let fields = self.splitter.fields(record).ok_or("The line is not one record of CSV.")?;
        let (has, wants) = (fields.len(), self.columns.len());
        // Firebase writes a comma after the last field.
        let has_more = fields.get(wants..).is_some_and(|more| more.iter().any(|field| !field.is_empty()));
        if has < wants || has_more {
            return Err(format!("The line has {has} fields, and the header has {wants}."));
        }
        let named = self.columns.iter().cloned().zip(fields).filter(|(_, field)| !field.is_empty());
        Ok(named.map(|(name, field)| (name, Value::String(field))).collect())
    }
}
