//! Words of one language for conditions, from its file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::grammar::tokens::words;

/// Words of one language for conditions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConditionWords {
    /// Before a state of now: "if".
    pub(super) r#if: Vec<String>,
    /// Before a state to wait for once: "when", "as soon as".
    pub(super) when: Vec<String>,
    /// Before a state to wait for again and again: "whenever".
    pub(super) whenever: Vec<String>,
    /// Before the command: "then".
    pub(super) then: Vec<String>,
    /// The start of a question with the word order of a condition: "check if".
    pub(super) ask: String,
    /// The start of a question for a reading.
    pub(super) reading: String,
    /// Words for a change, with those for the state after it: "opens" is "is open".
    pub(super) becomes: BTreeMap<String, String>,
    /// Before a number that a reading is above or below: "is above".
    pub(super) above: Vec<String>,
    pub(super) below: Vec<String>,
    /// The same for a change: "rises above".
    pub(super) rises_above: Vec<String>,
    pub(super) falls_below: Vec<String>,
    /// Verbs behind the number, in languages that have them there: "ist", "steigt", "fällt".
    pub(super) state_end: Vec<String>,
    pub(super) rises_end: Vec<String>,
    pub(super) falls_end: Vec<String>,
    /// The start of a question for a limit: "is it", "is the".
    pub(super) asks: Vec<String>,
    /// Before the limit in such a question: "above", "more than".
    pub(super) than: Vec<String>,
    /// Before a limit of the temperature: "warmer than".
    pub(super) than_warm: Vec<String>,
    /// The start of a question for the temperature.
    pub(super) warmth: String,
    /// "it is dark", "it is light".
    pub(super) dark: Vec<String>,
    pub(super) light: Vec<String>,
}

impl ConditionWords {
    /// Returns the phrases in the form in which they are compared, the longest first.
    pub(super) fn normalized(mut self, plain: impl Fn(&str) -> String) -> Self {
        let joined = |text: &str| words(&plain(text)).join(" ");
        let lists = [
            &mut self.r#if,
            &mut self.when,
            &mut self.whenever,
            &mut self.then,
            &mut self.above,
            &mut self.below,
            &mut self.rises_above,
            &mut self.falls_below,
            &mut self.state_end,
            &mut self.rises_end,
            &mut self.falls_end,
            &mut self.asks,
            &mut self.than,
            &mut self.than_warm,
            &mut self.dark,
            &mut self.light,
        ];
        for list in lists {
            for text in list.iter_mut() {
                *text = joined(text);
            }
            list.sort_by_key(|text| std::cmp::Reverse(text.split(' ').count()));
        }
        self.becomes = std::mem::take(&mut self.becomes)
            .into_iter()
            .map(|(change, state)| (joined(&change), joined(&state)))
            .collect();
        self
    }
}
