//! A table from runs of words to what they stand for, found by their first word.

use std::collections::{HashMap, HashSet};

use crate::grammar::sense::Sense;

/// Runs of words and their senses. A run may have several.
#[derive(Debug, Default)]
pub(super) struct PhraseIndex {
    by_first: HashMap<Box<str>, Vec<IndexEntry>>,
    /// Every word of every run.
    pub(super) known: HashSet<Box<str>>,
}

#[derive(Debug)]
struct IndexEntry {
    rest: Box<[Box<str>]>,
    sense: Sense,
}

impl PhraseIndex {
    /// Adds a sense of text, cut into words. No words are no run.
    pub(super) fn add(&mut self, sense: Sense, spoken: &str) {
        self.add_words(sense, &crate::grammar::tokens::words(spoken));
    }

    /// Adds a sense of a run of words.
    pub(super) fn add_words(&mut self, sense: Sense, words: &[&str]) {
        let Some((first, rest)) = words.split_first() else {
            return;
        };
        for word in words {
            self.knows(word);
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

    /// Makes a word known that is in no run.
    pub(super) fn knows(&mut self, word: &str) {
        if !self.known.contains(word) {
            self.known.insert(word.into());
        }
    }

    /// What the words from the first of `said` on can stand for, with how many words each takes.
    pub(super) fn senses<'a>(
        &'a self,
        said: &'a [&str],
    ) -> impl Iterator<Item = (usize, Sense)> + 'a {
        let entries = said
            .first()
            .and_then(|first| self.by_first.get(*first))
            .map_or(&[][..], Vec::as_slice);
        entries
            .iter()
            .filter(|e| starts(&said[1..], &e.rest))
            .map(|e| (1 + e.rest.len(), e.sense))
    }
}

fn starts(said: &[&str], run: &[Box<str>]) -> bool {
    said.len() >= run.len() && said.iter().zip(run).all(|(a, b)| **a == **b)
}
