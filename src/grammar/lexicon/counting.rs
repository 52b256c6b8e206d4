//! Words that compose numbers: "hundred", "and a half".

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::grammar::spelling::Spelling;
use crate::grammar::tokens::words;

/// Composition of numbers from words.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::grammar) struct Counting {
    /// Words that multiply the number before them: "hundred".
    pub(in crate::grammar) times: BTreeMap<String, f64>,
    /// Words for one before a multiplier: "a hundred".
    pub(in crate::grammar) one: Vec<String>,
    /// Words between hundreds and the rest: "and".
    pub(in crate::grammar) joins: Vec<String>,
    pub(in crate::grammar) point: Vec<String>,
    pub(in crate::grammar) half: Vec<String>,
    pub(in crate::grammar) minus: Vec<String>,
    /// Decimal separator in addition to the point.
    pub(in crate::grammar) decimal: Option<char>,
}

impl Counting {
    /// Returns the words in the normalized spelling.
    pub(super) fn normalized(mut self, spelling: &Spelling) -> Self {
        let lists = [
            &mut self.one,
            &mut self.joins,
            &mut self.point,
            &mut self.minus,
        ];
        for text in lists.into_iter().flatten() {
            *text = spelling.plain(text).into_owned();
        }
        for text in &mut self.half {
            *text = words(&spelling.plain(text)).join(" ");
        }
        let times = self.times.into_iter();
        self.times = times
            .map(|(word, times)| (spelling.plain(&word).into_owned(), times))
            .collect();
        self
    }
}
