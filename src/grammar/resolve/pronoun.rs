//! Pronouns: "it" and "them" are devices of the previous clause, or the conditions of a place.
//!
//! In: a clause with a pronoun, and the devices of the clause before it. Out: those of them that
//! can do what is asked. What was said in earlier commands is not known here.

use crate::grammar::clause::{Amount, Target};
use crate::grammar::resolve::{Affected, ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::{Comparative, Verb};

impl Resolver<'_> {
    /// Returns those devices of the previous clause that can do this as well.
    pub(super) fn repeat_previous(&self, request: &ClauseIntent<'_>) -> Option<Resolution> {
        let able: Affected = request
            .before
            .iter()
            .filter_map(|&d| Some((d, self.effects(request, d, None)?)))
            .collect();
        (!able.is_empty()).then(|| Resolution::Devices {
            left_out: self.unable(request, request.before, None),
            able,
        })
    }

    /// Returns the only device of a list in the previous clause that can do this: a pronoun in the
    /// singular means one.
    pub(super) fn one_of_previous(&self, request: &ClauseIntent<'_>) -> Option<Resolution> {
        let able = self.able(request, request.before, None);
        if able.len() > 1 {
            return Some(Resolution::AskWhich(able));
        }
        self.each_of(request, &able, None)
    }

    /// Returns whether "it" means the conditions of a place: "make it brighter in here".
    pub(super) fn is_of_a_place(&self, request: &ClauseIntent<'_>, target: &Target) -> bool {
        let clause = request.clause;
        let of_the_air = matches!(
            clause.comparative,
            Some(Comparative::Warmer | Comparative::Cooler)
        );
        let place_is_known =
            of_the_air || self.here.is_some() || Self::place_is_named(request, Some(target));
        let measured = matches!(clause.amount, Some(Amount::Measured(..)));
        let tells = match clause.verb {
            Some(Verb::Set) => {
                let colored = clause.amount.is_some_and(Amount::is_color)
                    && Self::place_is_named(request, Some(target));
                (clause.comparative.is_some() && place_is_known) || measured || colored
            }
            // "turn it down to 19 degrees"
            Some(Verb::Turn) => measured,
            Some(Verb::Warm | Verb::Cool | Verb::Brighten | Verb::Dim | Verb::Darken) => {
                place_is_known
            }
            // "i want it warmer"
            None => clause.ensure && ((clause.comparative.is_some() && place_is_known) || measured),
            _ => false,
        };
        tells && clause.targets.len() == 1
    }
}
