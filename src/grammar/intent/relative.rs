//! Intents that raise, lower or open something: "turn up", "brighter", "open the blinds halfway".
//!
//! In: a clause with the direction. Out: a change relative to the present value, or the value that
//! an amount names.

use crate::grammar::clause::{Amount, Clause, Head, Preposition};
use crate::grammar::intent::intents::{Intent, RelativeChange};
use crate::grammar::lexicon::standard;
use crate::grammar::part_open::{Extent, extent};
use crate::grammar::sense::{Comparative, Level, StateWord, Verb};

/// Returns the intent of "open" and "close": to an end, to a part of the way, or by an amount.
pub(super) fn opening(clause: &Clause, open: bool) -> Option<Intent> {
    if !matches!(
        (open, clause.state),
        (_, None) | (true, Some(StateWord::Up)) | (false, Some(StateWord::Down))
    ) {
        return None;
    }
    let property = clause.property.or(standard("position"));
    let by = match extent(clause, open)? {
        Extent::End => return Some(Intent::Open(open)),
        Extent::To(amount) => return Some(Intent::SetValue(property, amount)),
        Extent::By(amount) => Some(amount),
        Extent::Slightly => None,
    };
    Some(Intent::Change(RelativeChange {
        property,
        up: open,
        by,
        vertical: false,
        bare: false,
        warmth: false,
    }))
}

/// Returns the intent of "turn up", "raise", "dim": to a value, by a value, or by one step.
pub(super) fn step(clause: &Clause, of: Option<u16>, up: bool, vertical: bool) -> Option<Intent> {
    let property = match (clause.property, of) {
        (Some(named), Some(of)) if named != of => return None,
        (named, of) => named.or(of),
    };
    // "speed up" alone may address a person.
    let to_whom = !clause.targets.is_empty() || !clause.places.is_empty();
    if !goes_along(clause.state, up)
        || (property == standard("speed") && clause.verb.is_none() && !to_whom)
    {
        return None;
    }
    let next = |by| {
        Some(Intent::Change(RelativeChange {
            property,
            up,
            by,
            vertical: vertical && !clause.slightly,
            bare: clause.verb.is_none(),
            warmth: matches!(clause.verb, Some(Verb::Warm | Verb::Cool)),
        }))
    };
    match (clause.amount, clause.preposition) {
        (None, _) => next(None),
        // "raise the blinds by a third"
        (Some(amount @ Amount::Level(level)), Preposition::By)
            if vertical && property.is_none() && level.is_part() =>
        {
            next(Some(amount))
        }
        (Some(Amount::Level(Level::Full)), _) if up => {
            Some(Intent::SetValue(property, Amount::Level(Level::Full)))
        }
        (Some(Amount::Level(Level::Low)), _) if !up => {
            Some(Intent::SetValue(property, Amount::Level(Level::Low)))
        }
        // "the blinds all the way down"; for a light it is ambiguous (dark or off).
        (Some(Amount::Level(Level::Full)), Preposition::Bare) if vertical => match property {
            None => Some(Intent::Open(false)),
            volume => (volume == standard("volume"))
                .then_some(Intent::SetValue(volume, Amount::Number(0.0))),
        },
        // "lower the blinds halfway" names the final position.
        (Some(Amount::Level(Level::Half)), Preposition::Bare) if vertical && property.is_none() => {
            Some(Intent::SetValue(
                standard("position"),
                Amount::Level(Level::Half),
            ))
        }
        (Some(amount @ Amount::Level(level)), Preposition::To) if level.is_part() => {
            Some(Intent::SetValue(property, amount))
        }
        // "up to nine" may be on a scale of ten: as a percentage it would be darker than before.
        (Some(Amount::Number(n)), Preposition::To) if up && property.is_none() && n <= 10.0 => None,
        (Some(amount @ (Amount::Number(_) | Amount::Measured(..))), Preposition::To) => {
            Some(Intent::SetValue(property, amount))
        }
        (Some(amount @ (Amount::Number(_) | Amount::Measured(..))), Preposition::By) => {
            next(Some(amount))
        }
        // "turn it up 2 degrees" is relative; "dim the lamp 20 percent" may be absolute.
        (Some(amount @ Amount::Measured(..)), Preposition::Bare) if of.is_none() => {
            next(Some(amount))
        }
        _ => None,
    }
}

/// Returns whether the state that a clause names, if any, is the direction of its verb.
fn goes_along(state: Option<StateWord>, up: bool) -> bool {
    match state {
        None => true,
        Some(StateWord::Up) => up,
        Some(StateWord::Down) => !up,
        Some(_) => false,
    }
}

/// Returns the intent of "brighter", "20 percent warmer".
pub(super) fn compared(clause: &Clause, comparative: Comparative) -> Option<Intent> {
    let (of, up) = match comparative {
        Comparative::Brighter => ("brightness", true),
        Comparative::Darker => ("brightness", false),
        Comparative::Warmer => ("temperature", true),
        Comparative::Cooler => ("temperature", false),
        Comparative::Louder => ("volume", true),
        Comparative::Quieter => ("volume", false),
        Comparative::Faster => ("speed", true),
        Comparative::Slower => ("speed", false),
        Comparative::Higher | Comparative::More => ("", true),
        Comparative::Lower | Comparative::Less => ("", false),
    };
    let verb = matches!(clause.verb, Some(Verb::Turn | Verb::Set));
    // The unit names the property: "2 degrees higher". So does the device: "the heating higher".
    // Without a verb it needs one of them: "2 degrees less in the bedroom".
    let names_one = matches!(clause.targets.as_slice(), [target] if target.head != Head::Area);
    let has_object = clause.verb.is_none() && (names_one || !clause.places.is_empty());
    let measured = matches!(clause.amount, Some(Amount::Measured(..))) && (verb || has_object);
    let of_one = names_one
        && (verb || clause.verb.is_none())
        && !clause.leads
        && (clause.amount.is_none() || measured)
        && !matches!(comparative, Comparative::More | Comparative::Less);
    let lone = of.is_empty() && clause.property.is_none() && !measured && !of_one;
    if lone || clause.state.is_some() || !(verb || clause.verb.is_none()) {
        return None;
    }
    // "slow down" alone may address a person.
    if of == "speed"
        && clause.targets.is_empty()
        && clause.places.is_empty()
        && clause.property.is_none()
    {
        return None;
    }
    let property = match (clause.property, standard(of)) {
        (Some(named), Some(of)) if named != of => return None,
        (named, of) => named.or(of),
    };
    let by = match (clause.amount, clause.preposition) {
        (None, _) => None,
        (Some(amount @ Amount::Measured(..)), Preposition::Bare)
        | (Some(amount @ (Amount::Measured(..) | Amount::Number(_))), Preposition::By) => {
            Some(amount)
        }
        _ => return None,
    };
    let warmth = matches!(comparative, Comparative::Warmer | Comparative::Cooler);
    Some(Intent::Change(RelativeChange {
        property,
        up,
        by,
        vertical: false,
        bare: clause.verb.is_none(),
        warmth,
    }))
}
