//! The words of a sentence, in which the files beside this one look for times: phrases of a list,
//! numbers and units at one word. It knows no expression of time.

use crate::grammar::lexicon::Lexicon;
use crate::grammar::number::{may_begin_number, number};
use crate::grammar::sense::Sense;
use crate::grammar::time_words::TimeWords;
use crate::grammar::tokens::phrase;

pub(in crate::grammar) struct TimeReader<'l, 'i> {
    pub(super) lexicon: &'l Lexicon,
    pub(in crate::grammar) words: &'l TimeWords,
    pub(in crate::grammar) input: &'i [&'i str],
}

impl<'l, 'i> TimeReader<'l, 'i> {
    /// Reads times in the words of a sentence.
    pub(in crate::grammar) fn new(lexicon: &'l Lexicon, input: &'i [&'i str]) -> Self {
        Self {
            lexicon,
            words: &lexicon.time,
            input,
        }
    }

    /// Returns the number of words of the first phrase of the list that stands at `at`.
    pub(in crate::grammar) fn phrase(&self, list: &[String], at: usize) -> Option<usize> {
        phrase(list, self.input.get(at..)?)
    }

    /// Returns the end of a phrase of the list at `at`, or `at` if there is none.
    pub(in crate::grammar) fn optional(&self, list: &[String], at: usize) -> usize {
        at + self.phrase(list, at).unwrap_or(0)
    }

    pub(super) fn number(&self, at: usize) -> Option<(f64, usize)> {
        let rest = self.input.get(at..)?;
        number(self.lexicon, rest).filter(|(value, _)| *value >= 0.0)
    }

    pub(super) fn whole(&self, at: usize, most: f64) -> Option<(u8, usize)> {
        let rest = self.input.get(at..)?;
        // "nueve y media" is an hour and its half, and no number.
        let (value, length) = self
            .number(at)
            .filter(|(value, _)| value.fract() == 0.0)
            .or_else(|| number(self.lexicon, rest.get(..1)?))?;
        let is_whole = value >= 0.0 && value.fract() == 0.0 && value <= most;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked"
        )]
        is_whole.then_some((value as u8, length))
    }

    /// Returns whether an expression may begin with the word at `at`: most words are none.
    pub(super) fn may_begin(&self, at: usize) -> bool {
        self.input
            .get(at)
            .is_some_and(|word| self.words.may_begin(word) || may_begin_number(self.lexicon, word))
    }

    pub(super) fn has_sense(&self, word: &str, is_it: impl Fn(Sense) -> bool) -> bool {
        let input = [word];
        self.lexicon.senses(&input).any(|(_, sense)| is_it(sense))
    }

    pub(super) fn is_unit(&self, at: usize) -> bool {
        let Some(rest) = self.input.get(at..) else {
            return false;
        };
        let mut senses = self.lexicon.senses(rest);
        let is_unit = senses.any(|(_, s)| matches!(s, Sense::Unit(_)));
        is_unit || rest.first() == Some(&"%") || self.unit(at).is_some()
    }

    /// Returns whether a unit of something else than time of the clock stands at `at`.
    pub(super) fn is_unit_but_o_clock(&self, at: usize) -> bool {
        self.phrase(&self.words.o_clock, at).is_none() && self.is_unit(at)
    }
}
