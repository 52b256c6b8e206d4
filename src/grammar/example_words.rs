//! Words of one language for the request for examples, from its file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::grammar::phrase_filter::PhraseFilter;
use crate::grammar::tokens::words;

/// Words of one language for the request for examples.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExampleWords {
    /// The question.
    pub(super) ask: Vec<String>,
    /// Forms of sentences by their meaning, with `{device}` or `{the_device}`. Those that do not
    /// have the meaning in a home are not shown there.
    pub(super) forms: BTreeMap<String, Vec<String>>,
    /// The phrases of the question.
    #[serde(skip)]
    pub(super) questions: PhraseFilter,
}

impl ExampleWords {
    /// Returns the question in the form in which it is compared.
    pub(super) fn normalized(mut self, plain: impl Fn(&str) -> String) -> Self {
        for text in &mut self.ask {
            *text = words(&plain(text)).join(" ");
        }
        self.questions = PhraseFilter::new(&self.ask);
        self
    }
}
