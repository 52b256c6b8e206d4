//! A quick look for phrases in a text: nearly every phrase has a letter that the text does not
//! have, so that few phrases are searched for.

/// Characters that a phrase may have where a text has none: the space between its words, and the
/// mark of a place.
const IGNORED: &str = " {}";

/// Phrases with their letters.
#[derive(Debug, Clone, Default)]
pub(super) struct PhraseFilter(Vec<(u64, String)>);

impl PhraseFilter {
    /// Creates a filter of these phrases.
    pub(super) fn new<'p>(phrases: impl IntoIterator<Item = &'p String>) -> Self {
        let phrases = phrases.into_iter();
        Self(phrases.map(|text| (letters(text), text.clone())).collect())
    }

    /// Returns the phrases of which the text has all letters.
    pub(super) fn candidates(&self, text: &str) -> impl Iterator<Item = &str> {
        let missing = !(letters(text) | letters(IGNORED));
        let candidates = self.0.iter().filter(move |(own, _)| own & missing == 0);
        candidates.map(|(_, phrase)| phrase.as_str())
    }

    /// Returns whether the text has the words of one of the phrases. Nearly all commands have not,
    /// and need no closer look.
    pub(super) fn has_words_of_one(&self, text: &str) -> bool {
        let has_all = |phrase: &str| phrase.split(' ').all(|word| text.contains(word));
        self.candidates(text).any(has_all)
    }
}

/// Returns the set of letters of a text. Several rare letters share a place in it.
fn letters(text: &str) -> u64 {
    let bits = text.bytes().map(|byte| 1 << (byte % 64));
    bits.fold(0, |letters: u64, bit: u64| letters | bit)
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
    }

    #[test]
    fn a_phrase_with_another_letter_is_no_candidate() {
        let phrases = [
            "undo that".to_owned(),
            "add {}".to_owned(),
            "turn".to_owned(),
        ];
        let filter = PhraseFilter::new(&phrases);
        let candidates: Vec<&str> = filter.candidates("trunaddle").collect();
        assert_eq!(candidates, ["add {}", "turn"]);
        assert!(!filter.has_words_of_one("trunaddle"));
    }
}
