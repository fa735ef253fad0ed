//! Where the service meets what it did not choose: every function under hostile requests and under a broken store. What holds
//! for all of them is written down here as one table each; what one function does of its own is tested beside it.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

mod gateway;
mod log;
mod outages;
mod requests;
mod responses;
mod world;
