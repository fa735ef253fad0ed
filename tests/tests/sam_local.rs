//! The contract over HTTPS, on the functions in containers behind `sam local start-api`.

use testbed::{PROTECTED, SamLocal, contract};
use tokio::signal::unix::{SignalKind, signal};

/// One test, because it starts one service. The service also stops if the test is interrupted.
#[tokio::test]
async fn the_contract_holds_in_containers() {
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap());
    let checks = async {
        let service = SamLocal::start().await;
        contract::check(&service.stack).await;
        contract::check_authorizer(&service.stack, PROTECTED).await;
    };
    tokio::select! {
        () = checks => {}
        _ = interrupted.recv() => panic!("interrupted"),
        _ = terminated.recv() => panic!("terminated"),
    }
}
