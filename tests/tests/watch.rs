//! The contract and the stories over HTTPS, on the local stack of `cargo dev`, in both cookie modes.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use dev::story::{self, Tale};
use testbed::local_stack::{self, Options};
use testbed::workspace::{read, root};
use testbed::{contract, local_gateway};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_contract_holds_on_the_local_stack() {
    for host_only in [false, true] {
        let (process, stack) = local_stack::start(Options { host_only, ..Options::default() }).await;
        contract::check(&stack).await;
        matches_the_docs(Tale::Theft, &stack.url, "docs/sessions.md").await;
        drop(process);
        let address = stack.url.strip_prefix("https://").unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "the stack has stopped");
    }
}

#[tokio::test]
async fn the_local_gateway_carries_what_browsers_send_and_survives_500_logins_at_once() {
    let options = Options { allowed_origin: Some("http://localhost:5173"), ..Options::default() };
    let (_process, stack, mut output) = local_stack::start_with_output(options).await;
    local_gateway::check(&stack, &mut output).await;
}

/// R22, R23.
#[tokio::test]
async fn guesses_are_slowed_down_and_the_owner_can_sign_in() {
    let (_process, stack) = local_stack::start(Options { device_cookie: true, ..Options::default() }).await;
    matches_the_docs(Tale::Guessing, &stack.url, "docs/passwords.md").await;
}

/// Plays a story, and asserts that the page shows exactly its lines.
async fn matches_the_docs(tale: Tale, url: &str, page: &str) {
    let root = root();
    let text = story::tell(tale, root, url, &root.join("target/dev/localhost.pem")).await.unwrap();
    let (lines, _) = text.split_once("\n\n").unwrap();
    let documented = read(page);
    assert!(documented.contains(lines), "{page} differs from the story:\n{lines}");
}
