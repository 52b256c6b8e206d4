//! Words that decide whether a sentence is an order: politeness, "should be", verbs of the second
//! and third person, and words that are something else in a statement.

use crate::grammar::parse::{Parser, Pending, set};
use crate::grammar::sense::{Indefinite, Sense, Verb};

impl Parser<'_> {
    /// Accepts "can you" at the start of a clause, before its verb, or at the end of the sentence.
    /// Elsewhere it makes a statement: "el aire puede estar a 22".
    pub(super) fn politeness(&mut self, at: usize) -> Option<()> {
        let begins = self.now.targets.is_empty()
            && self.now.verb.is_none()
            && self.now.state.is_none()
            && self.now.amount.is_none()
            && self.pending.places.is_empty();
        let mut behind = self.senses[at + 1..].iter();
        let has_verb = behind.clone().any(|sense| {
            matches!(
                sense,
                Sense::Verb(_) | Sense::SplitVerb(..) | Sense::Gerund(_) | Sense::Request(_)
            )
        });
        let ends = behind.all(|sense| sense.is_filler() || *sense == Sense::Comma);
        (begins || has_verb || ends).then_some(())?;
        set(&mut self.polite)
    }

    /// Accepts "this" before what it points at. The Spanish "esta" without its accent is "is".
    pub(super) fn indefinite(&self, at: usize, which: Indefinite) -> Option<()> {
        if which != Indefinite::Pointing {
            return Some(());
        }
        let is_between = |sense: &&Sense| {
            sense.is_filler()
                || sense.is_article()
                || matches!(sense, Sense::Color(_) | Sense::White(_) | Sense::Hex(_))
        };
        let mut behind = self.senses[at + 1..]
            .iter()
            .filter(|sense| !is_between(sense));
        let next = behind.next();
        // "die in de kelder"
        if next == Some(&Sense::In) && matches!(behind.next(), Some(Sense::Place(_))) {
            return Some(());
        }
        next.filter(|sense| {
            matches!(
                sense,
                Sense::Name(..)
                    | Sense::Noun(..)
                    | Sense::Place(_)
                    | Sense::All
                    | Sense::Both
                    | Sense::Possessive
                    | Sense::Property(_)
                    | Sense::Target(_)
                    | Sense::OptionName(_)
                    | Sense::Comparative(_)
                    | Sense::Mode
                    | Sense::Status
            )
        })
        .map(|_| ())
    }

    /// Accepts "still" and "already", but not between a name and its state or value without a verb,
    /// which is a statement or a question: "la tele ya en netflix", "Flurlicht noch an".
    pub(super) fn still(&self, at: usize) -> Option<()> {
        let is_statement = self.now.verb.is_none()
            && self.now.question.is_none()
            && !self.now.ensure
            && !self.now.targets.is_empty()
            && !self.asked;
        let next = self.senses[at + 1..].iter().find(|s| !s.is_filler());
        let gives_a_value = next.is_some_and(|sense| {
            let is_value = matches!(sense, Sense::State(_) | Sense::Mode | Sense::Color(_));
            is_value || (self.grammar.verb_first && sense.is_preposition())
        });
        (!(is_statement && gives_a_value)).then_some(())
    }

    /// Accepts a verb of the second person in a question: "¿me apagas la tele?"
    pub(super) fn request(&mut self, verb: Verb) -> Option<()> {
        self.polite = true;
        self.verb(verb)
    }

    /// Accepts a verb of the third person behind a wish, "ik wil dat je de lamp dimt", and with the
    /// pronoun of a formal request. Anywhere else it states or asks what happens.
    pub(super) fn indicative(&mut self, at: usize, verb: Verb) -> Option<()> {
        let is_formal = self.senses.get(at + 1) == Some(&Sense::Formal);
        if !(self.polite || self.now.ensure || is_formal) {
            return None;
        }
        self.verb(verb)
    }

    /// Accepts "has to be" after a target and before a state: "the fan has to be off". With
    /// "still" or "already" it is a supposition.
    pub(super) fn shall(&mut self) -> Option<()> {
        self.flush_places();
        let is_order = !self.asked && !self.senses.contains(&Sense::Still);
        if !is_order || !self.now.is_only_named() || self.pending != Pending::default() {
            return None;
        }
        self.now.ensure = true;
        Some(())
    }

    /// Accepts "should be", which may be a supposition in the same place.
    pub(super) fn should(&mut self) -> Option<()> {
        self.shall()?;
        self.now.supposed = true;
        Some(())
    }
}
