//! The contract over HTTPS, on the local stack as a developer starts it: `cargo dev`, in both cookie modes.

#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::path::Path;

use dev::story::{self, Tale};
use testbed::contract;
use testbed::local_stack::{self, Options};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_contract_holds_on_cargo_lambda_watch() {
    for host_only in [false, true] {
        let (process, stack) = local_stack::start(Options { host_only, ..Options::default() }).await;
        contract::holds(&stack).await;
        is_told_as_it_happens(Tale::Theft, &stack.url, "docs/sessions.md").await;
        drop(process);
        let address = stack.url.strip_prefix("https://").unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
    }
}

/// R22, R23.
#[tokio::test]
async fn who_guesses_is_slowed_down_and_the_owner_gets_in() {
    let (_process, stack) = local_stack::start(Options { device_cookie: true, ..Options::default() }).await;
    is_told_as_it_happens(Tale::Guessing, &stack.url, "docs/passwords.md").await;
}

async fn is_told_as_it_happens(tale: Tale, url: &str, page: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let told = story::tell(tale, &root, url, &root.join("target/dev/localhost.pem")).await.unwrap();
    let (lines, _) = told.split_once("\n\n").unwrap();
    let text = std::fs::read_to_string(root.join(page)).unwrap();
    assert!(text.contains(lines), "{page} tells it differently:\n{lines}");
}
