//! The `userinfo` function.

use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Site};
use shared::{store, telemetry};
use userinfo::Userinfo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let env = Environment::of_process();
    telemetry::init(&env)?;
    let userinfo = Userinfo::from_env(store::connect(&env)?, &env)?;
    http::serve(Site::from_env(&env)?, |request| userinfo.handle(request, Timestamp::now())).await
}
