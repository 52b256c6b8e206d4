//! Names of kinds, properties, options and units of the home that the language has no words for.
//!
//! In: the devices and their capabilities. Out: senses in the names under construction.

use crate::grammar::lexicon::{Noun, index};
use crate::grammar::names::MOST_NOUNS;
use crate::grammar::names::builder::Builder;
use crate::grammar::sense::{Sense, StateWord};
use crate::home::Home;
use crate::vocabulary::Property;

impl Builder<'_> {
    /// Adds kinds the operator invented as nouns: `pump`.
    pub(super) fn kinds(&mut self, home: &Home) {
        for device in home.devices() {
            let kind = device.kind.as_str();
            let known = self
                .names
                .nouns
                .iter()
                .any(|noun| noun.kinds.iter().any(|k| k == kind));
            if known || self.names.nouns.len() >= MOST_NOUNS {
                continue;
            }
            let one = kind.replace('_', " ");
            let many = format!("{one}{}", self.lexicon.grammar.plural);
            let id = index(self.names.nouns.len());
            self.names.runs.add(Sense::Noun(id, false), &one);
            self.names.runs.add(Sense::Noun(id, true), &many);
            self.names.nouns.push(Noun {
                one: vec![one],
                many: vec![many],
                kinds: vec![kind.to_owned()],
                ..Noun::default()
            });
        }
    }

    pub(super) fn property(&mut self, property: &Property) {
        if self.names.properties.contains(property) {
            return;
        }
        let id = index(self.names.properties.len());
        let run = self.words(&property.name().replace('_', " "));
        let input: Vec<&str> = run.iter().map(String::as_str).collect();
        // The word "open" is a state already, also for a sensor with the property `open`.
        let is_state = self.lexicon.senses(&input).any(|(length, sense)| {
            length == input.len()
                && matches!(sense, Sense::State(StateWord::Open | StateWord::Closed))
        });
        if !is_state {
            self.add(Sense::Property(id), &run);
        }
        for spoken in self
            .lexicon
            .custom
            .get(property.name())
            .into_iter()
            .flatten()
        {
            let run = self.words(spoken);
            self.add(Sense::Property(id), &run);
        }
        let questions = self.lexicon.custom_how.get(property.name());
        for spoken in questions.into_iter().flatten() {
            let run = self.words(spoken);
            self.add(Sense::How(id), &run);
        }
        self.names.properties.push(property.clone());
    }

    pub(super) fn option(&mut self, option: &str) {
        let run = self.words(&option.replace('_', " "));
        if self.names.options.iter().any(|known| known == option) || run.is_empty() {
            return;
        }
        let sense = Sense::OptionName(u32::try_from(self.names.options.len()).unwrap_or(u32::MAX));
        self.add(sense, &run);
        let plain = option.replace([' ', '-'], "_").to_lowercase();
        for spoken in self.lexicon.options.get(&plain).into_iter().flatten() {
            let run = self.words(spoken);
            self.add(sense, &run);
        }
        self.names.options.push(option.to_owned());
    }

    pub(super) fn unit(&mut self, unit: &str) {
        let run = self.words(unit);
        if unit.is_empty() || run.is_empty() {
            return;
        }
        self.add(Sense::Unit(index(self.names.units.len())), &run);
        self.names.units.push(unit.to_owned());
    }

    /// Returns whether a sensor's option is a word for open or closed, which the grammar reads as a
    /// state.
    pub(super) fn is_open_or_closed(&self, option: &str) -> bool {
        let run = self.words(option);
        let input: Vec<&str> = run.iter().map(String::as_str).collect();
        let is_state = |sense| matches!(sense, Sense::State(StateWord::Open | StateWord::Closed));
        matches!(option, "open" | "closed")
            || self
                .lexicon
                .senses(&input)
                .any(|(length, sense)| length == input.len() && is_state(sense))
    }
}
