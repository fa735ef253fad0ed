//! The `rotation` function.

use rotation::KeyRotation;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::{schedule, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let env = Environment::of_process();
    telemetry::init(&env)?;
    let rotation = KeyRotation::from_env(&env)?;
    schedule::serve(async || rotation.handle(Timestamp::now()).await).await
}
