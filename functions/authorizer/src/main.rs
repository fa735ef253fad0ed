//! The `authorizer` function.

use authorizer::Authorizer;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, AllowedOrigins};
use shared::{store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let env = Environment::of_process();
    telemetry::init(&env)?;
    let authorizer = Authorizer::from_env(store::connect(&env)?, &env)?;
    http::authorizer::serve(AllowedOrigins::from_env(&env)?, |request| authorizer.handle(request, Timestamp::now()))
        .await
}
