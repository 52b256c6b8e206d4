//! The target temperature that counts, of devices with one for heating and one for cooling.

use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property, Value};

/// Property of the target that heating reaches. Source: `temperature_low` of Home Assistant.
pub const HEATING_TARGET: &str = "temperature_low";

/// Property of the target that cooling reaches. Source: `temperature_high` of Home Assistant.
pub const COOLING_TARGET: &str = "temperature_high";

/// Modes in which the heating target counts. Source: `hvac_mode` of Home Assistant, and
/// `system_mode` of `Zigbee2MQTT`.
const HEATING_MODES: [&str; 3] = ["heat", "heating", "emergency_heating"];

/// Modes in which the cooling target counts.
const COOLING_MODES: [&str; 3] = ["cool", "cooling", "precooling"];

/// The mode in which both targets count, also where a device has a third one for the other modes.
const RANGE_MODE: &str = "heat_cool";

/// The capability that a command for the target temperature is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Setpoint<'a> {
    /// That of the property itself.
    Own,
    /// The target that the mode selects.
    Selected(&'a Capability),
    /// The mode is not known, or selects none or both.
    Undecided(Targets<'a>),
}

/// The two targets of a device that heats and cools.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Targets<'a> {
    pub(super) heating: &'a Capability,
    pub(super) cooling: &'a Capability,
}

/// Returns the capability that a command for `property` is about while the device is in `mode`.
pub(super) fn setpoint<'a>(
    device: &'a Device,
    property: &Property,
    mode: Option<&Value>,
) -> Setpoint<'a> {
    let targets = targets(device).filter(|_| *property == Property::Temperature);
    let (Some(targets), Some(own)) = (targets, device.capability(property)) else {
        return Setpoint::Own;
    };
    let mode = mode.map(|mode| mode.to_string().to_lowercase());
    let has_own = own.command_topics().next().is_some();
    let has_mode = |words: &[&str]| modes(device).any(|mode| words.contains(&mode.as_str()));
    let is_in = |words: &[&str]| mode.as_ref().is_some_and(|m| words.contains(&m.as_str()));
    if has_own {
        return if is_in(&[RANGE_MODE]) {
            Setpoint::Undecided(targets)
        } else {
            Setpoint::Own
        };
    }
    let (heats, cools) = (has_mode(&HEATING_MODES), has_mode(&COOLING_MODES));
    let has_range = has_mode(&[RANGE_MODE]);
    if is_in(&HEATING_MODES) || (heats && !cools && !has_range) {
        Setpoint::Selected(targets.heating)
    } else if is_in(&COOLING_MODES) || (cools && !heats && !has_range) {
        Setpoint::Selected(targets.cooling)
    } else {
        Setpoint::Undecided(targets)
    }
}

/// Returns whether the mode of the device selects the target that a command for this
/// capability sets.
pub fn is_selected_by_mode(device: &Device, capability: &Capability) -> bool {
    let has_own = capability.command_topics().next().is_some();
    capability.property == Property::Temperature && !has_own && targets(device).is_some()
}

/// Returns the two targets of a device that has both, with topics of their own.
fn targets(device: &Device) -> Option<Targets<'_>> {
    let target = |name: &str| {
        let capability = device.capability(&name.into())?;
        let is_bound = capability.command_topics().next().is_some();
        (capability.settable && is_bound).then_some(capability)
    };
    Some(Targets {
        heating: target(HEATING_TARGET)?,
        cooling: target(COOLING_TARGET)?,
    })
}

/// Returns the modes a device can be set to, in lower case.
fn modes(device: &Device) -> impl Iterator<Item = String> {
    let mode = device.capability(&Property::HvacMode);
    let words = mode.and_then(|mode| match &mode.domain {
        Domain::Choice(words) => Some(words),
        _ => None,
    });
    words.into_iter().flatten().map(|word| word.to_lowercase())
}
