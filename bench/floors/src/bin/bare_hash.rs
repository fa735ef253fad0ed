//! A hash for each event, and nothing else.

use floors::BareHash;
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let hash = &BareHash::new()?;
    floors::serve(|_: IgnoredAny| async move { hash.compute() }).await
}
