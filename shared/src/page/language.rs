//! The languages of the pages.

use super::text::{EN, KO, Text};

/// A language of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Korean.
    Korean,
}

impl Language {
    /// All languages, in the order of the switch at the end of each page.
    pub const ALL: [Self; 2] = [Self::English, Self::Korean];

    /// Returns the language tag (RFC 5646).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// Returns the name of the language in itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Korean => "한국어",
        }
    }

    /// Returns the language of a tag such as `ko` or `ko-KR`, or `None` for an unknown one. Regions and scripts do not
    /// count (RFC 4647 §3.4).
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// Returns all strings in this language.
    pub(super) fn text(self) -> &'static Text {
        match self {
            Self::English => &EN,
            Self::Korean => &KO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_with_a_region_is_that_of_the_language() {
        for (tag, language) in [
            ("ko", Some(Language::Korean)),
            ("KO-kr", Some(Language::Korean)),
            ("en-GB", Some(Language::English)),
            ("kok", None),
            ("de", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(Language::of_tag(tag), language, "{tag}");
        }
    }
}
