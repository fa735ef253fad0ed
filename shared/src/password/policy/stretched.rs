//! Recognises a word that was stretched to the minimum length.
//!
//! Defines when a password is a stretched word. Owns the list of common passwords, and the test for repetitions and
//! sequences. The list is Django's, compiled by Royce Williams, under BSD-3-Clause: see `common-passwords.LICENSE.txt`.

use std::iter;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The common passwords: one per line, in lower case, sorted by bytes for a binary search. Entries of fewer than four
/// characters are left out: the entry `1` would reject every number that begins with 1. [`is_repetitive`] rejects
/// repetitions of such entries.
const COMMON: &str = include_str!("common-passwords.txt");

/// The length of the longest line in bytes.
const MAX_LINE: usize = 66;

/// The length of the shortest line, and of the search key, in bytes.
const HEAD: usize = 4;

/// The longest unit in characters that makes a password guessable when it is repeated.
const SHORT_UNIT: usize = 3;

/// A password that is compared with words. It is a stretched word if it consists of these parts, in this order:
///
/// 1. padding in front: one character, any number of times;
/// 2. the word, with one optional punctuation character after it;
/// 3. repetitions of part 2, the last one possibly truncated;
/// 4. digits;
/// 5. padding behind: one character, any number of times.
pub(super) struct Candidate {
    text: Zeroizing<String>,
    /// The end of the longest possible padding in front.
    front: usize,
    /// The start of the digits and the padding behind.
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

    /// Returns `true` if this is the folded word, as it is or stretched.
    pub(super) fn stretches(&self, word: &str) -> bool {
        self.starts(word.len()).any(|start| self.from(start).starts_with(word) && self.only_stretches(start, word))
    }

    /// Returns `true` if this is a common password, as it is or stretched.
    pub(super) fn stretches_a_common_one(&self) -> bool {
        self.common_words().any(|(start, word)| self.only_stretches(start, word))
    }

    /// Returns the common passwords at all positions where a word can begin.
    fn common_words(&self) -> impl Iterator<Item = (usize, &'static str)> {
        self.starts(MAX_LINE).flat_map(|start| common_at_start_of(self.from(start)).map(move |word| (start, word)))
    }

    /// Returns the positions where a word of at most `longest_word` bytes can begin: the start of the text, and every
    /// position from `longest_word` bytes before the end of the padding up to its end. So their number does not grow
    /// with the padding.
    fn starts(&self, longest_word: usize) -> impl Iterator<Item = usize> {
        iter::once(0).chain(self.front.saturating_sub(longest_word).max(1)..=self.front)
    }

    /// Returns the text from a position on, or an empty text if the position is within a character.
    fn from(&self, start: usize) -> &str {
        self.text.get(start..).unwrap_or_default()
    }

    /// Returns `true` if only repetitions of the word, digits and padding follow the word at this position.
    fn only_stretches(&self, start: usize, word: &str) -> bool {
        // A password of digits only may not have one digit as padding in front: otherwise many random numbers would be
        // taken for a padded year from the list.
        let is_inside_a_number = start == 1 && self.text.chars().all(char::is_numeric);
        let filler = if is_inside_a_number { self.text.len() } else { self.filler };
        let punctuation = self.from(start + word.len()).chars().next().filter(|character| !character.is_alphanumeric());
        let units = [word.len(), word.len() + punctuation.map_or(0, char::len_utf8)];
        units.into_iter().any(|unit| {
            let bytes = self.from(start).bytes();
            let repeated = bytes.clone().zip(bytes.skip(unit)).take_while(|(one, again)| one == again).count();
            start + unit + repeated >= filler
        })
    }
}

/// Returns all common passwords that the text begins with.
fn common_at_start_of(text: &str) -> impl Iterator<Item = &'static str> {
    let head = text.as_bytes().get(..HEAD).unwrap_or_default();
    let lines = if head.is_empty() { "" } else { &COMMON[first_line_from(head)..] };
    lines.lines().take_while(move |line| line.as_bytes().starts_with(head)).filter(move |line| text.starts_with(line))
}

/// Returns the position of the first line that is greater than or equal to `head`.
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

/// Returns `true` if a password repeats up to three characters, or if it is a repeated character or a sequence (123…,
/// cba…) with up to three other characters before or after it. The password is not folded, because folding may reduce
/// the number of characters.
pub(super) fn is_repetitive(password: &str) -> bool {
    let characters: Vec<char> = without_case(password.nfc()).collect();
    let repeats = |unit| always(&characters, unit, |one, again| one == again);
    let but_a_unit = characters.len().saturating_sub(SHORT_UNIT);
    (1..=SHORT_UNIT).any(repeats)
        || characters.get(SHORT_UNIT..).is_some_and(is_steady)
        || characters.get(..but_a_unit).is_some_and(is_steady)
}

/// Returns `true` if all characters are equal, or are an ascending or a descending sequence.
fn is_steady(characters: &[char]) -> bool {
    always(characters, 1, |one, next| one == next)
        || always(characters, 1, counts)
        || always(characters, 1, |one, next| counts(next, one))
}

/// Returns `true` if a relation holds between all pairs of characters at this distance.
fn always(characters: &[char], distance: usize, holds: fn(char, char) -> bool) -> bool {
    characters.iter().zip(characters.iter().skip(distance)).all(|(&one, &other)| holds(one, other))
}

/// Returns `true` if the second letter or digit follows the first: "a" and "b", "1" and "2", "9" and "0", "9" and "1".
fn counts(one: char, next: char) -> bool {
    let is_next = u32::from(one) + 1 == u32::from(next) && one.is_alphanumeric() && next.is_alphanumeric();
    is_next || (one == '9' && matches!(next, '0' | '1'))
}

/// Folds a text: without case, and with plain letters for full-width letters and ligatures.
pub(super) fn fold(text: &str) -> String {
    without_case(text.nfkd()).nfc().collect()
}

/// Converts to upper case and back, because the upper case of "ß" is "SS", and "ς" and "σ" have the same upper case.
fn without_case(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R10: the binary search relies on this.
    #[test]
    fn the_list_is_sorted_and_folded_and_its_lines_have_bounded_lengths() {
        assert!(COMMON.ends_with('\n') && COMMON.lines().count() >= 3000);
        assert!(COMMON.lines().is_sorted_by(|one, next| one.as_bytes() < next.as_bytes()));
        assert!(COMMON.lines().all(|line| line == fold(line) && line.chars().count() >= HEAD));
        assert_eq!(COMMON.lines().map(str::len).max(), Some(MAX_LINE));
    }

    /// R10.
    #[test]
    fn exactly_the_common_passwords_that_a_text_begins_with_are_found() {
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

    /// R10.
    #[test]
    fn the_number_of_comparisons_does_not_grow_with_the_password() {
        let mut most = 0;
        for unit in ["a", "1", "ab", "12", "123456", "password", "blahblah", "п", "пїѕ", "\u{fdfa}", "😀", "!1"] {
            for padding in [0, 1, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 1000] {
                for padding in ["1", "a", "!", "п", "п1"].map(|character| character.repeat(padding)) {
                    let hostile = |length: usize| {
                        let stretched: String = unit.chars().cycle().take(length).collect();
                        Candidate::new(&format!("{padding}{stretched}xy"))
                    };
                    let (long, longer) = (hostile(2048), hostile(4096));
                    assert!(longer.starts(MAX_LINE).count() <= MAX_LINE + 2);
                    assert_eq!(long.common_words().count(), longer.common_words().count());
                    most = most.max(longer.common_words().count());
                }
            }
        }
        assert!((100..1000).contains(&most), "{most}");
    }

    #[test]
    fn a_sequence_wraps_after_9_and_does_not_continue_into_symbols() {
        assert!(counts('1', '2') && counts('9', '0') && counts('9', '1') && counts('y', 'z') && counts('а', 'б'));
        assert!(
            !counts('2', '1') && !counts('1', '3') && !counts('9', ':') && !counts('z', '{') && !counts('😀', '😁')
        );
    }
}
