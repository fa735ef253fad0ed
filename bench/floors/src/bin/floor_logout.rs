//! The calls of `logout`, and nothing else.

use floors::Event;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let calls = &floors::start().await?;
    floors::serve(|event: Event| async move { calls.logout(&event.floor).await }).await
}
