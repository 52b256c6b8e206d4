//! Targets without a place, behind a place that was said: "the bedroom fan and lamp", "in the
//! bedroom turn off the lamp and turn off the tv".
//!
//! In: the places said so far, and a target without one. Out: the devices there, or a question
//! where the target may as well be elsewhere.

use crate::grammar::clause::{Clause, Head, Target};
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::said_places::{SaidHow, SaidPlaces};
use crate::grammar::sense::Place;

impl Resolver<'_> {
    /// Notes the places of a clause, for those behind it.
    pub(in crate::grammar) fn note(&self, said: &mut SaidPlaces, clause: &Clause) {
        let is_command = clause.property.is_none() && clause.question.is_none();
        let how = if is_command {
            SaidHow::First
        } else {
            SaidHow::Beside
        };
        said.note(&clause.places, how);
        for target in &clause.targets {
            self.note_target(said, target);
        }
    }

    /// Notes the places of a target, which may be in its name.
    pub(super) fn note_target(&self, said: &mut SaidPlaces, target: &Target) {
        let how = if target.places.is_empty() {
            SaidHow::InName
        } else {
            SaidHow::Beside
        };
        said.note(self.place_of(target), how);
    }

    fn place_of<'t>(&'t self, target: &'t Target) -> &'t [Place] {
        match target.head {
            Head::Name(id, _) if target.places.is_empty() => {
                self.names.entries[id as usize].place.as_slice()
            }
            _ => &target.places,
        }
    }

    /// Resolves a target, which is where something before it was said to be, if it is there.
    /// `named` are the devices named in this clause already.
    pub(super) fn target_beside(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        (said, named): (&SaidPlaces, &[u32]),
    ) -> Option<Resolution> {
        if said.places.is_empty() {
            return self.target(request, target);
        }
        let is_described = matches!(target.head, Head::Name(..) | Head::Noun(..));
        let has_place = !request.clause.places.is_empty()
            || !self.place_of(target).is_empty()
            || !target.shared_places.is_empty()
            || target.owner.is_some();
        if !is_described || has_place {
            return self.target(request, target);
        }
        let is_new = |found: &Resolution| match found {
            Resolution::Devices { able, .. } => !able.iter().all(|(d, _)| named.contains(d)),
            _ => true,
        };
        let there = self.target(request, &self.placed(target, said));
        let there = there.filter(is_new);
        if said.how == SaidHow::First {
            let is_own_name = matches!(target.head, Head::Name(_, None));
            let elsewhere = || self.target(request, target);
            return there.or_else(|| is_own_name.then(elsewhere)?);
        }
        let anywhere = self.target(request, target);
        match (there, anywhere) {
            (Some(there), Some(anywhere)) => Some(self.nearer(target, said, (there, anywhere))),
            (there, anywhere) => there.or(anywhere),
        }
    }

    /// Returns the target in the places that were said: "the light" there is the one called
    /// "bedroom light", if there is one.
    fn placed(&self, target: &Target, said: &SaidPlaces) -> Target {
        let there = Target {
            places: said.places.clone(),
            ..target.clone()
        };
        let (Head::Noun(noun, false), [place]) = (target.head, said.places.as_slice()) else {
            return there;
        };
        let mut entries = (0_u32..).zip(&self.names.entries);
        let called = entries.find(|(_, entry)| {
            let is_whole = matches!(entry.devices.as_slice(), [(_, true)]);
            is_whole && entry.noun == Some(noun) && entry.place == Some(*place)
        });
        match called {
            Some((id, _)) if !target.all && !target.both => Target {
                head: Head::Name(id, None),
                ..there
            },
            _ => there,
        }
    }

    /// Returns what is meant of the devices in the place that was said, and those without it.
    fn nearer(
        &self,
        target: &Target,
        said: &SaidPlaces,
        (there, anywhere): (Resolution, Resolution),
    ) -> Resolution {
        let may_be_all = target.all || self.is_everything(target);
        let (mut able, left_out) = match anywhere {
            Resolution::AskWhere { .. } if said.how == SaidHow::InName => return anywhere,
            _ if may_be_all && said.how == SaidHow::InCondition => return anywhere,
            _ if there == anywhere => return there,
            Resolution::Devices { able, left_out } => {
                (able.iter().map(|(d, _)| *d).collect::<Vec<u32>>(), left_out)
            }
            _ => return there,
        };
        if may_be_all {
            return Resolution::AskWhere { able, left_out };
        }
        let is_here = |&d: &u32| self.names.is_at(d, Place::Here, self.here);
        match &there {
            Resolution::Devices { able: near, .. } if able.iter().all(is_here) => {
                able.extend(near.iter().map(|(d, _)| *d));
                Resolution::AskWhich(able)
            }
            _ => there,
        }
    }

    /// Resolves a clause without a target, which is about the place said first, if it can be.
    pub(super) fn implied_beside(&self, request: &ClauseIntent<'_>) -> Option<Resolution> {
        let said = request.said;
        if said.how == SaidHow::First && request.clause.places.is_empty() {
            let clause = Clause {
                places: said.places.clone(),
                ..request.clause.clone()
            };
            let there = ClauseIntent {
                clause: &clause,
                ..*request
            };
            if let Some(found) = self.implied(&there, None) {
                return Some(found);
            }
        }
        self.implied(request, None)
    }
}
