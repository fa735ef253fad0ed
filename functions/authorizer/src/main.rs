//! The `authorizer` function: what `Authorizer` is made of.

use authorizer::Authorizer;
use shared::access::Access;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::Result;
use shared::{http, store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = Config::from_env()?;
    telemetry::init(&config);
    let authorizer = Authorizer {
        access: Access::new(store::connect(&config), &config),
        required_role: config.required_role.clone(),
    };
    http::authorizer::serve(&config.allowed_origins, |request| authorizer.handle(request, Timestamp::now())).await
}
