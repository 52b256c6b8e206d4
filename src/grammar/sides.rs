//! Words for the side on which a thing is, in all forms of a language: "left", "linker", "droite".
//!
//! Data only: it knows neither the home nor its names.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::grammar::spelling::Spelling;

/// A side of a room or of another thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SideWord {
    Left,
    Right,
    Front,
    Back,
}

/// The words for each side.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Sides(BTreeMap<SideWord, Vec<String>>);

impl Sides {
    /// Returns the words in the normalized spelling.
    pub(super) fn normalized(mut self, spelling: &Spelling) -> Self {
        for word in self.0.values_mut().flatten() {
            *word = spelling.plain(word).into_owned();
        }
        self
    }

    /// Returns the side the word means.
    pub(super) fn of(&self, word: &str) -> Option<SideWord> {
        let mut sides = self.0.iter();
        let found = sides.find(|(_, forms)| forms.iter().any(|form| form == word))?;
        Some(*found.0)
    }

    /// Returns all words for a side.
    pub(super) fn forms(&self, side: SideWord) -> &[String] {
        self.0.get(&side).map_or(&[], Vec::as_slice)
    }
}
