//! "and", commas and ends: where a list goes on, and where a clause ends.

use crate::grammar::clause::{Amount, Clause, Preposition};
use crate::grammar::parse::{Parser, Pending, set};
use crate::grammar::sense::{Act, Sense};

impl Parser<'_> {
    pub(super) fn join(&mut self, at: usize, sense: Sense) -> Option<()> {
        if self.pending.place || self.pending.link.is_some() || self.pending.or {
            return None;
        }
        let Some(next) = self.after(at) else {
            return (sense == Sense::Comma).then_some(());
        };
        let begun = self.now != Clause::default();
        match next {
            _ if !begun => Some(()),
            Sense::And | Sense::Comma | Sense::Polite | Sense::Except => Some(()),
            Sense::Act(_)
            | Sense::Split(..)
            | Sense::What
            | Sense::HowMany
            | Sense::Whether
            | Sense::Ensure
            | Sense::How(_)
                if sense == Sense::Comma && self.is_only_a_place() =>
            {
                Some(())
            }
            // "robot, start cleaning"
            Sense::Act(_) | Sense::Split(..)
                if sense == Sense::Comma
                    && self.now.is_only_named()
                    && self.now.targets.len() == 1 =>
            {
                Some(())
            }
            Sense::Act(_)
            | Sense::Split(..)
            | Sense::Be
            | Sense::What
            | Sense::HowMany
            | Sense::Whether
            | Sense::Ensure
            | Sense::How(_) => self.finish(),
            Sense::In | Sense::Place(_) if self.is_trailing() && !self.is_named_later(at) => {
                set(&mut self.joined)
            }
            Sense::Called(..) | Sense::Noun(..) | Sense::It | Sense::Them | Sense::Place(_)
                if !self.closed || self.excepting =>
            {
                set(&mut self.joined)
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
                .is_some_and(|target| target.trailing)
    }

    /// Whether the place that comes belongs to a name after it: "and the hall lights".
    pub(super) fn is_named_later(&self, at: usize) -> bool {
        let mut coming = self.senses[at + 1..]
            .iter()
            .skip_while(|s| !matches!(s, Sense::Place(_)))
            .skip(1);
        coming
            .find(|s| !matches!(s, Sense::Skip | Sense::Article))
            .is_some_and(|s| {
                matches!(
                    s,
                    Sense::Noun(..)
                        | Sense::Called(..)
                        | Sense::Possessive
                        | Sense::Property(_)
                        | Sense::Target(_)
                )
            })
    }

    /// "in the kitchen, turn ..".
    pub(super) fn is_only_a_place(&self) -> bool {
        self.now
            == Clause {
                places: self.now.places.clone(),
                ..Clause::default()
            }
    }

    /// A clause that goes on with the verb of the one before: "set the lamp to 20 and the fan to 50".
    pub(super) fn next_of_same(&mut self) -> Option<()> {
        self.finish()?;
        let before = self.done.last()?;
        self.now = Clause {
            act: before.act,
            ask: before.ask,
            ensure: before.ensure,
            ..Clause::default()
        };
        Some(())
    }

    /// "allume la lampe rouge" may say which lamp, "um 5 runter" may say when.
    fn may_be_other(&self, clause: &Clause) -> bool {
        let bare = clause.property.is_none();
        let which =
            self.coloured && (matches!(clause.act, None | Some(Act::On)) || clause.state.is_some());
        let when = self.grammar.by_is_a_time
            && clause.link == Preposition::By
            && matches!(clause.amount, Some(Amount::Number(_)));
        bare && (which || when)
    }

    pub(super) fn finish(&mut self) -> Option<()> {
        self.flush_rooms();
        if self.pending != Pending::default() {
            return None;
        }
        self.end_exceptions()?;
        let mut clause = std::mem::take(&mut self.now);
        if self.may_be_other(&clause) {
            return None;
        }
        self.coloured = false;
        self.closed = false;
        self.whether = false;
        self.joined = false;
        clause.again =
            clause.targets.is_empty() && clause.property.is_none() && !self.done.is_empty();
        if let Some((last, before)) = clause.targets.split_last_mut()
            && last.trailing
        {
            before
                .iter_mut()
                .filter(|t| t.places.is_empty())
                .for_each(|t| t.maybe.clone_from(&last.places));
        }
        self.done.push(clause);
        Some(())
    }
}
