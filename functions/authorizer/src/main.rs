//! The `authorizer` function.

use authorizer::Authorizer;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, AllowedOrigins};
use shared::{store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut env = Environment::of_process();
    telemetry::init(&env)?;
    let (secrets, store) = store::start(&mut env, Timestamp::now()).await?;
    let authorizer = Authorizer::from_env(store, &env)?;
    let handler = async |request| {
        secrets.refresh(Timestamp::now()).await?;
        authorizer.handle(request, Timestamp::now()).await
    };
    http::authorizer::serve(AllowedOrigins::from_env(&env)?, handler).await
}
