//! The `login` function.

use login::Login;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Site};
use shared::{store, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let env = Environment::of_process();
    telemetry::init(&env)?;
    let login = Login::from_env(store::connect(&env)?, &env)?;
    http::serve(Site::from_env(&env)?, |request| login.handle(request, Timestamp::now())).await
}
