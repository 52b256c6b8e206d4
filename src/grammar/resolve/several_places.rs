//! Targets in several places: "the tv in the living room and the bedroom". Each of the places must
//! have one, so that none of them is passed over in silence.
//!
//! In: a target with several places. Out: what it means in each of them, together.

use crate::grammar::clause::{Clause, Head, Target};
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::Place;

impl Resolver<'_> {
    /// Returns whether the target is to be found in several places, each by itself.
    pub(super) fn names_several_places(request: &ClauseIntent<'_>, target: &Target) -> bool {
        let clause = request.clause;
        let (own, whole) = (&target.places, &clause.places);
        let are_several =
            (own.len() > 1 && whole.is_empty()) || (whole.len() > 1 && own.is_empty());
        let is_described = matches!(target.head, Head::Noun(..) | Head::Name(..));
        are_several
            && is_described
            && !target.both
            && clause.except.is_empty()
            && !Self::places(request, target).any(|place| *place == Place::House)
    }

    /// Resolves a target in each of its places. A question and "everything" are for the places that
    /// have some; a command needs one in every place.
    pub(super) fn in_each_place(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
    ) -> Option<Resolution> {
        let passes_over = request.clause.question.is_some() || self.is_everything(target);
        let mut found = Vec::new();
        for place in Self::places(request, target) {
            let clause = Clause {
                places: Vec::new(),
                ..request.clause.clone()
            };
            let there = Target {
                places: vec![*place],
                ..target.clone()
            };
            let request = ClauseIntent {
                clause: &clause,
                ..*request
            };
            match self.target_anywhere(&request, &there) {
                Some(resolution) => found.push(resolution),
                None if passes_over => {}
                None => return None,
            }
        }
        found.into_iter().reduce(Resolution::and)
    }
}
