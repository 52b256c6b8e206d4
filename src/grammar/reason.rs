//! Reasons for not understanding a phrase, as data for a reply to the speaker.

use crate::command::misunderstanding::Misunderstanding;
use crate::grammar::clause::{Amount, Clause};
use crate::grammar::dissect::{Adjunct, Dissected};
use crate::grammar::intent::{Intent, intent_of};
use crate::grammar::interpreter::{Interpreter, senses_of};
use crate::grammar::lexicon::UnsupportedMeaning;
use crate::grammar::parse::clauses;
use crate::grammar::sense::Sense;
use crate::grammar::spans::{MOST_WORDS, Spans, TriedSpans};
use crate::grammar::tokens::{edits, words};
use crate::vocabulary::Domain;
use crate::vocabulary::speech::fill;

/// Most unknown words of a name: with more, the sentence is probably not a command.
const MOST_UNKNOWN: usize = 3;

/// Most names suggested instead of an unknown one.
const MOST_NEAREST: usize = 3;

impl Interpreter<'_> {
    /// Returns the cause why `text` has no draft, or `None` if it is not known.
    pub(super) fn reason(&self, text: &str) -> Option<Misunderstanding> {
        if self.home.devices().is_empty() {
            return Some(Misunderstanding::NoDevices);
        }
        let plain = self.lexicon.spelling.plain(text);
        let tried = Spans::try_of(&plain, self.lexicon, self.names);
        // A longer sentence is not a command, and its words are looked up one by one.
        let mut input = words(&plain);
        input.truncate(MOST_WORDS);
        if let Some(words) = self
            .lexicon
            .unsupported_in(&input, UnsupportedMeaning::Negation)
        {
            return Some(Misunderstanding::Negation { words });
        }
        if let Some(dissected) = self.dissected(&plain) {
            return self.reason_of_part(dissected);
        }
        if let Some(reason) = self.condition_or_time(&input) {
            return Some(reason);
        }
        match &tried.error {
            Some(_) => self.unknown_name(&tried),
            None => self
                .first_clause_with(&tried.spans, Self::out_of_range)
                .or_else(|| self.first_clause_with(&tried.spans, Self::incapable)),
        }
    }

    /// Returns the cause in a sentence with a time or a condition: it, or the command.
    fn reason_of_part(&self, dissected: Dissected) -> Option<Misunderstanding> {
        let words = dissected.words;
        if dissected.is_understood && !dissected.is_command {
            return self.reason(&dissected.command);
        }
        if dissected.is_understood && dissected.is_command && !dissected.is_for_all {
            return Some(match dissected.adjunct {
                Adjunct::Condition => Misunderstanding::ConditionOfPart { words },
                Adjunct::Time => Misunderstanding::TimeOfPart { words },
            });
        }
        Some(match dissected.adjunct {
            Adjunct::Condition => Misunderstanding::Condition { words },
            Adjunct::Time => Misunderstanding::Time { words },
        })
    }

    /// Returns the condition or time that the words announce, and that has no meaning.
    fn condition_or_time(&self, input: &[&str]) -> Option<Misunderstanding> {
        if let Some(words) = self
            .lexicon
            .unsupported_in(input, UnsupportedMeaning::Condition)
        {
            return Some(Misunderstanding::Condition { words });
        }
        let time = self.lexicon.unsupported_in(input, UnsupportedMeaning::Time);
        let clock = || {
            let clock = input.iter().find(|word| is_clock_time(word));
            clock.map(ToString::to_string)
        };
        let words = time.or_else(clock)?;
        Some(Misunderstanding::Time { words })
    }

    /// Returns the unknown name in a sentence that is a command or a question otherwise.
    fn unknown_name(&self, tried: &TriedSpans<'_>) -> Option<Misunderstanding> {
        let senses: Vec<&[Sense]> = tried.spans.iter().collect();
        let has = |wanted: fn(&Sense) -> bool| senses.iter().any(|span| span.iter().any(wanted));
        let is_command = has(|sense| {
            matches!(
                sense,
                Sense::Verb(_) | Sense::SplitVerb(..) | Sense::State(_) | Sense::Comparative(_)
            )
        });
        let names_device = has(|sense| matches!(sense, Sense::Name(..) | Sense::Noun(..)));
        let unknown: Vec<String> = tried
            .runs()
            .zip(&senses)
            .filter(|(_, senses)| senses.is_empty())
            .map(|(run, _)| run)
            .collect();
        // "is it warmer than 18" compares, and "than" is no device.
        let compares = has(|sense| matches!(sense, Sense::Comparative(_)))
            && has(|sense| matches!(sense, Sense::Be | Sense::What | Sense::Whether));
        if !is_command
            || compares
            || names_device
            || unknown.is_empty()
            || unknown.len() > MOST_UNKNOWN
        {
            return None;
        }
        let unknown: Vec<&str> = unknown.iter().map(|word| self.as_written(word)).collect();
        let words = unknown.join(" ");
        Some(Misunderstanding::NoSuchDevice {
            nearest: self.nearest_names(&words),
            words,
        })
    }

    /// Returns the word of the command that is `plain` in plain spelling: "queen", not "qüen".
    fn as_written<'w>(&'w self, plain: &'w str) -> &'w str {
        let spelling = &self.lexicon.spelling;
        let mut written = self.phrase.split(|c: char| !c.is_alphanumeric());
        let is_same = |word: &&str| spelling.plain(word) == plain;
        written.find(is_same).unwrap_or(plain)
    }

    /// Returns the names most similar to `text`, if there are any.
    fn nearest_names(&self, text: &str) -> Vec<String> {
        let mut near: Vec<(usize, &str)> = Vec::new();
        for device in self.home.devices() {
            for name in std::iter::once(&device.name).chain(&device.aliases) {
                let lower = name.to_lowercase();
                let plain = self.lexicon.spelling.plain(&lower);
                let distance = words(&plain)
                    .into_iter()
                    .chain([plain.as_ref()])
                    .map(|part| edits(part, text))
                    .min();
                // A third of the letters may differ.
                if let Some(distance) = distance
                    && distance * 3 <= text.chars().count()
                {
                    near.push((distance, &device.name));
                }
            }
        }
        near.sort_unstable();
        near.dedup_by_key(|(_, name)| *name);
        near.truncate(MOST_NEAREST);
        near.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    /// Returns the first reason found in a clause, in any reading of the sentence.
    fn first_clause_with(
        &self,
        spans: &Spans,
        find: fn(&Self, &Clause, Intent) -> Option<Misunderstanding>,
    ) -> Option<Misunderstanding> {
        for index in 0..Self::combinations(spans)? {
            let senses: Vec<Sense> = senses_of(spans, index).collect();
            let Ok(clauses) = clauses(&senses, spans.asked, &self.lexicon.grammar) else {
                continue;
            };
            let reason = |clause: &Clause| find(self, clause, intent_of(clause)?);
            if let Some(reason) = clauses.iter().find_map(reason) {
                return Some(reason);
            }
        }
        None
    }

    /// Returns the device that does not accept the value of the command.
    fn out_of_range(&self, clause: &Clause, intent: Intent) -> Option<Misunderstanding> {
        match intent {
            Intent::SetValue(property, amount) => self.rejected_value(clause, property, amount),
            _ => None,
        }
    }

    /// Returns the first device of the clause whose range does not contain the amount.
    fn rejected_value(
        &self,
        clause: &Clause,
        property: Option<u16>,
        amount: Amount,
    ) -> Option<Misunderstanding> {
        if !matches!(amount, Amount::Number(_) | Amount::Measured(..)) {
            return None;
        }
        let effects = self.effects();
        let devices = (0_u32..).zip(self.home.devices());
        for (_, device) in devices.filter(|(index, _)| self.is_meant_there(clause, *index)) {
            let Some(capability) = effects.numeric(device, property, amount) else {
                continue;
            };
            let Domain::Number { min, max, unit, .. } = &capability.domain else {
                continue;
            };
            if effects.accepts(capability, amount) {
                return None;
            }
            return Some(Misunderstanding::OutOfRange {
                device: device.name.clone(),
                property: self.lexicon.say.property(capability.property.name()),
                range: self.range(*min, *max, unit),
            });
        }
        None
    }

    fn range(&self, min: f64, max: f64, unit: &str) -> String {
        let say = &self.lexicon.say;
        let bounds = [("min", &*min.to_string()), ("max", &*max.to_string())];
        let range = fill(&say.range, &bounds);
        if unit.is_empty() {
            range
        } else {
            format!("{range} {unit}")
        }
    }
}

/// Returns whether the word is a time of day in digits: "7:30".
fn is_clock_time(word: &str) -> bool {
    let Some((hours, minutes)) = word.split_once(':') else {
        return false;
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits(hours) && is_digits(minutes)
}
