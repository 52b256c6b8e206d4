//! Effects of intents without a property, such as "start" and "lock": they follow from the kind and
//! the capabilities of a device.
//!
//! In: an intent and a device. Out: one effect. It knows neither the names of the home nor a
//! language.

use smallvec::SmallVec;

use crate::grammar::intent::Intent;
use crate::home::device::Device;
use crate::vocabulary::action::Op;
use crate::vocabulary::{Domain, Property, Value};

/// Kinds whose "start" and "stop" do not mean power.
const NOT_BY_POWER: [&str; 7] = [
    "light",
    "media_player",
    "climate",
    "alarm_control_panel",
    "siren",
    "lock",
    "cover",
];

/// A property, the operation on it, and the value.
pub(in crate::grammar) type Effect = (Property, Op, Option<Value>);

/// The effects of one intent on one device; only a few intents have two.
pub(in crate::grammar) type DeviceEffects = SmallVec<[Effect; 1]>;

/// Returns the effect of intents that concern exactly one property.
pub(super) fn simple_effect(device: &Device, intent: Intent) -> Option<Effect> {
    match intent {
        Intent::Shut => position(device, 0.0).or_else(|| switch(device, false, None)),
        Intent::Toggle => {
            let toggled = set(device, &Property::Power, "on");
            let toggled = toggled.or_else(|| {
                let moves = device.kind.as_str() == "cover";
                moves.then(|| position(device, 0.0))?
            });
            toggled.map(|(property, ..)| (property, Op::Toggle, None))
        }
        Intent::Open(open) => position(device, if open { 100.0 } else { 0.0 }),
        Intent::Extend(_) if device.class.as_deref() != Some("awning") => None,
        Intent::Extend(out) => position(device, if out { 100.0 } else { 0.0 }),
        Intent::Lock(true) => set(device, &Property::Lock, "locked"),
        Intent::Lock(false) => set(device, &Property::Lock, "unlocked"),
        Intent::Skip(true) => set(device, &Property::Playback, "next"),
        Intent::Skip(false) => set(device, &Property::Playback, "previous"),
        Intent::Mute(mute) => set(device, &Property::Mute, word(mute)),
        Intent::Dock => set(device, &Property::Vacuum, "docked")
            .or_else(|| set(device, &Property::Mower, "docked")),
        Intent::Locate => set(device, &Property::Vacuum, "located"),
        Intent::Clean => set(device, &Property::Vacuum, "cleaning"),
        Intent::Mow => set(device, &Property::Mower, "mowing"),
        Intent::Press => {
            let button = device.capability(&Property::Press).filter(|c| c.settable)?;
            Some((button.property.clone(), Op::Set, None))
        }
        Intent::Arm(on) if device.kind.as_str() == "alarm_control_panel" => {
            set(device, &Property::Power, word(on))
        }
        _ => activity(device, intent),
    }
}

/// Returns the effect of starting, stopping and pausing, which depends on the kind of the device.
fn activity(device: &Device, intent: Intent) -> Option<Effect> {
    let kind = device.kind.as_str();
    match intent {
        Intent::Stop => match kind {
            "cover" => position(device, 0.0).map(|(property, ..)| (property, Op::Stop, None)),
            // Stopping the movement of an open valve would leave the water running.
            "valve" => position(device, 0.0).or_else(|| run(device, false)),
            "fan" => set(device, &Property::Power, "off"),
            "vacuum" => set(device, &Property::Vacuum, "stopped"),
            "lawn_mower" => set(device, &Property::Mower, "paused"),
            _ => set(device, &Property::Playback, "stopped").or_else(|| run(device, false)),
        },
        // "set dinner" may mean the scene; "set the pump" has no meaning.
        Intent::Start | Intent::Perform => match kind {
            "scene" => set(device, &Property::Scene, "activated"),
            "script" => set(device, &Property::Script, "run"),
            _ if intent == Intent::Perform => None,
            "vacuum" => set(device, &Property::Vacuum, "cleaning"),
            "lawn_mower" => set(device, &Property::Mower, "mowing"),
            _ => run(device, true),
        },
        Intent::Pause => match kind {
            "vacuum" => set(device, &Property::Vacuum, "paused"),
            "lawn_mower" => set(device, &Property::Mower, "paused"),
            _ => set(device, &Property::Playback, "paused"),
        },
        Intent::Play => match kind {
            "vacuum" => set(device, &Property::Vacuum, "cleaning"),
            "lawn_mower" => set(device, &Property::Mower, "mowing"),
            _ => set(device, &Property::Playback, "playing"),
        },
        _ => None,
    }
}

pub(super) fn switch(device: &Device, on: bool, mode: Option<&str>) -> Option<Effect> {
    match device.kind.as_str() {
        "scene" if on => set(device, &Property::Scene, "activated"),
        "script" if on => set(device, &Property::Script, "run"),
        "vacuum" if on && device.capability(&Property::Power).is_none() => {
            set(device, &Property::Vacuum, "cleaning")
        }
        "climate" if device.capability(&Property::Power).is_none() => {
            set(device, &Property::HvacMode, if on { mode? } else { "off" })
        }
        "valve" if device.capability(&Property::Power).is_none() => {
            position(device, if on { 100.0 } else { 0.0 })
        }
        _ => set(device, &Property::Power, word(on)),
    }
}

/// Returns the effect for devices that are started and stopped by their power, such as a pump.
fn run(device: &Device, on: bool) -> Option<Effect> {
    set(device, &Property::Power, word(on))
        .filter(|_| !NOT_BY_POWER.contains(&device.kind.as_str()))
}

/// Returns the effect that sets one option of a property, if the device has it.
pub(super) fn set(device: &Device, property: &Property, value: &str) -> Option<Effect> {
    let capability = device.capability(property).filter(|c| c.settable)?;
    let Domain::Choice(options) = &capability.domain else {
        return None;
    };
    options
        .iter()
        .any(|o| o == value)
        .then(|| (property.clone(), Op::Set, Some(Value::text(value))))
}

pub(super) fn position(device: &Device, to: f64) -> Option<Effect> {
    device
        .capability(&Property::Position)
        .filter(|c| c.settable)
        .map(|c| (c.property.clone(), Op::Set, Some(Value::Number(to))))
}

pub(super) fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
