//! Scenes and scripts called by their name alone: "movie night", "good night, please".
//!
//! In: a clause and its intent. Out: the intent to run them, if nothing else has the name.

use crate::grammar::clause::{Clause, Determiner, Head};
use crate::grammar::intent::{Intent, QueryFocus};
use crate::grammar::resolve::Resolver;

impl Resolver<'_> {
    /// Returns the intent of a clause, which runs a scene or a script if the clause is its whole
    /// name and nothing else. As the reading of a sensor it means nothing then.
    pub(in crate::grammar) fn meant(&self, clause: &Clause, intent: Intent) -> Intent {
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
}
