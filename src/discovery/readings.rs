//! Capabilities of sensors, and names of properties outside the vocabulary, chosen so that none
//! takes the name of one in it.

use serde_json::Value as Json;

use crate::binding::{Port, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::capabilities::{choice, number, reading, words};
use crate::discovery::names;

/// Range of any measurement: it is reported, never set.
const ANY: (f64, f64) = (-1e9, 1e9);

/// Name of a reading that has none of its own: the state of the sensor itself.
pub(super) const STATE: &str = "state";

/// Returns the property for a reading called `name`. The names of the vocabulary stand for targets,
/// so that a reading of the same name is the current value.
pub(super) fn reading_name(name: &str) -> Property {
    let slug = names::slug(name);
    let name = slug.as_ref().map_or("reading", |slug| slug.as_str());
    match name {
        "local_temperature" | "device_temperature" => "current_temperature".into(),
        // `power` means on and off.
        "power" => "power_draw".into(),
        other if Property::from(other).is_standard() => format!("current_{other}").into(),
        other => other.into(),
    }
}

/// Returns the property for a setting called `name`. A number called `power` is not the switch
/// called `power`.
pub(super) fn setting_name(name: &str) -> Property {
    let slug = names::slug(name);
    let name = slug.as_ref().map_or("setting", |slug| slug.as_str());
    if Property::from(name).is_standard() {
        format!("{name}_setting").into()
    } else {
        name.into()
    }
}

/// Returns the capability of a measured number or text, in °C where the device reports °F.
pub(super) fn measurement(name: &str, unit: Option<&str>, state: Vec<Port>) -> Capability {
    let unit = unit.and_then(names::clean).unwrap_or_default();
    let unit = temperature_unit(name, &unit).map_or(unit, str::to_owned);
    let is_fahrenheit = unit == "°F";
    let unit = if is_fahrenheit { "°C" } else { &unit };
    let mut capability = reading(reading_name(name), number(ANY.0, ANY.1, unit), state);
    if is_fahrenheit {
        capability.binding.codec.scale = Scale::Fahrenheit { grain: 0.1 };
    }
    capability
}

/// Returns the common spelling of a unit of temperature: some devices write the ordinal sign or one
/// character, and some the letter alone, which has other meanings for other readings.
fn temperature_unit(name: &str, unit: &str) -> Option<&'static str> {
    let is_temperature = name.to_lowercase().contains("temperature");
    match unit {
        "ºC" | "℃" => Some("°C"),
        "ºF" | "℉" => Some("°F"),
        "C" | "c" if is_temperature => Some("°C"),
        "F" | "f" if is_temperature => Some("°F"),
        _ => None,
    }
}

/// Returns the capability of a sensor with two states, in the words people use for them.
pub(super) fn binary(class: &str, payloads: [Json; 2], state: Vec<Port>) -> Capability {
    let (name, on, off) = binary_words(class);
    let [payload_on, payload_off] = payloads;
    let mut capability = reading(reading_name(name), choice(&[on, off]), state);
    capability.binding.codec = words(vec![
        (Value::text(on), payload_on),
        (Value::text(off), payload_off),
    ]);
    capability
}

/// Returns the capability of a sensor with several states.
pub(super) fn one_of(name: &str, options: Vec<String>, state: Vec<Port>) -> Capability {
    reading(reading_name(name), Domain::Choice(options), state)
}

/// Returns the property of a binary sensor of this class, its word for on, and its word for off.
/// Source: Home Assistant's device classes of binary sensors, and `Zigbee2MQTT`'s names for them.
fn binary_words(class: &str) -> (&str, &'static str, &'static str) {
    match class {
        "door" | "window" | "opening" | "garage_door" | "contact" => ("contact", "open", "closed"),
        "moisture" => ("water_leak", "wet", "dry"),
        "water_leak" => (class, "wet", "dry"),
        "battery" | "battery_low" => ("battery_low", "low", "normal"),
        "presence" => (class, "home", "away"),
        "lock" => ("lock_sensor", "unlocked", "locked"),
        "connectivity" => (class, "connected", "disconnected"),
        "plug" => (class, "plugged", "unplugged"),
        "motion" | "occupancy" | "smoke" | "gas" | "carbon_monoxide" | "vibration" | "sound"
        | "tamper" | "problem" | "heat" | "cold" => (class, "detected", "clear"),
        "power" => ("mains", "on", "off"),
        other => (other, "on", "off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_never_takes_the_name_of_a_setting() {
        for standard in Property::standard() {
            assert!(!reading_name(standard.name()).is_standard(), "{standard}");
            assert!(!setting_name(standard.name()).is_standard(), "{standard}");
        }
        assert_eq!(reading_name("Temperature").name(), "current_temperature");
        assert_eq!(reading_name("Wind speed").name(), "wind_speed");
        assert_eq!(reading_name("灯").name(), "reading");
    }
}
