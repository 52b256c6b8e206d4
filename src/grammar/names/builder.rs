//! Builds the names of a home: what is known while they are built, and the order of the steps.
//!
//! In: the home and the lexicon of a language. Out: [`Names`]. Each step has a file of its own.

use std::collections::HashMap;

use crate::command::phrase::Phrase;
use crate::grammar::lexicon::{Lexicon, Noun};
use crate::grammar::names::{MOST_NOUNS, Names};
use crate::grammar::phrase_index::PhraseIndex;
use crate::grammar::sense::Sense;
use crate::grammar::tokens::words;
use crate::home::Home;
use crate::vocabulary::Property;

impl Names {
    /// Builds the names of `home` with the nouns of `lexicon`.
    pub(in crate::grammar) fn of(home: &Home, lexicon: &Lexicon) -> Self {
        let names = Self {
            runs: PhraseIndex::default(),
            entries: Vec::new(),
            properties: Property::standard().collect(),
            units: lexicon.units.clone(),
            nouns: lexicon.nouns.iter().take(MOST_NOUNS).cloned().collect(),
            options: Vec::new(),
            floors: Vec::new(),
            fronts: Vec::new(),
            alternatives: Vec::new(),
            referents: Vec::new(),
            telling: Vec::new(),
            meant: Vec::new(),
        };
        let mut builder = Builder {
            names,
            lexicon,
            ids: HashMap::new(),
            front_ids: HashMap::new(),
            places: Vec::new(),
            fronts: HashMap::new(),
            full_names: HashMap::new(),
        };
        builder.areas(home);
        builder.parts_of_areas(home);
        builder.spoken_places(home);
        builder.shared_words();
        builder.kinds(home);
        builder.fronts(home);
        builder.full_names(home);
        for (i, device) in home.devices().iter().enumerate() {
            builder.device(i, device, home);
        }
        builder.complete_fronts(home);
        builder.places_in_names();
        builder.finish()
    }
}

pub(super) struct Builder<'a> {
    pub(super) names: Names,
    pub(super) lexicon: &'a Lexicon,
    /// Index in `Names::entries` of each phrase.
    pub(super) ids: HashMap<String, u32>,
    /// Index in `Names::fronts` of each front.
    pub(super) front_ids: HashMap<Vec<String>, u16>,
    /// Words of the names of each area.
    pub(super) places: Vec<Vec<Vec<String>>>,
    /// Devices of one kind by the words before the last one of their names: "bedside" for "bedside
    /// left" and "bedside right".
    pub(super) fronts: HashMap<Vec<String>, Vec<usize>>,
    /// The first device with each full name.
    pub(super) full_names: HashMap<String, usize>,
}

impl Builder<'_> {
    /// Returns the words of a name without a leading article.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let canonical = Phrase::new(name, None, None);
        let plain = self.lexicon.spelling.plain(canonical.text());
        let mut all = words(&plain);
        while all.len() > 1
            && self
                .lexicon
                .senses(&all[..1])
                .any(|(_, sense)| sense.is_article())
        {
            all.remove(0);
        }
        all.into_iter().map(str::to_owned).collect()
    }

    /// Returns the words of a device's name, with compounds split as in sentences.
    pub(super) fn name(&self, name: &str) -> Vec<String> {
        let known = |word: &str| self.lexicon.knows(word) || self.names.knows(word);
        let apart = |word: String| match self.names.compound(&word, self.lexicon) {
            Some(parts) if !known(&word) => parts.map(str::to_owned).to_vec(),
            _ => vec![word],
        };
        self.words(name).into_iter().flat_map(apart).collect()
    }

    pub(super) fn add(&mut self, sense: Sense, run: &[String]) {
        let run: Vec<&str> = run.iter().map(String::as_str).collect();
        self.names.runs.add_words(sense, &run);
    }

    fn finish(mut self) -> Names {
        self.namesakes();
        let mut names = self.names;
        let nouns = names
            .nouns
            .iter()
            .flat_map(|noun| noun.one.iter().chain(&noun.many))
            .flat_map(|form| words(form))
            .map(str::to_owned);
        let mut meant: Vec<String> = nouns
            .chain(names.runs.known.iter().map(ToString::to_string))
            .filter(|word| word.chars().count() >= 5)
            // "Rechner" is no mistyped "rechter".
            .filter(|word| self.lexicon.sides.of(word).is_none())
            .collect();
        meant.sort_unstable();
        meant.dedup();
        names.meant = meant;
        names.telling = names
            .nouns
            .iter()
            .map(|noun| telling(noun, &names.nouns))
            .collect();
        names
    }
}

/// Returns the nouns that distinguish devices of the kinds of a noun, one bit each.
pub(super) fn telling(noun: &Noun, nouns: &[Noun]) -> u128 {
    let kinds = &noun.kinds;
    let tells = |other: &Noun| {
        other.named.iter().any(|kind| kinds.contains(kind))
            || (!other.classes.is_empty() && other.kinds.iter().any(|kind| kinds.contains(kind)))
    };
    let telling = nouns.iter().enumerate().filter(|(_, other)| tells(other));
    telling.fold(0, |bits, (i, _)| bits | 1 << i)
}
