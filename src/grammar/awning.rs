//! Awnings: lowering one extends it, so up and down have the opposite effect on its position.

use crate::grammar::clause::{Amount, Clause};
use crate::grammar::effect::{DeviceEffects, Effect};
use crate::grammar::sense::{Level, StateWord, Verb};
use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::action::{Draft, Op};
use crate::vocabulary::{Property, Value};

/// Position of an awning that is extended.
const EXTENDED: f64 = 100.0;
/// Position of an awning that is retracted.
const RETRACTED: f64 = 0.0;

/// Returns whether the device is an awning, and the clause is about its height: "lower the
/// awning", "is the awning down".
pub(super) fn is_by_height(clause: &Clause, device: &Device) -> bool {
    let is_vertical = match clause.verb {
        Some(Verb::Raise | Verb::Lower) => true,
        Some(Verb::Open | Verb::Close | Verb::Shut) => false,
        _ => matches!(clause.state, Some(StateWord::Up | StateWord::Down)),
    };
    is_vertical && is_awning(device)
}

fn is_awning(device: &Device) -> bool {
    device.class.as_deref() == Some("awning")
}

/// Returns the effects on an awning where `effects` are those on a shutter. `None` where a value
/// contradicts the direction: "raise the awning to 100 percent".
pub(super) fn lowered_is_extended(
    clause: &Clause,
    effects: DeviceEffects,
) -> Option<DeviceEffects> {
    effects
        .into_iter()
        .map(|effect| of_height(clause, effect))
        .collect()
}

fn of_height(clause: &Clause, (property, op, value): Effect) -> Option<Effect> {
    if property != Property::Position {
        return Some((property, op, value));
    }
    let ends = [RETRACTED, EXTENDED];
    let is_number = matches!(
        clause.amount,
        Some(Amount::Number(_) | Amount::Measured(..))
    );
    let (op, value) = match (op, value) {
        (Op::Increase, by) => (Op::Decrease, by),
        (Op::Decrease, by) => (Op::Increase, by),
        (Op::Set, Some(Value::Number(to))) if is_number && ends.contains(&to) => {
            let is_up = clause.verb == Some(Verb::Raise) || clause.state == Some(StateWord::Up);
            let agrees = is_up == (to == RETRACTED);
            return agrees.then_some((property, op, Some(Value::Number(to))));
        }
        (Op::Set, _) if clause.amount == Some(Amount::Level(Level::Low)) => return None,
        (op, Some(Value::Number(to))) if ends.contains(&to) => {
            (op, Some(Value::Number(EXTENDED - to)))
        }
        other => other,
    };
    Some((property, op, value))
}

/// Returns whether the draft moves an awning.
pub(super) fn moves_an_awning(draft: &Draft, home: &Home) -> bool {
    let changes = draft.actions.iter().filter(|action| action.op != Op::Query);
    let mut moved = changes.filter_map(|action| home.device(&action.device));
    moved.any(is_awning)
}
