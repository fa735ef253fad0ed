//! The pages for a person with a browser: sign-in, account, change of password, errors.
//!
//! Owns the look, the languages and the words. Turns typed values into HTML that needs no script and no other request.
//! Knows nothing about requests and responses: `http` decides who gets a page, and sends it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use askama::Template;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Environment;
use crate::error::{Error, Result};

mod account;
mod brand;
mod color;
mod language;
mod problem;
mod sign_in;
#[cfg(test)]
mod tests;
mod text;

pub use account::{Account, ChangePassword, Notice};
pub use brand::service_name;
pub use language::Language;
pub use problem::{Details, Problem, Reason};
pub use sign_in::SignIn;

use brand::Brand;
use color::{Color, READABLE, WELL_READABLE};
use text::Text;

/// The background of the pages in the light and in the dark scheme: `--paper` in `style.css`.
const PAPER: [Color; 2] = [Color([0xfb, 0xf9, 0xf5]), Color([0x16, 0x19, 0x18])];

/// The outline of our mark, a door with a keyhole, in SVG. It stands beside the name if there is no logo.
const MARK: &str = "M5 23V9a7 7 0 0 1 14 0v14zm7-15a2.3 2.3 0 0 0-1.2 4.3L10 17h4l-.8-4.7A2.3 2.3 0 0 0 12 8z";

/// The pages of a service, in its look. Cheap to clone. The first page of an instance makes the look, so that a client
/// of JSON does not wait for it.
#[derive(Clone)]
pub struct Pages(Arc<Branded>);

/// The settings of the look, and the look once it is made.
struct Branded {
    brand: Brand,
    look: OnceLock<Look>,
}

/// The pages for one request, in its language.
#[derive(Clone)]
pub struct Page {
    pages: Pages,
    language: Language,
}

/// What all pages have in common. An instance makes it once.
struct Look {
    brand: Brand,
    style: String,
    script: String,
    /// The icon in the tab of the browser, as a `data:` address. Without it, a browser asks for `/favicon.ico`.
    icon: String,
    sources: Arc<Sources>,
}

/// What a page may load. `http` makes the content security policy of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Sources {
    /// The hash of the stylesheet, such as `sha256-…`.
    pub style: String,
    /// The hash of the script.
    pub script: String,
    /// The address of the logo, without its query.
    pub logo: Option<String>,
}

/// A page.
pub struct Html {
    /// The document.
    pub text: String,
    /// What it may load.
    pub sources: Arc<Sources>,
    /// The origin of another site to which a form may lead, besides our own.
    pub form_target: Option<String>,
}

impl Pages {
    /// Reads `SERVICE_NAME`, `LOGO_URL` and `ACCENT_COLOR`: the name of the service, the address of its logo, and the
    /// colour of buttons and links.
    ///
    /// # Errors
    /// [`Error::Setting`] for an invalid value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        Brand::from_env(env).map(Self::new)
    }

    fn new(brand: Brand) -> Self {
        Self(Arc::new(Branded { brand, look: OnceLock::new() }))
    }

    /// Returns the pages in one language.
    #[must_use]
    pub fn in_language(&self, language: Language) -> Page {
        Page { pages: self.clone(), language }
    }

    fn look(&self) -> &Look {
        self.0.look.get_or_init(|| Look::new(self.0.brand.clone()))
    }
}

impl fmt::Debug for Html {
    /// Prints nothing: a page holds what a person typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Html").finish_non_exhaustive()
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new(Brand::default())
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pages").field(&self.0.brand).finish()
    }
}

impl Look {
    fn new(brand: Brand) -> Self {
        let style = format!("{}\n{}", colors(brand.accent), without_spaces(&compact(include_str!("style.css"))));
        let script = compact(include_str!("script.js"));
        let logo = brand.logo.as_deref().and_then(|logo| logo.split('?').next()).map(str::to_owned);
        let sources = Sources { style: hash(&style), script: hash(&script), logo };
        let icon = format!(
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Cpath fill='%23{}' \
             fill-rule='evenodd' d='{MARK}'/%3E%3C/svg%3E",
            brand.accent.css().trim_start_matches('#')
        );
        Self { brand, style, script, icon, sources: Arc::new(sources) }
    }
}

impl Page {
    fn text(&self) -> &'static Text {
        self.language.text()
    }

    fn look(&self) -> &Look {
        self.pages.look()
    }

    fn render(&self, template: &impl Template, form_target: Option<&str>) -> Result<Html> {
        let text = template.render().map_err(Error::unexpected)?;
        Ok(Html { text, sources: Arc::clone(&self.look().sources), form_target: form_target.map(str::to_owned) })
    }

    /// Returns the language switch. Each link leads to `address`, which is a path with an optional query, and sets the
    /// language.
    fn switch(&self, address: &str) -> Vec<Choice> {
        let separator = if address.contains('?') { '&' } else { '?' };
        let choice = |language: Language| Choice {
            tag: language.tag(),
            name: language.name(),
            address: format!("{address}{separator}lang={}", language.tag()),
            is_current: language == self.language,
        };
        Language::ALL.map(choice).into()
    }
}

/// A link of the language switch.
struct Choice {
    tag: &'static str,
    name: &'static str,
    address: String,
    is_current: bool,
}

/// Returns the colours of the brand as custom properties. Each can be read on its background.
fn colors(accent: Color) -> String {
    let [light, dark] = PAPER;
    // In the dark scheme, a colour that only just can be read looks muddy.
    let [light, dark] = [accent.readable_on(light, READABLE), accent.readable_on(dark, WELL_READABLE)];
    let properties = [
        ("accent", accent),
        ("on-accent", accent.text_on()),
        ("ink-accent", light),
        ("ink-accent-dark", dark),
        ("on-ink-accent-dark", dark.text_on()),
    ];
    let properties = properties.map(|(name, color)| format!("--{name}:{};", color.css()));
    format!(":root{{{}}}", properties.concat())
}

/// Removes indentation, empty lines, and lines that are a comment.
fn compact(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//") && !line.starts_with("/*");
    lines.filter(is_code).collect::<Vec<_>>().join("\n")
}

/// Removes the spaces of a stylesheet that mean nothing. None of them stands in one of its strings.
fn without_spaces(style: &str) -> String {
    let spaces = [(": ", ":"), (", ", ","), ("; ", ";"), (" {", "{"), ("{ ", "{"), (" }", "}")];
    spaces.iter().fold(style.to_owned(), |style, (with, without)| style.replace(with, without))
}

/// Returns the hash of an inline text as a content security policy names it (CSP Level 3).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}
