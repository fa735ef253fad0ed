//! The contract over HTTPS, on the functions in containers: built by `sam build`, behind `sam local start-api`.

use testbed::{PROTECTED, SamLocal, contract};
use tokio::signal::unix::{SignalKind, signal};

/// One test, because one service is started for all of it. It is stopped even where the test itself is stopped.
#[tokio::test]
async fn the_contract_holds_in_containers() {
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap());
    let checks = async {
        let service = SamLocal::start().await;
        contract::holds(&service.stack).await;
        contract::the_authorizer_guards(&service.stack, PROTECTED).await;
    };
    tokio::select! {
        () = checks => {}
        _ = interrupted.recv() => panic!("interrupted"),
        _ = terminated.recv() => panic!("terminated"),
    }
}
