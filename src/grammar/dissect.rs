//! A sentence divided into its command and its time or condition, to explain which of the two is
//! not understood.

use crate::grammar::interpreter::Interpreter;
use crate::grammar::spans::MOST_WORDS;
use crate::grammar::time::{Cut, around_time, cuts};
use crate::grammar::tokens::{remove_end_marks, words};

/// The part of a sentence beside its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adjunct {
    Time,
    Condition,
}

/// A sentence with a time or a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dissected {
    pub(super) adjunct: Adjunct,
    /// The words of the time or the condition.
    pub(super) words: String,
    /// Whether the time or the condition alone has a meaning.
    pub(super) is_understood: bool,
    /// The rest of the sentence.
    pub(super) command: String,
    /// Whether the time or the condition is certainly for the whole of the rest.
    pub(super) is_for_all: bool,
    /// Whether the rest alone has a meaning.
    pub(super) is_command: bool,
}

impl Interpreter<'_> {
    /// Divides a sentence that has a time or a condition. A division with a command that is
    /// understood takes precedence.
    pub(super) fn dissected(&self, plain: &str) -> Option<Dissected> {
        let mut input = words(plain);
        // A longer sentence is not a command, and each way to divide it would be tried.
        if input.len() > MOST_WORDS {
            return None;
        }
        remove_end_marks(&mut input);
        let conditional = self.without_condition(&input);
        conditional.or_else(|| self.without_time(plain, &input))
    }

    fn without_condition(&self, input: &[&str]) -> Option<Dissected> {
        let divided = self.divisions(input).into_iter();
        let divided = divided.filter(|division| {
            // The end of a sentence may be "if you like".
            !division.clause.is_empty() && !division.command.is_empty()
        });
        let dissected = divided.map(|division| {
            let command = division.command.join(" ");
            Dissected {
                adjunct: Adjunct::Condition,
                words: division.clause.join(" "),
                is_understood: self.clause(division.clause).is_some(),
                is_command: self.draft(&command).is_some(),
                is_for_all: self.condition_is_for_all(division.command, division.is_first),
                command,
            }
        });
        // The first of equal ones has the shortest condition at the front.
        dissected
            .filter(|found| found.is_command || found.is_understood)
            .min_by_key(|found| (!found.is_command, !found.is_understood))
    }

    fn without_time(&self, plain: &str, input: &[&str]) -> Option<Dissected> {
        let length = |cut: &Cut| cut.range.1 - cut.range.0;
        let found = cuts(self.lexicon, plain).into_iter();
        let dissected = found.filter(|cut| !cut.rest.is_empty()).map(|cut| {
            let dissected = Dissected {
                adjunct: Adjunct::Time,
                words: input[cut.range.0..cut.range.1].join(" "),
                is_understood: true,
                is_command: self.draft(&cut.rest).is_some(),
                is_for_all: self.time_is_for_all(around_time(input, &cut), &cut.rest),
                command: cut.rest.clone(),
            };
            (length(&cut), dissected)
        });
        let best = dissected.max_by_key(|(length, found)| (found.is_command, *length));
        best.map(|(_, found)| found)
    }
}
