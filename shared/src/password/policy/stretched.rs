//! Whether a password is a word that somebody stretched until it was long enough.
//!
//! Owns what stretching means, the list of common passwords, and what needs no list. Knows nothing of lengths that are
//! asked for, and nothing of people. The list is the one that Django carries, compiled by Royce Williams, under
//! BSD-3-Clause: see `common-passwords.LICENSE.txt`.

use std::iter;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The common passwords, one a line, lower case and sorted by their bytes, so that one is found without building
/// anything first. Those of fewer than four characters are left out: "1" followed by digits is every tenth number. What
/// people stretch them to is refused all the same, by [`is_repetitive`].
const COMMON: &str = include_str!("common-passwords.txt");

/// The bytes of the longest line.
const LONGEST: usize = 66;

/// The bytes that every line has.
const HEAD: usize = 4;

/// The most characters that can be repeated to make a password that nobody needs a list to guess.
const SHORT_UNIT: usize = 3;

/// A password as it is compared with words. It is a stretched word when it consists of nothing but, in this order:
///
/// 1. one character, however often: padding in front;
/// 2. the word, perhaps with one sign behind it;
/// 3. both again, however often, the last time perhaps cut off;
/// 4. digits;
/// 5. one character, however often: padding behind.
pub(super) struct Candidate {
    text: Zeroizing<String>,
    /// How far padding in front can reach.
    front: usize,
    /// From where on there can be nothing but digits and padding behind.
    filler: usize,
}

impl Candidate {
    pub(super) fn new(password: &str) -> Self {
        let text = Zeroizing::new(fold(password));
        let (first, last) = (text.chars().next(), text.chars().next_back());
        let front = text.len() - text.trim_start_matches(|character| Some(character) == first).len();
        let unpadded = text.trim_end_matches(|character| Some(character) == last);
        let filler = unpadded.trim_end_matches(char::is_numeric).len();
        Self { text, front, filler }
    }

    /// Whether this is the word, which [`fold`] made, as it is or stretched.
    pub(super) fn stretches(&self, word: &str) -> bool {
        self.starts(word.len()).any(|start| self.from(start).starts_with(word) && self.only_stretches(start, word))
    }

    /// Whether this is a common password, as it is or stretched.
    pub(super) fn stretches_a_common_one(&self) -> bool {
        self.common_words().any(|(start, word)| self.only_stretches(start, word))
    }

    /// Each common password that there is at a place where a word can begin.
    fn common_words(&self) -> impl Iterator<Item = (usize, &'static str)> {
        self.starts(LONGEST).flat_map(|start| common_at_start_of(self.from(start)).map(move |word| (start, word)))
    }

    /// Where a word of at most so many bytes can begin. It may begin with the character that is the padding, so that
    /// the padding ends within the word: the places are bounded by the word, however long the padding is.
    fn starts(&self, longest_word: usize) -> impl Iterator<Item = usize> {
        iter::once(0).chain(self.front.saturating_sub(longest_word).max(1)..=self.front)
    }

    /// The text from there on, or nothing where that is inside a character.
    fn from(&self, start: usize) -> &str {
        self.text.get(start..).unwrap_or_default()
    }

    /// Whether all that follows the word at this place repeats it or fills it up.
    fn only_stretches(&self, start: usize, word: &str) -> bool {
        // In a number one digit in front is no padding, or twice as many would be a listed year followed by digits.
        let is_inside_a_number = start == 1 && self.text.chars().all(char::is_numeric);
        let filler = if is_inside_a_number { self.text.len() } else { self.filler };
        let sign = self.from(start + word.len()).chars().next().filter(|character| !character.is_alphanumeric());
        let units = [word.len(), word.len() + sign.map_or(0, char::len_utf8)];
        units.into_iter().any(|unit| {
            let bytes = self.from(start).bytes();
            let repeated = bytes.clone().zip(bytes.skip(unit)).take_while(|(one, again)| one == again).count();
            start + unit + repeated >= filler
        })
    }
}

/// All common passwords that the text begins with.
fn common_at_start_of(text: &str) -> impl Iterator<Item = &'static str> {
    let head = text.as_bytes().get(..HEAD).unwrap_or_default();
    let lines = if head.is_empty() { "" } else { &COMMON[first_line_from(head)..] };
    lines.lines().take_while(move |line| line.as_bytes().starts_with(head)).filter(move |line| text.starts_with(line))
}

/// Where the first line is that does not sort before the head.
fn first_line_from(head: &[u8]) -> usize {
    let list = COMMON.as_bytes();
    let (mut from, mut to) = (0, list.len());
    while from < to {
        let middle = usize::midpoint(from, to);
        let start = list[from..middle].iter().rposition(|&byte| byte == b'\n').map_or(from, |at| from + at + 1);
        let end = list[middle..].iter().position(|&byte| byte == b'\n').map_or(list.len(), |at| middle + at + 1);
        if &list[start..end] < head {
            from = end;
        } else {
            to = start;
        }
    }
    from
}

/// Whether a password repeats a short unit, or has no more than a short unit beside one character repeated or a count:
/// what the shortest words are stretched to. It is not folded, because that may leave fewer characters than there are.
pub(super) fn is_repetitive(password: &str) -> bool {
    let characters: Vec<char> = without_case(password.nfc()).collect();
    let repeats = |unit| always(&characters, unit, |one, again| one == again);
    let but_a_unit = characters.len().saturating_sub(SHORT_UNIT);
    (1..=SHORT_UNIT).any(repeats)
        || characters.get(SHORT_UNIT..).is_some_and(is_steady)
        || characters.get(..but_a_unit).is_some_and(is_steady)
}

/// Whether each character is the one before it, or each is the next one, or each is the previous one.
fn is_steady(characters: &[char]) -> bool {
    always(characters, 1, |one, next| one == next)
        || always(characters, 1, counts)
        || always(characters, 1, |one, next| counts(next, one))
}

/// Whether something always holds between a character and the one that follows at this distance.
fn always(characters: &[char], distance: usize, holds: fn(char, char) -> bool) -> bool {
    characters.iter().zip(characters.iter().skip(distance)).all(|(&one, &other)| holds(one, other))
}

/// Whether one counts on from a letter or digit to the next: "a" to "b", "1" to "2", "9" to "0" or over to "1".
fn counts(one: char, next: char) -> bool {
    let is_next = u32::from(one) + 1 == u32::from(next) && one.is_alphanumeric() && next.is_alphanumeric();
    is_next || (one == '9' && matches!(next, '0' | '1'))
}

/// The text without regard to case, its full-width letters, ligatures and the like as the plain ones they stand for.
pub(super) fn fold(text: &str) -> String {
    without_case(text.nfkd()).nfc().collect()
}

/// There and back, because the capital of "ß" is "SS", and "ς" and "σ" have the same one.
fn without_case(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R10: what the search relies on.
    #[test]
    fn the_list_is_sorted_and_folded_and_its_lines_are_neither_too_short_nor_too_long() {
        assert!(COMMON.ends_with('\n') && COMMON.lines().count() >= 3000);
        assert!(COMMON.lines().is_sorted_by(|one, next| one.as_bytes() < next.as_bytes()));
        assert!(COMMON.lines().all(|line| line == fold(line) && line.chars().count() >= HEAD));
        assert_eq!(COMMON.lines().map(str::len).max(), Some(LONGEST));
    }

    /// R10.
    #[test]
    fn every_line_is_found_at_the_start_of_a_text_and_nothing_else_is() {
        for line in COMMON.lines() {
            assert!(common_at_start_of(line).any(|found| found == line), "{line}");
            assert!(common_at_start_of(&format!("{line}\u{1f511}")).any(|found| found == line), "{line}");
        }
        let found: Vec<_> = common_at_start_of("password1 and more").collect();
        assert_eq!(found, ["pass", "password", "password1"]);
        for text in ["", "pas", "\0\0\0\0", "zzzyzzzy", "hqzvkwjtrgxbnyc", "\u{10ffff}\u{10ffff}", "pas\nsword"] {
            assert_eq!(common_at_start_of(text).next(), None, "{text}");
        }
    }

    /// R10: a check looks at the password a fixed number of times, and once more for each word that it may stretch.
    #[test]
    fn the_number_of_comparisons_is_bounded_however_long_the_password_is() {
        let mut most = 0;
        for unit in ["a", "1", "ab", "12", "123456", "password", "blahblah", "п", "пїѕ", "\u{fdfa}", "😀", "!1"] {
            for padding in [0, 1, LONGEST - 1, LONGEST, LONGEST + 1, 1000] {
                for padding in ["1", "a", "!", "п", "п1"].map(|character| character.repeat(padding)) {
                    let hostile = |length: usize| {
                        let stretched: String = unit.chars().cycle().take(length).collect();
                        Candidate::new(&format!("{padding}{stretched}xy"))
                    };
                    let (long, longer) = (hostile(2048), hostile(4096));
                    assert!(longer.starts(LONGEST).count() <= LONGEST + 2);
                    assert_eq!(long.common_words().count(), longer.common_words().count());
                    most = most.max(longer.common_words().count());
                }
            }
        }
        assert!((100..1000).contains(&most), "{most}");
    }

    #[test]
    fn a_count_goes_on_after_nine_and_not_from_one_alphabet_to_another() {
        assert!(counts('1', '2') && counts('9', '0') && counts('9', '1') && counts('y', 'z') && counts('а', 'б'));
        assert!(
            !counts('2', '1') && !counts('1', '3') && !counts('9', ':') && !counts('z', '{') && !counts('😀', '😁')
        );
    }
}
