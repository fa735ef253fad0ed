//! The page `docs/performance.md`.
//!
//! A test makes the page again from `docs/performance.json` and compares the two, so that each number of the page is
//! one of the result.

use std::fmt::Write as _;

use super::picture::{self, Bar, Line, short};
use super::ratios::{FIRST, Must, RATIOS, Ratio, START, WARM};
use super::{Measurement, Report};

/// The lowest accepted throughput at the highest number of requests at a time, as a part of that at two.
const KEPT: f64 = 0.9;

const INTRODUCTION: &str = "\
# Performance

`cargo perf --page` measures everything on this page and writes it. A test compares the page with its numbers in
[performance.json](performance.json). All sides of a comparison are measured in one run, in turn.
";

const LOAD: &str = "
## Load

Each of the requests at a time has its own process, as on Lambda. Here, all processes share the cores of one machine. So
the throughput should stay the same, and the time of a request grows with the number of requests. At most 16 requests
for each core run at a time, because a function that waits too long for a core answers 503. The others wait in front of
the functions, and the time of a request includes this wait. The first call of a process counts, too. It takes longer
than a later one, and more than half of the processes are new in the last step.

![Answers in a second](performance-load.svg)

";

const METHOD: &str = "
## How it is measured

- Each function is a process that `cargo perf` starts as Lambda does. The Runtime API is a server of the command. It
  notes when a function asks for an event and when it answers. The status of each answer is checked.
- A block measures all sides, one after another. Each block begins with another side. A ratio is a quotient of medians.
  Its interval comes from 1000 random choices of blocks (bootstrap).
- `init`: keys in variables, no network. `init_connected`: keys from Secrets Manager and a connection to DynamoDB, both
  over TLS. `first_tls`: the first call, over TLS, with the CPU of a function with 256 MiB; the start has all of a
  CPU, as on Lambda. `warm`: calls of a function that has answered before, without TLS.
- DynamoDB is the embedded one, in a process of its own. It answers in less than a millisecond. A call of DynamoDB on
  AWS takes a few milliseconds, so all quotients of warm calls are smaller there.
- `floor` is a function that does nothing. `floor-userinfo` and its siblings make the calls of a function and do nothing
  else. A test compares their calls. `bare-hash` computes one hash of a password for each event.
- `node-userinfo`, `node-login` and `python-userinfo` are the same contract on AWS's own runtimes: see
  [bench/peers](../bench/peers/README.md).
- Over TLS, all sides trust a file with the five authorities of Amazon and the certificate of the run, so that the
  authorities of this machine do not matter. Our functions have the five compiled in. They read the file in the regions
  of China only, so the run sets `AWS_REGION=cn-north-1`. Node.js has 140 compiled in and parses them in most
  deployments. Here it does not (`--use-openssl-ca`), which makes it faster.
- The calls before the sides are steady are not counted: 5 for a binary, 3000 for Node.js (100 for its login), 50 for
  Python.
";

/// Returns the files of the page: the names in `docs/` and the texts.
#[must_use]
pub fn files(report: &Report) -> Vec<(&'static str, String)> {
    let bars = |title: &str, scenario: &str, what: &str| {
        let of_scenario = |found: &&Measurement| found.scenario == scenario && found.what == what;
        let bar = |found: &Measurement| Bar {
            name: found.subject.clone(),
            value: found.p50_ms,
            is_ours: !["floor", "bare", "node", "python"].iter().any(|other| found.subject.starts_with(other)),
        };
        picture::bars(title, "ms", &report.measurements.iter().filter(of_scenario).map(bar).collect::<Vec<_>>())
    };
    vec![
        ("performance.md", page(report)),
        ("performance-start.svg", bars("From the start of the process to its request for an event", "init", START)),
        ("performance-first.svg", bars("First call over TLS, with the CPU of 256 MiB", "first_tls", FIRST)),
        ("performance-warm.svg", bars("Warm call", "warm", WARM)),
        ("performance-load.svg", load_picture(report)),
    ]
}

/// Returns the tables for a terminal.
#[must_use]
pub fn tables(report: &Report) -> String {
    let mut text = must_table(report) + "\n" + &measured_table(report) + "\n";
    if !report.load.is_empty() {
        text += &load_table(report);
        text.push('\n');
    }
    for note in &report.notes {
        writeln!(text, "{note}").ok();
    }
    text
}

fn page(report: &Report) -> String {
    let Report { machine, quota, .. } = report;
    let mut text = format!("{INTRODUCTION}\n");
    let kind = if report.quick { " with `--quick`" } else { "" };
    let lines = [
        format!("Measured{kind} on {} at commit {}.", report.date, report.commit),
        format!(
            "{}, {} cores, {} GiB, {}, Linux {}.",
            machine.cpu, machine.cores, machine.memory_gib, machine.architecture, machine.kernel
        ),
        format!("{}.", tools(report)),
        format!("CPU quota: {}, {:.1} % of a CPU for 256 MiB.", quota.method, quota.share * 100.0),
    ];
    for line in lines.iter().chain(&report.notes) {
        writeln!(text, "- {line}").ok();
    }
    text += "\n## What it must show\n\n";
    text += &must_table(report);
    text += &missed(report);
    text += &connected(report);
    text += "\n## All measurements\n\n";
    for (file, of) in [("start", "Starts"), ("first", "First calls"), ("warm", "Warm calls")] {
        writeln!(text, "![{of}](performance-{file}.svg)").ok();
    }
    text.push('\n');
    text += &measured_table(report);
    text += &load_section(report);
    text += "\n## Size\n\n| function | binary | zip |\n|---|--:|--:|\n";
    for size in &report.sizes {
        let [bytes, zip] = [size.bytes, size.zip_bytes].map(megabytes);
        writeln!(text, "| `{}` | {bytes} MB | {zip} MB |", size.function).ok();
    }
    text + METHOD
}

fn tools(report: &Report) -> String {
    let machine = &report.machine;
    let tools = [("Rust", &machine.rust), ("Node.js", &machine.node), ("Python", &machine.python)];
    let tools = tools.iter().filter(|(_, version)| !version.is_empty());
    tools.map(|(name, version)| format!("{name} {}", version.trim_start_matches('v'))).collect::<Vec<_>>().join(", ")
}

/// Returns a table of all ratios.
fn must_table(report: &Report) -> String {
    let mut text = "| key | what | value | 95 % interval | must | |\n|---|---|--:|--:|--:|---|\n".to_owned();
    for ratio in RATIOS {
        let Ratio { key, what, must, .. } = ratio;
        let value = report.ratios.get(key).copied();
        let shown = value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"));
        let interval = report.intervals.get(key);
        let interval = interval.map(|[low, high]| format!("{low:.2} - {high:.2}")).unwrap_or_default();
        let verdict = value.map(verdict_of(must)).unwrap_or_default();
        writeln!(text, "| `{key}` | {what} | {shown} | {interval} | {} | {verdict} |", limit(must)).ok();
        if let Some((must, value)) = cpu_ratio(report, &ratio) {
            let verdict = verdict_of(must)(value);
            writeln!(text, "| | the same, CPU time | {value:.2} | | {} | {verdict} |", limit(must)).ok();
        }
    }
    text
}

fn cpu_ratio(report: &Report, ratio: &Ratio) -> Option<(Must, f64)> {
    Some((ratio.cpu_must?, ratio.of?.of_cpu_times(report)?))
}

fn verdict_of(must: Must) -> impl Fn(f64) -> &'static str {
    move |value| if must.is_met(value) { "met" } else { "**missed**" }
}

fn limit(must: Must) -> String {
    match must {
        Must::AtMost(limit) => format!("≤ {limit}"),
        Must::AtLeast(limit) => format!("≥ {limit}"),
    }
}

/// Says why a limit is missed, and what would close the gap.
fn missed(report: &Report) -> String {
    let mut text = String::new();
    for ratio in RATIOS {
        let Ratio { key, must, why, .. } = ratio;
        let is_missed = report.ratios.get(key).is_some_and(|value| !must.is_met(*value));
        let is_cpu_missed = cpu_ratio(report, &ratio).is_some_and(|(must, value)| !must.is_met(value));
        if is_missed || is_cpu_missed {
            let floor = ratio.of_floor(report).filter(|value| !must.is_met(*value));
            let floor =
                floor.map(|value| format!("The floor misses this limit, too: {value:.2}. ")).unwrap_or_default();
            writeln!(text, "- `{key}`: {}", wrapped(&(floor + why), key.len() + 6)).ok();
        }
    }
    if text.is_empty() { "\nNo limit is missed.\n".to_owned() } else { format!("\nMissed, and why:\n\n{text}") }
}

/// Compares the start with keys and a connection with that of a floor.
fn connected(report: &Report) -> String {
    let of = |subject| Some(report.measurement("init_connected", subject, START)?.p50_ms);
    let Some((ours, floor)) = of("userinfo").zip(of("floor-userinfo")) else { return String::new() };
    format!(
        "\nOn AWS, a start also reads the keys from Secrets Manager and connects to DynamoDB, both over TLS. On this\n\
         machine, such a start takes {ours:.2} ms for `userinfo`, and {floor:.2} ms for a floor with the same calls\n\
         (ratio {:.2}).\n",
        ours / floor
    )
}

/// Breaks a text into lines of at most 120 columns, as part of a list. The first line begins after `used` columns.
fn wrapped(text: &str, used: usize) -> String {
    let (mut lines, mut column) = (String::new(), used);
    for word in text.split(' ') {
        let width = word.chars().count();
        if column + 1 + width > 120 {
            lines += "\n  ";
            column = 2;
        } else if !lines.is_empty() {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += width;
    }
    lines
}

fn measured_table(report: &Report) -> String {
    let mut text = "\
| scenario | subject | what | count | p50 | p90 | p99 | CPU | peak |\n|---|---|---|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for found in &report.measurements {
        let Measurement { scenario, subject, what, count, .. } = found;
        let [p50, p90, p99] = [found.p50_ms, found.p90_ms, found.p99_ms].map(|millis| format!("{millis:.2} ms"));
        let cpu = found.cpu_ms.map(|millis| format!("{millis:.2} ms")).unwrap_or_default();
        let peak = found.peak_mib.map(|mib| format!("{mib:.1} MiB")).unwrap_or_default();
        writeln!(text, "| {scenario} | `{subject}` | {what} | {count} | {p50} | {p90} | {p99} | {cpu} | {peak} |").ok();
    }
    text
}

fn load_table(report: &Report) -> String {
    let mut text =
        "| function | requests at a time | answers a second | p50 | p99 |\n|---|--:|--:|--:|--:|\n".to_owned();
    for step in &report.load {
        let [p50, p99] = [step.p50_ms, step.p99_ms].map(|millis| format!("{} ms", short(millis)));
        let (function, concurrent, per_second) = (&step.function, step.concurrent, step.per_second);
        writeln!(text, "| `{function}` | {concurrent} | {per_second:.0} | {p50} | {p99} |").ok();
    }
    text
}

fn load_section(report: &Report) -> String {
    let mut text = LOAD.to_owned();
    text += &load_table(report);
    text.push('\n');
    for function in ["login", "userinfo"] {
        let steps: Vec<_> = report.load.iter().filter(|step| step.function == function).collect();
        let two = steps.iter().find(|step| step.concurrent == 2);
        if let Some((two, most)) = two.zip(steps.last()) {
            let kept = most.per_second / two.per_second;
            let verdict = verdict_of(Must::AtLeast(KEPT))(kept);
            let (most, percent) = (most.concurrent, kept * 100.0);
            writeln!(
                text,
                "- `{function}`: {percent:.0} % of the throughput at 2 is left at {most} (must: 90 %): {verdict}"
            )
            .ok();
        }
    }
    text + "\
\nZitadel v4 states a p50 of 12.4 s for logins of 600 users at a time. It was measured on other machines, so the numbers
cannot be compared.\n"
}

fn load_picture(report: &Report) -> String {
    let line = |name: &str| {
        let steps: Vec<_> = report.load.iter().filter(|step| step.function == name).collect();
        // Each line is relative to its own highest value: a login takes much longer than the others.
        let highest = steps.iter().map(|step| step.per_second).fold(f64::MIN_POSITIVE, f64::max);
        let point = |step: &&super::LoadStep| {
            (f64::from(u32::try_from(step.concurrent).unwrap_or(u32::MAX)), 100.0 * step.per_second / highest)
        };
        Line { name: name.to_owned(), points: steps.iter().map(point).collect() }
    };
    let lines = ["login", "userinfo"].map(line);
    picture::lines("Throughput", "requests at a time", "answers a second, % of the highest value", &lines)
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

#[cfg(test)]
mod tests {
    use testbed::workspace;

    use super::*;

    fn stored() -> Report {
        serde_json::from_str(&workspace::read("docs/performance.json")).unwrap()
    }

    #[test]
    fn the_page_and_its_pictures_show_the_stored_result() {
        for (name, text) in files(&stored()) {
            assert!(
                workspace::read(&format!("docs/{name}")) == text,
                "docs/{name} is not up to date: run cargo perf --from docs/performance.json --page"
            );
        }
    }

    #[test]
    fn a_missed_limit_is_named_with_its_reason() {
        let mut report = stored();
        report.ratios.insert("renewal_floor".into(), 1.11);
        let page = page(&report);
        assert!(page.contains("| 1.11 |") && page.contains("**missed**"), "{page}");
        assert!(page.contains("- `renewal_floor`: A renewal converts the event"), "{page}");
        report.ratios.insert("renewal_floor".into(), 1.10);
        assert!(!files(&report)[0].1.contains("- `renewal_floor`:"));
    }

    /// Our own code cannot meet a limit that the floor misses.
    #[test]
    fn a_limit_that_the_floor_misses_says_so() {
        let mut report = stored();
        report.ratios.insert("rss_node_userinfo".into(), 8.4);
        let ratio = RATIOS.iter().find(|ratio| ratio.key == "rss_node_userinfo").unwrap();
        let set = |report: &mut Report, mib| {
            let is_floor =
                |found: &&mut Measurement| (&*found.scenario, &*found.subject) == ("first_tls", "floor-userinfo");
            report.measurements.iter_mut().find(is_floor).unwrap().peak_mib = Some(mib);
        };
        let node = report.measurement("first_tls", "node-userinfo", FIRST).unwrap().peak_mib.unwrap();
        set(&mut report, node / 8.0);
        assert!((ratio.of_floor(&report).unwrap() - 8.0).abs() < 0.01);
        assert!(page(&report).contains("- `rss_node_userinfo`: The floor misses this limit, too: 8.00."));
        set(&mut report, node / 9.0);
        assert!(page(&report).contains("- `rss_node_userinfo`: The floor has most of this memory"));
    }

    #[test]
    fn a_value_that_was_not_measured_is_no_success() {
        let mut report = stored();
        report.ratios.clear();
        let table = must_table(&report);
        assert!(table.contains("not measured"), "{table}");
        let rows = table.lines().filter(|line| line.contains("not measured"));
        assert!(rows.map(|row| row.contains(" met ")).all(|is_met| !is_met), "{table}");
    }

    #[test]
    fn long_reasons_are_wrapped() {
        let text = wrapped(&"word ".repeat(60), 20);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }

    #[test]
    fn bytes_are_shown_in_megabytes() {
        assert_eq!([3_000_000, 6_789_012].map(megabytes), ["3.00", "6.78"]);
    }
}
