//! What the words of a sentence exclude of its meaning as a sentence template.
//!
//! In: what the templates recognized. Out: the same, without what the words rule out. The templates
//! know nothing of the grammar's words, and the grammar nothing of the sentences of templates.

use crate::grammar::awning::moves_an_awning;
use crate::grammar::interpreter::Interpreter;
use crate::grammar::part_open::MOST_WHEN_CLOSED;
use crate::grammar::sense::{Sense, Verb};
use crate::grammar::spans::{Spans, TriedSpans};
use crate::templates::Recognition;
use crate::vocabulary::action::{Action, Draft};
use crate::vocabulary::{Property, Value};

impl Interpreter<'_> {
    /// Returns what the templates recognized, unless the words exclude a command. It has no draft
    /// if it moves an awning, or if only the templates have one and the words leave its value
    /// uncertain.
    pub(super) fn admitted(
        &self,
        text: &str,
        recognition: Recognition,
        is_understood: bool,
    ) -> Option<Recognition> {
        let plain = self.lexicon.spelling.plain(text);
        let tried = Spans::try_of(&plain, self.lexicon, self.names);
        if excludes_commands(&tried) || (!is_understood && states_what_happens(&tried.spans)) {
            return None;
        }
        // The templates take awnings for shutters.
        let is_certain = |draft: &Draft| {
            !moves_an_awning(draft, self.home)
                && (is_understood || !self.is_uncertain_value(&tried.spans, draft))
        };
        Some(Recognition {
            draft: recognition.draft.filter(is_certain),
            ..recognition
        })
    }

    /// Returns whether the words leave a value uncertain: closed to more than half, or a bare number
    /// for a room, which may be a temperature.
    fn is_uncertain_value(&self, spans: &Spans, draft: &Draft) -> bool {
        let senses = || spans.iter().flatten();
        let closes = senses().any(|sense| {
            matches!(
                sense,
                Sense::Verb(Verb::Close) | Sense::SplitVerb(Verb::Close, _)
            )
        });
        let is_bare = !senses().any(|s| matches!(s, Sense::Unit(_) | Sense::Property(_)));
        let resolver = self.resolver();
        let is_uncertain = |action: &Action| match (&action.property, &action.value) {
            (Property::Position, Some(Value::Number(n))) => {
                closes && *n > MOST_WHEN_CLOSED && *n < 100.0
            }
            (Property::Brightness, Some(Value::Number(n))) => is_bare && resolver.is_of_a_room(*n),
            _ => false,
        };
        draft.actions.iter().any(is_uncertain)
    }
}

/// Returns whether a verb of the third person states or asks what happens: "schaltet der Lüfter
/// aus". The templates do not distinguish it from an order.
fn states_what_happens(spans: &Spans) -> bool {
    let is_order = |sense: &Sense| matches!(sense, Sense::Verb(_) | Sense::SplitVerb(..));
    spans.iter().any(|senses| {
        let is_statement = senses.iter().any(|s| matches!(s, Sense::Indicative(_)));
        is_statement && !senses.iter().any(is_order)
    })
}

/// Returns whether the words exclude a command: one of them prevents every interpretation, or all
/// of them are known and none is a verb, a comparative or the start of a question.
fn excludes_commands(tried: &TriedSpans<'_>) -> bool {
    let mut senses = tried.spans.iter().flatten();
    let is_veto = senses.any(|sense| *sense == Sense::Veto);
    // A word that is also a preposition, such as the German "auf", makes no command.
    let is_verb = |senses: &[Sense]| {
        senses.iter().any(Sense::may_begin) && !senses.iter().any(Sense::is_preposition)
    };
    is_veto || (tried.error.is_none() && !tried.spans.iter().any(is_verb))
}
