//! The `sessions` function.

use sessions::OwnSessions;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Site};
use shared::{store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let env = Environment::of_process();
    telemetry::init(&env)?;
    let sessions = OwnSessions::from_env(store::connect(&env)?, &env)?;
    http::serve(Site::from_env(&env)?, |request| sessions.handle(request, Timestamp::now())).await
}
