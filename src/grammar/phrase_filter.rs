//! A quick look for phrases in a text: nearly every phrase has a letter that the text does not
//! have, so that few phrases are searched for.

/// Characters that a phrase may have where a text has none: the space between its words, and the
/// mark of a place.
const IGNORED: &str = " {}";

/// The number of places in a set of letters.
const PLACES: usize = 64;

/// Phrases by their rarest letter.
#[derive(Debug, Clone, Default)]
pub(super) struct PhraseFilter {
    /// The letters that are the rarest of a phrase.
    rarest: u64,
    /// The phrases of each such letter, with all their letters. Empty without phrases.
    by_letter: Vec<Vec<(u64, String)>>,
}

impl PhraseFilter {
    /// Creates a filter of these phrases.
    pub(super) fn new<'p>(phrases: impl IntoIterator<Item = &'p String>) -> Self {
        let phrases: Vec<&String> = phrases.into_iter().collect();
        let mut counts = [0; PLACES];
        for phrase in &phrases {
            let own = letters(phrase);
            (0..PLACES)
                .filter(|place| own & (1 << place) != 0)
                .for_each(|place| counts[place] += 1);
        }
        let mut filter = Self {
            rarest: 0,
            by_letter: vec![Vec::new(); PLACES],
        };
        for phrase in phrases {
            let own = letters(phrase);
            // A text has the ignored characters always, so a phrase of nothing else is found.
            let telling = own & !letters(IGNORED);
            let rarest = (0..PLACES)
                .filter(|place| telling & (1 << place) != 0)
                .min_by_key(|place| counts[*place])
                .unwrap_or(usize::from(b' '));
            filter.rarest |= 1 << rarest;
            filter.by_letter[rarest].push((own, phrase.clone()));
        }
        filter
    }

    /// Returns whether `fits` is true of one of the phrases of which the text has all letters.
    pub(super) fn any(&self, text: &str, fits: impl Fn(&str) -> bool) -> bool {
        let present = letters(text) | letters(IGNORED);
        let mut left = present & self.rarest;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            for (own, phrase) in &self.by_letter[place] {
                if own & !present == 0 && fits(phrase) {
                    return true;
                }
            }
        }
        false
    }

    /// Returns whether the text has the words of one of the phrases. Nearly all commands have not,
    /// and need no closer look.
    pub(super) fn has_words_of_one(&self, text: &str) -> bool {
        self.any(text, |phrase| {
            phrase.split(' ').all(|word| text.contains(word))
        })
    }

    /// Returns whether the text may begin or end with one of the phrases, whatever marks are
    /// around and between its words.
    pub(super) fn may_begin_or_end(&self, text: &str) -> bool {
        let unmarked = text.trim_matches(|c: char| !c.is_alphanumeric() && c != '\'');
        self.any(text, |phrase| {
            let (first, last) = match phrase.split_once(' ') {
                Some((first, rest)) => (first, rest.rsplit(' ').next().unwrap_or(rest)),
                None => (phrase, phrase),
            };
            unmarked.starts_with(first) || unmarked.ends_with(last)
        })
    }
}

/// Returns the set of letters of a text. Several rare letters share a place in it.
fn letters(text: &str) -> u64 {
    let mut letters = 0;
    for byte in text.as_bytes() {
        letters |= 1 << (byte % 64);
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_phrase_in_a_text_is_found(
            before in "\\PC{0,8}",
            phrase in "\\PC{1,12}",
            behind in "\\PC{0,8}",
        ) {
            let filter = PhraseFilter::new([&phrase]);
            let text = format!("{before}{phrase}{behind}");
            prop_assert!(filter.has_words_of_one(&text));
        }

        #[test]
        fn a_phrase_at_either_end_is_found(phrase in "[a-zß']{1,5}( [a-zé]{1,5}){0,2}", more in "\\PC{0,8}") {
            let filter = PhraseFilter::new([&phrase]);
            let (begins, ends) = (format!("¿{phrase}, {more}"), format!("{more}, {phrase}."));
            prop_assert!(filter.may_begin_or_end(&begins) && filter.may_begin_or_end(&ends));
        }
    }

    #[test]
    fn a_phrase_with_another_letter_is_no_candidate() {
        let phrases = [
            "undo that".to_owned(),
            "add {}".to_owned(),
            "turn".to_owned(),
        ];
        let filter = PhraseFilter::new(&phrases);
        let is_candidate = |phrase: &str| filter.any("trunaddle", |found| found == phrase);
        let candidates = phrases.each_ref().map(|phrase| is_candidate(phrase));
        assert_eq!(candidates, [false, true, true]);
        assert!(!filter.has_words_of_one("trunaddle"));
    }
}
