//! Facts about a clause: which of its parts are there.
//!
//! In: a clause. Out: a fact. What it asks for is decided elsewhere.

use smallvec::SmallVec;

use crate::grammar::clause::{Amount, Clause, Head, Preposition, Target};
use crate::grammar::sense::{StateWord, Verb};

/// Returns whether the clause makes something less, so that a stated part of the whole is the
/// missing one: "schließ den Rollladen zu 80 Prozent".
pub(super) fn is_lowered(clause: &Clause) -> bool {
    let is_down = matches!(
        clause.state,
        Some(StateWord::Closed | StateWord::Down | StateWord::Off)
    );
    let by_verb = matches!(
        clause.verb,
        Some(
            Verb::Close
                | Verb::Shut
                | Verb::Lower
                | Verb::Decrease
                | Verb::Dim
                | Verb::Darken
                | Verb::Retract
                | Verb::Off
        )
    );
    is_down || by_verb || clause.comparative.is_some()
}

/// Returns whether the clause is nothing but a name, which asks for the reading of a sensor:
/// "outdoor temperature".
pub(super) fn is_reading_name(clause: &Clause) -> bool {
    let is_name = |target: &Target| {
        matches!(target.head, Head::Name(..)) && target.extra_noun.is_none() && !target.all
    };
    matches!(clause.targets.as_slice(), [target] if is_name(target))
        && clause.is_only_named()
        && clause.places.is_empty()
}

/// Returns whether the clause is a name with the noun of a scene or "mode": "scene dinner".
pub(super) fn is_scene_name(clause: &Clause) -> bool {
    let [target] = clause.targets.as_slice() else {
        return false;
    };
    let rest = Clause {
        mode: false,
        ..clause.clone()
    };
    let is_called = matches!(target.head, Head::Name(..));
    is_called && rest.is_only_named() && (clause.mode || target.extra_noun.is_some())
}

/// Returns whether the clause has neither state nor amount nor property.
pub(super) fn is_bare(clause: &Clause) -> bool {
    has_no_value(clause)
        && clause.state.is_none()
        && clause.comparative.is_none()
        && !clause.slightly
}

/// Returns whether the clause has neither amount nor property.
pub(super) fn has_no_value(clause: &Clause) -> bool {
    clause.amount.is_none() && clause.property.is_none()
}

/// Returns whether the clause names a device or a place.
pub(super) fn has_object(clause: &Clause) -> bool {
    !clause.targets.is_empty() || !clause.places.is_empty()
}

/// Returns whether "mode" is explained: "eco mode" is a value, "party mode" may be a scene.
pub(super) fn mode_is_explained(clause: &Clause) -> bool {
    match clause.amount {
        None => {
            matches!(clause.state, None | Some(StateWord::On))
                && clause.property.is_none()
                && clause.comparative.is_none()
        }
        amount => matches!(amount, Some(Amount::Choice(_))),
    }
}

/// Returns whether the clause only names a property of something: "bedroom temperature".
pub(super) fn is_reading(clause: &Clause) -> bool {
    let of_something = !clause.targets.is_empty() || !clause.places.is_empty();
    if clause.property.is_none() || !of_something {
        return false;
    }
    let rest = Clause {
        targets: SmallVec::new(),
        places: Vec::new(),
        property: None,
        ..clause.clone()
    };
    rest == Clause::default()
}

/// Returns whether the amount cannot be a time: "on at 50 percent", but not "on at nine".
pub(super) fn is_clear(clause: &Clause, amount: Amount) -> bool {
    !matches!(amount, Amount::Number(_))
        || (clause.property.is_some() && clause.preposition != Preposition::By)
}
