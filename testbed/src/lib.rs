//! What tests stand on: an embedded DynamoDB for each test, the settings that reach it, and the events of API Gateway.
//!
//! There are no mocks. The tables are behind HTTP, and the code under test calls them through the real SDK client. An
//! event is raw JSON and is parsed as in Lambda. With its features, the crate also starts the local stack and the
//! functions in containers, and checks the contract on them.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "runs only in tests, where a panic is a failure")]

#[cfg(feature = "browser")]
pub mod browser;
mod calls;
#[cfg(feature = "watch")]
pub mod contract;
#[cfg(feature = "deployed")]
pub mod deployed;
mod faults;
mod gateway;
mod keys;
#[cfg(feature = "watch")]
pub mod local_gateway;
#[cfg(feature = "watch")]
pub mod local_stack;
mod log;
mod origins;
mod other_dynamodb;
#[cfg(feature = "browser")]
pub mod outage;
mod people;
#[cfg(any(feature = "deployed", feature = "sam-local"))]
mod sam;
#[cfg(feature = "sam-local")]
mod sam_local;
mod secrets_manager;
mod tables;
#[cfg(feature = "browser")]
pub mod views;
pub mod workspace;

pub use calls::{Calls, before};
pub use faults::{Death, Fault, Gate, Meter, MeteredCall, Sockets};
pub use gateway::{Event, Reply};
pub use keys::key_set;
pub use log::Log;
pub use origins::WHO_MAY_POST;
pub use people::{add, add_kim, add_park, import, sign_in, sign_in_from};
#[cfg(any(feature = "deployed", feature = "sam-local"))]
pub use sam::PROTECTED;
#[cfg(feature = "sam-local")]
pub use sam_local::SamLocal;
pub use secrets_manager::SecretsManager;
pub use tables::{Settings, Tables, environment, settings};
