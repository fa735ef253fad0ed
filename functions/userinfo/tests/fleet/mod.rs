//! Processes of the function. Each process runs the binary as Lambda does, with events from a Runtime API of its own,
//! and answers one event at a time.
//!
//! Use it on one thread. The simulator first looks for a response and then waits for a notification. On several threads
//! it would miss a response in between. The processes run in parallel in any case.

use std::time::Duration;

use lambda_simulator::Simulator;
use lambda_simulator::process::{ManagedProcess, ProcessConfig, ProcessRole};
use testbed::{Event, Reply};

/// A process of the function.
pub(crate) struct Function {
    runtime_api: Simulator,
    _process: ManagedProcess,
}

impl Function {
    /// Starts a process with these variables.
    pub(crate) async fn start(variables: &[(&'static str, String)]) -> Self {
        let runtime_api = Simulator::builder().function_name("UserinfoFunction").build().await.unwrap();
        let config = ProcessConfig::new(env!("CARGO_BIN_EXE_userinfo"), ProcessRole::Runtime).inherit_stdio(false);
        let config = variables.iter().fold(config, |config, (name, value)| config.env(*name, value));
        let process = runtime_api.spawn_process_with_config(config).unwrap();
        Self { runtime_api, _process: process }
    }

    /// Hands an event to the process. Returns the id of the request.
    pub(crate) async fn enqueue(&self, event: &Event) -> String {
        self.runtime_api.enqueue_payload(event.payload()).await
    }

    /// Waits for the response to a request.
    pub(crate) async fn reply(&self, request: &str) -> Reply {
        let done = self.runtime_api.wait_for_invocation_complete(request, Duration::from_secs(30)).await.unwrap();
        serde_json::from_value(done.response.unwrap().payload).unwrap()
    }
}
