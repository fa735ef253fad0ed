//! The contract over HTTPS, on the local stack as a developer starts it: `cargo dev`, in both cookie modes.

#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::path::Path;

use dev::story;
use testbed::contract;
use testbed::local_stack::{self, Options};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_contract_holds_on_cargo_lambda_watch() {
    for host_only in [false, true] {
        let (process, stack) = local_stack::start(Options { host_only, ..Options::default() }).await;
        contract::holds(&stack).await;
        the_stolen_token_is_told_as_it_happens(&stack.url).await;
        drop(process);
        let address = stack.url.strip_prefix("https://").unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
    }
}

async fn the_stolen_token_is_told_as_it_happens(url: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let told = story::tell(url, &root.join("target/dev/localhost.pem")).await.unwrap();
    let (lines, _) = told.split_once("\n\n").unwrap();
    let page = std::fs::read_to_string(root.join("docs/sessions.md")).unwrap();
    assert!(page.contains(lines), "docs/sessions.md tells it differently:\n{lines}");
}
