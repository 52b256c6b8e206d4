//! The place in a name: the kitchen of "kitchen light" and of "luz de la cocina".
//!
//! In: the phrases that name devices, and the places of the home. Out: the place in each phrase,
//! and the noun where there is nothing else in it.

use crate::grammar::names::builder::Builder;
use crate::grammar::sense::{Place, Sense};

impl Builder<'_> {
    /// Notes the place in each name of the home, which says where other devices are as well: "the
    /// bedroom fan and the lamp".
    pub(super) fn places_in_names(&mut self) {
        let found: Vec<_> = self
            .ids
            .iter()
            .filter_map(|(phrase, &id)| {
                let words: Vec<&str> = phrase.split(' ').collect();
                self.place_in(&words).map(|found| (id, found))
            })
            .collect();
        for (id, (place, noun)) in found {
            let called = &self.names.entries[id as usize].devices;
            if called
                .iter()
                .all(|(d, _)| self.names.is_at(*d, place, None))
            {
                let entry = &mut self.names.entries[id as usize];
                (entry.place, entry.noun) = (Some(place), noun);
            }
        }
    }

    /// Returns the place at the start of a name, or at its end where nouns come first, and the noun
    /// that is the rest of it.
    fn place_in(&self, words: &[&str]) -> Option<(Place, Option<u16>)> {
        let at_end = self.lexicon.grammar.head_first;
        (1..words.len()).rev().find_map(|length| {
            let (place, rest) = if at_end {
                let (rest, place) = words.split_at(words.len() - length);
                (place, rest)
            } else {
                words.split_at(length)
            };
            let mut senses = self.names.senses(place);
            let place = senses.find_map(|(words, sense)| match sense {
                Sense::Place(place) if words == length => Some(place),
                _ => None,
            })?;
            Some((place, self.only_noun(rest)))
        })
    }

    /// Returns the noun that the words are, apart from words that link it to a place.
    fn only_noun(&self, words: &[&str]) -> Option<u16> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let words = self.unlinked(&words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut senses = self.lexicon.senses(&words);
        senses.find_map(|(length, sense)| match sense {
            Sense::Noun(noun, _) if length == words.len() => Some(noun),
            _ => None,
        })
    }

    /// Removes the articles and prepositions at the end: "luz de la" becomes "luz".
    fn unlinked(&self, words: &[String]) -> Vec<String> {
        let is_link = |word: &String| {
            let word = [word.as_str()];
            let mut senses = self.lexicon.senses(&word);
            senses.any(|(_, sense)| sense.is_article() || sense == Sense::In)
        };
        let last = words.iter().rposition(|word| !is_link(word));
        self.unjoined(&words[..last.map_or(0, |last| last + 1)])
    }
}
