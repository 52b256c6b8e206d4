//! Commands with a time: the draft of a sentence without its time, if every way to cut one out
//! agrees.
//!
//! In: a sentence, and a function that returns the draft of a command without a time. Out: the
//! draft with its time. How a time is expressed is not known here.

use crate::grammar::clause::Amount;
use crate::grammar::interpreter::Interpreter;
use crate::grammar::number::number;
use crate::grammar::polite::without_fillers;
use crate::grammar::time::cut::{Cut, around_time, cuts};
use crate::grammar::time_words::TimeWords;
use crate::grammar::tokens::{phrase, remove_end_marks};
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::timing::{Recurrence, Timing};
use crate::vocabulary::{Property, Value};

/// One way to read a sentence with a time.
struct TimedCommand {
    cut: Cut,
    /// The words of the command without any time.
    command: String,
    draft: Draft,
}

impl Interpreter<'_> {
    /// Returns the draft of a sentence, with its time if it names one.
    pub(in crate::grammar) fn draft_with_time(&self, text: &str) -> Option<Draft> {
        let now = self.draft(text);
        now.or_else(|| self.draft_in_time(text))
    }

    /// Returns the draft of a sentence that names a time.
    pub(in crate::grammar) fn draft_in_time(&self, text: &str) -> Option<Draft> {
        self.timed(text, &|rest| self.draft(rest))
    }

    /// Returns the draft of a sentence that may refer to the last command, with its time if it
    /// names one.
    pub(in crate::grammar) fn draft_after_with_time(&self, text: &str) -> Option<Draft> {
        let now = self.draft_after(text);
        now.or_else(|| self.timed(text, &|rest| self.draft_after(rest)))
    }

    /// Returns the draft of a sentence with one expression of time, if every way to read it agrees.
    /// A part of an expression does not count where the whole of it leaves a command as well.
    pub(in crate::grammar) fn timed(
        &self,
        text: &str,
        draft: &dyn Fn(&str) -> Option<Draft>,
    ) -> Option<Draft> {
        let found = self.timed_command(text, draft)?;
        // "pon una alarma a las siete" asks for a timer, and for no device.
        (!self.names_an_alarm(&found.command)).then_some(found.draft)
    }

    /// Returns the draft like [`timed`](Self::timed), with the command that is left without the
    /// time.
    fn timed_command(
        &self,
        text: &str,
        draft: &dyn Fn(&str) -> Option<Draft>,
    ) -> Option<TimedCommand> {
        let mut read: Vec<TimedCommand> = Vec::new();
        for cut in cuts(self.lexicon, text) {
            let rest = draft(&cut.rest).map(|found| (cut.rest.clone(), found));
            let Some((command, rest)) = rest.or_else(|| self.kept_on(&cut, draft)) else {
                read.extend(self.later_for_a_while(cut, draft));
                continue;
            };
            let choices = rest.choices.iter().flat_map(|choice| &choice.actions);
            let asks = rest
                .actions
                .iter()
                .chain(choices)
                .any(|action| action.op == Op::Query);
            if asks || rest.timing.is_some() {
                return None;
            }
            if cut.is_bare_length && !self.switches_on(&rest) {
                continue;
            }
            if cut.may_be_clock {
                return None;
            }
            if cut.is_bare
                && (self.may_be_an_amount(&cut, &rest) || self.is_a_value(text, &cut, &rest))
            {
                return None;
            }
            let draft = Draft {
                timing: Some(cut.timing.clone()),
                ..rest
            };
            read.push(TimedCommand {
                cut,
                command,
                draft,
            });
        }
        self.agreed(text, read)
    }

    /// Returns the first of several ways to read a sentence, if all of them do the same, and the
    /// time is for the whole command.
    fn agreed(&self, text: &str, mut read: Vec<TimedCommand>) -> Option<TimedCommand> {
        let is_part = |cut: &Cut| read.iter().any(|longer| cut.is_within(&longer.cut));
        let parts: Vec<bool> = read.iter().map(|found| is_part(&found.cut)).collect();
        let mut parts = parts.into_iter();
        read.retain(|_| parts.next() == Some(false));
        let plain = self.lexicon.spelling.plain(text);
        let mut input = self.lexicon.words(&plain);
        remove_end_marks(&mut input);
        let is_for_all = |found: &TimedCommand| {
            self.time_is_for_all(around_time(&input, &found.cut), &found.command)
        };
        let first = read.first()?;
        let agree = read
            .iter()
            .all(|other| other.draft.does_the_same(&first.draft) && is_for_all(other));
        agree.then(|| read.swap_remove(0))
    }

    /// Reads a command to keep a device on, which asks for something only together with a length of
    /// time: "leave the fan on for ten minutes". Returns the equivalent command without the time,
    /// and its draft.
    fn kept_on(&self, cut: &Cut, draft: &dyn Fn(&str) -> Option<Draft>) -> Option<(String, Draft)> {
        if !matches!(cut.timing, Timing::For(_)) {
            return None;
        }
        let TimeWords { keep, keep_end, .. } = &self.lexicon.time;
        let starts = keep.iter().filter_map(|(start, verb)| {
            let rest = cut.rest.strip_prefix(start.as_str())?.strip_prefix(' ')?;
            Some((verb, rest))
        });
        let mut requests = starts.flat_map(|(verb, rest)| {
            let ends = keep_end.iter().filter_map(move |(end, instead)| {
                let rest = rest.strip_suffix(end.as_str())?.strip_suffix(' ')?;
                Some(format!("{verb} {rest} {instead}"))
            });
            let whole = keep_end.is_empty().then(|| format!("{verb} {rest}"));
            ends.chain(whole)
        });
        requests.find_map(|request| {
            let found = draft(request.trim_end()).filter(|draft| self.switches_on(draft))?;
            Some((request, found))
        })
    }

    /// Reads the rest of a sentence that has a time of its own beside the length of time that was
    /// cut: "at six for two hours".
    fn later_for_a_while(
        &self,
        cut: Cut,
        draft: &dyn Fn(&str) -> Option<Draft>,
    ) -> Option<TimedCommand> {
        let Timing::For(span) = cut.timing else {
            return None;
        };
        let later = self.timed_command(&cut.rest, draft)?;
        // "every 15 minutes for an hour" is either on for longer than until the next time, or ends
        // after an hour.
        if let Some(Timing::Every(Recurrence::Interval { seconds, .. })) = later.draft.timing
            && (span.days > 0 || span.seconds >= seconds)
        {
            return None;
        }
        let waits = matches!(
            later.draft.timing,
            Some(Timing::After(_) | Timing::At(_) | Timing::Every(_))
        );
        let lasting = Draft {
            lasting: Some(span),
            ..later.draft
        };
        (waits && later.draft.lasting.is_none()).then_some(TimedCommand {
            cut,
            command: later.command,
            draft: lasting,
        })
    }

    /// Returns whether a command without its time asks for a timer that ends at a time of the
    /// clock: "set an alarm", "set the alarm", but not "set the alarm to night mode".
    fn names_an_alarm(&self, command: &str) -> bool {
        let phrases = &self.lexicon.timers.alarm;
        let plain = self.lexicon.spelling.plain(command);
        let input = without_fillers(self.lexicon, self.lexicon.words(&plain));
        let is_end = |at: usize| phrase(phrases, &input[at..]) == Some(input.len() - at);
        (0..input.len()).any(is_end)
    }

    /// Returns whether a draft switches devices on or opens valves, and does nothing else.
    fn switches_on(&self, draft: &Draft) -> bool {
        let choices = draft.choices.iter().flat_map(|choice| &choice.actions);
        let mut actions = draft.actions.iter().chain(choices).peekable();
        actions.peek().is_some() && actions.all(|action| self.is_on(action))
    }

    fn is_on(&self, action: &Action) -> bool {
        let is_valve = || {
            let mut devices = self.home.devices().iter();
            let device = devices.find(|device| device.id.as_str() == action.device.as_str());
            device.is_some_and(|device| device.kind.as_str() == "valve")
        };
        let is_on = match action.property {
            Property::Power => action.value == Some(Value::text("on")),
            Property::Position => action.value == Some(Value::Number(100.0)) && is_valve(),
            _ => false,
        };
        action.op == Op::Set && is_on
    }

    /// Returns whether the number of a time may be the amount of a command: "um 5 runter", "bis 8
    /// zu".
    fn may_be_an_amount(&self, cut: &Cut, draft: &Draft) -> bool {
        let choices = draft.choices.iter().flat_map(|choice| &choice.actions);
        let mut actions = draft.actions.iter().chain(choices);
        let is_until = matches!(cut.timing, Timing::Until(_));
        let is_strict = is_until || self.lexicon.grammar.by_is_a_time;
        actions.any(|action| {
            let is_switch = matches!(action.property, Property::Power | Property::Lock);
            let is_relative = matches!(action.op, Op::Increase | Op::Decrease);
            // "to 22 until nine" has its amount already.
            let has_amount = || is_until && self.names_value(&cut.rest, action);
            is_relative || (is_strict && !is_switch && !has_amount())
        })
    }

    /// Returns whether the number of a time is a value of one of the devices, in a language that
    /// counts hours to twelve: "set the ac to heat at 22".
    fn is_a_value(&self, text: &str, cut: &Cut, draft: &Draft) -> bool {
        let Some(last_hour) = self.lexicon.grammar.last_hour else {
            return false;
        };
        let plain = self.lexicon.spelling.plain(text);
        let input = self.lexicon.words(&plain);
        let (from, to) = cut.range;
        let said = (from..to).find_map(|at| number(self.lexicon, &input[at..]));
        let Some((said, _)) = said.filter(|(said, _)| *said > f64::from(last_hour)) else {
            return false;
        };
        let amount = Amount::Number(said);
        let effects = self.effects();
        let takes = |action: &Action| {
            let mut devices = self.home.devices().iter();
            let device = devices.find(|device| device.id.as_str() == action.device.as_str());
            let numeric = device.and_then(|device| effects.numeric(device, None, amount));
            numeric.is_some_and(|capability| effects.accepts(capability, amount))
        };
        let choices = draft.choices.iter().flat_map(|choice| &choice.actions);
        draft.actions.iter().chain(choices).any(takes)
    }

    /// Returns whether the words have the value of the action as a number.
    fn names_value(&self, text: &str, action: &Action) -> bool {
        let Some(Value::Number(value)) = action.value else {
            return false;
        };
        let plain = self.lexicon.spelling.plain(text);
        let input = self.lexicon.words(&plain);
        (0..input.len()).any(|at| {
            let found = number(self.lexicon, &input[at..]);
            found.is_some_and(|(found, _)| (found - value).abs() < 0.01)
        })
    }
}
