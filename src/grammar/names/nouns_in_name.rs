//! The nouns in a name: a "window blind" is a blind, and a "stehlampe" is a lamp.
//!
//! In: the words of a name. Out: the nouns in it, one bit each, or the one at its end.

use crate::grammar::lexicon::Noun;
use crate::grammar::names::MOST_NOUNS;
use crate::grammar::names::builder::Builder;
use crate::grammar::sense::Sense;

/// Longest noun, in letters, that many other words end with: "tor" of "ventilator".
const LONGEST_SHORT: usize = 3;

impl Builder<'_> {
    /// Returns the last nouns of a name: a "window blind" is a blind. In some languages, the first.
    pub(super) fn nouns_in(&self, run: &[String]) -> u128 {
        let run: Vec<&str> = run.iter().map(String::as_str).collect();
        let head_first = self.lexicon.grammar.head_first;
        let (mut bits, mut last, mut first) = (0, 0, None);
        for at in 0..run.len() {
            for (length, sense) in self
                .lexicon
                .senses(&run[at..])
                .chain(self.names.runs.senses(&run[at..]))
            {
                let Sense::Noun(noun, _) = sense else {
                    continue;
                };
                if head_first && first.is_some_and(|first| first < at) {
                    continue;
                }
                if at + length > last {
                    (bits, last, first) = (0, at + length, Some(at));
                }
                if at + length == last && usize::from(noun) < MOST_NOUNS {
                    bits |= 1 << noun;
                }
            }
        }
        let Some(word) = run.last().filter(|_| self.lexicon.spelling.compounds()) else {
            return bits;
        };
        if last < run.len() {
            bits | self.nouns_grown_to(word)
        } else {
            bits | self.nouns_joined_to(word)
        }
    }

    /// Returns the nouns a compound ends with: a "stehlampe" is a lamp.
    fn nouns_grown_to(&self, word: &str) -> u128 {
        let ends = |noun: &Noun| {
            noun.one
                .iter()
                .chain(&noun.many)
                .any(|form| form.len() > LONGEST_SHORT && word.ends_with(form.as_str()))
        };
        self.names
            .nouns
            .iter()
            .enumerate()
            .filter(|(_, noun)| ends(noun))
            .fold(0, |bits, (i, _)| bits | 1 << i)
    }

    /// Returns the short nouns that a compound ends with, where its beginning is a word as well: a
    /// "garagentor" is a "tor", and a "ventilator" is none.
    fn nouns_joined_to(&self, word: &str) -> u128 {
        let is_word = |part: &str| self.lexicon.knows(part) || self.names.knows(part);
        let ends = |noun: &Noun| {
            let mut forms = noun.one.iter().chain(&noun.many);
            forms.any(|form| {
                let parts = || {
                    self.lexicon
                        .spelling
                        .parts(word, is_word, |end| end == form)
                };
                let is_short = form.len() <= LONGEST_SHORT && form.len() < word.len();
                is_short && word.ends_with(form.as_str()) && parts().is_some()
            })
        };
        let nouns = self.names.nouns.iter().enumerate();
        nouns
            .filter(|(_, noun)| ends(noun))
            .fold(0, |bits, (i, _)| bits | 1 << i)
    }

    pub(super) fn noun_at_end(&self, run: &[String]) -> Option<(u16, bool)> {
        let last = [run.last()?.as_str()];
        self.lexicon.senses(&last).find_map(|(_, sense)| {
            if let Sense::Noun(noun, many) = sense {
                Some((noun, many))
            } else {
                None
            }
        })
    }
}
