//! The machine, the tools and the commit, as the result names them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use bench::performance::Machine;

/// Describes this machine.
pub(crate) fn describe() -> Machine {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let total_kib = read("/proc/meminfo").split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    let last_word = |text: String| text.split_whitespace().last().unwrap_or_default().to_owned();
    Machine {
        cpu: model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned()),
        cores: thread::available_parallelism().map_or(1, Into::into),
        memory_gib: total_kib.unwrap_or_default() / (1024 * 1024),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        rust: output("rustc", &["--version"]).split(' ').nth(1).unwrap_or_default().to_owned(),
        node: output("node", &["--version"]),
        python: last_word(output("python3", &["--version"])),
    }
}

/// Returns the commit of the checkout, with `+` if files differ from it.
pub(crate) fn commit(root: &Path) -> String {
    let folder = root.display().to_string();
    let commit = output("git", &["-C", &folder, "rev-parse", "--short", "HEAD"]);
    let is_changed = !output("git", &["-C", &folder, "status", "--porcelain"]).is_empty();
    commit + if is_changed { "+" } else { "" }
}

/// Returns what a program prints, or an empty text if it cannot be started.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
