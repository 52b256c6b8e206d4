//! The names of one home, in one language: every name of a device or area, and the shorter forms
//! people use.
//!
//! In: words of a sentence. Out: the devices, places, properties, units and options they may name,
//! as indexes. Which of several devices is meant is decided in `resolve`. The names are built once
//! for each revision of the home, in `builder` and the files beside it.

mod alternatives;
mod area_names;
mod builder;
mod capability_names;
mod device_names;
mod fronts;
mod hidden_commands;
mod name_forms;
mod nouns_in_name;
mod places_in_name;
mod sides;
mod spoken_variants;

use crate::grammar::lexicon::{Lexicon, Noun};
use crate::grammar::phrase_index::PhraseIndex;
use crate::grammar::sense::{Place, Sense};
use crate::vocabulary::Property;

/// Most nouns a language and a home may have together: one bit each in [`Referent::nouns`].
const MOST_NOUNS: usize = 128;

/// The names of one home, in one language.
#[derive(Debug)]
pub(super) struct Names {
    runs: PhraseIndex,
    /// Named devices, by the index in [`Sense::Name`].
    pub(super) entries: Vec<Name>,
    /// Properties of the vocabulary, then those of the home, by the index in [`Sense::Property`].
    pub(super) properties: Vec<Property>,
    /// Units of the language, then those of the home, by the index in [`Sense::Unit`].
    pub(super) units: Vec<String>,
    /// Nouns of the language, then kinds of the home, by the index in [`Sense::Noun`].
    pub(super) nouns: Vec<Noun>,
    /// Options of the devices in their own spelling, by the index in [`Sense::OptionName`].
    pub(super) options: Vec<String>,
    /// Floors, by the index in [`Place::Floor`].
    pub(super) floors: Vec<String>,
    /// Devices without an area, by the words before the noun of their name, which serve as a place:
    /// "the lights in the scullery" for "Scullery light". The index is that in [`Place::Front`].
    pub(super) fronts: Vec<Vec<u32>>,
    /// Areas that share a word, by the index in [`Place::OneOf`].
    pub(super) alternatives: Vec<Vec<u16>>,
    /// Place and nouns of each device, by its index in the home.
    pub(super) referents: Vec<Referent>,
    /// For each noun the nouns that distinguish devices of the same kind, one bit each: "curtain"
    /// of a cover.
    pub(super) telling: Vec<u128>,
    /// Words of five letters or more that a mistyped word may be corrected to.
    meant: Vec<String>,
}

/// The devices one phrase may name.
#[derive(Debug, Default)]
pub(super) struct Name {
    /// Indexes of the devices, and whether the phrase is the whole name.
    pub(super) devices: Vec<(u32, bool)>,
    /// Whether the phrase is a plural and means all of them: "bedside lamps".
    pub(super) many: bool,
    /// Whether the phrase is the word for a side alone: "left".
    pub(super) is_side: bool,
    /// Areas that have the phrase in their names as well: "anna" of "Anna's room".
    pub(super) areas: Vec<u16>,
    /// The place in the phrase: "kitchen light", "luz de la cocina".
    pub(super) place: Option<Place>,
    /// The noun that is all of the phrase beside the place.
    pub(super) noun: Option<u16>,
}

/// The place of a device and the nouns in its name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Referent {
    pub(super) area: Option<u16>,
    pub(super) floor: Option<u16>,
    /// One bit for each noun in the name.
    pub(super) nouns: u128,
}

impl Referent {
    /// Returns the indexes of the nouns in the name.
    pub(super) fn noun_indexes(&self) -> impl Iterator<Item = u16> + use<> {
        let mut rest = self.nouns;
        std::iter::from_fn(move || {
            let lowest = u16::try_from(rest.trailing_zeros())
                .ok()
                .filter(|_| rest != 0)?;
            // Clears the bit of that noun.
            rest &= rest - 1;
            Some(lowest)
        })
    }
}

impl Names {
    /// Returns whether the noun is for fans.
    pub(super) fn is_fan(&self, noun: u16) -> bool {
        let kinds = &self.nouns[usize::from(noun)].kinds;
        kinds.iter().any(|kind| kind == "fan")
    }

    /// Returns the senses of names at the start of `input`, each with its number of words.
    pub(super) fn senses<'a>(
        &'a self,
        input: &'a [&str],
    ) -> impl Iterator<Item = (usize, Sense)> + 'a {
        self.runs.senses(input)
    }

    /// Returns the area and the thing in a compound such as "küchenlicht".
    pub(super) fn compound<'w>(&self, word: &'w str, lexicon: &Lexicon) -> Option<[&'w str; 2]> {
        let is_place = |part: &str| {
            self.runs
                .senses(&[part])
                .any(|(length, sense)| length == 1 && matches!(sense, Sense::Place(_)))
        };
        let is_thing = |part: &str| {
            let input = [part];
            let mut senses = self.runs.senses(&input).chain(lexicon.senses(&input));
            senses.any(|(length, sense)| {
                length == 1
                    && matches!(
                        sense,
                        Sense::Noun(..) | Sense::Property(_) | Sense::Name(..)
                    )
            })
        };
        lexicon.spelling.parts(word, is_place, is_thing)
    }

    /// Returns whether the word occurs in any name.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.runs.known.contains(word)
    }

    /// Returns whether the name is that of a device and not a part of it.
    pub(super) fn is_whole(&self, name: u32) -> bool {
        let called = &self.entries[name as usize].devices;
        called.iter().any(|(_, whole)| *whole)
    }

    /// Returns whether the words are exactly a name.
    pub(super) fn is_name(&self, run: &[&str]) -> bool {
        self.runs
            .senses(run)
            .any(|(length, sense)| length == run.len() && matches!(sense, Sense::Name(..)))
    }

    /// Returns the word and, if it is the plural of a noun, its singular.
    pub(super) fn forms_of<'w>(&'w self, word: &'w str, lexicon: &Lexicon) -> [Option<&'w str>; 2] {
        let many = lexicon.senses(&[word]).find_map(|(_, sense)| {
            if let Sense::Noun(noun, true) = sense {
                Some(noun)
            } else {
                None
            }
        });
        [
            Some(word),
            many.and_then(|noun| self.nouns[usize::from(noun)].one.first())
                .map(String::as_str),
        ]
    }

    /// Returns the only known word within one edit of `input`. A word that is nothing but an option
    /// is one only where an option is expected: "quién" is no mistyped "quiet".
    pub(super) fn correction_of(
        &self,
        input: &str,
        expects_option: bool,
        lexicon: &Lexicon,
    ) -> Option<&str> {
        let mut near = self.meant.iter().filter(|word| {
            crate::grammar::tokens::is_one_edit(input, word)
                && (expects_option || !self.is_only_an_option(word, lexicon))
        });
        let first = near.next()?;
        near.next().is_none().then_some(first)
    }

    fn is_only_an_option(&self, word: &str, lexicon: &Lexicon) -> bool {
        let input = [word];
        // The first part of a verb in two parts means nothing alone.
        let is_option = |(_, sense): (usize, Sense)| {
            matches!(sense, Sense::OptionName(_) | Sense::SplitVerb(..))
        };
        let is_known = self.senses(&input).next().is_some();
        is_known
            && self
                .senses(&input)
                .chain(lexicon.senses(&input))
                .all(is_option)
    }

    /// Returns whether the device is at `place`; `here` is the area of the command.
    pub(super) fn is_at(&self, device: u32, place: Place, here: Option<u16>) -> bool {
        let thing = self.referents[device as usize];
        match place {
            Place::Area(area) => thing.area == Some(area),
            Place::Floor(floor) => thing.floor == Some(floor),
            Place::Front(front) => self.fronts[usize::from(front)].contains(&device),
            Place::Here => here.is_some() && thing.area == here,
            Place::House => true,
            // Which of the areas is meant is decided before a device is looked for.
            Place::There | Place::OneOf(_) => false,
        }
    }
}

/// Returns whether the language files contain the words of the property, so that its options are no
/// names.
pub(super) fn is_fixed(property: &Property) -> bool {
    matches!(
        property,
        Property::Power
            | Property::Lock
            | Property::Mute
            | Property::Playback
            | Property::Vacuum
            | Property::Mower
            | Property::Scene
            | Property::Script
    )
}
