//! Features a Zigbee device exposes, and the capability a single feature becomes.
//! [`super::features`] has the groups of features. Source: `Zigbee2MQTT`'s documentation of
//! exposes, November 2026.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::binding;
use crate::binding::{Binding, Codec, Publication};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::capabilities::{MAX_OPTIONS, choice, field, linear, percent, setting, words};
use crate::discovery::{names, readings};

/// Bit of `access` for a value that can be set.
const ACCESS_SET: u64 = 0b010;

/// One feature, or a group of features.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Expose {
    /// Type, such as `light`, `numeric` or `enum`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) property: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) access: Option<u64>,
    pub(super) category: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) value_min: Option<f64>,
    pub(super) value_max: Option<f64>,
    pub(super) value_step: Option<f64>,
    pub(super) values: Vec<Json>,
    pub(super) value_on: Option<Json>,
    pub(super) value_off: Option<Json>,
    pub(super) value_toggle: Option<Json>,
    pub(super) features: Vec<Expose>,
}

/// Address of a device: the base topic of its bridge, and its friendly name.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceAddress<'a> {
    pub(super) base: &'a str,
    pub(super) name: &'a str,
}

impl DeviceAddress<'_> {
    pub(super) fn state_topic(&self) -> String {
        format!("{}/{}", self.base, self.name)
    }

    pub(super) fn message(&self, key: &str, value: &Json) -> Publication {
        let topic = format!("{}/set", self.state_topic());
        Publication::new(topic, json!({ key: value }).to_string())
    }

    pub(super) fn binding(&self, property: &Property, key: &str) -> Binding {
        binding::zigbee2mqtt(self.base, self.name, property, Some(key))
    }
}

/// Range and unit of a number whose feature does not say them.
pub(super) type DefaultRange = (f64, f64, &'static str);

impl Expose {
    pub(super) fn is_settable(&self) -> bool {
        // Some boilers declare a target with a range of one number, which leaves no choice.
        let is_fixed = self.value_min.is_some() && self.value_min == self.value_max;
        // Older releases give the access of a composite value with its parts only.
        let of_parts = || self.features.iter().filter_map(|part| part.access).max();
        let access = self.access.or_else(of_parts).unwrap_or(0);
        access & ACCESS_SET != 0 && !is_fixed
    }

    /// Returns the key of the value in payloads, if it can be one.
    pub(super) fn key(&self) -> Option<&str> {
        let key = self.property.as_deref()?;
        (names::is_option(key) && !key.contains('.')).then_some(key)
    }

    pub(super) fn feature(&self, name: &str) -> Option<&Self> {
        self.features
            .iter()
            .find(|f| f.name.as_deref() == Some(name))
    }

    /// Returns the endpoint of the feature or of its features.
    pub(super) fn endpoint(&self) -> Option<&str> {
        let of_features = || self.features.iter().find_map(|f| f.endpoint.as_deref());
        self.endpoint.as_deref().or_else(of_features)
    }

    /// Returns whether the group of features is a device by itself. A "switch" such as
    /// `window_detection` is a setting of another device.
    pub(super) fn is_main(&self) -> bool {
        match self.kind.as_str() {
            "light" | "cover" | "lock" | "climate" | "fan" => true,
            "composite" => self.name.as_deref() == Some("warning"),
            "switch" => {
                let key = self.feature("state").and_then(Self::key);
                key.is_some_and(|key| key.starts_with("state"))
            }
            _ => false,
        }
    }

    /// Returns whether people query or set the feature. Features for maintenance and for the
    /// installer are left out, and so are presses of a button, which are over when they are
    /// reported.
    pub(super) fn is_for_people(&self) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        let is_event = name == "action" || name.starts_with("action_");
        let for_maintenance = matches!(name, "identify" | "linkquality" | "update_available");
        if is_event || for_maintenance || is_for_installer(name) {
            return false;
        }
        let is_battery = matches!(name, "battery" | "battery_low");
        is_battery || self.category.as_deref() != Some("diagnostic")
    }

    /// Returns the texts among the values that can be options.
    pub(super) fn options(&self) -> Vec<String> {
        let texts = self.values.iter().filter_map(Json::as_str);
        let usable = texts.filter(|text| names::is_option(text));
        usable.map(str::to_owned).take(MAX_OPTIONS).collect()
    }

    fn number_domain(&self, default: DefaultRange) -> Domain {
        let unit = self.unit.as_deref().and_then(names::clean);
        let min = self.value_min.unwrap_or(default.0);
        let max = self.value_max.unwrap_or(default.1);
        let (min, max) = if min < max {
            (min, max)
        } else {
            (default.0, default.1)
        };
        Domain::Number {
            min,
            max,
            step: self.value_step.filter(|step| *step > 0.0),
            unit: unit.unwrap_or_else(|| default.2.to_owned()),
        }
    }

    /// Returns a property with two words.
    pub(super) fn on_off(
        &self,
        address: DeviceAddress<'_>,
        property: Property,
        [on, off]: [&str; 2],
    ) -> Option<Capability> {
        let key = self.key()?;
        let payload = |value: &Option<Json>, default: &str| {
            value.clone().unwrap_or_else(|| Json::from(default))
        };
        let pairs = vec![
            (Value::text(on), payload(&self.value_on, "ON")),
            (Value::text(off), payload(&self.value_off, "OFF")),
        ];
        let toggle = self.value_toggle.as_ref();
        let binding = Binding {
            codec: words(pairs),
            toggle: toggle.map(|value| address.message(key, value)),
            ..address.binding(&property, key)
        };
        Some(self.with_access(setting(property, choice(&[on, off]), binding)))
    }

    /// Returns a property whose values are words of the device.
    pub(super) fn select(
        &self,
        address: DeviceAddress<'_>,
        property: Property,
    ) -> Option<Capability> {
        let key = self.key()?;
        let options = self.options();
        if options.is_empty() {
            return None;
        }
        let pairs = options
            .iter()
            .map(|word| (Value::text(word), Json::from(word.as_str())))
            .collect();
        let binding = Binding {
            codec: words(pairs),
            ..address.binding(&property, key)
        };
        Some(self.with_access(setting(property, Domain::Choice(options), binding)))
    }

    /// Returns a number in the device's own unit.
    pub(super) fn number(
        &self,
        address: DeviceAddress<'_>,
        property: Property,
        default: DefaultRange,
    ) -> Option<Capability> {
        let binding = Binding {
            codec: Codec::default(),
            ..address.binding(&property, self.key()?)
        };
        Some(self.with_access(setting(property, self.number_domain(default), binding)))
    }

    /// Returns a number of the device's range as a percentage.
    pub(super) fn percentage(
        &self,
        address: DeviceAddress<'_>,
        property: Property,
        default_max: f64,
    ) -> Option<Capability> {
        let min = self.value_min.unwrap_or(0.0);
        let max = self.value_max.unwrap_or(default_max);
        let range = if min < max {
            (min, max)
        } else {
            (0.0, default_max)
        };
        let binding = Binding {
            codec: linear(range),
            ..address.binding(&property, self.key()?)
        };
        Some(self.with_access(setting(property, percent(), binding)))
    }

    /// Removes everything that commands a property that can only be read.
    pub(super) fn with_access(&self, mut capability: Capability) -> Capability {
        if !self.is_settable() {
            capability.settable = false;
            capability.binding = Binding {
                state: capability.binding.state,
                codec: capability.binding.codec,
                ..Binding::default()
            };
        }
        capability
    }

    /// Returns the capability of a feature that stands alone: a setting or a reading of its own
    /// name. One that `is_alone` on its device is called without its endpoint.
    pub(super) fn standalone(
        &self,
        address: DeviceAddress<'_>,
        is_alone: bool,
    ) -> Option<Capability> {
        if self.kind == "switch" {
            let state = self.feature("state")?;
            let property = readings::setting_name(state.key()?);
            return state.on_off(address, property, ["on", "off"]);
        }
        let key = self.key()?;
        if !self.is_settable() {
            let name = self.name.as_deref().filter(|_| is_alone);
            return self.reading(address, key, name.unwrap_or(key));
        }
        match (self.kind.as_str(), key) {
            ("binary", "state") => self.on_off(address, Property::Power, ["on", "off"]),
            ("binary", _) => self.on_off(address, readings::setting_name(key), ["on", "off"]),
            ("numeric", "position") => self.percentage(address, Property::Position, 100.0),
            ("numeric", _) => {
                let is_percentage = self.unit.as_deref() == Some("%");
                let max = if is_percentage { 100.0 } else { 65535.0 };
                self.number(address, readings::setting_name(key), (0.0, max, ""))
            }
            ("enum", "preset") => self.select(address, Property::Preset),
            ("enum", _) => self.select(address, readings::setting_name(key)),
            _ => None,
        }
    }

    fn reading(&self, address: DeviceAddress<'_>, key: &str, name: &str) -> Option<Capability> {
        let state = vec![field(&address.state_topic(), &[key])];
        match self.kind.as_str() {
            "numeric" => Some(readings::measurement(name, self.unit.as_deref(), state)),
            "enum" => Some(readings::one_of(name, self.options(), state)),
            "binary" => {
                let on = self.value_on.clone().unwrap_or(true.into());
                let off = self.value_off.clone().unwrap_or(false.into());
                Some(readings::binary(name, [on, off], state))
            }
            _ => None,
        }
    }
}

/// Returns whether a setting is made once, during installation, and does harm if it is changed by
/// mistake.
fn is_for_installer(name: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "factory_reset",
        "calibration",
        "motor_",
        "device_",
        "transmit_power",
        "reset_",
        "border",
        "set_upper_limit",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("calibration")
        || name.ends_with("calibrations")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composite_value_has_the_access_of_its_parts_where_it_names_none() {
        let color = |access: u64| {
            let part = |name: &str| json!({"type": "numeric", "name": name, "access": access});
            let features = [part("x"), part("y")];
            let color = json!({"type": "composite", "name": "color_xy", "features": features});
            serde_json::from_value::<Expose>(color).unwrap()
        };
        assert!(color(7).is_settable());
        assert!(!color(1).is_settable());
    }

    #[test]
    fn the_alarm_of_a_siren_is_its_switch() {
        let parse = |json: Json| serde_json::from_value::<Expose>(json).unwrap();
        let alarm = |access: u64| {
            parse(json!({
                "type": "binary", "name": "alarm", "property": "alarm", "access": access,
                "value_on": "ON", "value_off": "OFF"
            }))
        };
        let melody = || {
            parse(json!({
                "type": "enum", "name": "melody", "property": "melody", "access": 7,
                "values": ["1", "2"]
            }))
        };
        let mut siren = vec![melody(), alarm(7)];
        let taken = Expose::take_alarm(&mut siren).unwrap();
        let address = DeviceAddress {
            base: "zigbee2mqtt",
            name: "Siren",
        };
        let [power] = &taken.capabilities(address)[..] else {
            panic!("one capability")
        };
        assert_eq!(power.property, Property::Power);
        let on = power.binding.encode(&Value::text("on")).unwrap();
        assert_eq!(on.topic.as_str(), "zigbee2mqtt/Siren/set");
        assert_eq!(siren.len(), 1);
        // An alarm that is only reported, or of something that makes no sound, is a reading.
        assert!(Expose::take_alarm(&mut vec![melody(), alarm(1)]).is_none());
        assert!(Expose::take_alarm(&mut vec![alarm(7)]).is_none());
    }
}
