//! Every function under hostile requests and over a broken store. These tests hold for all functions and are written as
//! one table each. What only one function does is tested beside that function.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

mod deployments;
mod gateway;
mod identity;
mod log;
mod outages;
mod pages;
mod requests;
mod responses;
mod rotation;
mod world;
