//! What a new password must be.
//!
//! Owns how long it is, and that it is none of those that attackers try first: the common ones, whatever is about its
//! owner, what either is stretched to, and what merely repeats or counts (R8, R10). Asks for no kind of character (R9).
//! Knows nothing of how a password is hashed, whose it is, or where the least length is configured.

mod stretched;

use unicode_normalization::UnicodeNormalization;

use crate::error::Error;

use stretched::{Candidate, fold, is_repetitive};

/// The fewest characters of a word about the owner that is looked for, as in the list of common ones: "Li" before 13
/// digits, or "com" from an address, is no reason to refuse.
const SHORTEST_WORD: usize = 4;

/// What a new password must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    min_length: usize,
}

/// What a new password must not be about. What is not known is left empty.
///
/// There is no `Debug`, because one of these is a password.
#[derive(Clone, Copy, Default)]
pub struct Context<'a> {
    /// The login name.
    pub login_name: &'a str,
    /// The e-mail address.
    pub email: &'a str,
    /// What the person is called.
    pub name: &'a str,
    /// What this service is called.
    pub service: &'a str,
    /// The password that is to be replaced.
    pub current_password: Option<&'a str>,
}

/// Why a password was refused, in words for the person who chose it. Nothing of the password is in it but its length.
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

    /// It is the one that is to be replaced.
    #[error("The password is the one that you have now: choose another.")]
    Current,

    /// It is a word about its owner or the service, as it is or stretched.
    #[error(
        "The password is your name, your address or the name of this service, or one of them repeated or filled up."
    )]
    Personal,

    /// It is on the list of common passwords, as it is or stretched.
    #[error(
        "The password is one of the most common ones, or one of them repeated or filled up: attackers try those first."
    )]
    Common,

    /// There is next to nothing in it.
    #[error("The password only repeats a few characters, or counts: attackers try those first.")]
    Repetitive,
}

impl Policy {
    /// The least that a policy can ask for (ASVS 6.2.1).
    pub const FEWEST: usize = 8;
    /// The most that a policy can ask for, because a password of 64 is always welcome (ASVS 6.2.9).
    pub const MOST: usize = 64;

    /// A policy that asks for so many code points; for [`Self::FEWEST`] at least and [`Self::MOST`] at most (R8).
    #[must_use]
    pub fn new(min_length: usize) -> Self {
        Self { min_length: min_length.clamp(Self::FEWEST, Self::MOST) }
    }

    /// Whether this may become the password. Its code points are counted in Unicode's composed form (R8). It is
    /// compared as a whole, without regard to case or width: a common word among others is welcome (R10).
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn check(self, password: &str, context: &Context<'_>) -> Result<(), Refusal> {
        let has = password.nfc().count();
        if has < self.min_length {
            return Err(Refusal::TooShort { has, needs: self.min_length });
        }
        if context.current_password.is_some_and(|current| current.nfc().eq(password.nfc())) {
            return Err(Refusal::Current);
        }
        let candidate = Candidate::new(password);
        if context.words().iter().any(|word| candidate.stretches(word)) {
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
        Self::Malformed(refusal.to_string().into())
    }
}

impl Context<'_> {
    /// The words to look for: each text whole, without its spaces and signs, and in its parts.
    fn words(&self) -> Vec<String> {
        let local_part = self.email.rsplit_once('@').map_or("", |(local_part, _)| local_part);
        let mut words = Vec::new();
        for text in [self.login_name, self.email, local_part, self.name, self.service] {
            let text = fold(text);
            let parts = text.split(|character: char| !character.is_alphanumeric());
            words.extend(parts.clone().map(str::to_owned));
            words.push(parts.collect());
            words.push(text);
        }
        words.retain(|word| word.chars().count() >= SHORTEST_WORD);
        words
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMON: &str = include_str!("common-passwords.txt");

    const ADA: Context<'_> = Context {
        login_name: "countess",
        email: "ada.k@lovelace.example",
        name: "Ada King-Noel",
        service: "Latchkey",
        current_password: None,
    };

    fn check(password: &str) -> Result<(), Refusal> {
        Policy::new(15).check(password, &ADA)
    }

    fn length(text: &str) -> usize {
        text.chars().count()
    }

    /// What an entry becomes when somebody is told to use 15 characters.
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

    /// R10. Nobody can choose what is shorter than a policy can ask for.
    #[test]
    fn every_common_password_is_refused_as_it_is_and_however_it_is_stretched() {
        assert!(COMMON.lines().count() >= 3000);
        let lenient = Policy::new(Policy::FEWEST);
        for password in COMMON.lines().flat_map(stretched) {
            let policy = if length(&password) < 15 { lenient } else { Policy::new(15) };
            let verdict = policy.check(&password, &Context::default());
            if length(&password) < Policy::FEWEST {
                assert!(matches!(verdict, Err(Refusal::TooShort { .. })), "{password}");
            } else {
                assert_eq!(verdict, Err(Refusal::Common), "{password}");
            }
        }
    }

    /// R10.
    #[test]
    fn a_common_word_among_others_is_accepted() {
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

    /// R10: a word of fewer than four characters counts for nothing.
    #[test]
    fn what_nobody_would_guess_is_accepted() {
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

    /// R10: one digit in front of a year and more digits is a number like any other.
    #[test]
    fn one_character_in_front_is_padding_but_not_in_a_number_that_goes_on() {
        let context = Context { login_name: "83057194402617", ..Context::default() };
        for (password, verdict) in [
            ("xdragon74830295", Err(Refusal::Common)),
            ("5dragon74830295", Err(Refusal::Common)),
            ("x19880293746158", Err(Refusal::Common)),
            ("551988029374615", Err(Refusal::Common)),
            ("519880293746158", Ok(())),
            ("583057194402617", Err(Refusal::Personal)),
            ("5830571944026179", Ok(())),
        ] {
            assert_eq!(Policy::new(15).check(password, &context), verdict, "{password}");
        }
    }

    /// R9.
    #[test]
    fn no_kind_of_character_is_asked_for() {
        for password in
            ["hqzvkwjtrgxbnyc", "HQZVKWJTRGXBNYC", "748302958371664", "$§%&/()=?+*~#-_", "               a b c d"]
        {
            assert_eq!(check(password), Ok(()), "{password}");
        }
    }

    /// R8.
    #[test]
    fn fifteen_code_points_are_enough_and_fourteen_are_not() {
        let refusal = check("hqzvkwjtrgxbny").unwrap_err();
        assert_eq!(refusal.to_string(), "The password has 14 characters: use at least 15.");
        assert_eq!(check("x").unwrap_err().to_string(), "The password has 1 character: use at least 15.");
        assert_eq!(check("").unwrap_err().to_string(), "The password has 0 characters: use at least 15.");
        assert_eq!(check("hqzvkwjtrgxbnyc"), Ok(()));
    }

    /// R8: code points of the composed form are counted, not bytes and not what was typed.
    #[test]
    fn a_character_is_one_however_many_bytes_or_keys_it_takes() {
        assert_eq!(check("😀🐙🚀🌍🔑🎩🍋🧭🎻🪁🦊🌵🧊🪐🎲"), Ok(()));
        assert_eq!(check("😀😁😂😃😄😅😆😇😈😉😊😋😌😍😎"), Ok(()));
        assert_eq!(check("😀🐙🚀🌍🔑🎩🍋🧭🎻🪁🦊🌵🧊🪐"), Err(Refusal::TooShort { has: 14, needs: 15 }));
        assert_eq!(check("hqzvkwjtrgxbne\u{301}"), Err(Refusal::TooShort { has: 14, needs: 15 }));
        assert_eq!(check("hqzvkwjtrgxbnye\u{301}"), Ok(()));
    }

    /// R8: the bounds, from both sides.
    #[test]
    fn a_policy_asks_for_eight_to_sixty_four() {
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
    fn what_is_about_the_owner_or_the_service_is_refused_however_it_is_stretched() {
        let words = ["countess", "ada.k@lovelace.example", "adaklovelaceexample", "ada.k", "adak", "lovelace"];
        let names = ["Ada King-Noel", "AdaKingNoel", "KING", "noel", "Latchkey", "ｌａｔｃｈｋｅｙ"];
        for password in words.into_iter().chain(names).flat_map(stretched).filter(|password| length(password) >= 15) {
            assert_eq!(check(&password), Err(Refusal::Personal), "{password}");
            assert_ne!(Policy::new(15).check(&password, &Context::default()), Err(Refusal::Personal), "{password}");
        }
    }

    /// R10: "Straße" in capitals is "STRASSE", and an accent is the same however it was typed.
    #[test]
    fn case_and_spelling_make_no_difference() {
        let context = Context { name: "Straße Ανδρέας Ϊ\u{301}ΐΐΐ ﬁsche", ..Context::default() };
        for password in
            ["STRASSE26112026", "strassestrassestrasse", "ΑΝΔΡΈΑΣ12345678", "ανδρε\u{301}ασ11111111", "ΐΐΐΐ12345678901"]
        {
            assert_eq!(Policy::new(15).check(password, &context), Err(Refusal::Personal), "{password}");
        }
        for password in ["FISCHE261120267", "𝐅𝐈𝐒𝐂𝐇𝐄261120267"] {
            assert_eq!(Policy::new(15).check(password, &context), Err(Refusal::Personal), "{password}");
        }
        for password in ["ｐａｓｓｗｏｒｄ１２３４５６７", "PaSsWoRd!!!!!!!", "ПАРОЛЬ123456789"] {
            assert_eq!(check(password), Err(Refusal::Common), "{password}");
        }
    }

    /// R10.
    #[test]
    fn what_repeats_up_to_three_characters_or_counts_is_refused() {
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
    fn the_current_password_is_refused_and_only_that() {
        let context = Context { current_password: Some("caf\u{e9} hqzvkwjtrgx"), ..ADA };
        for password in ["caf\u{e9} hqzvkwjtrgx", "cafe\u{301} hqzvkwjtrgx"] {
            assert_eq!(Policy::new(15).check(password, &context), Err(Refusal::Current));
            assert_eq!(check(password), Ok(()));
        }
        assert_eq!(Policy::new(15).check("Caf\u{e9} hqzvkwjtrgx", &context), Ok(()));
    }

    /// R10: every password begins with an empty word.
    #[test]
    fn what_is_not_known_of_the_owner_refuses_nothing() {
        let context = Context { email: "@", name: " - ", ..Context::default() };
        assert_eq!(Policy::new(15).check("hqzvkwjtrgxbnyc", &Context::default()), Ok(()));
        assert_eq!(Policy::new(15).check("hqzvkwjtrgxbnyc", &context), Ok(()));
    }

    proptest! {
        /// R97: all that a refusal can tell of a password is how long it is.
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

        /// R10: no password, word or name makes the check panic.
        #[test]
        fn any_password_gets_a_verdict(password in ".{0,80}", name in ".{0,20}", email in ".{0,20}@.{0,20}") {
            let context = Context { email: &email, name: &name, current_password: Some(&name), ..ADA };
            let verdict = Policy::new(15).check(&password, &context);
            let is_too_short = matches!(verdict, Err(Refusal::TooShort { .. }));
            prop_assert_eq!(is_too_short, password.nfc().count() < 15);
        }

        /// R10: whatever the name is, so long as it is a word.
        #[test]
        fn any_word_about_the_owner_is_refused_when_it_is_stretched(
            name in r"[\p{L}&&[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}]]{4,20}",
            digits in "[0-9]{15}",
            copies in 4..9_usize,
        ) {
            let context = Context { name: &name, ..Context::default() };
            let padding = "~".repeat(15);
            let behind = format!("{name}{padding}");
            for password in [name.repeat(copies), format!("{name}{digits}"), behind, format!("{padding}{name}")] {
                prop_assert_eq!(Policy::new(15).check(&password, &context), Err(Refusal::Personal), "{}", password);
            }
        }
    }
}
