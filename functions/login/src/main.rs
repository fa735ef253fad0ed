//! The `login` function.

use login::Login;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::Result;
use shared::{http, store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = Config::from_env()?;
    telemetry::init(&config);
    let login = Login::new(store::connect(&config), &config)?;
    http::serve(&config.allowed_origins, |request| login.handle(request, Timestamp::now())).await
}
