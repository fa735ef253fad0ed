//! The `password` function: what `PasswordChange` is made of.

use password::PasswordChange;
use shared::access::Access;
use shared::authentication::Authentication;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::Result;
use shared::passwords::policy::Policy;
use shared::{http, store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    telemetry::init();
    let config = Config::from_env()?;
    let client = store::connect(&config);
    let change = PasswordChange {
        access: Access::new(client.clone(), &config),
        authentication: Authentication::new(client, &config)?,
        policy: Policy::new(config.password_min_length),
        service: config.issuer,
    };
    http::serve(&config.allowed_origins, |request| change.handle(request, Timestamp::now())).await
}
