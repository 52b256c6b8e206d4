//! Canonical text → words. Names, language files and sentences are split by the same rules.

/// Splits canonical text into words: slices of it, in order.
///
/// Letters and digits are words of their own (`hdmi1` → `hdmi`, `1`), and so are `'s`, `%`, `°` and
/// punctuation. White space, quotes, brackets, `_` and a hyphen after a letter are separators.
pub(super) fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::with_capacity(12);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '(' | ')' | '[' | ']' | '_' | '¿' | '¡' | '\'' if !rest.starts_with("'s") => 0,
            c if c.is_whitespace() => 0,
            '#' => 1 + run(&rest[1..], |c| c.is_ascii_hexdigit()),
            '\'' => possessive(rest),
            '-' => negative(
                rest,
                found.is_empty() || text[..text.len() - rest.len()].ends_with(' '),
            ),
            c if c.is_ascii_digit() => number(rest),
            c if c.is_alphabetic() => word(rest),
            c => c.len_utf8(),
        };
        if length == 0 {
            rest = &rest[first.len_utf8()..];
        } else {
            found.push(&rest[..length]);
            rest = &rest[length..];
        }
    }
    found
}

/// Returns whether the word, a slice of the text, follows a hyphen.
pub(super) fn is_hyphenated(text: &str, word: &str) -> bool {
    let begin = word.as_ptr().addr().checked_sub(text.as_ptr().addr());
    let before = begin.and_then(|begin| text.get(..begin));
    before.is_some_and(|before| before.ends_with('-'))
}

/// Returns the number of words of the first phrase of the list that the words begin with.
pub(super) fn phrase(list: &[String], input: &[&str]) -> Option<usize> {
    let first = *input.first()?;
    // Most phrases begin with another word, and are not split.
    let mut begun = list.iter().filter(|phrase| phrase.starts_with(first));
    begun
        .find(|phrase| {
            let mut words = phrase.split(' ').enumerate();
            words.all(|(i, word)| input.get(i) == Some(&word))
        })
        .map(|phrase| phrase.split(' ').count())
}

/// Returns whether a phrase of the list is anywhere among the words.
pub(super) fn has_phrase(list: &[String], input: &[&str]) -> bool {
    (0..input.len()).any(|at| phrase(list, &input[at..]).is_some())
}

/// Removes the punctuation at the end of a sentence that is no question.
pub(super) fn remove_end_marks(input: &mut Vec<&str>) {
    while matches!(input.last(), Some(&("." | "!" | ","))) {
        input.pop();
    }
}

fn run(text: &str, within: impl Fn(char) -> bool) -> usize {
    text.find(|c| !within(c)).unwrap_or(text.len())
}

/// Returns the length of `'s` at the end of a word; any other apostrophe outside a word separates.
fn possessive(text: &str) -> usize {
    if text[2..].starts_with(char::is_alphanumeric) {
        0
    } else {
        2
    }
}

/// Returns the length of a negative number at the start of a word; elsewhere a hyphen separates.
fn negative(text: &str, at_start: bool) -> usize {
    if at_start && text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        1 + number(&text[1..])
    } else {
        0
    }
}

/// Returns the length of digits with `.`, `,`, `:`, `-` or `/` between them. Such a word (`7:30`)
/// is not a plain number, so it is not understood.
fn number(text: &str) -> usize {
    let mut length = run(text, |c| c.is_ascii_digit());
    loop {
        let mut following = text[length..].chars();
        let joined = matches!(following.next(), Some('.' | ',' | ':' | '-' | '/'))
            && following.next().is_some_and(|c| c.is_ascii_digit());
        if !joined {
            return length;
        }
        length += 1 + run(&text[length + 1..], |c| c.is_ascii_digit());
    }
}

/// Returns the length of letters with an apostrophe (`don't`) or a slash (`l/min`) between them.
fn word(text: &str) -> usize {
    let mut length = 0;
    loop {
        length += run(&text[length..], |c| c.is_alphabetic() || is_mark(c));
        let rest = &text[length..];
        let mut following = rest.chars();
        let joined = matches!(following.next(), Some('\'' | '/'))
            && following.next().is_some_and(char::is_alphabetic);
        let possessive = rest.starts_with("'s") && !rest[2..].starts_with(char::is_alphanumeric);
        if !joined || possessive {
            return length;
        }
        length += 1;
    }
}

/// Returns whether `c` is a combining mark: lower-casing a dotted capital I produces one.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Returns whether one edit turns `input` into `word`: an insertion, deletion, substitution or
/// transposition (Damerau–Levenshtein distance 1). The first letter must be right, as it is in
/// nearly all typos.
pub(super) fn is_one_edit(input: &str, meant: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (input.chars().collect(), meant.chars().collect());
    if a.first() != b.first() || a.len().abs_diff(b.len()) > 1 || a == b {
        return false;
    }
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[same..], &b[same..]);
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Less => *a == b[1..],
        std::cmp::Ordering::Greater => a[1..] == *b,
        std::cmp::Ordering::Equal => {
            a[1..] == b[1..] || (a.len() > 1 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..])
        }
    }
}

/// Returns the number of edits between two texts (Levenshtein distance).
pub(super) fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_split_into_words() {
        for (text, cut) in [
            ("turn on the tv-lamp", "turn|on|the|tv|lamp"),
            ("what's the kitchen's light", "what|'s|the|kitchen|'s|light"),
            ("don't", "don't"),
            ("40% at 21.5°c, 4000k", "40|%|at|21.5|°|c|,|4000|k"),
            ("#ff8800 hdmi1 l/min", "#ff8800|hdmi|1|l/min"),
            ("-5 at 7:30, 10-20?", "-5|at|7:30|,|10-20|?"),
            ("the \"big\" lamp (left) room_2", "the|big|lamp|left|room|2"),
        ] {
            assert_eq!(words(text).join("|"), cut);
        }
    }

    #[test]
    fn one_edit_after_the_first_letter_is_a_typo() {
        for input in ["kitchn", "kithcen", "kitchenn", "kitxhen"] {
            assert!(is_one_edit(input, "kitchen"), "{input}");
        }
        for input in ["kitchen", "ditchen", "ktchn", "chicken"] {
            assert!(!is_one_edit(input, "kitchen"), "{input}");
        }
    }

    proptest! {
        #[test]
        fn every_letter_and_digit_is_in_some_word(text in "\\PC{0,40}") {
            let count = |t: &str| t.chars().filter(|c| c.is_alphanumeric()).count();
            prop_assert_eq!(words(&text).iter().map(|w| count(w)).sum::<usize>(), count(&text));
        }
    }
}
