//! A function that does nothing.

use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    floors::serve(|_: IgnoredAny| async { Ok(()) }).await
}
