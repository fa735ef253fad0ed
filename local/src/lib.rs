//! What a running local stack leaves in its checkout, for the commands that use the stack.
//!
//! `cargo dev` writes these files. `cargo dev` and `latchkey --local` read them. This crate is separate from `dev`, so
//! that the operator's tool needs neither the embedded DynamoDB nor the local gateway.

pub mod checkout;
pub mod running;
pub mod secret_file;
