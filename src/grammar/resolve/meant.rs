//! Scenes and scripts called by their name alone, "movie night", and lights that are opened or
//! closed, as people say in Québec: "ferme la lumière".
//!
//! In: a clause and its intent. Out: the intent that is meant with these devices.

use crate::grammar::clause::{Clause, Determiner, Head, Target};
use crate::grammar::intent::{Intent, QueryFocus};
use crate::grammar::resolve::Resolver;

impl Resolver<'_> {
    /// Returns the intent of a clause, which runs a scene or a script if the clause is its whole
    /// name and nothing else. As the reading of a sensor it means nothing then.
    pub(in crate::grammar) fn meant(&self, clause: &Clause, intent: Intent) -> Intent {
        if let Intent::Open(open) = intent
            && self.effects.lexicon.grammar.light_opens
            && self.are_lights(clause)
        {
            return Intent::Switch(open);
        }
        let is_name = intent == Intent::Query(None, Some(QueryFocus::Named));
        let ([target], None, true) = (clause.targets.as_slice(), clause.question, is_name) else {
            return intent;
        };
        let Head::Name(id, _) = target.head else {
            return intent;
        };
        let called = &self.names.entries[id as usize].devices;
        let mut whole = called.iter().filter(|(_, is_whole)| *is_whole);
        let (Some((device, _)), None) = (whole.next(), whole.next()) else {
            return intent;
        };
        let is_run = matches!(self.device(*device).kind.as_str(), "scene" | "script");
        if is_run && target.determiner == Determiner::Bare && target.places.is_empty() {
            return Intent::Perform;
        }
        intent
    }

    /// Returns whether the clause names lights, or a television, and nothing that can be opened.
    fn are_lights(&self, clause: &Clause) -> bool {
        let is_light = |kind: &str| matches!(kind, "light" | "media_player");
        let is_one = |target: &Target| match target.head {
            Head::Noun(noun, _) if target.extra_noun.is_none() => {
                let kinds = &self.names.nouns[usize::from(noun)].kinds;
                !kinds.is_empty() && kinds.iter().all(|kind| is_light(kind))
            }
            Head::Name(id, _) => {
                let mut called = self.names.entries[id as usize].devices.iter();
                called.all(|(d, _)| is_light(self.device(*d).kind.as_str()))
            }
            _ => false,
        };
        !clause.targets.is_empty() && clause.targets.iter().all(is_one)
    }
}
