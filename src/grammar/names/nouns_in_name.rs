//! The nouns in a name: a "window blind" is a blind, and a "stehlampe" is a lamp.
//!
//! In: the words of a name. Out: the nouns in it, one bit each, or the one at its end.

use crate::grammar::lexicon::Noun;
use crate::grammar::names::MOST_NOUNS;
use crate::grammar::names::builder::Builder;
use crate::grammar::sense::Sense;

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
        if last < run.len() && self.lexicon.spelling.compounds() {
            bits | self.nouns_grown_to(run[run.len() - 1])
        } else {
            bits
        }
    }

    /// Returns the nouns a compound ends with: a "stehlampe" is a lamp.
    fn nouns_grown_to(&self, word: &str) -> u128 {
        let ends = |noun: &Noun| {
            noun.one
                .iter()
                .chain(&noun.many)
                .any(|form| form.len() > 3 && word.ends_with(form.as_str()))
        };
        self.names
            .nouns
            .iter()
            .enumerate()
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
