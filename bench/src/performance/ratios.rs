//! What the service must show.

use std::collections::BTreeMap;

use super::Report;
use super::samples::{Metric, Series, quotient};

/// The values by key.
pub type Values = BTreeMap<String, f64>;

/// The intervals by key.
pub type Intervals = BTreeMap<String, [f64; 2]>;

/// A limit of a value.
#[derive(Clone, Copy, Debug)]
pub enum Must {
    /// The value must not be larger.
    AtMost(f64),
    /// The value must not be smaller.
    AtLeast(f64),
}

impl Must {
    /// Returns `true` if the value is within the limit.
    #[must_use]
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// A value that the service must show.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// The key in the result.
    pub key: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Its limit.
    pub must: Must,
    /// The limit of the same quotient of CPU times.
    pub cpu_must: Option<Must>,
    /// How it is computed. `None` if an option of the command gives the value.
    pub of: Option<Quotient>,
    /// Our function in the quotient, and the floor that makes the same calls. If the floor misses the limit, our own
    /// code cannot meet it.
    pub floor: Option<(&'static str, &'static str)>,
    /// Why the value may miss the limit, and what would close the gap.
    pub why: &'static str,
}

/// A quotient of two subjects.
#[derive(Clone, Copy, Debug)]
pub struct Quotient {
    /// The scenario.
    pub scenario: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Time or memory.
    pub metric: Metric,
    /// The subject above the line.
    pub above: &'static str,
    /// The subject below the line.
    pub below: &'static str,
}

/// What the scenarios measure.
pub const START: &str = "start to first poll";
/// The first call of a process.
pub const FIRST: &str = "first invocation";
/// A call of a process that is warm.
pub const WARM: &str = "invocation";

const fn time(scenario: &'static str, what: &'static str, above: &'static str, below: &'static str) -> Quotient {
    Quotient { scenario, what, metric: Metric::Time, above, below }
}

const fn ratio(key: &'static str, what: &'static str, must: Must, of: Option<Quotient>, why: &'static str) -> Ratio {
    Ratio { key, what, must, cpu_must: None, of, floor: None, why }
}

/// All values, in the order of the page.
pub const RATIOS: [Ratio; 13] = [
    ratio(
        "init_userinfo_floor",
        "start without network calls, `userinfo` / a function that does nothing",
        Must::AtMost(1.6),
        Some(time("init", START, "userinfo", "floor")),
        "`userinfo` makes a client of DynamoDB. The client parses the SDK's table of regions, which takes a fifth of \
         the instructions of the start. `userinfo` also parses five certificates. An SDK without this table would \
         close a part.",
    ),
    ratio(
        "init_node_userinfo",
        "start without network calls, Node.js / `userinfo`",
        Must::AtLeast(55.0),
        Some(time("init", START, "node-userinfo", "userinfo")),
        "The Node.js function is one bundle with bytecode, which halves the CPU time of its start \
         (bench/peers/README.md).",
    )
    .with_floor("userinfo", "floor"),
    ratio(
        "first_tls_node_userinfo",
        "first call over TLS with the CPU of 256 MiB, Node.js / `userinfo`",
        Must::AtLeast(50.0),
        Some(time("first_tls", FIRST, "node-userinfo", "userinfo")),
        "`userinfo` connects at its start, so that its first call needs no handshake.",
    )
    .with_floor("userinfo", "floor-userinfo"),
    ratio(
        "init_login_barehash",
        "start without network calls, `login` / a function that only allocates the memory of a hash",
        Must::AtMost(1.2),
        Some(time("init", START, "login", "bare-hash")),
        "Both functions allocate this memory and write to it. `login` also makes a client of DynamoDB, and reads its \
         keys and its settings. An SDK without its table of regions would close a part.",
    ),
    Ratio {
        cpu_must: Some(Must::AtMost(1.15)),
        ..ratio(
            "warm_userinfo_floor",
            "warm call, `userinfo` / the same calls",
            Must::AtMost(1.10),
            Some(time("warm", WARM, "userinfo", "floor-userinfo")),
            "A profile of `userinfo_event` of `cargo counts`, which has no network: 59 % of the instructions are the \
             SDK's, and the floor has them, too. `userinfo` adds the conversion of the event and of the response \
             (16 %), reading the records (8 %), verifying the token (7 %) and the log line (3 %). A conversion \
             without `lambda_http` would close a part.",
        )
    },
    Ratio {
        cpu_must: Some(Must::AtLeast(8.0)),
        ..ratio(
            "warm_node_userinfo",
            "warm call, Node.js / `userinfo`",
            Must::AtLeast(5.0),
            Some(time("warm", WARM, "node-userinfo", "userinfo")),
            "Node.js has answered 3,000 calls before, so that its code is compiled.",
        )
        .with_floor("userinfo", "floor-userinfo")
    },
    ratio(
        "rss_node_userinfo",
        "memory after the first call, Node.js / `userinfo`",
        Must::AtLeast(8.5),
        Some(Quotient {
            scenario: "first_tls",
            what: FIRST,
            metric: Metric::Memory,
            above: "node-userinfo",
            below: "userinfo",
        }),
        "The floor has most of this memory: the SDK, the TLS library and the async runtime. A smaller SDK would close \
         a part.",
    )
    .with_floor("userinfo", "floor-userinfo"),
    ratio(
        "login_floor",
        "warm call, `login` / the same calls and the bare hash",
        Must::AtMost(1.05),
        Some(time("warm", WARM, "login", "floor-login")),
        "Wiping the memory of the hash takes 0.6 ms (docs/passwords.md), and the floor does not wipe. `login` also \
         signs two tokens and writes log lines. We keep the wiping.",
    ),
    ratio(
        "login_barehash",
        "warm call, `login` / the bare hash",
        Must::AtMost(1.15),
        Some(time("warm", WARM, "login", "bare-hash")),
        "`login` makes eight calls of DynamoDB in seven steps, and wipes the memory of the hash. Fewer calls would \
         close a part.",
    )
    .with_floor("login", "floor-login"),
    ratio(
        "renewal_floor",
        "warm call, a renewal / the same calls",
        Must::AtMost(1.10),
        Some(time("warm", WARM, "renewal", "floor-renewal")),
        "A renewal converts the event, reads the records and writes log lines, as `userinfo` does. It also verifies \
         one token and signs two, which takes a tenth of its instructions. A conversion without `lambda_http` would \
         close a part.",
    ),
    ratio(
        "logout_floor",
        "warm call, `logout` / the same calls",
        Must::AtMost(1.10),
        Some(time("warm", WARM, "logout", "floor-logout")),
        "`logout` converts the event, verifies the tokens and writes a log line, beside one call of DynamoDB. A \
         conversion without `lambda_http` would close a part.",
    ),
    ratio(
        "zip_userinfo_mb",
        "zip of `userinfo` for arm64, in MB",
        Must::AtMost(3.0),
        None,
        "The SDK and TLS take most of the size.",
    ),
    ratio(
        "build_cpu_min",
        "CPU minutes of a cold `sam build`",
        Must::AtMost(8.0),
        None,
        "The first function takes about four minutes with the SDK. Each of the other seven takes less than a minute, \
         because it is optimised together with the SDK (fat LTO). Without LTO, we estimate that a build meets the \
         limit. A function is then a quarter larger and needs a third more CPU.",
    ),
];

/// Computes the ratios that these series allow, with their intervals, into the report.
pub fn compute(report: &mut Report, series: &[Series]) {
    for Ratio { key, of, .. } in RATIOS {
        let Some(Quotient { scenario, what, metric, above, below }) = of else { continue };
        let find = |subject: &str| {
            series.iter().find(|found| (found.scenario, found.what) == (scenario, what) && found.subject == subject)
        };
        let Some((value, interval)) =
            find(above).zip(find(below)).and_then(|(above, below)| quotient(above, below, metric))
        else {
            continue;
        };
        report.ratios.insert(key.to_owned(), value);
        report.intervals.insert(key.to_owned(), interval);
    }
}

impl Ratio {
    const fn with_floor(mut self, ours: &'static str, floor: &'static str) -> Self {
        self.floor = Some((ours, floor));
        self
    }

    /// Returns the value of the ratio with the floor in place of our function.
    #[must_use]
    pub fn of_floor(&self, report: &Report) -> Option<f64> {
        let (ours, floor) = self.floor?;
        let Quotient { scenario, what, metric, above, below } = self.of?;
        let value = |subject| {
            let found = report.measurement(scenario, if subject == ours { floor } else { subject }, what)?;
            match metric {
                Metric::Time => Some(found.p50_ms),
                Metric::Memory => found.peak_mib,
            }
        };
        Some(value(above)? / value(below)?)
    }
}

impl Quotient {
    /// Returns the same quotient of CPU times.
    #[must_use]
    pub fn of_cpu_times(&self, report: &Report) -> Option<f64> {
        let cpu = |subject| report.measurement(self.scenario, subject, self.what)?.cpu_ms;
        Some(cpu(self.above)? / cpu(self.below)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_belongs_to_the_accepted_values() {
        assert!(Must::AtMost(1.1).is_met(1.1) && !Must::AtMost(1.1).is_met(1.11));
        assert!(Must::AtLeast(5.0).is_met(5.0) && !Must::AtLeast(5.0).is_met(4.99));
    }
}
