//! A word that several areas share: "the bedroom light" where there are two bedrooms.
//!
//! In: the senses of a sentence with such a word. Out: the draft for the area of the speaker, if it
//! is one of them, or for the only one where the sentence has a meaning; otherwise the question
//! which of them is meant.

use crate::grammar::disambiguate::question;
use crate::grammar::interpreter::Interpreter;
use crate::grammar::sense::{Place, Sense};
use crate::vocabulary::action::{Choice, Draft};

impl Interpreter<'_> {
    /// Returns the draft of a sentence that has a word for several areas at `at`, if it is certain.
    pub(super) fn in_one_of(&self, senses: &[Sense], at: usize, asked: bool) -> Option<Draft> {
        let Sense::Place(Place::OneOf(id)) = senses[at] else {
            return None;
        };
        let areas = &self.names.alternatives[usize::from(id)];
        let draft_in = |area: u16| {
            let mut meant = senses.to_vec();
            meant[at] = Sense::Place(Place::Area(area));
            self.one(&meant, asked)
        };
        if let Some(here) = self.here.filter(|here| areas.contains(here)) {
            return draft_in(here);
        }
        let found = areas.iter().map(|&area| (area, draft_in(area)));
        let mut found: Vec<(u16, Draft)> = found
            .filter_map(|(area, draft)| Some((area, draft?)))
            .collect();
        if found.len() < 2 {
            return found.pop().map(|(_, draft)| draft);
        }
        let names = |area: u16| {
            let area = &self.home.areas()[usize::from(area)];
            area.names().cloned().collect::<Vec<String>>()
        };
        let said = found.iter().map(|(area, _)| names(*area)[0].clone());
        let text = question(self.lexicon, &self.lexicon.say.r#where, said.collect());
        // An answer cannot complete what would be another question.
        let is_plain = found.iter().all(|(_, draft)| draft.question.is_none());
        let choice = |(area, draft): (u16, Draft)| Choice {
            names: names(area),
            places: Vec::new(),
            actions: draft.actions,
            left_out: draft.left_out,
        };
        let choices = found.into_iter().filter(|_| is_plain).map(choice);
        Some(Draft {
            question: Some(text),
            choices: choices.collect(),
            ..Draft::default()
        })
    }
}
