//! Intents of questions: the property and the state that are asked for.

use crate::grammar::clause::{Amount, Clause, QuestionType};
use crate::grammar::intent::intents::{Intent, QueryFocus};
use crate::grammar::lexicon::standard;
use crate::grammar::sense::StateWord;

pub(super) fn query(clause: &Clause, question: QuestionType) -> Option<Intent> {
    if clause.mode
        && question == QuestionType::Open
        && clause.property.is_none()
        && clause.state.is_none()
        && clause.amount.is_none()
    {
        // "what is the mode of the thermostat"
        return query(
            &Clause {
                mode: false,
                property: standard("hvac_mode"),
                ..clause.clone()
            },
            question,
        );
    }
    if clause.verb.is_some()
        || clause.comparative.is_some()
        || clause.slightly
        || !clause.except.is_empty()
        || clause.ensure
        || (clause.mode && !matches!(clause.amount, Some(Amount::Choice(_))))
    {
        return None;
    }
    let asked = match (clause.state, clause.amount) {
        (Some(_), Some(_)) => return None,
        (Some(state), None) if clause.either || question == QuestionType::Open => {
            Some(QueryFocus::Of(state))
        }
        (Some(state), None) => Some(QueryFocus::Is(state)),
        (None, Some(amount)) if clause.set_point && clause.property.is_some() => {
            Some(QueryFocus::SetAt(amount))
        }
        (None, Some(amount)) => Some(QueryFocus::At(amount)),
        // "is the car charging": a boolean property.
        (None, None) if question == QuestionType::YesNo && clause.property.is_some() => {
            Some(QueryFocus::Is(StateWord::On))
        }
        (None, None) => clause.set_point.then_some(QueryFocus::Target),
    };
    match question {
        QuestionType::YesNo if matches!(asked, None | Some(QueryFocus::Target)) => None,
        QuestionType::Open if matches!(asked, Some(QueryFocus::At(_) | QueryFocus::SetAt(_))) => {
            None
        }
        // "what is the lamp" has no property, except where the name of a sensor contains it.
        QuestionType::Open if asked.is_none() && clause.property.is_none() && !clause.status => {
            (clause.targets.len() == 1).then_some(Intent::Query(None, Some(QueryFocus::Named)))
        }
        // "how far is the blind open"
        QuestionType::Open
            if clause.property.is_some()
                && clause.property == standard("position")
                && matches!(clause.state, Some(StateWord::Open | StateWord::Closed)) =>
        {
            Some(Intent::Query(clause.property, None))
        }
        _ if clause.property.is_some() && matches!(asked, Some(QueryFocus::Of(_))) => None,
        _ => Some(Intent::Query(clause.property, asked)),
    }
}
