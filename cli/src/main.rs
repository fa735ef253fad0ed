//! `latchkey`, the operator's tool.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    Box::pin(cli::main()).await
}
