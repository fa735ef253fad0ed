//! The `jwks` function.

use jwks::Jwks;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Site};
use shared::store::Secrets;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut env = Environment::of_process();
    telemetry::init(&env)?;
    let secrets = Secrets::read(&mut env, Timestamp::now()).await?;
    let jwks = Jwks::from_env(&env)?;
    let handler = async |request| {
        secrets.refresh(Timestamp::now()).await?;
        jwks.handle(&request, Timestamp::now())
    };
    http::serve(Site::from_env(&env)?, handler).await
}
