//! The contract over HTTPS, on the local stack as a developer starts it: `cargo dev`, in both cookie modes.

use testbed::contract;
use testbed::local_stack::{self, Options};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_contract_holds_on_cargo_lambda_watch() {
    for host_only in [false, true] {
        let (process, stack) = local_stack::start(Options { host_only, ..Options::default() }).await;
        contract::holds(&stack).await;
        drop(process);
        let address = stack.url.strip_prefix("https://").unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
    }
}
