//! Looks up the capability of a device that a property or an amount means.
//!
//! In: a device. Out: one of its capabilities, or a fact about the device. Nothing here depends on
//! an intent.

use crate::grammar::clause::Amount;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property};

/// Most steps of a fan: "speed 3" is the third one, and not three percent.
const MOST_STEPS: f64 = 9.0;

/// Returns the capability of that name, or `belt_speed` for the "speed" of a "conveyor belt".
pub(super) fn capability<'a>(device: &'a Device, property: &Property) -> Option<&'a Capability> {
    if let Some(found) = device.capability(property) {
        return Some(found);
    }
    let name = device.name.to_lowercase();
    let belongs = |own: &Property| {
        let before = own
            .name()
            .strip_suffix(property.name())
            .and_then(|rest| rest.strip_suffix('_'));
        !own.is_standard()
            && before.is_some_and(|before| name.split(' ').any(|word| word == before))
    };
    exactly_one(device.capabilities.iter().filter(|c| belongs(&c.property)))
}

/// Returns the measured form of the property: `current_temperature`.
pub(in crate::grammar) fn measured<'a>(
    device: &'a Device,
    property: &Property,
) -> Option<&'a Capability> {
    let is_measured = |own: &Property| {
        let measured = own.name().strip_prefix("current_");
        !own.is_standard() && measured == Some(property.name())
    };
    let mut capabilities = device.capabilities.iter();
    capabilities.find(|capability| is_measured(&capability.property))
}

/// Returns whether the device moves about by itself.
pub(in crate::grammar) fn is_robot(device: &Device) -> bool {
    matches!(device.kind.as_str(), "vacuum" | "lawn_mower")
}

pub(super) fn exactly_one<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Returns whether two options are the same word in different spelling.
pub(super) fn is_same_option(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace(['_', '-'], " ").to_lowercase();
    one == other || plain(one) == plain(other)
}

/// Returns whether the number may be one of a fan's steps, "speed 2", which is no percentage.
pub(super) fn may_be_a_step(capability: &Capability, amount: Amount) -> bool {
    let is_percentage = matches!(&capability.domain, Domain::Number { unit, .. } if unit == "%");
    is_percentage && capability.property == Property::Speed && is_number_of_step(amount)
}

/// Returns whether the amount is small enough to count the steps of a fan.
pub(in crate::grammar) fn is_number_of_step(amount: Amount) -> bool {
    matches!(amount, Amount::Number(n) if n > 0.0 && n <= MOST_STEPS)
}
