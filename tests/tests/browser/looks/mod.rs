//! How the pages look and what they weigh: each view, in each language, on each screen, with each preference.

mod axe;
mod checks;

use serde_json::json;
use testbed::browser::{BrowserOptions, start_browser};
use testbed::views::weight::Weight;
use testbed::views::{Language, Preferences, Screen, Stage, View, Visitor};
use testbed::workspace::root;

use axe::Axe;

/// The most bytes of a page, headers included.
const MAX_BYTES: u64 = 15_000;

#[tokio::test]
async fn each_page_is_accessible_fits_every_screen_and_is_light() {
    let (axe, stage) = (Axe::install().await, Stage::start().await);
    let [english, korean] = Language::ALL.map(|language| check(&stage, language, &axe));
    let (english, korean) = futures_util::join!(english, korean);
    let problems = [english, korean].concat();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// A check that never finds a problem would be worth nothing.
#[tokio::test]
async fn the_checks_find_the_defects_of_a_page() {
    let axe = Axe::install().await;
    let (_driver, browser, _profile) = start_browser().await;
    let page = root().join("tests/tests/browser/looks/defects.html").canonicalize().unwrap();
    browser.goto(&format!("file://{}", page.display())).await.unwrap();
    Screen::DESKTOP.apply(&browser).await;
    axe.load(&browser).await;
    checks::load(&browser).await;
    let expect = |found: Vec<String>, expected: &[&str]| {
        for problem in expected {
            assert!(found.iter().any(|found| found.contains(problem)), "{problem} is not found: {found:#?}");
        }
    };
    expect(Axe::violations(&browser, &[]).await, &["color-contrast", "label", "target-size"]);
    let misfits = [
        "the page is 30",
        "A wide paragraph” is outside of the screen",
        "A text that is wider than its ” is outside of its box",
        "A text that is cut” is cut",
        "Hidden text” is hidden, but it is visible",
        "Text below” covers the text of p “Text above",
        "Lower button” covers button “Upper button",
    ];
    expect(checks::run(&browser, "layout()").await, &misfits);
    expect(checks::run(&browser, "targets()").await, &["“Tiny” is only"]);
    expect(checks::run(&browser, "motion()").await, &["body", "moves"]);
    let unclear = ["“Unfocused button” is not visible", "“Barely focused button” has too little contrast"];
    expect(checks::focus(&browser).await, &unclear);
    browser
        .execute("document.querySelector('main').onkeydown = (event) => event.preventDefault()", vec![])
        .await
        .unwrap();
    expect(checks::focus(&browser).await, &["the Tab key does not reach control 2"]);
    browser.close().await.unwrap();
}

/// Checks all views in a language, and returns all problems.
async fn check(stage: &Stage, language: Language, axe: &Axe) -> Vec<String> {
    let options = BrowserOptions { record_events: true, ..BrowserOptions::default() };
    let visitor = Visitor::new(stage, &format!("-{}", language.tag()), options).await;
    let mut problems = Vec::new();
    for view in View::ALL {
        let found = check_view(&visitor, view, language, axe).await;
        problems.extend(found.into_iter().map(|problem| format!("{}, {}: {problem}", view.name(), language.tag())));
    }
    visitor.leave().await;
    problems
}

async fn check_view(visitor: &Visitor<'_>, view: View, language: Language, axe: &Axe) -> Vec<String> {
    let mut problems = weight(visitor, view, language).await;
    let browser = &visitor.browser;
    let mut report = |look: &str, found: Vec<String>| {
        problems.extend(found.into_iter().map(|problem| format!("{look}: {problem}")));
    };
    axe.load(browser).await;
    checks::load(browser).await;
    for screen in [Screen::DESKTOP, Screen::PHONE] {
        screen.apply(browser).await;
        for preferences in [Preferences::LIGHT, Preferences::DARK] {
            preferences.apply(browser).await;
            let look = format!("{}, {}", screen.name, if preferences.dark { "dark" } else { "light" });
            report(&look, Axe::violations(browser, &[axe::HIDDEN_CONTENT]).await);
            // The focus looks the same on every screen.
            if preferences.dark == screen.is_phone {
                report(&look, checks::focus(browser).await);
            }
        }
        report(screen.name, checks::run(browser, "targets()").await);
    }
    for screen in [Screen::DESKTOP, Screen::PHONE, Screen::NARROW, Screen::ZOOMED, Screen::SIDEWAYS] {
        screen.apply(browser).await;
        for direction in ["rtl", "ltr"] {
            browser.execute("document.documentElement.dir = arguments[0]", vec![json!(direction)]).await.unwrap();
            report(&format!("{}, {direction}", screen.name), checks::run(browser, "layout()").await);
        }
    }

    Preferences { reduced_motion: true, ..Preferences::LIGHT }.apply(browser).await;
    report("reduced motion", checks::run(browser, "motion()").await);
    Preferences { forced_colors: true, ..Preferences::LIGHT }.apply(browser).await;
    report("forced colours", Axe::violations(browser, &[axe::HIDDEN_CONTENT, axe::CONTRAST]).await);
    report("forced colours", checks::focus(browser).await);
    Preferences::LIGHT.apply(browser).await;

    for change in ["reveal", "enlarge", "space"] {
        browser.execute(&format!("{change}()"), vec![]).await.unwrap();
        for screen in [Screen::DESKTOP, Screen::PHONE] {
            screen.apply(browser).await;
            report(&format!("{change}, {}", screen.name), checks::run(browser, "layout()").await);
        }
    }
    Screen::DESKTOP.apply(browser).await;
    problems
}

/// Checks that a page is light, that one request brings all of it, and that it comes from our service.
async fn weight(visitor: &Visitor<'_>, view: View, language: Language) -> Vec<String> {
    let Weight { bytes, requests, .. } = Weight::of(visitor, view, language).await;
    let mut problems = Vec::new();
    if !(1..MAX_BYTES).contains(&bytes) {
        problems.push(format!("{bytes} bytes"));
    }
    if requests.len() != 1 || !requests[0].starts_with("https://localhost:") {
        problems.push(format!("the requests are {requests:?}"));
    }
    problems
}
