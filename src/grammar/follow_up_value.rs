//! Follow-ups that name no device: "stop" while a cover moves, the right value in a correction
//! ("no, 21", "rather green"), and a comparison ("faster", "one degree more").
//!
//! In: such a sentence and the last command. Out: the draft for the devices of that command, or
//! none where another property than that of the last command would change.

use crate::grammar::follow_up::{any_sense, bare, is_stop, is_value_alone};
use crate::grammar::interpreter::{Interpreter, senses_of};
use crate::grammar::lexicon::Lexicon;
use crate::grammar::sense::{Comparative, Sense, StateWord, Verb};
use crate::grammar::spans::Spans;
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Draft, Op};

/// Returns the rest of a sentence that corrects the last command: "21" of "no, 21", "rather 21".
fn corrected(lexicon: &Lexicon, text: &str) -> Option<String> {
    let plain = lexicon.spelling.plain(text);
    let words = &lexicon.follow_up;
    if !words.continuations.may_begin_or_end(&plain) {
        return None;
    }
    let joined = bare(&plain).join(" ");
    let before = words.instead.iter().chain(&words.instead_pause);
    let rest = before.filter_map(|form| joined.strip_prefix(form.as_str())?.strip_prefix(' '));
    let behind = words.instead_after.iter();
    let front = behind.filter_map(|form| joined.strip_suffix(form.as_str())?.strip_suffix(' '));
    let shortest = rest.chain(front).min_by_key(|rest| rest.len())?;
    Some(shortest.to_owned())
}

/// Returns whether the sense is a part of a value: "in blue", "to 21 degrees".
fn is_of_value(sense: &Sense) -> bool {
    is_value(sense)
        || sense.is_article()
        || sense.is_filler()
        || matches!(sense, Sense::Unit(_) | Sense::In | Sense::To)
}

fn is_value(sense: &Sense) -> bool {
    matches!(
        sense,
        Sense::Number(_)
            | Sense::Level(_)
            | Sense::Color(_)
            | Sense::White(_)
            | Sense::Hex(_)
            | Sense::OptionName(_)
    )
}

/// Returns whether both properties are set by values of one sort.
fn is_alike(one: &Property, other: &Property) -> bool {
    let is_color = |property| matches!(property, &Property::Color | &Property::ColorTemp);
    one == other || (is_color(one) && is_color(other))
}

impl Interpreter<'_> {
    /// Returns the draft of "stop" after a command that changed something which can be stopped.
    pub(super) fn stopped(&self, text: &str, last: &[Action]) -> Option<Draft> {
        let changes = last.iter().any(|action| action.op != Op::Query);
        if !changes || !is_stop(self.lexicon, text) {
            return None;
        }
        self.one(&[Sense::Verb(Verb::Stop), self.pronoun()], false)
    }

    /// Returns the draft of a sentence that corrects the value of the last command.
    pub(super) fn corrected(&self, text: &str, last: &[Action]) -> Option<Draft> {
        let rest = corrected(self.lexicon, text)?;
        let plain = self.lexicon.spelling.plain(&rest);
        let spans = Spans::of(&plain, self.lexicon, self.names)?;
        if !any_sense(&spans, is_value) {
            return None;
        }
        let draft = self.with_front(
            &spans,
            &[Sense::Verb(Verb::Set), self.pronoun()],
            is_of_value,
        )?;
        let mut changed = last.iter().filter(|action| action.op != Op::Query);
        let is_of_last = |action: &Action| {
            changed.any(|a| a.device == action.device && is_alike(&a.property, &action.property))
        };
        let mut actions = draft.actions.iter();
        let is_same = draft.question.is_none() && actions.clone().next().is_some();
        (is_same && actions.all(is_of_last)).then_some(draft)
    }

    /// Returns the draft of a comparison or a state without a device for those of the last command:
    /// "slower", "one degree more", "on again".
    pub(super) fn said_of_last(&self, spans: &Spans) -> Option<Draft> {
        let is_meant = |sense: &Sense| {
            matches!(
                sense,
                Sense::State(StateWord::On)
                    | Sense::Comparative(
                        Comparative::Faster
                            | Comparative::Slower
                            | Comparative::Higher
                            | Comparative::Lower
                            | Comparative::More
                            | Comparative::Less
                    )
            )
        };
        if !is_value_alone(spans) || !any_sense(spans, is_meant) {
            return None;
        }
        self.with_front(spans, &[self.pronoun()], |_| true)
    }

    /// Returns the pronoun for the devices of the last command.
    fn pronoun(&self) -> Sense {
        if self.remembered.devices.len() > 1 {
            Sense::Them
        } else {
            Sense::It
        }
    }

    /// Returns the draft of the senses in front with those of a sentence, if all combinations of
    /// senses that fit agree.
    fn with_front(
        &self,
        spans: &Spans,
        front: &[Sense],
        fits: impl Fn(&Sense) -> bool,
    ) -> Option<Draft> {
        let mut agreed: Option<Draft> = None;
        for combination in 0..Self::combinations(spans)? {
            let own: Vec<Sense> = senses_of(spans, combination).collect();
            if !own.iter().all(&fits) {
                continue;
            }
            let senses = [front, own.as_slice()].concat();
            let Some(draft) = self.one(&senses, spans.asked) else {
                continue;
            };
            if agreed
                .as_ref()
                .is_some_and(|other| !other.does_the_same(&draft))
            {
                return None;
            }
            agreed = Some(draft);
        }
        agreed
    }
}
