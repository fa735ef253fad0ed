//! Prints what each page costs, as a Markdown table: `cargo page-weights`.
#![expect(clippy::print_stdout, reason = "a development tool")]

use testbed::browser::BrowserOptions;
use testbed::views::weight::{Speed, Weight};
use testbed::views::{Language, Screen, Stage, View, Visitor};

/// The number of measurements of a page. The table has their median.
const RUNS: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let stage = Stage::start().await;
    let visitor = Visitor::new(&stage, "", BrowserOptions { record_events: true, ..BrowserOptions::default() }).await;
    Screen::PHONE.apply(&visitor.browser).await;
    println!(
        "Bytes are those of the response without TLS, in English (Korean). First paint and blocking time are those of"
    );
    println!("a slow phone: 1.6 Mbit/s, 150 ms of latency, and a quarter of this processor (median of {RUNS}).\n");
    println!(
        "| page | status | bytes | headers | HTML | style | script | requests | elements | first paint | blocking |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for view in View::ALL {
        let korean = Weight::of(&visitor, view, Language::Korean).await.bytes;
        let Weight { bytes, body, style, script, requests, elements } =
            Weight::of(&visitor, view, Language::English).await;
        let mut speeds = Vec::new();
        for _ in 0..RUNS {
            speeds.push(Speed::of(&visitor, view, Language::English).await);
        }
        let paint = median(&speeds, |speed| speed.first_paint);
        let blocking = median(&speeds, |speed| speed.blocking);
        println!(
            "| {} | {} | {bytes} ({korean}) | {} | {} | {style} | {script} | {} | {elements} | {paint:.0} ms | \
             {blocking:.0} ms |",
            view.name(),
            view.status(),
            bytes - body,
            body - style - script,
            requests.len(),
        );
    }
    visitor.leave().await;
}

fn median(speeds: &[Speed], value: fn(&Speed) -> f64) -> f64 {
    let mut values: Vec<_> = speeds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
