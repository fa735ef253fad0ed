//! Reads CSV: a header with the names of the columns, and records.

use std::io;

use serde_json::{Map, Value};

use super::source::{End, MAX_ENTRY, Piece, Source};

/// Splits one record into its fields. Returns `None` unless the text is exactly one record of UTF-8 text.
pub(super) fn fields(record: &[u8]) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).buffer_capacity(record.len().clamp(64, MAX_ENTRY));
    let mut records = reader.from_reader(record).into_records();
    let fields = records.next()?.ok()?;
    if records.next().is_some() {
        return None;
    }
    Some(fields.iter().map(str::to_owned).collect())
}

/// A table that is read record by record.
pub(super) struct Table {
    source: Source,
    columns: Vec<String>,
}

impl Table {
    /// Takes a source after its header.
    pub(super) fn new(source: Source, columns: Vec<String>) -> Self {
        Self { source, columns }
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
    pub(super) fn object(&self, record: &[u8]) -> Result<Map<String, Value>, String> {
        if std::str::from_utf8(record).is_err() {
            return Err("The line is not UTF-8 text.".into());
        }
        let fields = fields(record).ok_or("The line is not one record of CSV.")?;
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
