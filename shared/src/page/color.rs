//! Colours, and how well one can be read on another.
//!
//! Owns the contrast rule of WCAG 2.2: text needs a contrast of 4.5 (success criterion 1.4.3). An operator chooses the
//! accent colour, so the other colours are computed from it.

/// The lowest contrast of text and its background (WCAG 2.2, success criterion 1.4.3).
pub(super) const READABLE: f64 = 4.5;

/// The lowest contrast of the enhanced level (WCAG 2.2, success criterion 1.4.6).
pub(super) const WELL_READABLE: f64 = 7.0;

/// The number of steps from a colour to black or white.
const STEPS: u16 = 32;

/// An opaque sRGB colour: red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Color(pub(super) [u8; 3]);

impl Color {
    pub(super) const BLACK: Self = Self([0; 3]);
    pub(super) const WHITE: Self = Self([255; 3]);

    /// Reads `#rrggbb`. Returns `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let digit = |at: usize| char::from(*digits.as_bytes().get(at)?).to_digit(16);
        let byte = |at: usize| u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok();
        Some(Self([byte(0)?, byte(2)?, byte(4)?]))
    }

    /// Formats the colour for CSS.
    pub(super) fn css(self) -> String {
        let Self([red, green, blue]) = self;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Returns black or white: the one that can be read better on this colour. Its contrast is always 4.58 or more.
    pub(super) fn text_on(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    /// Returns this colour if it has the contrast on `background`. Otherwise returns the nearest mixture with black or
    /// white that has it.
    pub(super) fn readable_on(self, background: Self, contrast: f64) -> Self {
        let target = background.text_on();
        let mixtures = (0..=STEPS).map(|share| self.mixed_with(target, share));
        mixtures.into_iter().find(|mixture| mixture.contrast(background) >= contrast).unwrap_or(target)
    }

    /// Mixes `share` parts of 32 of another colour into this one.
    fn mixed_with(self, other: Self, share: u16) -> Self {
        let channel = |at: usize| {
            let sum = u16::from(self.0[at]) * (STEPS - share) + u16::from(other.0[at]) * share;
            u8::try_from(sum / STEPS).unwrap_or(u8::MAX)
        };
        Self([channel(0), channel(1), channel(2)])
    }

    /// Returns the contrast of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio").
    pub(super) fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Returns the brightness that a person sees, from 0 to 1 (WCAG 2.2, "relative luminance").
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_color_is_a_hash_and_six_hexadecimal_digits() {
        assert_eq!(Color::parse("#17594A"), Some(Color([0x17, 0x59, 0x4a])));
        assert_eq!(Color([0x17, 0x59, 0x4a]).css(), "#17594a");
        for text in ["", "#", "#fff", "17594a", "#17594", "#17594aa", "#17594g", "#+17594", "red", "#é594a", "# 7594a"]
        {
            assert_eq!(Color::parse(text), None, "{text}");
        }
    }

    /// The values that WCAG tools print.
    #[test]
    fn contrast_is_that_of_wcag() {
        assert!((Color::BLACK.contrast(Color::WHITE) - 21.0).abs() < 1e-9);
        let gray = Color::parse("#767676").unwrap();
        assert!((gray.contrast(Color::WHITE) - 4.54).abs() < 0.01);
    }

    proptest! {
        /// Whatever accent colour an operator chooses, its text and its links can be read.
        #[test]
        fn text_can_be_read_with_every_accent_color(accent: [u8; 3], background: [u8; 3]) {
            let (accent, background) = (Color(accent), Color(background));
            prop_assert!(accent.text_on().contrast(accent) >= READABLE);
            prop_assert!(accent.readable_on(background, READABLE).contrast(background) >= READABLE);
            let [_, dark] = super::super::PAPER;
            prop_assert!(accent.readable_on(dark, WELL_READABLE).contrast(dark) >= WELL_READABLE);
        }
    }
}
