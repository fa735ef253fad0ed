//! How a person looks at a page: the screen, the colour scheme and the language.

use fantoccini::Client;
use serde_json::json;

use crate::browser::devtools;

/// A screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The name, for messages and files.
    pub name: &'static str,
    /// The width in CSS pixels.
    pub width: u32,
    /// The height in CSS pixels.
    pub height: u32,
    /// The number of device pixels of a CSS pixel.
    pub density: u32,
    /// `true` for the viewport of a phone.
    pub is_phone: bool,
}

impl Screen {
    /// A laptop.
    pub const DESKTOP: Self = Self { name: "desktop", width: 1280, height: 800, density: 1, is_phone: false };
    /// A common phone.
    pub const PHONE: Self = Self { name: "phone", width: 390, height: 844, density: 2, is_phone: true };
    /// The narrowest screen that a page must support without horizontal scrolling (WCAG 2.2, success criterion 1.4.10).
    pub const NARROW: Self = Self { name: "320 pixels", width: 320, height: 568, density: 2, is_phone: true };
    /// The laptop with a zoom of 200 % (WCAG 2.2, success criterion 1.4.4).
    pub const ZOOMED: Self = Self { name: "200 % zoom", width: 640, height: 400, density: 2, is_phone: false };
    /// A phone that is held sideways.
    pub const SIDEWAYS: Self = Self { name: "sideways", width: 844, height: 390, density: 2, is_phone: true };

    /// Gives the browser this screen.
    pub async fn apply(self, browser: &Client) {
        let Self { width, height, density, is_phone, .. } = self;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": density, "mobile": is_phone });
        devtools(browser, "Emulation.setDeviceMetricsOverride", metrics).await;
    }
}

/// What a person has set in the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// A dark colour scheme.
    pub dark: bool,
    /// Less motion.
    pub reduced_motion: bool,
    /// A small set of colours with a high contrast, such as the contrast themes of Windows.
    pub forced_colors: bool,
}

impl Preferences {
    /// The light colour scheme.
    pub const LIGHT: Self = Self { dark: false, reduced_motion: false, forced_colors: false };
    /// The dark colour scheme.
    pub const DARK: Self = Self { dark: true, ..Self::LIGHT };

    /// Gives the browser these preferences.
    pub async fn apply(self, browser: &Client) {
        let feature = |name: &str, is_set: bool, set: &str, unset: &str| {
            let value = if is_set { set } else { unset };
            json!({ "name": name, "value": value })
        };
        let features = [
            feature("prefers-color-scheme", self.dark, "dark", "light"),
            feature("prefers-reduced-motion", self.reduced_motion, "reduce", "no-preference"),
            feature("forced-colors", self.forced_colors, "active", "none"),
        ];
        devtools(browser, "Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }
}

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Korean.
    Korean,
}

impl Language {
    /// Both languages.
    pub const ALL: [Self; 2] = [Self::English, Self::Korean];

    /// Returns the language tag.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }
}
