//! An index of phrases with their senses, keyed by the first word.

use foldhash::{HashMap, HashSet};

use crate::grammar::sense::Sense;

/// Phrases and their senses. A phrase may have several.
#[derive(Debug, Default)]
pub(super) struct PhraseIndex {
    by_first: HashMap<Box<str>, Vec<IndexEntry>>,
    /// All words that occur in a phrase.
    pub(super) known: HashSet<Box<str>>,
}

#[derive(Debug)]
struct IndexEntry {
    rest: Box<[Box<str>]>,
    sense: Sense,
}

impl PhraseIndex {
    /// Adds a sense for the words of `spoken`. Text without words is ignored.
    pub(super) fn add(&mut self, sense: Sense, spoken: &str) {
        self.add_words(sense, &crate::grammar::tokens::words(spoken));
    }

    /// Adds a sense for a sequence of words.
    pub(super) fn add_words(&mut self, sense: Sense, words: &[&str]) {
        let Some((first, rest)) = words.split_first() else {
            return;
        };
        for word in words {
            self.add_known(word);
        }
        let entries = self.by_first.entry((*first).into()).or_default();
        if !entries
            .iter()
            .any(|e| e.sense == sense && e.rest.iter().map(|w| &**w).eq(rest.iter().copied()))
        {
            entries.push(IndexEntry {
                rest: rest.iter().map(|w| Box::from(*w)).collect(),
                sense,
            });
        }
    }

    /// Adds a word to the known words without a phrase.
    pub(super) fn add_known(&mut self, word: &str) {
        if !self.known.contains(word) {
            self.known.insert(word.into());
        }
    }

    /// Returns the senses of phrases at the start of `input`, each with its number of words.
    pub(super) fn senses<'a>(
        &'a self,
        input: &'a [&str],
    ) -> impl Iterator<Item = (usize, Sense)> + 'a {
        let entries = input
            .first()
            .and_then(|first| self.by_first.get(*first))
            .map_or(&[][..], Vec::as_slice);
        entries
            .iter()
            .filter(|e| starts(&input[1..], &e.rest))
            .map(|e| (1 + e.rest.len(), e.sense))
    }
}

fn starts(input: &[&str], run: &[Box<str>]) -> bool {
    input.len() >= run.len() && input.iter().zip(run).all(|(a, b)| **a == **b)
}
