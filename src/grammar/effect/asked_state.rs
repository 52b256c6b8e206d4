//! States in questions: the reading of a device that shows whether it is "on", "open" or "locked".
//!
//! In: a device and a state. Out: the property, and the value that stands for the state.

use crate::grammar::effect::capabilities::exactly_one;
use crate::grammar::effect::device_effects::word;
use crate::grammar::sense::StateWord;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property, Value};

/// The reading that tells whether a person is at home.
pub(in crate::grammar) const PRESENCE: &str = "presence";

/// Returns the property a state belongs to, and the value that stands for the state.
pub(in crate::grammar) fn asked_state(
    device: &Device,
    state: StateWord,
) -> Option<(Property, Option<Value>)> {
    if state.is_extent() {
        // The answer is the position: "yes" would only mean that it is not closed.
        let position = device.capability(&Property::Position);
        return position.map_or_else(
            || sensed(device, StateWord::Open),
            |position| Some((position.property.clone(), None)),
        );
    }
    match device.kind.as_str() {
        "binary_sensor" | "sensor" => sensed(device, state).or_else(|| asked_of(device, state)),
        // A lock or a motor may report whether its door is open.
        _ if matches!(state, StateWord::Open | StateWord::Closed) => {
            asked_of(device, state).or_else(|| sensed(device, state))
        }
        _ => asked_of(device, state),
    }
}

fn asked_of(device: &Device, state: StateWord) -> Option<(Property, Option<Value>)> {
    let text = |property: Property, value: &str| {
        device
            .capability(&property)
            .map(|_| (property, Some(Value::text(value))))
    };
    match state {
        StateWord::On | StateWord::Off => text(Property::Power, word(state == StateWord::On))
            .or_else(|| asked_on(device, state == StateWord::On)),
        StateWord::Open | StateWord::Up | StateWord::FullyOpen | StateWord::Ajar => device
            .capability(&Property::Position)
            .map(|c| (c.property.clone(), Some(Value::Number(100.0)))),
        StateWord::Closed | StateWord::Down => device
            .capability(&Property::Position)
            .map(|c| (c.property.clone(), Some(Value::Number(0.0)))),
        StateWord::Locked => text(Property::Lock, "locked"),
        StateWord::Unlocked => text(Property::Lock, "unlocked"),
        StateWord::Playing => text(Property::Playback, "playing"),
        StateWord::Paused => text(Property::Playback, "paused")
            .or_else(|| text(Property::Vacuum, "paused"))
            .or_else(|| text(Property::Mower, "paused")),
        StateWord::Stopped => {
            text(Property::Playback, "stopped").or_else(|| text(Property::Vacuum, "stopped"))
        }
        StateWord::Muted => text(Property::Mute, "on"),
        StateWord::Cleaning => text(Property::Vacuum, "cleaning"),
        StateWord::Mowing => text(Property::Mower, "mowing"),
        StateWord::Home => is_present(device),
        StateWord::Docked => {
            text(Property::Vacuum, "docked").or_else(|| text(Property::Mower, "docked"))
        }
    }
}

/// Returns the reading that a person is at home.
fn is_present(device: &Device) -> Option<(Property, Option<Value>)> {
    let capability = device.capability(&PRESENCE.into())?;
    let value = match &capability.domain {
        Domain::Boolean => Value::Flag(true),
        Domain::Choice(words) => words
            .iter()
            .find(|word| *word == StateWord::Home.word())
            .map(|word| Value::text(word))?,
        _ => return None,
    };
    Some((capability.property.clone(), Some(value)))
}

/// Returns the reading for "on" of devices without power: heating that is not off, an open valve.
fn asked_on(device: &Device, on: bool) -> Option<(Property, Option<Value>)> {
    match device.kind.as_str() {
        "climate" => device
            .capability(&Property::HvacMode)
            .map(|c| (c.property.clone(), (!on).then(|| Value::text("off")))),
        "valve" => asked_state(
            device,
            if on {
                StateWord::Open
            } else {
                StateWord::Closed
            },
        ),
        "vacuum" if on => asked_state(device, StateWord::Cleaning),
        "lawn_mower" if on => asked_state(device, StateWord::Mowing),
        _ => None,
    }
}

/// Returns the only reading of a sensor that shows the state, such as whether a window is open.
fn sensed(device: &Device, state: StateWord) -> Option<(Property, Option<Value>)> {
    let readings = device.capabilities.iter();
    exactly_one(readings.filter_map(|capability| sensed_by(capability, state)))
}

fn sensed_by(capability: &Capability, state: StateWord) -> Option<(Property, Option<Value>)> {
    use StateWord::{Closed, Off, On, Open};
    if capability.settable || !matches!(state, Open | Closed | On | Off) {
        return None;
    }
    let opens = || capability.property.tells_whether_open();
    let value = match &capability.domain {
        Domain::Boolean if matches!(state, Open | Closed) && !opens() => return None,
        Domain::Boolean => Value::Flag(matches!(state, Open | On)),
        // The words themselves tell the state, whatever the reading is called.
        Domain::Choice(words) => words
            .iter()
            .find(|word| *word == state.word())
            .map(|word| Value::text(word))?,
        _ => return None,
    };
    Some((capability.property.clone(), Some(value)))
}

/// Returns the value of a two-valued reading that stands for the state: "is there motion".
pub(super) fn is_so(capability: &Capability, state: StateWord) -> Option<Value> {
    let on = matches!(state, StateWord::On | StateWord::Off).then_some(state == StateWord::On)?;
    match &capability.domain {
        Domain::Boolean => Some(Value::Flag(on)),
        // Discovery lists the active word first: "detected", "clear".
        Domain::Choice(words) if !capability.settable && words.len() == 2 => {
            Some(Value::text(&words[usize::from(!on)]))
        }
        _ => None,
    }
}
