//! The `password` function.

use password::PasswordChange;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Site};
use shared::{store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let env = Environment::of_process();
    telemetry::init(&env)?;
    let password = PasswordChange::from_env(store::connect(&env)?, &env)?;
    http::serve(Site::from_env(&env)?, |request| password.handle(request, Timestamp::now())).await
}
