//! The local stack: the functions over an embedded DynamoDB, behind a gateway of their own.
//!
//! Owns what AWS does in a deployed stack, as far as a developer needs it on one machine. Everything that the template
//! says is read from it. The functions themselves are the real ones, run by `cargo lambda watch`.

pub mod certificate;
pub mod dynamodb;
pub mod event;
pub mod functions;
pub mod gateway;
pub mod people;
pub mod processes;
mod running;
pub mod settings;
pub mod stack;
pub mod story;
pub mod tables;
pub mod template;
pub mod token;
pub mod unlock;
