//! The tables and pictures of `docs/scale.md`.

use std::fmt::Write as _;

use super::{Day, Logins, Outcome, Side};
use crate::chart::{Chart, Line};

/// Returns the tables of the page, each with a line break at its end.
#[must_use]
pub fn tables(day: &Day) -> Vec<String> {
    vec![functions(day), waves(day), costs(day)]
}

/// Returns the pictures of the page: the file name in `docs`, and the SVG.
#[must_use]
pub fn pictures(day: &Day) -> Vec<(&'static str, String)> {
    vec![
        ("scale-logins.svg", guesses(day).svg()),
        ("scale-latency.svg", latency(day).svg()),
        ("scale-instances.svg", instances(day).svg()),
    ]
}

fn row(name: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<_> = cells.into_iter().collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}

fn header(cells: &[&str]) -> String {
    format!("| {} |\n|---|{}\n", cells.join(" | "), "---:|".repeat(cells.len() - 1))
}

/// Writes a whole number with a comma at each thousand.
fn whole(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a share in percent.
fn percent(part: u32, all: u32) -> String {
    if all == 0 { "–".to_owned() } else { format!("{:.2} %", f64::from(part) * 100.0 / f64::from(all)) }
}

fn functions(day: &Day) -> String {
    let mut text = header(&[
        "function",
        "answered",
        "peak a second",
        "cold starts",
        "share",
        "instances",
        "p50 ms",
        "p90 ms",
        "p99 ms",
    ]);
    let logins = [
        ("`login`", &day.quiet.function),
        ("`login`, wave, limit of the template", &day.wave.function),
        ("`login`, wave, higher limit", &day.raised.function),
    ];
    let others = day.functions.iter().map(|(name, outcome)| (format!("`{name}`"), outcome));
    for (name, outcome) in logins.map(|(name, outcome)| (name.to_owned(), outcome)).into_iter().chain(others) {
        let Outcome { answered, cold_starts, percentiles, .. } = outcome;
        let cells = [
            whole(*answered),
            format!("{:.0}", outcome.peak_per_second),
            whole(*cold_starts),
            percent(*cold_starts, *answered),
            outcome.instances.to_string(),
        ];
        text.push_str(&row(&name, cells.into_iter().chain(percentiles.map(|ms| format!("{ms:.1}")))));
    }
    text
}

fn waves(day: &Day) -> String {
    let days = [&day.quiet, &day.wave, &day.raised];
    let mut text = header(&["logins", "no wave", "wave, limit of the template", "wave, higher limit"]);
    let count = |of: fn(&Logins) -> u32| days.map(|day| whole(of(day)));
    text += &row("people who want to sign in", count(|day| day.persons));
    text += &row("of them, in the two hours of the wave", count(|day| day.persons_in_wave_hours));
    text += &row("people who gave up after four attempts", count(|day| day.gave_up));
    text += &row("guesses of the wave", count(|day| day.wave.attempts));
    text += &row("refused by API Gateway", count(|day| day.wave.refused_by_gateway));
    text += &row("refused by the limit of the source", count(|day| day.wave.refused_by_source));
    text += &row("refused by the limit of the account", count(|day| day.wave.refused_by_account));
    text += &row("passwords compared", count(|day| day.wave.wrong + day.wave.signed_in));
    text += &row("right passwords, signed in", count(|day| day.wave.signed_in));
    text += &row("people, refused by the limit of the source", count(|day| day.people.refused_by_source));
    text += &row("people, refused by the limit of the account", count(|day| day.people.refused_by_account));
    text += &row("people, refused by API Gateway", count(|day| day.people.refused_by_gateway));
    text += &row("read units of logins", count(|day| day.function.reads));
    text += &row("write units of logins", count(|day| day.function.writes));
    text += &row("US dollars for logins", days.map(|day| format!("{:.2}", day.function.total_usd())));
    text
}

fn costs(day: &Day) -> String {
    let services: Vec<_> = day.quiet.function.usd.keys().map(String::as_str).collect();
    let mut text = header(&[&["function", "read units", "write units"], &services[..], &["**together**"]].concat());
    let login = ("login", &day.quiet.function);
    let others = day.functions.iter().map(|(name, outcome)| (name.as_str(), outcome));
    let mut total = 0.0;
    for (name, outcome) in [login].into_iter().chain(others) {
        total += outcome.total_usd();
        let units = [outcome.reads, outcome.writes].map(whole);
        let each = services.iter().map(|service| outcome.usd.get(*service).copied().unwrap_or_default());
        let dollars = each.map(|usd| format!("{usd:.2}")).chain([format!("**{:.2}**", outcome.total_usd())]);
        text.push_str(&row(&format!("`{name}`"), units.into_iter().chain(dollars)));
    }
    // Writing to a `String` never fails.
    writeln!(text, "| **all** |{} **{total:.2}** |", " |".repeat(services.len() + 2)).ok();
    text
}

/// Returns the rate a second in each interval of five minutes.
fn per_second(counts: &[u32]) -> Vec<f64> {
    counts.iter().map(|&count| f64::from(count) / 300.0).collect()
}

fn guesses(day: &Day) -> Chart {
    let Logins { wave_by_interval, wave_hashes_by_interval, .. } = &day.raised;
    Chart {
        title: "POST /login: attempts a second, wave with the higher limit",
        lines: vec![
            Line { name: "guesses of the wave", values: per_second(wave_by_interval) },
            Line { name: "of them, passwords compared", values: per_second(wave_hashes_by_interval) },
            Line { name: "people, without the wave", values: per_second(&day.quiet.function.answered_by_interval) },
        ],
    }
}

fn latency(day: &Day) -> Chart {
    let of = |outcome: &Outcome, index: usize| {
        outcome.percentiles_by_hour.iter().map(|percentiles| percentiles[index]).collect()
    };
    let mut lines = vec![
        Line { name: "login p50", values: of(&day.quiet.function, 0) },
        Line { name: "login p90", values: of(&day.quiet.function, 1) },
        Line { name: "login p99", values: of(&day.quiet.function, 2) },
        Line { name: "login p99, wave with the higher limit", values: of(&day.raised.function, 2) },
    ];
    if let Some(userinfo) = day.functions.get("userinfo") {
        lines.push(Line { name: "userinfo p50", values: of(userinfo, 0) });
        lines.push(Line { name: "userinfo p99", values: of(userinfo, 2) });
    }
    Chart { title: "Time in Lambda by hour of the day, in ms", lines }
}

fn instances(day: &Day) -> Chart {
    let of = |outcome: &Outcome| {
        let counts = outcome.instances_by_interval.iter().map(|&count| u32::try_from(count).unwrap_or(u32::MAX));
        counts.map(f64::from).collect()
    };
    let mut lines = vec![
        Line { name: "login", values: of(&day.quiet.function) },
        Line { name: "login, wave with the higher limit", values: of(&day.raised.function) },
    ];
    for (name, title) in [("userinfo", "userinfo"), ("authorizer", "authorizer")] {
        lines.extend(day.functions.get(name).map(|outcome| Line { name: title, values: of(outcome) }));
    }
    Chart { title: "Instances of each function", lines }
}

impl Side {
    /// Returns the attempts that ended: answered or refused.
    #[must_use]
    pub fn ended(&self) -> u32 {
        self.signed_in + self.wrong + self.refused()
    }
}
