//! The intent of a whole clause: decides whether it is a question, a comparison, a verb or only a
//! name, which have files of their own.

use crate::grammar::clause::Clause;
use crate::grammar::intent::change::change;
use crate::grammar::intent::clause_shape::{
    is_bare, is_lowered, is_reading, is_reading_name, is_scene_name, mode_is_explained,
};
use crate::grammar::intent::intents::{Intent, QueryFocus};
use crate::grammar::intent::question::query;
use crate::grammar::intent::relative::compared;
use crate::grammar::intent::verb::{step_verb, verb_intent};

/// Returns the intent of the clause, or `None` if its parts do not fit together.
pub(in crate::grammar) fn intent_of(clause: &Clause) -> Option<Intent> {
    if let Some(question) = clause.question {
        return query(clause, question);
    }
    let is_status = clause.verb.is_none() && clause.status && is_bare(clause);
    if is_status || is_reading(clause) {
        return Some(Intent::Query(clause.property, None));
    }
    if clause.is_share && is_lowered(clause) {
        return None;
    }
    if clause.either || clause.status || (clause.mode && !mode_is_explained(clause)) {
        return None;
    }
    if let Some(comparative) = clause.comparative {
        return compared(clause, comparative);
    }
    match clause.verb {
        None if is_reading_name(clause) => Some(Intent::Query(None, Some(QueryFocus::Named))),
        None if is_scene_name(clause) => Some(Intent::Perform),
        None => change(clause),
        Some(verb) => step_verb(clause, verb).unwrap_or_else(|| verb_intent(clause, verb)),
    }
}
