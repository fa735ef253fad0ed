//! The `sessions` function: what `OwnSessions` is made of.

use sessions::OwnSessions;
use shared::access::Access;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::Result;
use shared::sessions::Sessions;
use shared::{http, store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = Config::from_env()?;
    telemetry::init(&config);
    let client = store::connect(&config);
    let sessions =
        OwnSessions { access: Access::new(client.clone(), &config), sessions: Sessions::new(client, &config) };
    http::serve(&config.allowed_origins, |request| sessions.handle(request, Timestamp::now())).await
}
