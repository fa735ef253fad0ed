//! The calls of `login` and its hash, and nothing else.

use floors::{BareHash, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (calls, hash) = (&floors::start().await?, &BareHash::new()?);
    floors::serve(|event: Event| async move { calls.login(&event.floor, hash).await }).await
}
