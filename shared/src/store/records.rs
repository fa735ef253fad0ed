//! The form of all records.
//!
//! Owns the record version and the conversion between structs and DynamoDB items.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A DynamoDB item.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The version of the records that this code writes, in the attribute `v`. A new attribute keeps the version. A change
/// that older code would misread raises it.
const RECORD_VERSION: &str = "1";

/// Returns the item of a record, with the attributes of its key.
///
/// # Errors
/// [`Error::Unexpected`] if the record cannot be serialized.
pub(super) fn to_item(record: &impl Serialize, key: &[(&str, AttributeValue)]) -> Result<Item> {
    let mut item: Item = serde_dynamo::to_item(record).map_err(Error::unexpected)?;
    item.insert("v".into(), AttributeValue::N(RECORD_VERSION.into()));
    item.extend(key.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Ok(item)
}

/// Returns the record of an item. The error names the kind of record and never repeats its content, because it is
/// logged.
///
/// # Errors
/// [`Error::Corrupt`] for an unknown version, a missing attribute or one of the wrong type.
pub(super) fn from_item<T: DeserializeOwned>(item: Item, kind: &'static str) -> Result<T> {
    let corrupt = |problem: &str| Error::Corrupt(format!("{kind} record {problem}").into());
    match item.get("v") {
        Some(AttributeValue::N(version)) if version == RECORD_VERSION => {}
        Some(_) => return Err(corrupt("of an unknown version")),
        None => return Err(corrupt("without a version")),
    }
    serde_dynamo::from_item(item).map_err(|_| corrupt("with an attribute missing or of the wrong type"))
}

/// Returns a string attribute.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// Returns a number attribute.
pub(super) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}
