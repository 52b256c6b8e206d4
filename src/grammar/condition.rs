//! Conditions: "if the window is open, turn off the heater", "when the temperature drops below 18".
//!
//! The clause of a condition is read as a question ("check if the window is open"), and the rest of
//! the sentence must be a complete command. If two ways to divide the sentence differ, it has no
//! meaning. Pronouns have none here: "close it" could mean the device of the condition.

use crate::grammar::interpreter::Interpreter;
use crate::grammar::number::number;
use crate::grammar::sense::Sense;
use crate::grammar::time::{TimeReader, cuts};
use crate::grammar::tokens::{phrase, remove_end_marks, words};
use crate::vocabulary::action::{Draft, Op, StateQuery};
use crate::vocabulary::condition::{Condition, ConditionMode, ExpectedState, StateTest};
use crate::vocabulary::timing::{TimePoint, Timing};
use crate::vocabulary::{Domain, Property};

/// Most words of a sentence with a condition.
const MOST_WORDS: usize = 32;

/// Most states of one condition.
const MOST_TESTS: usize = 32;

/// The states that a clause names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConditionClause {
    tests: Vec<StateTest>,
    any: bool,
    /// Whether the clause names a change: "opens", "drops below".
    is_change: bool,
}

/// The word before a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conjunction {
    If,
    When,
    Whenever,
}

/// One way to divide a sentence into a condition and a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division<'i> {
    conjunction: Conjunction,
    pub(super) clause: &'i [&'i str],
    pub(super) command: &'i [&'i str],
    /// Whether the condition stands before the command.
    pub(super) is_first: bool,
}

/// Returns the words without commas at both ends.
fn trimmed<'i>(mut input: &'i [&'i str]) -> &'i [&'i str] {
    while let [",", rest @ ..] = input {
        input = rest;
    }
    while let [rest @ .., ","] = input {
        input = rest;
    }
    input
}

impl Interpreter<'_> {
    /// Returns the draft of a sentence with a condition, if every way to read it agrees.
    pub(super) fn conditional(&self, text: &str) -> Option<Draft> {
        let plain = self.lexicon.spelling.plain(text);
        let mut input = self.lexicon.words(&plain);
        if input.len() > MOST_WORDS || input.last() == Some(&"?") {
            return None;
        }
        remove_end_marks(&mut input);
        if !(0..input.len()).any(|at| self.conjunction(&input[at..]).is_some()) {
            return None;
        }
        // "even if the window is open"
        if (0..input.len()).any(|at| self.is_concession(&input[at..])) {
            return None;
        }
        if let Some(draft) = self.divided(&input, None) {
            return Some(draft);
        }
        // "whenever the window opens, turn off the heater until tomorrow at eight"
        let mut agreed: Option<Draft> = None;
        for cut in cuts(self.lexicon, &plain) {
            let Timing::Until(end) = cut.timing else {
                continue;
            };
            let Some(draft) = self.divided(&words(&cut.rest), Some(end)) else {
                continue;
            };
            match &agreed {
                Some(other) if !other.does_the_same(&draft) => return None,
                _ => agreed = Some(draft),
            }
        }
        agreed
    }

    /// Returns whether the words begin with a phrase that prevents every interpretation and has the
    /// word before a condition.
    fn is_concession(&self, input: &[&str]) -> bool {
        let has_conjunction =
            |length| (1..length).any(|at| self.conjunction(&input[at..]).is_some());
        let mut senses = self.lexicon.senses(input);
        senses.any(|(length, sense)| sense == Sense::Veto && has_conjunction(length))
    }

    fn conjunction(&self, input: &[&str]) -> Option<(Conjunction, usize)> {
        let words = &self.lexicon.conditions;
        let lists = [
            (Conjunction::Whenever, &words.whenever),
            (Conjunction::When, &words.when),
            (Conjunction::If, &words.r#if),
        ];
        let found = lists
            .into_iter()
            .filter_map(|(which, list)| Some((which, phrase(list, input)?)));
        found.max_by_key(|(_, length)| *length)
    }

    /// Returns the draft that all ways to divide the words into a condition and a command agree on.
    fn divided(&self, input: &[&str], until: Option<TimePoint>) -> Option<Draft> {
        let mut agreed: Option<Draft> = None;
        for division in self.divisions(input) {
            let Some(draft) = self.joined_draft(&division, until) else {
                continue;
            };
            if !self.condition_is_for_all(division.command, division.is_first) {
                return None;
            }
            match &agreed {
                Some(other) if !other.does_the_same(&draft) => return None,
                _ => agreed = Some(draft),
            }
        }
        agreed
    }

    /// Returns all ways to divide a sentence: the condition first or last.
    pub(super) fn divisions<'i>(&self, input: &'i [&'i str]) -> Vec<Division<'i>> {
        let mut found = Vec::new();
        if let Some((conjunction, length)) = self.conjunction(input) {
            let has_comma = input.contains(&",");
            for at in length + 1..input.len() {
                if has_comma && input[at] != "," {
                    continue;
                }
                let command = trimmed(&input[at..]);
                let then = phrase(&self.lexicon.conditions.then, command).unwrap_or(0);
                found.push(Division {
                    conjunction,
                    clause: trimmed(&input[length..at]),
                    command: trimmed(&command[then..]),
                    is_first: true,
                });
            }
        }
        for at in 1..input.len() {
            if let Some((conjunction, length)) = self.conjunction(&input[at..]) {
                found.push(Division {
                    conjunction,
                    clause: trimmed(&input[at + length..]),
                    command: trimmed(&input[..at]),
                    is_first: false,
                });
            }
        }
        found
    }

    fn joined_draft(&self, division: &Division<'_>, until: Option<TimePoint>) -> Option<Draft> {
        let &Division {
            conjunction,
            clause,
            command,
            ..
        } = division;
        if clause.is_empty() || command.is_empty() {
            return None;
        }
        // An end belongs to a rule.
        if until.is_some() && conjunction != Conjunction::Whenever {
            return None;
        }
        let clause = self.clause(clause)?;
        let mode = match conjunction {
            Conjunction::Whenever => ConditionMode::Always,
            Conjunction::When => ConditionMode::Once,
            Conjunction::If if clause.is_change => ConditionMode::Once,
            Conjunction::If => ConditionMode::Now,
        };
        let is_sun = matches!(clause.tests.as_slice(), [StateTest::Dark(_)]);
        // "when it is dark" is a time.
        if is_sun && mode != ConditionMode::Now {
            return None;
        }
        let draft = self.command_beside(division.clause, command, mode)?;
        let choices = draft.choices.iter().flat_map(|choice| &choice.actions);
        let mut actions = draft.actions.iter().chain(choices);
        if actions.any(|action| action.op == Op::Query) {
            return None;
        }
        Some(Draft {
            condition: Some(Condition {
                mode,
                tests: clause.tests,
                any: clause.any,
                until,
            }),
            ..draft
        })
    }

    /// Returns the draft of the command beside a condition, which may be "for ten minutes". Not at
    /// its start, where the time may belong to the condition: "when the window is open for ten
    /// minutes turn off the heater".
    pub(super) fn consequence(&self, command: &[&str], mode: ConditionMode) -> Option<Draft> {
        let text = command.join(" ");
        if let Some(draft) = self.draft(&text) {
            return draft.timing.is_none().then_some(draft);
        }
        if TimeReader::new(self.lexicon, command).timing(0).is_some() {
            return None;
        }
        let draft = self.timed(&text, &|rest| self.draft(rest))?;
        match draft.timing {
            Some(Timing::For(_)) if mode == ConditionMode::Now => Some(draft),
            Some(Timing::For(span)) => Some(Draft {
                timing: None,
                lasting: Some(span),
                ..draft
            }),
            _ => None,
        }
    }

    /// Returns the states that a clause names.
    pub(super) fn clause(&self, clause: &[&str]) -> Option<ConditionClause> {
        let words = &self.lexicon.conditions;
        let text = clause.join(" ");
        for (list, is_dark) in [(&words.dark, true), (&words.light, false)] {
            if list.contains(&text) {
                return Some(ConditionClause {
                    tests: vec![StateTest::Dark(is_dark)],
                    any: false,
                    is_change: false,
                });
            }
        }
        if let Some(found) = self.comparison(clause) {
            return Some(found);
        }
        if let Some(found) = self.state(&text, false) {
            return Some(found);
        }
        let mut agreed: Option<ConditionClause> = None;
        for (change, state) in &words.becomes {
            let Some(text) = replaced(clause, change, state) else {
                continue;
            };
            let Some(found) = self.state(&text, true) else {
                continue;
            };
            match &agreed {
                Some(other) if *other != found => return None,
                _ => agreed = Some(found),
            }
        }
        agreed
    }

    /// Reads a clause as a question about states.
    fn state(&self, clause: &str, is_change: bool) -> Option<ConditionClause> {
        let asked = self.draft(&format!("{} {clause}", self.lexicon.conditions.ask))?;
        let is_question = asked.actions.iter().all(|action| action.op == Op::Query);
        if asked.question.is_some() || !is_question || asked.actions.len() > MOST_TESTS {
            return None;
        }
        let query = asked.state_query.as_ref();
        let any = match query {
            Some(StateQuery::Any(_)) => true,
            Some(StateQuery::All(_) | StateQuery::Each(_)) => false,
            None if asked.actions.len() == 1 => false,
            Some(StateQuery::Which(_) | StateQuery::HowMany(_)) | None => return None,
        };
        let test = |action: &crate::vocabulary::action::Action| {
            let value = action.wanted(query)?;
            Some(StateTest::Device {
                device: action.device.to_string(),
                property: action.property.clone(),
                is: ExpectedState::Equal(value),
            })
        };
        let tests: Vec<StateTest> = asked.actions.iter().map(test).collect::<Option<_>>()?;
        (!tests.is_empty()).then_some(ConditionClause {
            tests,
            any,
            is_change,
        })
    }

    /// Reads a reading compared with a limit: "the temperature in the kitchen is above 25 degrees".
    /// Returns `None` if two ways to read the clause disagree.
    fn comparison(&self, clause: &[&str]) -> Option<ConditionClause> {
        let words = &self.lexicon.conditions;
        let lists = [
            (&words.above, true, false),
            (&words.below, false, false),
            (&words.rises_above, true, true),
            (&words.falls_below, false, true),
        ];
        let mut agreed: Option<ConditionClause> = None;
        for at in 1..clause.len() {
            for (list, is_above, is_change) in lists {
                let Some(length) = phrase(list, &clause[at..]) else {
                    continue;
                };
                let Some((limit, unit, rest)) = self.limit(&clause[at + length..]) else {
                    continue;
                };
                let Some(is_change) = self.verb_behind(rest, is_above, is_change) else {
                    continue;
                };
                let Some((device, property)) = self.reading(&clause[..at], unit) else {
                    continue;
                };
                let is = if is_above {
                    ExpectedState::Above(limit)
                } else {
                    ExpectedState::Below(limit)
                };
                let found = ConditionClause {
                    tests: vec![StateTest::Device {
                        device,
                        property,
                        is,
                    }],
                    any: false,
                    is_change,
                };
                match &agreed {
                    Some(other) if *other != found => return None,
                    _ => agreed = Some(found),
                }
            }
        }
        agreed
    }

    /// Returns the number at the start of the words, its unit, and the rest.
    pub(super) fn limit<'i>(
        &self,
        input: &'i [&'i str],
    ) -> Option<(f64, Option<&str>, &'i [&'i str])> {
        let (value, length) = number(self.lexicon, input)?;
        let rest = &input[length..];
        let unit_of = |(length, sense)| match sense {
            Sense::Unit(unit) => Some((self.lexicon.units.get(usize::from(unit))?, length)),
            _ => None,
        };
        let units = self.lexicon.senses(rest).filter_map(unit_of);
        match units.max_by_key(|(_, length)| *length) {
            Some((unit, length)) => Some((value, Some(unit), &rest[length..])),
            None => Some((value, None, rest)),
        }
    }

    /// Returns whether the verb behind a number names a change; `None` where it does not fit.
    fn verb_behind(&self, rest: &[&str], is_above: bool, is_change: bool) -> Option<bool> {
        let words = &self.lexicon.conditions;
        if words.state_end.is_empty() {
            return rest.is_empty().then_some(is_change);
        }
        let whole = |list: &[String]| phrase(list, rest) == Some(rest.len());
        let changes = if is_above {
            &words.rises_end
        } else {
            &words.falls_end
        };
        match (whole(&words.state_end), whole(changes)) {
            (true, _) => Some(is_change),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }

    /// Returns the one reading that the words name, if it has the unit.
    pub(super) fn reading(&self, words: &[&str], unit: Option<&str>) -> Option<(String, Property)> {
        self.reading_after(&self.lexicon.conditions.reading, words, unit)
    }

    /// Returns the one reading that the words name behind the beginning of a question.
    pub(super) fn reading_after(
        &self,
        beginning: &str,
        words: &[&str],
        unit: Option<&str>,
    ) -> Option<(String, Property)> {
        let question = format!("{beginning} {}", words.join(" "));
        let asked = self.draft(&question)?;
        let [action] = asked.actions.as_slice() else {
            return None;
        };
        if action.op != Op::Query || action.value.is_some() || asked.state_query.is_some() {
            return None;
        }
        let device = self.home.device(&action.device)?;
        let Domain::Number { unit: own, .. } = &device.capability(&action.property)?.domain else {
            return None;
        };
        let fits = match unit {
            None => true,
            Some("°") => own.starts_with('°'),
            Some(unit) => unit == own,
        };
        fits.then(|| (action.device.to_string(), action.property.clone()))
    }
}

/// Returns the words with a phrase replaced, or `None` where they do not have it exactly once.
fn replaced(clause: &[&str], change: &str, state: &str) -> Option<String> {
    let change: Vec<&str> = change.split(' ').collect();
    let mut places = (0..clause.len()).filter(|&at| clause[at..].starts_with(&change));
    let (at, None) = (places.next()?, places.next()) else {
        return None;
    };
    let (front, back) = (&clause[..at], &clause[at + change.len()..]);
    Some([front, &[state], back].concat().join(" "))
}
