//! What the tests stand on: a DynamoDB of their own, the settings that reach it, and events as API Gateway sends them.
//!
//! No mock: the tables are an embedded DynamoDB behind HTTP, asked through the real SDK client; an event is raw JSON
//! and takes the way that Lambda's own would.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "it runs in tests only, where a panic is a failure"
)]

mod calls;
#[cfg(feature = "watch")]
pub mod contract;
mod faults;
mod gateway;
#[cfg(feature = "watch")]
pub mod local_stack;
mod log;
mod origins;
mod people;
#[cfg(feature = "sam-local")]
mod sam_local;
mod tables;

pub use calls::{Calls, before};
pub use faults::{Death, Fault, Gate, Meter, Sockets};
pub use gateway::{Event, Reply};
pub use log::Log;
pub use origins::WHO_MAY_POST;
pub use people::{add, add_kim, add_park, import, sign_in};
#[cfg(feature = "sam-local")]
pub use sam_local::{PROTECTED, SamLocal};
pub use tables::{Tables, settings};
