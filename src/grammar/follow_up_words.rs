//! The words of a language that refer to an earlier command.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::grammar::phrase_filter::PhraseFilter;
use crate::grammar::tokens::words;

/// A sentence of fixed form about an earlier command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUp {
    /// "undo that": restores the state before the last command.
    Undo,
    /// "do it again": repeats the last command.
    Again,
    /// "a bit more".
    More,
    /// "a bit less".
    Less,
    /// The question for the last command.
    Last,
    /// "why?": asks for the origin of the last result.
    Why,
    /// "that was wrong".
    Wrong,
}

/// Words and phrases of a language that refer to an earlier command.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FollowUpWords {
    /// More words for the last device, in addition to those of `[words]`.
    pub(super) it: Vec<String>,
    /// More words for the last device, in addition to those of `[words]`.
    pub(super) them: Vec<String>,
    /// Pronouns that are attached to a verb, or stand behind one at the end: "éteins-le".
    pub(super) clitics: Vec<String>,
    /// The same for several devices: "éteins-les".
    pub(super) clitics_many: Vec<String>,
    /// Words for the other one of two devices.
    pub(super) other: Vec<String>,
    /// Words for the area of the last device.
    pub(super) there: Vec<String>,
    /// Phrases before more devices for the last command: "and".
    pub(super) also: Vec<String>,
    /// Phrases behind them: "too".
    pub(super) also_after: Vec<String>,
    /// Phrases before the devices that were meant instead.
    pub(super) instead: Vec<String>,
    /// Phrases behind them: "instead".
    pub(super) instead_after: Vec<String>,
    /// Phrases before them that need a comma: "no, the kitchen" is not "no lights".
    pub(super) instead_pause: Vec<String>,
    /// Sentences that stop what the last command started.
    pub(super) stop: Vec<String>,
    /// Sentences of fixed form.
    pub(super) phrases: BTreeMap<FollowUp, Vec<String>>,
    /// The letters of those that stop something.
    #[serde(skip)]
    pub(super) stops: PhraseFilter,
    /// All of these sentences.
    #[serde(skip)]
    pub(super) fixed_forms: PhraseFilter,
    /// The phrases of which a sentence that continues the last command has one.
    #[serde(skip)]
    pub(super) continuations: PhraseFilter,
}

impl FollowUpWords {
    /// Returns the words in the form in which they are compared.
    pub(super) fn normalized(mut self, plain: impl Fn(&str) -> String) -> Self {
        let lists = [
            &mut self.it,
            &mut self.them,
            &mut self.also,
            &mut self.also_after,
            &mut self.instead,
            &mut self.instead_after,
            &mut self.instead_pause,
            &mut self.stop,
        ];
        let phrases = self.phrases.values_mut();
        for text in lists.into_iter().chain(phrases).flatten() {
            *text = words(&plain(text)).join(" ");
        }
        let continuations = [
            &self.also,
            &self.also_after,
            &self.instead,
            &self.instead_after,
            &self.instead_pause,
        ];
        self.continuations = PhraseFilter::new(continuations.into_iter().flatten());
        self.stops = PhraseFilter::new(&self.stop);
        self.fixed_forms = PhraseFilter::new(self.phrases.values().flatten());
        self
    }
}
