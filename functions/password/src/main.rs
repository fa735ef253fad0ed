//! The `password` function.

use password::PasswordChange;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::Result;
use shared::{http, store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = Config::from_env()?;
    telemetry::init(&config);
    let change = PasswordChange::new(store::connect(&config), &config)?;
    http::serve(&config.allowed_origins, |request| change.handle(request, Timestamp::now())).await
}
