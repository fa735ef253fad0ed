//! The strings of the pages. Each language has one file.
//!
//! A language that lacks a string does not compile. A text with a value in its middle is a pair: the words before the
//! value, and the words after it.

use time::OffsetDateTime;

mod en;
mod ko;

pub(super) use en::EN;
pub(super) use ko::KO;

/// The words before a value, and the words after it.
pub(super) type Around = (&'static str, &'static str);

/// A heading, and one or two sentences below it.
pub(super) type Passage = (&'static str, &'static str);

/// All strings of the pages in one language.
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Text {
    /// The language tag.
    pub(super) tag: &'static str,
    /// The label of the language switch.
    pub(super) language: &'static str,

    // The sign-in page.
    pub(super) sign_in: &'static str,
    pub(super) login_name: &'static str,
    pub(super) password: &'static str,
    pub(super) show: &'static str,
    pub(super) show_password: &'static str,
    pub(super) hide: &'static str,
    pub(super) hide_password: &'static str,
    pub(super) keep: &'static str,
    pub(super) keep_hint: &'static str,
    pub(super) returns_to: Around,

    // The account page.
    pub(super) account: &'static str,
    pub(super) email: &'static str,
    pub(super) position: &'static str,
    pub(super) location: &'static str,
    pub(super) bio: &'static str,
    pub(super) roles: &'static str,
    pub(super) sessions: &'static str,
    pub(super) this_device: &'static str,
    pub(super) unknown_device: &'static str,
    pub(super) signed_in_at: Around,
    pub(super) renewed_at: Around,
    pub(super) sign_out: &'static str,
    pub(super) sign_out_others: &'static str,
    pub(super) sign_out_everywhere: &'static str,
    pub(super) everywhere_hint: &'static str,
    pub(super) show_all: Around,
    pub(super) session_ended: &'static str,
    pub(super) others_ended: &'static str,
    pub(super) press_again: &'static str,
    pub(super) password_changed: &'static str,

    // The page to change the password.
    pub(super) change_password: &'static str,
    pub(super) change_hint: &'static str,
    pub(super) current_password: &'static str,
    pub(super) new_password: &'static str,
    pub(super) new_password_hint: Around,
    pub(super) back_to_account: &'static str,

    // The reasons above a form.
    pub(super) wrong_password: &'static str,
    pub(super) wrong_current_password: &'static str,
    pub(super) too_many: Around,
    pub(super) after_wait: &'static str,
    pub(super) form_unreadable: &'static str,
    pub(super) form_unavailable: &'static str,
    pub(super) form_fault: &'static str,
    pub(super) too_short: (&'static str, &'static str, &'static str),
    pub(super) maybe_changed: &'static str,
    pub(super) is_current: &'static str,
    pub(super) is_personal: &'static str,
    pub(super) is_common: &'static str,
    pub(super) is_repetitive: &'static str,

    // The pages of errors.
    pub(super) invalid_request: Passage,
    pub(super) not_everywhere: Passage,
    pub(super) forbidden: Passage,
    pub(super) not_found: Passage,
    pub(super) method_not_allowed: Passage,
    pub(super) too_large: Passage,
    pub(super) unsupported: Passage,
    pub(super) too_many_attempts: &'static str,
    pub(super) fault: Passage,
    pub(super) unavailable: Passage,
    pub(super) details: &'static str,
    pub(super) status: &'static str,
    pub(super) request: &'static str,
    pub(super) go_on: &'static str,
    pub(super) try_again: &'static str,

    // The page on the way from another site.
    pub(super) one_moment: Passage,

    /// Formats a number of seconds.
    #[cfg_attr(test, serde(skip))]
    pub(super) duration: fn(u64) -> String,
    /// Formats a time in UTC.
    #[cfg_attr(test, serde(skip))]
    pub(super) time: fn(OffsetDateTime) -> String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::clock::Timestamp;

    /// Returns the strings by their names.
    fn strings(text: &Text) -> BTreeMap<String, String> {
        let mut strings = BTreeMap::new();
        let Value::Object(fields) = serde_json::to_value(text).unwrap() else { panic!("not an object") };
        for (name, value) in fields {
            match value {
                Value::String(string) => drop(strings.insert(name, string)),
                Value::Array(parts) => strings.extend(
                    parts.iter().enumerate().map(|(at, part)| (format!("{name}.{at}"), part.as_str().unwrap().into())),
                ),
                other => panic!("{name}: {other}"),
            }
        }
        strings
    }

    fn is_korean(character: char) -> bool {
        ('가'..='힣').contains(&character)
    }

    /// The compiler sees a missing string, and this test an empty or an untranslated one. Only one half of a pair may
    /// be empty, because the value may stand at the beginning or at the end.
    #[test]
    fn no_string_is_missing_in_a_language() {
        let (english, korean) = (strings(&EN), strings(&KO));
        assert!(english.keys().eq(korean.keys()) && english.len() > 70);
        for strings in [&english, &korean] {
            for (name, string) in strings {
                let is_pair = name.ends_with(".0") || name.ends_with(".1");
                let other = is_pair.then(|| {
                    let (stem, at) = name.split_at(name.len() - 1);
                    &strings[&format!("{stem}{}", if at == "0" { "1" } else { "0" })]
                });
                assert!(!string.is_empty() || other.is_some_and(|other| !other.is_empty()), "{name}");
            }
        }
        let translated = |name: &&String| !["tag"].contains(&name.as_str());
        for name in english.keys().filter(translated) {
            assert!(!english[name].chars().any(is_korean), "{name}");
            let has_words = korean[name].chars().any(char::is_alphabetic);
            assert!(!has_words || korean[name].chars().any(is_korean), "{name}: {}", korean[name]);
        }
    }

    #[test]
    fn a_duration_is_told_in_minutes_and_seconds() {
        for (seconds, english, korean) in [
            (1, "1 second", "1초"),
            (8, "8 seconds", "8초"),
            (60, "1 minute", "1분"),
            (61, "1 minute 1 second", "1분 1초"),
            (900, "15 minutes", "15분"),
        ] {
            assert_eq!((EN.duration)(seconds), english);
            assert_eq!((KO.duration)(seconds), korean);
        }
    }

    #[test]
    fn a_time_has_its_zone() {
        let time = Timestamp::from_secs(1_793_948_700).date_time();
        assert_eq!((EN.time)(time), "6 November 2026, 07:05 UTC");
        assert_eq!((KO.time)(time), "2026년 11월 6일 07:05 UTC");
    }
}
