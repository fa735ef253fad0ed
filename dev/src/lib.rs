//! The local stack: the functions over an embedded DynamoDB, behind a local gateway.
//!
//! Does on one machine what AWS does for a deployed stack. Tables, routes, variables and CORS settings come from
//! `template.yaml`. `cargo lambda watch` runs the real functions.

mod authorizer;
pub mod certificate;
pub mod dynamodb;
mod env_file;
pub mod event;
pub mod events_file;
pub mod functions;
pub mod gateway;
mod integrations;
pub mod invocations;
pub mod invoke;
pub mod pages;
mod payload;
pub mod people;
pub mod processes;
mod reply;
mod route_key;
pub mod routes;
pub mod settings;
pub mod stack;
pub mod story;
pub mod tables;
pub mod target;
pub mod template;
pub mod terminal;
pub mod token;
pub mod unlock;
mod upstream;
