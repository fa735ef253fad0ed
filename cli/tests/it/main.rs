//! The operator's tool through its binary, on an embedded DynamoDB.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

mod account;
mod audit;
mod doctor;
mod documents;
mod import;
mod keys;
mod manual;
mod service;
mod stacks;
mod users;
mod world;
