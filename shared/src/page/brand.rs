//! How an operator makes the pages look like the rest of the product: a name, a logo and an accent colour.

use super::color::Color;
use crate::config::{Environment, reject};
use crate::error::Result;

/// The longest name in bytes.
const MAX_NAME: usize = 100;

/// The longest address of a logo in bytes. All variables of a function together have at most 4 KB.
const MAX_LOGO: usize = 500;

/// The accent colour without `ACCENT_COLOR`.
const PINE: Color = Color([0x1d, 0x5c, 0x4c]);

/// The look of the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brand {
    /// The name of the service.
    pub(super) name: String,
    /// The address of the logo.
    pub(super) logo: Option<String>,
    /// The colour of buttons, links and the picture.
    pub(super) accent: Color,
}

impl Default for Brand {
    fn default() -> Self {
        Self { name: "Latchkey".to_owned(), logo: None, accent: PINE }
    }
}

impl Brand {
    /// Reads `SERVICE_NAME` (`Latchkey` by default), `LOGO_URL` (none by default) and `ACCENT_COLOR` (a green by
    /// default).
    pub(super) fn from_env(env: &Environment) -> Result<Self> {
        let default = Self::default();
        let logo = env.optional("LOGO_URL");
        if logo.as_deref().is_some_and(|logo| !is_image_address(logo)) {
            return reject("LOGO_URL", "must be an address such as https://www.example.com/logo.svg");
        }
        let accent = match env.optional("ACCENT_COLOR") {
            None => default.accent,
            Some(color) => match Color::parse(&color) {
                Some(color) => color,
                None => return reject("ACCENT_COLOR", "must be a colour such as #1d5c4c"),
            },
        };
        Ok(Self { name: service_name(env)?, logo, accent })
    }
}

/// Reads `SERVICE_NAME`: the name of the service, `Latchkey` by default.
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for an invalid value.
pub fn service_name(env: &Environment) -> Result<String> {
    let name = env.text("SERVICE_NAME", MAX_NAME)?.unwrap_or_else(|| Brand::default().name);
    if name.chars().any(char::is_control) {
        return reject("SERVICE_NAME", "must not have control characters");
    }
    Ok(name)
}

/// Returns `true` for an https address with a host and a path, of characters that a content security policy can
/// contain. A comma or a semicolon would end its directive.
fn is_image_address(address: &str) -> bool {
    let Some((host, path)) = address.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/:@+=&?!*".contains(&byte);
    address.len() <= MAX_LOGO
        && host.starts_with(|first: char| first.is_ascii_alphanumeric())
        && host.bytes().all(is_host)
        && path.bytes().all(is_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn read(name: &str, value: &str) -> Result<Brand> {
        Brand::from_env(&Environment::new(testbed::settings(&[(name, value)])))
    }

    #[test]
    fn without_settings_the_pages_have_a_name_and_a_color() {
        assert_eq!(read("SERVICE_NAME", "").unwrap(), Brand::default());
    }

    #[test]
    fn the_settings_replace_the_defaults() {
        assert_eq!(read("SERVICE_NAME", "Jeju Books 제주").unwrap().name, "Jeju Books 제주");
        let logo = "https://cdn.example.com:8443/a/logo%20small.svg?v=2";
        assert_eq!(read("LOGO_URL", logo).unwrap().logo.as_deref(), Some(logo));
        assert_eq!(read("ACCENT_COLOR", "#AA3300").unwrap().accent, Color([0xaa, 0x33, 0]));
    }

    /// R89: no setting can add anything to the content security policy.
    #[test]
    fn an_invalid_name_logo_or_color_stops_the_start() {
        let long = format!("https://cdn.example.com/{}", "a".repeat(MAX_LOGO));
        for (name, value) in [
            ("SERVICE_NAME", " "),
            ("SERVICE_NAME", "a\nb"),
            ("SERVICE_NAME", &"a".repeat(MAX_NAME + 1)),
            ("LOGO_URL", "http://cdn.example.com/logo.svg"),
            ("LOGO_URL", "https://cdn.example.com"),
            ("LOGO_URL", "https:///logo.svg"),
            ("LOGO_URL", "//cdn.example.com/logo.svg"),
            ("LOGO_URL", "data:image/svg+xml,x"),
            ("LOGO_URL", "https://*/logo.svg"),
            ("LOGO_URL", "https://cdn.example.com/logo.svg; script-src *"),
            ("LOGO_URL", "https://cdn.example.com/logo.svg;script-src"),
            ("LOGO_URL", "https://cdn.example.com/a,b"),
            ("LOGO_URL", "https://user@cdn.example.com/logo.svg"),
            ("LOGO_URL", &long),
            ("ACCENT_COLOR", "green"),
            ("ACCENT_COLOR", "#fff"),
            ("ACCENT_COLOR", "#ffffff;}"),
        ] {
            let outcome = read(name, value);
            assert!(
                matches!(outcome, Err(Error::Setting { name: rejected, .. }) if rejected == name),
                "{name} {value}"
            );
        }
    }
}
