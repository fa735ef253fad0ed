//! The `login` function: what `Login` is made of.

use login::Login;
use shared::authentication::Authentication;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::cookies::Cookies;
use shared::device::Devices;
use shared::error::Result;
use shared::session::Rules;
use shared::sessions::Sessions;
use shared::tokens::{Signer, Verifier};
use shared::{http, store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    telemetry::init();
    let config = Config::from_env()?;
    let client = store::connect(&config);
    let login = Login {
        authentication: Authentication::new(client.clone(), &config)?,
        devices: Devices::configured(&config),
        sessions: Sessions::new(client, &config),
        rules: Rules::new(&config),
        signer: Signer::new(&config),
        verifier: Verifier::new(&config),
        cookies: Cookies::new(config.cookie_domain),
    };
    http::serve(&config.allowed_origins, |request| login.handle(request, Timestamp::now())).await
}
