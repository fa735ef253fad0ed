//! The `userinfo` function: what `Userinfo` is made of.

use shared::access::Access;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::Result;
use shared::session::Rules;
use shared::sessions::Sessions;
use shared::tokens::Signer;
use shared::{http, store, telemetry};
use userinfo::Userinfo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = Config::from_env()?;
    telemetry::init(&config);
    let client = store::connect(&config);
    let userinfo = Userinfo {
        access: Access::new(client.clone(), &config),
        sessions: Sessions::new(client, &config),
        rules: Rules::new(&config),
        signer: Signer::new(&config),
    };
    http::serve(&config.allowed_origins, |request| userinfo.handle(request, Timestamp::now())).await
}
