//! How long a token of a dropped key is accepted, without a deployment.

use std::time::{Duration, Instant};

use testbed::deployed::Emulator;

use super::{deployment, keys};

/// Measures how long instances that run accept a token of a key that was dropped.
pub(crate) async fn check() {
    let emulator = Emulator::start().await;
    emulator.run(&deployment(), &[]).await;
    let stack = emulator.stack().await;
    testbed::add_kim(&stack.env).await;
    let token = stack.access_token().await;
    assert_eq!(stack.status_for(&token).await, 200);
    let leaked = keys::key_of(&token).0;
    keys::run(&emulator, "keys retire", &leaked).await;
    let dropped = Instant::now();
    while stack.status_for(&token).await == 200 {
        assert!(dropped.elapsed() < Duration::from_secs(305), "{:?}", dropped.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(stack.status_for(&token).await, 401);
    eprintln!("the token of the dropped key was refused after {} s", dropped.elapsed().as_secs());
    assert_eq!(stack.status_for(&stack.access_token().await).await, 200, "the next key signs");
}
