//! Questions: the property of a device that is asked for, and the value it is compared with.
//!
//! In: the property and the focus of a question, and a device. Out: the effect that reads the
//! property.

use crate::grammar::clause::Amount;
use crate::grammar::effect::asked_state::{asked_state, is_so};
use crate::grammar::effect::capabilities::{capability, exactly_one, is_robot, measured};
use crate::grammar::effect::device_effects::Effect;
use crate::grammar::effect::effects::Effects;
use crate::grammar::intent::QueryFocus;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::action::Op;
use crate::vocabulary::{Property, Value};

impl Effects<'_> {
    pub(super) fn query(
        &self,
        device: &Device,
        property: Option<u16>,
        asked: Option<QueryFocus>,
    ) -> Option<Effect> {
        let (property, value) = match (property, asked) {
            (Some(property), Some(QueryFocus::At(amount))) => {
                let asked = compared(device, self.property(property))?;
                (asked.property.clone(), Some(self.value(asked, amount)?))
            }
            (Some(property), Some(QueryFocus::SetAt(amount))) => {
                let property = self.property(property);
                (
                    property.clone(),
                    Some(self.value(device.capability(property)?, amount)?),
                )
            }
            (Some(property), Some(QueryFocus::Is(state))) => {
                let property = self.property(property);
                (
                    property.clone(),
                    Some(is_so(device.capability(property)?, state)?),
                )
            }
            (Some(property), Some(QueryFocus::Target)) => (self.property(property).clone(), None),
            (Some(property), _) => (self.readable(device, property)?, None),
            (None, Some(QueryFocus::Is(state))) => asked_state(device, state)?,
            (None, Some(QueryFocus::Of(state))) => (asked_state(device, state)?.0, None),
            (None, Some(QueryFocus::At(amount))) => self
                .set_value(device, None, amount)
                .map(|(property, _, value)| (property, value))
                .or_else(|| self.reading_with(device, amount))?,
            (None, Some(QueryFocus::Target)) => (set_state(device)?, None),
            (None, Some(QueryFocus::SetAt(_))) => return None,
            (None, Some(QueryFocus::Named)) => {
                (named_reading(device).or_else(|| activity_of(device))?, None)
            }
            (None, None) => (main_state(device)?, None),
        };
        device.capability(&property)?;
        // "open" stands for any position but closed, "at 100 percent" does not.
        let is_whole = matches!((asked, &value), (Some(QueryFocus::At(_)), Some(Value::Number(n)))
            if property == Property::Position && *n >= 100.0);
        Some((property, Op::Query, value.filter(|_| !is_whole)))
    }

    /// Returns the measured form of the property (`current_temperature`), or the property itself.
    fn readable(&self, device: &Device, property: u16) -> Option<Property> {
        let property = self.property(property);
        let reading = measured(device, property).or_else(|| capability(device, property));
        reading.map(|capability| capability.property.clone())
    }

    /// Returns the only reading of the device that has the option as a value: "is the barrel wet".
    fn reading_with(&self, device: &Device, amount: Amount) -> Option<(Property, Option<Value>)> {
        if !matches!(amount, Amount::Choice(_)) {
            return None;
        }
        let readings = device.capabilities.iter().filter(|c| !c.settable);
        exactly_one(readings.filter_map(|capability| {
            let value = self.value(capability, amount)?;
            Some((capability.property.clone(), Some(value)))
        }))
    }
}

/// Returns the reading of a sensor whose name ends with it: "outdoor temperature".
fn named_reading(device: &Device) -> Option<Property> {
    let says = |property: &Property| {
        let spoken = property.name().replace('_', " ");
        std::iter::once(&device.name)
            .chain(&device.aliases)
            .any(|name| name.to_lowercase().ends_with(&spoken))
    };
    let reading = device
        .capabilities
        .iter()
        .find(|c| says(&c.property))
        .or_else(|| exactly_one(device.capabilities.iter()))?;
    (device.kind.as_str() == "sensor").then(|| reading.property.clone())
}

/// Returns the reading for "what is the robot doing".
fn activity_of(device: &Device) -> Option<Property> {
    is_robot(device).then(|| main_state(device))?
}

/// Returns what a value of the property is compared with. The temperature of a room is what is
/// measured there, and not what its heating is set to.
fn compared<'d>(device: &'d Device, property: &Property) -> Option<&'d Capability> {
    let is_target = match device.kind.as_str() {
        "climate" => matches!(property, Property::Temperature | Property::Humidity),
        "humidifier" => *property == Property::Humidity,
        _ => false,
    };
    let own = || device.capability(property).filter(|_| !is_target);
    measured(device, property).or_else(own)
}

/// Returns the property that "what is it set to" asks for.
fn set_state(device: &Device) -> Option<Property> {
    match device.kind.as_str() {
        "humidifier" => device
            .capability(&Property::Humidity)
            .map(|c| c.property.clone()),
        _ => main_state(device),
    }
}

/// Returns the property "the state of it" refers to.
fn main_state(device: &Device) -> Option<Property> {
    use Property as P;
    if let [single] = device.capabilities.as_slice() {
        return Some(single.property.clone());
    }
    if matches!(device.kind.as_str(), "climate" | "water_heater") {
        // "what is the thermostat set to"
        return device
            .capability(&P::Temperature)
            .map(|c| c.property.clone());
    }
    [
        P::Lock,
        P::Position,
        P::Power,
        P::Vacuum,
        P::Mower,
        P::HvacMode,
        P::Playback,
    ]
    .into_iter()
    .find(|p| device.capability(p).is_some())
}
