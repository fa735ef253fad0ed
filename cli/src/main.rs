//! `latchkey`, the operator's tool.

mod import;

fn main() {}
