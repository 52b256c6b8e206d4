//! Capabilities of groups of features: lights, covers, locks, thermostats, fans and sirens.

use serde_json::{Value as Json, json};

use crate::binding::Binding;
use crate::home::capability::Capability;
use crate::home::setpoint::{COOLING_TARGET, HEATING_TARGET};
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::capabilities::{
    choice, field, linear, number, percent, selected_target, setting, words,
};
use crate::discovery::readings;
use crate::discovery::zigbee2mqtt::expose::{DefaultRange, DeviceAddress, Expose};

/// Color temperatures of a light that does not say its range, in kelvin.
const DEFAULT_KELVIN: (f64, f64) = (2000.0, 6500.0);

/// Target temperatures of a thermostat that does not say its range.
const DEFAULT_TARGET: DefaultRange = (5.0, 35.0, "°C");

/// Longest alarm of a siren, in seconds. Without a duration `Zigbee2MQTT` would take 10.
const SIREN_DURATION: f64 = 180.0;

impl Expose {
    /// Returns the capabilities of a light, switch, cover, lock, thermostat, fan or siren.
    pub(super) fn capabilities(&self, address: DeviceAddress<'_>) -> Vec<Capability> {
        let state = |property: Property, words: [&str; 2]| {
            let feature = self.feature("state")?;
            feature.on_off(address, property, words)
        };
        let all = match self.kind.as_str() {
            "light" => self.light(address),
            "switch" => vec![state(Property::Power, ["on", "off"])],
            "cover" => self.cover(address),
            "lock" => vec![state(Property::Lock, ["locked", "unlocked"])],
            "climate" => self.climate(address),
            "fan" => vec![
                state(Property::Power, ["on", "off"]),
                self.feature("speed").and_then(|f| f.fan_speed(address)),
                self.feature("mode")
                    .and_then(|f| f.select(address, Property::FanMode)),
            ],
            "composite" => vec![self.siren(address)],
            "binary" => vec![self.on_off(address, Property::Power, ["on", "off"])],
            _ => Vec::new(),
        };
        all.into_iter().flatten().collect()
    }

    fn light(&self, address: DeviceAddress<'_>) -> Vec<Option<Capability>> {
        let state = self.feature("state");
        let brightness = self.feature("brightness");
        let temperature = self.feature("color_temp");
        let xy = self.feature("color_xy");
        let color = xy.or_else(|| self.feature("color_hs"));
        vec![
            state.and_then(|f| f.on_off(address, Property::Power, ["on", "off"])),
            brightness.and_then(|f| f.percentage(address, Property::Brightness, 254.0)),
            temperature.and_then(|f| f.color_temperature(address)),
            color.and_then(|f| f.color(address)),
        ]
    }

    fn color(&self, address: DeviceAddress<'_>) -> Option<Capability> {
        let key = format!("{}.hex", self.key()?);
        let binding = address.binding(&Property::Color, &key);
        Some(self.with_access(setting(Property::Color, Domain::Color, binding)))
    }

    fn color_temperature(&self, address: DeviceAddress<'_>) -> Option<Capability> {
        let kelvin = |mired: Option<f64>, default: f64| match mired {
            Some(mired) if mired > 0.0 => (1e6 / mired).round(),
            _ => default,
        };
        let min = kelvin(self.value_max, DEFAULT_KELVIN.0);
        let max = kelvin(self.value_min, DEFAULT_KELVIN.1);
        let (min, max) = if min < max {
            (min, max)
        } else {
            DEFAULT_KELVIN
        };
        let binding = address.binding(&Property::ColorTemp, self.key()?);
        let capability = setting(Property::ColorTemp, number(min, max, "K"), binding);
        Some(self.with_access(capability))
    }

    fn cover(&self, address: DeviceAddress<'_>) -> Vec<Option<Capability>> {
        let state = self.feature("state").filter(|f| f.is_settable());
        let state_key = state.and_then(Self::key);
        let stop = state_key.map(|key| address.message(key, &"STOP".into()));
        let percentage = |name: &str, property: Property| {
            let feature = self.feature(name)?;
            let mut capability = feature.percentage(address, property, 100.0)?;
            capability.binding.stop.clone_from(&stop);
            Some(capability)
        };
        let tilt = percentage("tilt", Property::Tilt);
        if let Some(position) = percentage("position", Property::Position) {
            return vec![Some(position), tilt];
        }
        let mut open_close = state_key.map(|key| open_close(address, key));
        if let Some(capability) = &mut open_close {
            capability.binding.stop = stop;
        }
        vec![open_close, tilt]
    }

    fn climate(&self, address: DeviceAddress<'_>) -> Vec<Option<Capability>> {
        // The heating setpoint is the first that can be set. With a cooling one beside it, the mode
        // selects which of the two people mean.
        let mut targets = [
            "occupied_heating_setpoint",
            "current_heating_setpoint",
            "occupied_cooling_setpoint",
        ]
        .into_iter()
        .filter_map(|name| self.feature(name))
        .filter(|f| f.is_settable());
        let target = targets.next();
        let cooling = targets.find(|f| f.name.as_deref() == Some("occupied_cooling_setpoint"));
        let unoccupied = self.feature("unoccupied_heating_setpoint");
        let degrees = |feature: Option<&Self>, property: Property| {
            let mut capability = feature?.number(address, property, DEFAULT_TARGET)?;
            capability.step = 1.0;
            Some(capability)
        };
        let select = |name: &str, property: Property| {
            let feature = self.feature(name)?;
            feature.select(address, property)
        };
        let targets = match cooling {
            Some(_) => [
                degrees(target, HEATING_TARGET.into()),
                degrees(cooling, COOLING_TARGET.into()),
            ],
            None => [degrees(target, Property::Temperature), None],
        };
        let known: Vec<Capability> = targets.iter().flatten().cloned().collect();
        let [target, cooling] = targets;
        vec![
            selected_target(&known),
            target,
            cooling,
            degrees(unoccupied, "away_temperature".into()),
            select("system_mode", Property::HvacMode),
            select("preset", Property::Preset),
            select("fan_mode", Property::FanMode),
            self.local_temperature(address),
            self.running_state(address),
        ]
    }

    fn local_temperature(&self, address: DeviceAddress<'_>) -> Option<Capability> {
        let feature = self.feature("local_temperature")?;
        let state = vec![field(&address.state_topic(), &[feature.key()?])];
        let unit = feature.unit.as_deref();
        Some(readings::measurement("temperature", unit, state))
    }

    fn running_state(&self, address: DeviceAddress<'_>) -> Option<Capability> {
        let feature = self.feature("running_state")?;
        let state = vec![field(&address.state_topic(), &[feature.key()?])];
        Some(readings::one_of("action", feature.options(), state))
    }

    /// Returns speeds counted from 1 as percentages: off is no speed, as in Home Assistant.
    fn fan_speed(&self, address: DeviceAddress<'_>) -> Option<Capability> {
        let counts_from_one = self.value_min == Some(1.0);
        let speeds = self.value_max.filter(|max| *max > 1.0 && *max < 100.0);
        let Some(speeds) = speeds.filter(|_| counts_from_one) else {
            return self.percentage(address, Property::Speed, 254.0);
        };
        let binding = Binding {
            codec: linear((0.0, speeds)),
            ..address.binding(&Property::Speed, self.key()?)
        };
        let domain = number((100.0 / speeds).floor(), 100.0, "%");
        Some(self.with_access(setting(Property::Speed, domain, binding)))
    }

    /// Takes the features of a fan out of `others` where a device exposes them one by one, and
    /// returns them as a group.
    pub(super) fn take_separate_fan(others: &mut Vec<Self>) -> Option<Self> {
        let is_part = |e: &mut Self| {
            e.is_settable() && matches!(e.name.as_deref(), Some("fan_state" | "fan_speed"))
        };
        let parts: Vec<Self> = others.extract_if(.., is_part).collect();
        let mut features = Vec::new();
        for part in parts {
            let name = match (part.name.as_deref(), part.kind.as_str()) {
                (Some("fan_state"), _) => "state",
                (_, "enum") => "mode",
                _ => "speed",
            };
            features.push(Self {
                name: Some(name.to_owned()),
                ..part
            });
        }
        if features.is_empty() {
            return None;
        }
        Some(Self {
            kind: "fan".to_owned(),
            features,
            ..Self::default()
        })
    }

    /// Takes the switch of a siren out of `others`: an `alarm` beside its melody or duration.
    pub(super) fn take_alarm(others: &mut Vec<Self>) -> Option<Self> {
        let is_named = |e: &Self, names: &[&str]| {
            let name = e.name.as_deref().unwrap_or_default();
            e.is_settable() && names.contains(&name)
        };
        if !others.iter().any(|e| is_named(e, &["melody", "duration"])) {
            return None;
        }
        let alarm = |e: &Self| e.kind == "binary" && is_named(e, &["alarm"]);
        let index = others.iter().position(alarm)?;
        Some(others.remove(index))
    }

    /// Returns a warning device: on is its loudest burglar alarm, which ends by itself.
    fn siren(&self, address: DeviceAddress<'_>) -> Option<Capability> {
        let key = self.key().filter(|_| self.is_settable())?;
        let mode = self.preferred("mode", &["burglar", "emergency"])?;
        let mut on = json!({ "mode": mode });
        if let Some(level) = self.preferred("level", &["very_high", "high"]) {
            on["level"] = level.into();
        }
        let duration = self.feature("duration").map(|f| f.value_max);
        let seconds = duration.map(|max| SIREN_DURATION.min(max.unwrap_or(SIREN_DURATION)));
        if let Some(seconds) = seconds.filter(|seconds| *seconds >= 1.0) {
            #[expect(clippy::cast_possible_truncation, reason = "from 1 to 180")]
            let whole = seconds as i64;
            on["duration"] = whole.into();
        }
        let fixed = vec![
            (Value::text("on"), address.message(key, &on)),
            (
                Value::text("off"),
                address.message(key, &json!({ "mode": "stop" })),
            ),
        ];
        let binding = Binding {
            fixed,
            ..Binding::default()
        };
        Some(setting(Property::Power, choice(&["on", "off"]), binding))
    }

    /// Returns the first of the `preferred` options a feature has, or its first option.
    fn preferred(&self, feature: &str, preferred: &[&str]) -> Option<String> {
        let options = self.feature(feature)?.options();
        let known = preferred
            .iter()
            .find(|word| options.iter().any(|option| option == *word));
        let word = known.map(|&word| word.to_owned());
        word.or_else(|| options.into_iter().find(|option| option != "stop"))
    }
}

/// Returns the position of a cover that can only be opened, closed and stopped.
fn open_close(address: DeviceAddress<'_>, key: &str) -> Capability {
    let open = (Value::Number(100.0), Json::from("OPEN"));
    let close = (Value::Number(0.0), Json::from("CLOSE"));
    let closed = (Value::Number(0.0), Json::from("CLOSED"));
    let fixed = [&open, &close].map(|(value, word)| (value.clone(), address.message(key, word)));
    let binding = Binding {
        fixed: fixed.to_vec(),
        codec: words(vec![open, close, closed]),
        state: vec![field(&address.state_topic(), &[key])],
        ..Binding::default()
    };
    setting(Property::Position, percent(), binding)
}
