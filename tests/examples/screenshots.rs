//! Takes a screenshot of each page: `cargo screenshots`. The pictures and a page that shows them all are in
//! `target/screenshots`. `cargo screenshots readme` makes the small pictures in `docs/pages`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a development tool, where a panic is a failure")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::Client;
use serde_json::{Value, json};
use testbed::browser::{BrowserOptions, devtools};
use testbed::views::{Language, Preferences, Screen, Stage, View, Visitor};
use testbed::workspace::root;

/// The most bytes of a picture of the README.
const MAX_PICTURE: usize = 60_000;

/// A way to look at a page.
struct Look {
    name: &'static str,
    language: Language,
    screen: Screen,
    preferences: Preferences,
}

const LOOKS: [Look; 6] = [
    look("light", Language::English, Screen::DESKTOP, Preferences::LIGHT),
    look("dark", Language::English, Screen::DESKTOP, Preferences::DARK),
    look("phone", Language::English, Screen::PHONE, Preferences::LIGHT),
    look("phone-dark", Language::English, Screen::PHONE, Preferences::DARK),
    look("korean", Language::Korean, Screen::DESKTOP, Preferences::LIGHT),
    look("korean-phone", Language::Korean, Screen::PHONE, Preferences::LIGHT),
];

const fn look(name: &'static str, language: Language, screen: Screen, preferences: Preferences) -> Look {
    Look { name, language, screen, preferences }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    require_fonts();
    let fonts = root().join("tests/pages/fonts.conf").canonicalize().unwrap();
    let stage = Stage::start().await;
    let visitor = Visitor::new(&stage, "", BrowserOptions { fonts: Some(&fonts), ..BrowserOptions::default() }).await;
    match std::env::args().nth(1).as_deref() {
        None => take_all(&visitor).await,
        Some("readme") => draw_for_readme(&visitor).await,
        Some(other) => panic!("usage: cargo screenshots [readme], not {other}"),
    }
    visitor.leave().await;
}

/// Says which fonts are missing. A browser draws boxes in place of the letters of a missing font.
fn require_fonts() {
    for (pattern, package) in [(":lang=ko", "fonts-noto-cjk"), ("Inter", "fonts-inter"), ("P052", "fonts-urw-base35")] {
        let found = Command::new("fc-list").arg(pattern).output().unwrap();
        assert!(!found.stdout.is_empty(), "a font is missing: apt-get install {package}");
    }
}

/// Takes a screenshot of each view with each look.
async fn take_all(visitor: &Visitor<'_>) {
    let folder = root().join("target/screenshots");
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).unwrap();
    for language in Language::ALL {
        for view in View::ALL {
            visitor.open(view, language).await;
            for look in LOOKS.iter().filter(|look| look.language == language) {
                let picture = photograph(&visitor.browser, look, json!({ "format": "png" })).await;
                fs::write(folder.join(file_name(view, look)), picture).unwrap();
            }
        }
    }
    fs::write(folder.join("index.html"), contact_sheet()).unwrap();
    println!("{} pictures: {}", View::ALL.len() * LOOKS.len(), folder.join("index.html").display());
}

fn file_name(view: View, look: &Look) -> String {
    format!("{}-{}.png", view.name(), look.name)
}

/// Returns a page with all screenshots.
fn contact_sheet() -> String {
    let mut page = "<!doctype html><meta charset=\"utf-8\"><title>Screenshots</title><style>
        body { font: 14px sans-serif; background: #888; } section { display: flex; gap: 1em; align-items: start; }
        img { height: 360px; } h2 { margin: 1em 0 .25em; }</style>"
        .to_owned();
    for view in View::ALL {
        write!(page, "<h2>{} ({})</h2><section>", view.name(), view.status()).unwrap();
        for look in &LOOKS {
            let file = file_name(view, look);
            write!(page, "<a href=\"{file}\"><img src=\"{file}\" alt=\"{}\" title=\"{0}\"></a>", look.name).unwrap();
        }
        page.push_str("</section>");
    }
    page
}

/// Takes a picture of the whole page, at least as high as the screen.
async fn photograph(browser: &Client, look: &Look, format: Value) -> Vec<u8> {
    look.screen.apply(browser).await;
    look.preferences.apply(browser).await;
    let script = "return Math.max(innerHeight, document.documentElement.scrollHeight)";
    let height = browser.execute(script, vec![]).await.unwrap();
    let mut parameters = format;
    parameters["captureBeyondViewport"] = true.into();
    parameters["clip"] = json!({ "x": 0, "y": 0, "width": look.screen.width, "height": height, "scale": 1 });
    let captured = devtools(browser, "Page.captureScreenshot", parameters).await;
    STANDARD.decode(captured["data"].as_str().unwrap()).unwrap()
}

/// Makes the pictures of the README.
async fn draw_for_readme(visitor: &Visitor<'_>) {
    let folder = root().join("docs/pages");
    fs::create_dir_all(&folder).unwrap();
    let browser = &visitor.browser;
    let shot = async |view, look: &Look| {
        visitor.open(view, look.language).await;
        browser.execute("document.activeElement.blur()", vec![]).await.unwrap();
        photograph(browser, look, json!({ "format": "png" })).await
    };
    let desktop = Screen { height: 720, density: 1, ..Screen::DESKTOP };
    let phone = Screen { height: 780, density: 2, ..Screen::PHONE };
    let [light, dark] = [Preferences::LIGHT, Preferences::DARK];

    let sign_in = [
        shot(View::SignIn, &look("", Language::English, desktop, light)).await,
        shot(View::SignIn, &look("", Language::English, desktop, dark)).await,
    ];
    save(browser, &folder.join("sign-in.webp"), &sign_in, 620).await;
    let account = [shot(View::Account, &look("", Language::English, desktop, light)).await];
    save(browser, &folder.join("account.webp"), &account, 900).await;
    let phones = [
        shot(View::SignIn, &look("", Language::Korean, phone, light)).await,
        shot(View::WrongPassword, &look("", Language::English, phone, dark)).await,
        shot(View::Account, &look("", Language::Korean, phone, dark)).await,
    ];
    save(browser, &folder.join("phone.webp"), &phones, 300).await;
}

/// Draws pictures beside each other, each with this width, and saves the drawing.
async fn save(browser: &Client, file: &Path, pictures: &[Vec<u8>], width: u32) {
    let mut page = format!(
        "<!doctype html><style>body {{ margin: 0; display: flex; gap: 20px; width: max-content }}
        img {{ width: {width}px; max-height: 780px; object-fit: cover; object-position: top;
        border-radius: 8px; border: 1px solid #8886 }}</style>"
    );
    for picture in pictures {
        write!(page, "<img src=\"data:image/png;base64,{}\">", STANDARD.encode(picture)).unwrap();
    }
    let sheet = root().join("target/sheet.html").canonicalize().unwrap_or_else(|_| root().join("target/sheet.html"));
    fs::write(&sheet, page).unwrap();
    browser
        .goto(&format!("file://{}", root().canonicalize().unwrap().join("target/sheet.html").display()))
        .await
        .unwrap();
    Screen { width: 1280, height: 800, density: 1, ..Screen::DESKTOP }.apply(browser).await;
    let script = "const { width, height } = document.body.getBoundingClientRect(); return { x: 0, y: 0, width, height, scale: 1 }";
    let clip = browser.execute(script, vec![]).await.unwrap();
    devtools(
        browser,
        "Emulation.setDefaultBackgroundColorOverride",
        json!({ "color": { "r": 0, "g": 0, "b": 0, "a": 0 } }),
    )
    .await;
    let parameters = json!({ "format": "webp", "quality": 85, "captureBeyondViewport": true, "clip": clip });
    let captured = devtools(browser, "Page.captureScreenshot", parameters).await;
    devtools(browser, "Emulation.setDefaultBackgroundColorOverride", json!({})).await;
    let bytes = STANDARD.decode(captured["data"].as_str().unwrap()).unwrap();
    assert!(bytes.len() <= MAX_PICTURE, "{} has {} bytes", file.display(), bytes.len());
    println!("{}: {} bytes", file.display(), bytes.len());
    fs::write(file, bytes).unwrap();
}
