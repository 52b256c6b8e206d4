//! What sensors tell, and how that and other properties outside the vocabulary are called, so that none takes the place
//! of one inside it.

use serde_json::Value as Json;

use crate::binding::{Binding, Codec, Port, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::{choice, names, number, reading};

/// Room for any reading: it is told, never checked.
const ANY: (f64, f64) = (-1e9, 1e9);

/// The property for a reading called `name`. The vocabulary's own words mean what is wanted, so the reading of the same name
/// is the current one.
pub(super) fn property(name: &str) -> Property {
    let name =
        names::slug(name).map_or_else(|| "reading".to_owned(), |slug| slug.as_str().to_owned());
    match name.as_str() {
        "local_temperature" | "device_temperature" => "current_temperature".into(),
        // `power` is on and off.
        "power" => "power_draw".into(),
        other if Property::from(other).is_standard() => format!("current_{other}").into(),
        other => other.into(),
    }
}

/// The property for a setting called `name`. A number called `power` is not the switch called `power`.
pub(super) fn named(name: &str) -> Property {
    let name =
        names::slug(name).map_or_else(|| "setting".to_owned(), |slug| slug.as_str().to_owned());
    if Property::from(name.as_str()).is_standard() {
        format!("{name}_setting").into()
    } else {
        name.into()
    }
}

/// A number or a text that is told.
pub(super) fn told(name: &str, unit: Option<&str>, state: Vec<Port>) -> Capability {
    let unit = unit.and_then(names::clean);
    let fahrenheit = unit.as_deref() == Some("°F");
    let takes = match unit {
        Some(_) if fahrenheit => number(ANY.0, ANY.1, "°C"),
        Some(unit) => number(ANY.0, ANY.1, &unit),
        None => number(ANY.0, ANY.1, ""),
    };
    let mut capability = reading(property(name), takes, state);
    if fahrenheit {
        capability.binding.codec.scale = Scale::Fahrenheit { grain: 0.1 };
    }
    capability
}

/// One of two states that is told, in the words people use for it.
pub(super) fn sensed(class: &str, wire: [Json; 2], state: Vec<Port>) -> Capability {
    let (name, on, off) = words(class);
    let [wire_on, wire_off] = wire;
    let codec = Codec {
        words: vec![(Value::text(on), wire_on), (Value::text(off), wire_off)],
        scale: Scale::MappedOnly,
    };
    let capability = reading(property(name), choice(&[on, off]), Vec::new());
    Capability {
        binding: Binding {
            state,
            codec,
            ..Binding::default()
        },
        ..capability
    }
}

/// One of several states that is told.
pub(super) fn one_of(name: &str, options: Vec<String>, state: Vec<Port>) -> Capability {
    reading(property(name), Domain::Choice(options), state)
}

/// What a binary sensor of this class tells: the property, the word for on, the word for off.
/// Source: Home Assistant's binary sensor device classes, `Zigbee2MQTT`'s names beside them.
fn words(class: &str) -> (&str, &'static str, &'static str) {
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
            assert!(!property(standard.name()).is_standard(), "{standard}");
            assert!(!named(standard.name()).is_standard(), "{standard}");
        }
        assert_eq!(property("Temperature").name(), "current_temperature");
        assert_eq!(property("Wind speed").name(), "wind_speed");
        assert_eq!(property("灯").name(), "reading");
    }
}
