//! The SAM CLI, and what the targets that use it share.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dev::functions;
use tokio::process::Command;

use crate::workspace::root;

/// The SAM CLI.
pub(crate) struct Sam {
    program: PathBuf,
    /// The `PATH` with `sam` and with `cargo-lambda`, which `sam build` calls.
    path: OsString,
}

impl Sam {
    /// Finds it in `PATH`, or where `.ci/run` installs it.
    pub(crate) async fn find() -> Self {
        let target = root().join("target");
        let on_path: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        let candidates = on_path.iter().map(|folder| folder.join("sam"));
        let program = candidates.chain([target.join("tools/venv/bin/sam")]).find(|candidate| candidate.is_file());
        let program =
            program.unwrap_or_else(|| panic!("SAM CLI is not installed: pip install aws-sam-cli, or run .ci/run"));
        let program = program.canonicalize().unwrap();
        let cargo_lambda = functions::cargo_lambda(&target).await.unwrap().canonicalize().unwrap();
        let folders = [&cargo_lambda, &program].map(|program| program.parent().unwrap().to_owned());
        // The AWS CLI, for the commands of the documentation.
        let aws = target.join("tools/aws/bin");
        let path = env::join_paths(folders.into_iter().chain(on_path).chain([aws])).unwrap();
        Self { program, path }
    }

    /// Returns the path of the program.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Returns a SAM command.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut sam = Command::new(&self.program);
        sam.args(arguments);
        // By default SAM searches next to the template, which is in the build folder after `sam build`.
        sam.arg("--config-file").arg(root().join("samconfig.toml"));
        self.prepare(&mut sam);
        sam
    }

    /// Prepares a command that is SAM or calls it: sets the folder and `PATH`, and hides the credentials of AWS.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command.current_dir(root()).env("PATH", &self.path).env("SAM_CLI_TELEMETRY", "0").stdin(Stdio::null());
        // `sam local` passes the credentials that it finds to the functions. Without any, it passes invented ones.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")]);
    }
}

/// A route behind the authorizer. The template has no such route, because the authorizer protects the functions of
/// others.
pub const PROTECTED: &str = "/protected";

/// Adds a route of `userinfo` behind the authorizer to the built template.
pub(crate) fn add_protected_route(template: &Path) {
    let built = fs::read_to_string(template).unwrap();
    let route =
        format!("{{ApiId: {{Ref: Api}}, Method: GET, Path: {PROTECTED}, Auth: {{Authorizer: SessionAuthorizer}}}}");
    let before = "        UserinfoHead:\n";
    assert_eq!(built.matches(before).count(), 1, "{built}");
    let event = format!("        Protected:\n          Type: HttpApi\n          Properties: {route}\n{before}");
    fs::write(template, built.replace(before, &event)).unwrap();
}

/// Redirects both output streams of a program to a new file.
pub(crate) fn log_to<'a>(program: &'a mut Command, path: &Path) -> &'a mut Command {
    let log = File::create(path).unwrap();
    program.stdout(log.try_clone().unwrap()).stderr(log)
}

/// Returns the last lines of a log, for the message of a failure.
pub(crate) fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("The end of {}:\n{}", log.display(), lines[lines.len().saturating_sub(20)..].join("\n"))
}
