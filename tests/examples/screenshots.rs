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

/// The width of a picture of the README in CSS pixels. Each of them has four pixels, for sharp screens.
const README_WIDTH: u32 = 880;

/// A way to look at a page.
struct Look {
    name: &'static str,
    language: Language,
    screen: Screen,
    preferences: Preferences,
}

impl Look {
    async fn show(&self, browser: &Client) {
        self.screen.apply(browser).await;
        self.preferences.apply(browser).await;
    }
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
                let picture = photograph(&visitor.browser, look).await;
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
async fn photograph(browser: &Client, look: &Look) -> Vec<u8> {
    look.show(browser).await;
    let script = "return Math.max(innerHeight, document.documentElement.scrollHeight)";
    let height = browser.execute(script, vec![]).await.unwrap();
    capture(browser, json!({ "format": "png" }), &json!(look.screen.width), &height).await
}

/// Takes a picture of this part of the page, from its start.
async fn capture(browser: &Client, mut format: Value, width: &Value, height: &Value) -> Vec<u8> {
    format["captureBeyondViewport"] = true.into();
    format["clip"] = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
    let captured = devtools(browser, "Page.captureScreenshot", format).await;
    STANDARD.decode(captured["data"].as_str().unwrap()).unwrap()
}

/// Makes the pictures of the README. Each is two or three screens beside each other.
async fn draw_for_readme(visitor: &Visitor<'_>) {
    let desktop = Screen { width: 960, height: 640, density: 2, ..Screen::DESKTOP };
    let tablet = Screen { width: 860, height: 844, ..desktop };
    let (phone, [light, dark]) = (Screen::PHONE, [Preferences::LIGHT, Preferences::DARK]);
    let (english, korean) = (Language::English, Language::Korean);
    let sign_in = [(View::SignIn, look("", english, desktop, light)), (View::SignIn, look("", english, desktop, dark))];
    let account = [(View::Account, look("", english, tablet, light)), (View::Account, look("", english, phone, dark))];
    let phones = [
        (View::SignIn, look("", korean, phone, light)),
        (View::WrongPassword, look("", korean, phone, dark)),
        (View::ChangePassword, look("", korean, phone, light)),
    ];
    let folder = root().canonicalize().unwrap().join("docs/pages");
    fs::create_dir_all(&folder).unwrap();
    draw(visitor, &folder.join("sign-in.webp"), &sign_in).await;
    draw(visitor, &folder.join("account.webp"), &account).await;
    draw(visitor, &folder.join("phone.webp"), &phones).await;
}

/// Draws screens of the same height beside each other, as wide as the README.
async fn draw(visitor: &Visitor<'_>, file: &Path, screens: &[(View, Look)]) {
    let browser = &visitor.browser;
    let all: u32 = screens.iter().map(|(_, look)| look.screen.width).sum();
    let mut sheet = "<!doctype html><style>
        body { margin: 0; display: flex; gap: 16px; width: max-content }
        img { border-radius: 6px; outline: 1px solid #8884; outline-offset: -1px; }</style>"
        .to_owned();
    for (view, look) in screens {
        visitor.open(*view, look.language).await;
        browser.execute("document.activeElement.blur()", vec![]).await.unwrap();
        look.show(browser).await;
        let Screen { width, height, .. } = look.screen;
        let picture = capture(browser, json!({ "format": "png" }), &json!(width), &json!(height)).await;
        let shown = (README_WIDTH - 16 * (u32::try_from(screens.len()).unwrap() - 1)) * width / all;
        let source = STANDARD.encode(picture);
        write!(sheet, "<img width=\"{shown}\" src=\"data:image/png;base64,{source}\">").unwrap();
    }
    let page = file.with_extension("html");
    fs::write(&page, sheet).unwrap();
    browser.goto(&format!("file://{}", page.display())).await.unwrap();
    fs::remove_file(page).unwrap();
    look("", Language::English, Screen { density: 2, ..Screen::DESKTOP }, Preferences::LIGHT).show(browser).await;
    let transparent = json!({ "color": { "r": 0, "g": 0, "b": 0, "a": 0 } });
    devtools(browser, "Emulation.setDefaultBackgroundColorOverride", transparent).await;
    let size = "const { width, height } = document.body.getBoundingClientRect(); return [width, height]";
    let size = browser.execute(size, vec![]).await.unwrap();
    let picture = capture(browser, json!({ "format": "webp", "quality": 70 }), &size[0], &size[1]).await;
    devtools(browser, "Emulation.setDefaultBackgroundColorOverride", json!({})).await;
    assert!(picture.len() <= MAX_PICTURE, "{} has {} bytes", file.display(), picture.len());
    println!("{}: {} bytes", file.display(), picture.len());
    fs::write(file, picture).unwrap();
}
