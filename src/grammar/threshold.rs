//! Questions whether a reading is above or below a number: "is it warmer than 20 degrees in the
//! living room".
//!
//! In: such a question. Out: the draft that asks for the reading. The answer is the reading itself,
//! which is one number that has the unit of the question.

use crate::grammar::interpreter::Interpreter;
use crate::grammar::tokens::{phrase, remove_end_marks};
use crate::vocabulary::action::{Action, Draft, Op};

impl Interpreter<'_> {
    /// Returns the draft of a sentence with a condition, or of a question with a limit.
    pub(super) fn conditional_or_compared(&self, text: &str) -> Option<Draft> {
        let conditional = self.conditional(text);
        conditional.or_else(|| self.compared_with_limit(text))
    }

    /// Returns the question for the reading that is compared with a number.
    fn compared_with_limit(&self, text: &str) -> Option<Draft> {
        let words = &self.lexicon.conditions;
        let plain = self.lexicon.spelling.plain(text);
        let mut input = self.lexicon.words(&plain);
        if input.last() == Some(&"?") {
            input.pop();
        }
        remove_end_marks(&mut input);
        let begun = phrase(&words.asks, &input)?;
        let asked = &input[begun..];
        let mut agreed: Option<Action> = None;
        for at in 0..asked.len() {
            let warmth = phrase(&words.than_warm, &asked[at..]);
            let other = phrase(&words.than, &asked[at..]);
            let Some(length) = warmth.or(other) else {
                continue;
            };
            let Some((_, unit, behind)) = self.limit(&asked[at + length..]) else {
                continue;
            };
            let rest = [&asked[..at], behind].concat();
            let of_air = unit.is_none_or(|unit| unit.starts_with('°'));
            let named = || self.reading(&rest, unit);
            let air = || {
                self.reading_after(&words.warmth, &rest, unit)
                    .filter(|_| of_air)
            };
            let found = match warmth {
                Some(_) => air(),
                None => named().or_else(air),
            };
            let (device, property) = found?;
            let action = Action {
                device: device.as_str().into(),
                property,
                op: Op::Query,
                value: None,
            };
            if agreed.as_ref().is_some_and(|other| *other != action) {
                return None;
            }
            agreed = Some(action);
        }
        Some(Draft {
            actions: vec![agreed?],
            ..Draft::default()
        })
    }
}
