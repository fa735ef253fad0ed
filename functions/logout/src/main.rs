//! The `logout` function: what `Logout` is made of.

use logout::Logout;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::cookies::Cookies;
use shared::error::Result;
use shared::sessions::Sessions;
use shared::tokens::Verifier;
use shared::users::Users;
use shared::{http, store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = Config::from_env()?;
    telemetry::init(&config);
    let client = store::connect(&config);
    let logout = Logout {
        users: Users::new(client.clone(), &config.users_table),
        sessions: Sessions::new(client, &config),
        verifier: Verifier::new(&config),
        cookies: Cookies::new(config.cookie_domain),
    };
    http::serve(&config.allowed_origins, |request| logout.handle(request, Timestamp::now())).await
}
