//! The part of a command that a time or a condition belongs to.
//!
//! A draft has one time and one condition for all of its actions. "Turn off the oven and turn on
//! the lamp in ten minutes" may mean the time for one of two commands, so that it must not become a
//! draft. The place of the time among the words decides: a time at the start belongs to all, and so
//! does one at the end of commands that share their verb.

use crate::grammar::clause::Clause;
use crate::grammar::interpreter::{Interpreter, senses_of};
use crate::grammar::parse::clauses;
use crate::grammar::sense::Sense;
use crate::grammar::spans::Spans;
use crate::grammar::tokens::has_phrase;

/// The words of a sentence before and behind its time or condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'i> {
    pub(super) front: &'i [&'i str],
    pub(super) back: &'i [&'i str],
}

/// Counts that show whether a command is one command or several.
#[derive(Debug, Clone, Copy, Default)]
struct CommandForm {
    clauses: usize,
    targets: usize,
    verbs: usize,
    /// Whether the clauses want different states: "the lamp on and the fan off".
    is_mixed: bool,
}

/// The words on one side of a time or a condition.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that was present or not"
)]
struct Side {
    has_target: bool,
    has_verb: bool,
    begins_with_join: bool,
    ends_with_join: bool,
    /// Whether there is nothing but fillers and punctuation.
    is_empty: bool,
}

impl Interpreter<'_> {
    /// Returns whether a time certainly belongs to the whole of the command that is left without
    /// it.
    pub(super) fn time_is_for_all(&self, around: Surroundings<'_>, command: &str) -> bool {
        let form = self.command_form(command);
        !self.is_for_now(around, form) && self.is_for_all(around, form)
    }

    /// Returns whether a condition before or behind a command certainly belongs to all of it.
    pub(super) fn condition_is_for_all(&self, command: &[&str], is_first: bool) -> bool {
        let form = self.command_form(&command.join(" "));
        let (front, back): (&[&str], &[&str]) = if is_first {
            (&[], command)
        } else {
            (command, &[])
        };
        let around = Surroundings { front, back };
        // "when the door closes, turn off the tv and the lamp at once"
        let may_say_now = is_first && form.clauses < 2;
        let is_for_some = !may_say_now && self.is_for_now(around, form);
        !is_for_some && self.is_for_all(around, form)
    }

    /// Returns whether one of several commands or devices may be for the present.
    fn is_for_now(&self, around: Surroundings<'_>, form: CommandForm) -> bool {
        let is_several = form.clauses > 1 || form.targets > 1;
        let mut sides = [around.front, around.back].into_iter();
        is_several && sides.any(|words| has_phrase(&self.lexicon.time.now, words))
    }

    fn is_for_all(&self, around: Surroundings<'_>, form: CommandForm) -> bool {
        let (front, back) = (self.side(around.front), self.side(around.back));
        if self.has_two_sentences(around) {
            return false;
        }
        if form.clauses < 2 {
            // "the lamp in ten minutes and the fan"
            let divides = front.ends_with_join || back.begins_with_join;
            return !(front.has_target && back.has_target && divides);
        }
        if !front.has_target {
            // "mach um neun das Licht an und schließ die Tür"
            return !(front.has_verb && form.verbs > 1);
        }
        back.is_empty && form.verbs < 2 && !form.is_mixed
    }

    /// Returns whether a full stop, a semicolon or an exclamation mark stands between two commands.
    fn has_two_sentences(&self, around: Surroundings<'_>) -> bool {
        let input = [around.front, around.back].concat();
        let marks = (0..input.len()).filter(|&at| matches!(input[at], "." | ";" | "!"));
        let says_something = |words: &[&str]| {
            let side = self.side(words);
            side.has_target || side.has_verb
        };
        marks
            .into_iter()
            .any(|at| says_something(&input[..at]) && says_something(&input[at + 1..]))
    }

    fn side(&self, words: &[&str]) -> Side {
        let text = words.join(" ");
        let tried = Spans::try_of(&text, self.lexicon, self.names);
        let is_join = |senses: &[Sense]| {
            let mut senses = senses.iter();
            senses.any(|sense| matches!(sense, Sense::And | Sense::Comma))
        };
        let has = |wanted: fn(&Sense) -> bool| tried.spans.iter().flatten().any(wanted);
        let mut side = Side {
            has_target: has(is_target),
            has_verb: has(is_verb),
            is_empty: !tried.spans.iter().any(|senses| !is_idle(senses)),
            ..Side::default()
        };
        // Fillers beside a join do not hide it: "and please".
        let is_spoken = |senses: &&[Sense]| !senses.iter().any(|sense| sense.is_filler());
        let mut spoken = tried.spans.iter().filter(is_spoken);
        let first = spoken.next();
        side.begins_with_join = first.is_some_and(is_join);
        side.ends_with_join = spoken.last().or(first).is_some_and(is_join);
        side
    }

    /// Returns the form of a command; of several readings the one with most parts.
    fn command_form(&self, command: &str) -> CommandForm {
        let plain = self.plain(command);
        let mut certain = CommandForm::default();
        let mut possible = CommandForm::default();
        let Some(spans) = Spans::of(&plain, self.lexicon, self.names) else {
            return certain;
        };
        for combination in 0..Self::combinations(&spans).unwrap_or(0) {
            let senses: Vec<Sense> = senses_of(&spans, combination).collect();
            let Ok(clauses) = clauses(&senses, spans.asked, &self.lexicon.grammar) else {
                continue;
            };
            let form = CommandForm {
                clauses: clauses.len(),
                targets: clauses.iter().map(|clause| clause.targets.len()).sum(),
                verbs: senses.iter().filter(|sense| is_verb(sense)).count(),
                is_mixed: is_mixed(&clauses),
            };
            possible = possible.most(form);
            if self.one(&senses, spans.asked).is_some() {
                certain = certain.most(form);
            }
        }
        if certain.clauses > 0 {
            certain
        } else {
            possible
        }
    }
}

impl CommandForm {
    fn most(self, other: Self) -> Self {
        Self {
            clauses: self.clauses.max(other.clauses),
            targets: self.targets.max(other.targets),
            verbs: self.verbs.max(other.verbs),
            is_mixed: self.is_mixed || other.is_mixed,
        }
    }
}

fn is_mixed(clauses: &[Clause]) -> bool {
    let same = |pair: &[Clause]| {
        pair[0].state == pair[1].state && pair[0].comparative == pair[1].comparative
    };
    !clauses.windows(2).all(same)
}

fn is_target(sense: &Sense) -> bool {
    matches!(
        sense,
        Sense::Name(..) | Sense::Noun(..) | Sense::It | Sense::Them | Sense::Other
    )
}

fn is_verb(sense: &Sense) -> bool {
    matches!(sense, Sense::Verb(_) | Sense::SplitVerb(..))
}

/// Returns whether a span adds nothing to a command.
fn is_idle(senses: &[Sense]) -> bool {
    senses.iter().any(|sense| {
        sense.is_filler() || matches!(sense, Sense::Polite | Sense::Comma | Sense::Reason)
    })
}
