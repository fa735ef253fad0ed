//! The policy for new passwords.
//!
//! Owns the minimum length (R8) and the blocklist (R10): common passwords and words about the user or the service, also
//! if repeated or padded to the minimum length, and repetitions and sequences such as 12345. There are no composition
//! rules (R9).

mod stretched;

use unicode_normalization::UnicodeNormalization;

use crate::config::Environment;
use crate::error::{Error, Result};

use stretched::{Candidate, fold, is_repetitive};

/// The shortest blocked word in characters. Shorter ones, such as `com` from an address, would reject passwords that
/// are hard to guess.
const MIN_WORD: usize = 4;

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    min_length: usize,
}

/// The words that a new password must not consist of. Unknown ones are empty.
///
/// There is no `Debug`, because one field is a password.
#[derive(Clone, Copy, Default)]
pub struct PersonalWords<'a> {
    /// The login name.
    pub login_name: &'a str,
    /// The e-mail address.
    pub email: &'a str,
    /// The full name of the user.
    pub name: &'a str,
    /// The names of the service: in its tokens, and on its pages.
    pub services: [&'a str; 2],
    /// The current password.
    pub current_password: Option<&'a str>,
}

/// Why a password was rejected, in words for its user. Contains the length of the password and nothing else of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has too few code points.
    #[error("The password has {has} character{}: use at least {needs}.", if *.has == 1 { "" } else { "s" })]
    TooShort {
        /// How many it has.
        has: usize,
        /// How many it needs.
        needs: usize,
    },

    /// It is the current password.
    #[error("The password is your current password: choose another one.")]
    Current,

    /// It is a word about the user or the service, as it is or stretched.
    #[error("The password is your name, your address or the name of this service, or one of them repeated or padded.")]
    Personal,

    /// It is on the list of common passwords, as it is or stretched.
    #[error("The password is a common password, or one that is repeated or padded: attackers try those first.")]
    Common,

    /// It repeats a few characters, or is a sequence.
    #[error("The password only repeats a few characters, or is a sequence such as 123456: attackers try those first.")]
    Repetitive,
}

impl Policy {
    /// The lowest configurable minimum length (ASVS 6.2.1).
    pub const MIN: usize = 8;
    /// The highest configurable minimum length. A password of 64 characters must always be accepted (ASVS 6.2.9).
    pub const MAX: usize = 64;

    /// Reads `PASSWORD_MIN_LENGTH`: the minimum length of a new password in code points, 8 to 64, 15 by default.
    ///
    /// # Errors
    /// [`Error::Setting`] for any other value.
    pub fn from_env(env: &Environment) -> Result<Self> {
        env.number("PASSWORD_MIN_LENGTH", 15, Self::MIN..=Self::MAX).map(Self::new)
    }

    /// Returns a policy with this minimum length, limited to [`Self::MIN`] to [`Self::MAX`] code points (R8).
    #[must_use]
    pub fn new(min_length: usize) -> Self {
        Self { min_length: min_length.clamp(Self::MIN, Self::MAX) }
    }

    /// Returns the minimum length of a new password in code points.
    #[must_use]
    pub fn min_length(self) -> usize {
        self.min_length
    }

    /// Accepts a new password. Counts the code points of its composed form (R8). Compares the whole password with the
    /// blocklist, so that a common word among other words is accepted (R10). Ignores case and width.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn check(self, password: &str, words: &PersonalWords<'_>) -> Result<(), Refusal> {
        let has = password.nfc().count();
        if has < self.min_length {
            return Err(Refusal::TooShort { has, needs: self.min_length });
        }
        if words.current_password.is_some_and(|current| current.nfc().eq(password.nfc())) {
            return Err(Refusal::Current);
        }
        let candidate = Candidate::new(password);
        if words.list().iter().any(|word| candidate.stretches(word)) {
            return Err(Refusal::Personal);
        }
        if candidate.stretches_a_common_one() {
            return Err(Refusal::Common);
        }
        if is_repetitive(password) {
            return Err(Refusal::Repetitive);
        }
        Ok(())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidRequest(refusal.to_string().into())
    }
}

impl PersonalWords<'_> {
    /// Returns the blocked words: each text as a whole, without spaces and punctuation, and in its parts.
    fn list(&self) -> Vec<String> {
        let local_part = self.email.rsplit_once('@').map_or("", |(local_part, _)| local_part);
        let mut words = Vec::new();
        for text in [self.login_name, self.email, local_part, self.name].iter().chain(&self.services) {
            let text = fold(text);
            let parts = text.split(|character: char| !character.is_alphanumeric());
            words.extend(parts.clone().map(str::to_owned));
            words.push(parts.collect());
            words.push(text);
        }
        words.retain(|word| word.chars().count() >= MIN_WORD);
        words
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMON: &str = include_str!("common-passwords.txt");

    const ADA: PersonalWords<'_> = PersonalWords {
        login_name: "countess",
        email: "ada.k@lovelace.example",
        name: "Ada King-Noel",
        services: ["latchkey", "Jeju Books"],
        current_password: None,
    };

    fn check(password: &str) -> Result<(), Refusal> {
        Policy::new(15).check(password, &ADA)
    }

    fn length(text: &str) -> usize {
        text.chars().count()
    }

    /// Returns the ways in which people stretch a word to 15 characters.
    fn stretched(entry: &str) -> Vec<String> {
        let missing = 15_usize.saturating_sub(length(entry));
        let filled = |filler: &str| filler.chars().cycle().take(missing).collect::<String>();
        let whole = entry.repeat(15_usize.div_ceil(length(entry)));
        let cut: String = entry.chars().cycle().take(15.max(length(entry))).collect();
        let mut all = vec![
            entry.to_owned(),
            entry.to_uppercase(),
            format!("{whole}1"),
            format!("{cut}2026"),
            format!("{}{entry}", filled("!")),
            format!("{}{entry}", filled("0")),
            format!("{}{entry}", filled("é")),
            format!("!!!{whole}123!!!"),
            vec![entry; 15_usize.div_ceil(length(entry)) + 1].join(" "),
            format!("{entry}-{}", filled("2026")),
            whole,
            cut,
        ];
        let digits = ["1", "0", "1234567890", "9876543210", "20261123", "8305719"];
        all.extend(digits.iter().chain(&["!", " ", "x", "é"]).map(|filler| format!("{entry}{}", filled(filler))));
        all
    }

    /// R10.
    #[test]
    fn every_common_password_is_rejected_as_it_is_and_stretched() {
        assert!(COMMON.lines().count() >= 3000);
        let lenient = Policy::new(Policy::MIN);
        for password in COMMON.lines().flat_map(stretched) {
            let policy = if length(&password) < 15 { lenient } else { Policy::new(15) };
            let outcome = policy.check(&password, &PersonalWords::default());
            if length(&password) < Policy::MIN {
                assert!(matches!(outcome, Err(Refusal::TooShort { .. })), "{password}");
            } else {
                assert_eq!(outcome, Err(Refusal::Common), "{password}");
            }
        }
    }

    /// R10.
    #[test]
    fn a_common_word_among_other_words_is_accepted() {
        for password in [
            "correct password horse battery",
            "correct horse battery staple",
            "password horse 1234567",
            "my dragon eats monkeys",
            "xx password 1234567",
            "Latchkey opens my door",
            "Ada and the engine",
            "ほげほげは言葉ではありません。",
        ] {
            assert_eq!(check(password), Ok(()), "{password}");
        }
    }

    /// R10: words of fewer than four characters are not blocked.
    #[test]
    fn a_password_that_is_hard_to_guess_is_accepted() {
        for password in [
            "748302958371664",
            "502847193660218",
            "381197046225893",
            "519880293746158",
            "dragonq74830295",
            "ab7483029583716",
            "abc748302958371",
            "ada748302958371",
            "com748302958371",
            "hqzvkwjtrgxbnycdmlfp",
            "ghxowqkzvjtrnbyemdul",
            "lovhqzvkwjtrgxbnycdm",
            "x9$kQ2!vLp7@zRt",
            "aaaaaaaaaaaxyzw",
            "abcdabceabcfabcg",
        ] {
            assert_eq!(check(password), Ok(()), "{password}");
        }
    }

    /// R10: one digit before a year does not make a number a padded year: `5` + `1988` + digits is accepted.
    #[test]
    fn one_character_in_front_is_padding_unless_all_characters_are_digits() {
        let words = PersonalWords { login_name: "83057194402617", ..PersonalWords::default() };
        for (password, expected) in [
            ("xdragon74830295", Err(Refusal::Common)),
            ("5dragon74830295", Err(Refusal::Common)),
            ("x19880293746158", Err(Refusal::Common)),
            ("551988029374615", Err(Refusal::Common)),
            ("519880293746158", Ok(())),
            ("583057194402617", Err(Refusal::Personal)),
            ("5830571944026179", Ok(())),
        ] {
            assert_eq!(Policy::new(15).check(password, &words), expected, "{password}");
        }
    }

    /// R9.
    #[test]
    fn no_composition_rules_apply() {
        for password in
            ["hqzvkwjtrgxbnyc", "HQZVKWJTRGXBNYC", "748302958371664", "$§%&/()=?+*~#-_", "               a b c d"]
        {
            assert_eq!(check(password), Ok(()), "{password}");
        }
    }

    /// R8.
    #[test]
    fn fifteen_code_points_are_accepted_and_14_are_not() {
        let refusal = check("hqzvkwjtrgxbny").unwrap_err();
        assert_eq!(refusal.to_string(), "The password has 14 characters: use at least 15.");
        assert_eq!(check("x").unwrap_err().to_string(), "The password has 1 character: use at least 15.");
        assert_eq!(check("").unwrap_err().to_string(), "The password has 0 characters: use at least 15.");
        assert_eq!(check("hqzvkwjtrgxbnyc"), Ok(()));
    }

    /// R8: counts the code points of the composed form, not bytes and not keystrokes.
    #[test]
    fn a_character_counts_once_however_many_bytes_it_has() {
        assert_eq!(check("😀🐙🚀🌍🔑🎩🍋🧭🎻🪁🦊🌵🧊🪐🎲"), Ok(()));
        assert_eq!(check("😀😁😂😃😄😅😆😇😈😉😊😋😌😍😎"), Ok(()));
        assert_eq!(check("😀🐙🚀🌍🔑🎩🍋🧭🎻🪁🦊🌵🧊🪐"), Err(Refusal::TooShort { has: 14, needs: 15 }));
        assert_eq!(check("hqzvkwjtrgxbne\u{301}"), Err(Refusal::TooShort { has: 14, needs: 15 }));
        assert_eq!(check("hqzvkwjtrgxbnye\u{301}"), Ok(()));
    }

    /// R8.
    #[test]
    fn the_minimum_length_is_8_to_64() {
        let random = "hqzvkwjtrgxbnycdmlfp".repeat(4).replace("pq", "p q");
        for (asked, needs) in [(0, 8), (7, 8), (15, 15), (65, 64), (usize::MAX, 64)] {
            assert_eq!(Policy::new(asked).min_length, needs);
        }
        for needs in [8, 9, 15, 63, 64] {
            let policy = Policy::new(needs);
            let has = needs - 1;
            assert_eq!(policy.check(&random[..has], &ADA), Err(Refusal::TooShort { has, needs }));
            assert_eq!(policy.check(&random[..needs], &ADA), Ok(()));
        }
    }

    /// R10.
    #[test]
    fn words_about_the_user_or_the_service_are_rejected_as_they_are_and_stretched() {
        let words = ["countess", "ada.k@lovelace.example", "adaklovelaceexample", "ada.k", "adak", "lovelace"];
        let names = ["Ada King-Noel", "AdaKingNoel", "KING", "noel", "Latchkey", "ｌａｔｃｈｋｅｙ", "Jeju Books"];
        for password in words.into_iter().chain(names).flat_map(stretched).filter(|password| length(password) >= 15) {
            assert_eq!(check(&password), Err(Refusal::Personal), "{password}");
            assert_ne!(
                Policy::new(15).check(&password, &PersonalWords::default()),
                Err(Refusal::Personal),
                "{password}"
            );
        }
    }

    /// R10: "Straße" in capitals is "STRASSE", and composed and decomposed accents are the same.
    #[test]
    fn case_and_unicode_form_make_no_difference() {
        let words =
            PersonalWords { name: "Straße Ανδρέας Ϊ\u{301}ΐΐΐ ﬁsche", ..PersonalWords::default() };
        for password in
            ["STRASSE26112026", "strassestrassestrasse", "ΑΝΔΡΈΑΣ12345678", "ανδρε\u{301}ασ11111111", "ΐΐΐΐ12345678901"]
        {
            assert_eq!(Policy::new(15).check(password, &words), Err(Refusal::Personal), "{password}");
        }
        for password in ["FISCHE261120267", "𝐅𝐈𝐒𝐂𝐇𝐄261120267"] {
            assert_eq!(Policy::new(15).check(password, &words), Err(Refusal::Personal), "{password}");
        }
        for password in ["ｐａｓｓｗｏｒｄ１２３４５６７", "PaSsWoRd!!!!!!!", "ПАРОЛЬ123456789"] {
            assert_eq!(check(password), Err(Refusal::Common), "{password}");
        }
    }

    /// R10.
    #[test]
    fn a_repetition_of_up_to_three_characters_or_a_sequence_is_rejected() {
        for password in [
            "ǆǆǆǆǆǆǆǆǆǆǆǆǆǆǆ",
            "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀",
            "§ß§ß§ß§ß§ß§ß§ß§ß",
            "xqjxqjxqjxqjxqj",
            "xqjxqjxqjxqjxqjx",
            "XqJxQjxqjxqjxqjx",
            "xqj!!!!!!!!!!!!",
            "!!!!!!!!!!!!xqj",
            "000000000000xqj",
            "xqj123456789012",
            "xqj123456789123",
            "ab1098765432109",
            "890123456789012xqj",
            "klmnopqrstuvwxyz",
            "ZYXWVUTSRQPONMLK",
            "абвгдежзийклмноп",
        ] {
            assert_eq!(check(password), Err(Refusal::Repetitive), "{password}");
        }
        for unit in ["x", "ж", "xq", "1j", "xqj", "🦊🌵🧊"] {
            for length in [15, 16, 17, 64, 4096] {
                let password: String = unit.chars().cycle().take(length).collect();
                assert!(check(&password).is_err(), "{password}");
            }
        }
    }

    #[test]
    fn only_the_exact_current_password_is_rejected_as_current() {
        let words = PersonalWords { current_password: Some("caf\u{e9} hqzvkwjtrgx"), ..ADA };
        for password in ["caf\u{e9} hqzvkwjtrgx", "cafe\u{301} hqzvkwjtrgx"] {
            assert_eq!(Policy::new(15).check(password, &words), Err(Refusal::Current));
            assert_eq!(check(password), Ok(()));
        }
        assert_eq!(Policy::new(15).check("Caf\u{e9} hqzvkwjtrgx", &words), Ok(()));
    }

    /// R10: an empty word matches no password.
    #[test]
    fn unknown_words_reject_no_password() {
        let words = PersonalWords { email: "@", name: " - ", ..PersonalWords::default() };
        assert_eq!(Policy::new(15).check("hqzvkwjtrgxbnyc", &PersonalWords::default()), Ok(()));
        assert_eq!(Policy::new(15).check("hqzvkwjtrgxbnyc", &words), Ok(()));
    }

    proptest! {
        /// R97.
        #[test]
        fn a_refusal_never_contains_the_password(password in "[^ -~]{1,20}|[^ -~]{1,3}[0-9]{0,20}|.{0,40}") {
            for policy in [Policy::new(15), Policy::new(8)] {
                let Err(refusal) = policy.check(&password, &ADA) else { continue };
                let Refusal::TooShort { has, needs } = refusal else {
                    let texts = [Refusal::Current, Refusal::Personal, Refusal::Common, Refusal::Repetitive];
                    prop_assert!(texts.contains(&refusal));
                    continue;
                };
                prop_assert_eq!(has, password.nfc().count());
                prop_assert_eq!(needs, policy.min_length);
                prop_assert!(password.is_ascii() || !refusal.to_string().contains(&password));
            }
        }

        /// R10.
        #[test]
        fn no_input_makes_the_check_panic(password in ".{0,80}", name in ".{0,20}", email in ".{0,20}@.{0,20}") {
            let words = PersonalWords { email: &email, name: &name, current_password: Some(&name), ..ADA };
            let outcome = Policy::new(15).check(&password, &words);
            let is_too_short = matches!(outcome, Err(Refusal::TooShort { .. }));
            prop_assert_eq!(is_too_short, password.nfc().count() < 15);
        }

        /// R10.
        #[test]
        fn every_stretched_word_about_the_user_is_rejected(
            name in r"[\p{L}&&[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}]]{4,20}",
            digits in "[0-9]{15}",
            copies in 4..9_usize,
        ) {
            let words = PersonalWords { name: &name, ..PersonalWords::default() };
            let padding = "~".repeat(15);
            let behind = format!("{name}{padding}");
            for password in [name.repeat(copies), format!("{name}{digits}"), behind, format!("{padding}{name}")] {
                prop_assert_eq!(Policy::new(15).check(&password, &words), Err(Refusal::Personal), "{}", password);
            }
        }
    }
}
