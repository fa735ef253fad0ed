//! The `userinfo` function.

use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{self, Site};
use shared::{store, telemetry};
use userinfo::Userinfo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut env = Environment::of_process();
    telemetry::init(&env)?;
    let (secrets, store) = store::start(&mut env, Timestamp::now()).await?;
    let userinfo = Userinfo::from_env(store, &env)?;
    let handler = async |request| {
        secrets.refresh(Timestamp::now()).await?;
        userinfo.handle(request, Timestamp::now()).await
    };
    http::serve(Site::from_env(&env)?, handler).await
}
