//! Conjunctions and commas: continuation of lists, and the end of clauses.

use crate::grammar::clause::{Amount, Clause, Head, Preposition, Target};
use crate::grammar::parse::{Parser, Pending, set};
use crate::grammar::sense::{Sense, StateWord, Verb};

impl Parser<'_> {
    pub(super) fn join(&mut self, at: usize, sense: Sense) -> Option<()> {
        if self.pending.after_in || self.pending.preposition.is_some() || self.pending.or {
            return None;
        }
        let Some(next) = self.after(at) else {
            return (sense == Sense::Comma).then_some(());
        };
        let begun = self.now != Clause::default();
        match next {
            _ if !begun => Some(()),
            Sense::And | Sense::Comma | Sense::Polite | Sense::Except => Some(()),
            Sense::Verb(_)
            | Sense::SplitVerb(..)
            | Sense::What
            | Sense::HowMany
            | Sense::Who
            | Sense::Whether
            | Sense::Ensure
            | Sense::How(_)
            | Sense::HowSet(_)
                if sense == Sense::Comma && self.is_only_a_place() =>
            {
                Some(())
            }
            // "robot, start cleaning"
            Sense::Verb(_) | Sense::SplitVerb(..)
                if sense == Sense::Comma
                    && self.now.is_only_named()
                    && self.now.targets.len() == 1 =>
            {
                Some(())
            }
            Sense::Verb(_)
            | Sense::SplitVerb(..)
            | Sense::Be
            | Sense::BeAny
            | Sense::Asking(_)
            | Sense::What
            | Sense::HowMany
            | Sense::Who
            | Sense::Whether
            | Sense::Ensure
            | Sense::How(_)
            | Sense::HowSet(_) => self.finish(),
            Sense::In | Sense::Place(_) if self.is_trailing() && !self.is_named_later(at) => {
                set(&mut self.joined)
            }
            // "except those in the kitchen and in the hall"
            Sense::In if self.excepting => set(&mut self.joined),
            Sense::Name(..) | Sense::Noun(..) | Sense::It | Sense::Them | Sense::Place(_)
                if !self.closed || self.excepting =>
            {
                set(&mut self.joined)
            }
            // "allume la lampe rouge et la bleue" may be about two lamps.
            Sense::Color(_) | Sense::White(_) | Sense::Hex(_)
                if self.now.amount.is_none()
                    && matches!(self.last, Some(Sense::Name(..) | Sense::Noun(..))) =>
            {
                None
            }
            _ => self.next_of_same(),
        }
    }

    pub(super) fn is_trailing(&self) -> bool {
        !self.excepting
            && self
                .now
                .targets
                .last()
                .is_some_and(|target| target.trailing_place)
    }

    /// Returns whether the next place belongs to a noun after it: "and the hall lights".
    pub(super) fn is_named_later(&self, at: usize) -> bool {
        let mut coming = self.senses[at + 1..]
            .iter()
            .skip_while(|s| !matches!(s, Sense::Place(_)))
            .skip(1);
        coming
            .find(|s| !s.is_filler() && !s.is_article())
            .is_some_and(|s| {
                matches!(
                    s,
                    Sense::Noun(..)
                        | Sense::Name(..)
                        | Sense::Possessive
                        | Sense::Property(_)
                        | Sense::Target(_)
                )
            })
    }

    /// Returns whether the clause has only a place yet: "in the kitchen, turn ..".
    pub(super) fn is_only_a_place(&self) -> bool {
        self.now
            == Clause {
                places: self.now.places.clone(),
                ..Clause::default()
            }
    }

    /// Starts a clause with the verb of the previous one: "set the lamp to 20 and the fan to 50".
    pub(super) fn next_of_same(&mut self) -> Option<()> {
        self.finish()?;
        let before = self.done.last()?;
        self.now = Clause {
            verb: before.verb,
            question: before.question,
            ensure: before.ensure,
            supposed: before.supposed,
            ..Clause::default()
        };
        Some(())
    }

    /// Returns whether the clause is ambiguous: "allume la lampe rouge" may select a lamp, "um 5
    /// runter" may give a time.
    fn may_be_other(&self, clause: &Clause) -> bool {
        let bare = clause.property.is_none();
        let which = self.coloured
            && (matches!(clause.verb, None | Some(Verb::On | Verb::TurnUp))
                || clause.state.is_some());
        let when = self.grammar.by_is_a_time
            && clause.preposition == Preposition::By
            && matches!(clause.amount, Some(Amount::Number(_)));
        bare && (which || when)
    }

    /// Applies a place excepted at the end to all groups before it: "all lights off and all blinds
    /// down except in the office".
    pub(super) fn share_exception(&mut self) {
        let Some((last, before)) = self.done.split_last_mut() else {
            return;
        };
        let is_place = |except: &Target| except.head == Head::Area;
        if last.except.is_empty() || !last.except.iter().all(is_place) {
            return;
        }
        let is_group = |target: &Target| target.all || matches!(target.head, Head::Noun(_, true));
        for clause in before {
            if clause.except.is_empty() && clause.targets.iter().all(is_group) {
                clause.except.clone_from(&last.except);
            }
        }
    }

    pub(super) fn finish(&mut self) -> Option<()> {
        self.flush_places();
        if self.pending != Pending::default() {
            return None;
        }
        self.end_exceptions()?;
        let mut clause = std::mem::take(&mut self.now);
        if std::mem::take(&mut self.asks_who) && clause.state != Some(StateWord::Home) {
            return None;
        }
        if self.asked && !self.senses.contains(&Sense::Polite) {
            clause.question = clause.question.or_else(|| clause.short_question());
        }
        if let [first, second] = clause.targets.as_mut_slice()
            && first.both
            && !second.both
        {
            // "both the kitchen light and the hall light"
            first.both = false;
        }
        if self.may_be_other(&clause) {
            return None;
        }
        self.coloured = false;
        self.closed = false;
        self.whether = false;
        self.joined = false;
        clause.repeats =
            clause.targets.is_empty() && clause.property.is_none() && !self.done.is_empty();
        if let Some((last, before)) = clause.targets.split_last_mut()
            && last.trailing_place
        {
            before
                .iter_mut()
                .filter(|t| t.places.is_empty())
                .for_each(|t| t.shared_places.clone_from(&last.places));
        }
        self.done.push(clause);
        Some(())
    }
}
