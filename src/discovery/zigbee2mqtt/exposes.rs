//! What a Zigbee device exposes, and the capability each exposed feature becomes.
//! Source: `Zigbee2MQTT`'s page on exposes, November 2026.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::binding;
use crate::binding::{Binding, Codec, Publication, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::{choice, field, names, number, readings, setting};

/// The value can be set.
const SET: u64 = 0b010;

/// Options one feature may have.
const MOST_OPTIONS: usize = 64;

/// One feature, or a group of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Expose {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) property: Option<String>,
    pub(super) endpoint: Option<String>,
    access: Option<u64>,
    pub(super) category: Option<String>,
    unit: Option<String>,
    value_min: Option<f64>,
    value_max: Option<f64>,
    value_step: Option<f64>,
    values: Vec<Json>,
    value_on: Option<Json>,
    value_off: Option<Json>,
    value_toggle: Option<Json>,
    pub(super) features: Vec<Expose>,
}

/// Where a device is: its base topic and its name there.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) base: &'a str,
    pub(super) name: &'a str,
}

impl At<'_> {
    fn state(&self) -> String {
        format!("{}/{}", self.base, self.name)
    }

    fn set(&self, key: &str, value: &Json) -> Publication {
        Publication::new(
            format!("{}/{}/set", self.base, self.name),
            json!({ key: value }).to_string(),
        )
    }

    fn binding(&self, property: &Property, key: &str) -> Binding {
        binding::zigbee2mqtt(self.base, self.name, property, Some(key))
    }
}

impl Expose {
    pub(super) fn is_settable(&self) -> bool {
        // A range of one number is no choice: some boilers declare a target that is fixed.
        let fixed = self.value_min.is_some() && self.value_min == self.value_max;
        self.access.is_some_and(|access| access & SET != 0) && !fixed
    }

    /// The key in the payload, where it can be one.
    pub(super) fn key(&self) -> Option<&str> {
        self.property
            .as_deref()
            .filter(|key| names::is_option(key) && !key.contains('.'))
    }

    pub(super) fn feature(&self, name: &str) -> Option<&Self> {
        self.features
            .iter()
            .find(|f| f.name.as_deref() == Some(name))
    }

    /// The endpoint it belongs to: its own, or that of its features.
    pub(super) fn part(&self) -> Option<&str> {
        self.endpoint
            .as_deref()
            .or_else(|| self.features.iter().find_map(|f| f.endpoint.as_deref()))
    }

    fn words(&self) -> Vec<String> {
        let text = |value: &Json| {
            value
                .as_str()
                .filter(|text| names::is_option(text))
                .map(str::to_owned)
        };
        self.values
            .iter()
            .filter_map(text)
            .take(MOST_OPTIONS)
            .collect()
    }

    fn takes_number(&self, usual: (f64, f64, &str)) -> Domain {
        let unit = self
            .unit
            .as_deref()
            .and_then(names::clean)
            .unwrap_or_else(|| usual.2.to_owned());
        let (min, max) = (
            self.value_min.unwrap_or(usual.0),
            self.value_max.unwrap_or(usual.1),
        );
        let (min, max) = if min < max {
            (min, max)
        } else {
            (usual.0, usual.1)
        };
        Domain::Number {
            min,
            max,
            step: self.value_step.filter(|s| *s > 0.0),
            unit,
        }
    }

    /// One of two words for one of two values on the wire.
    fn switch(&self, at: At<'_>, property: Property, [on, off]: [&str; 2]) -> Option<Capability> {
        let key = self.key()?;
        let wire =
            |value: &Option<Json>, usual: &str| value.clone().unwrap_or_else(|| Json::from(usual));
        let words = vec![
            (Value::text(on), wire(&self.value_on, "ON")),
            (Value::text(off), wire(&self.value_off, "OFF")),
        ];
        let toggle = self.value_toggle.as_ref().map(|value| at.set(key, value));
        let binding = Binding {
            codec: Codec {
                words,
                scale: Scale::MappedOnly,
            },
            toggle,
            ..at.binding(&property, key)
        };
        Some(self.able(setting(property, choice(&[on, off]), binding)))
    }

    /// One of the device's own words.
    fn select(&self, at: At<'_>, property: Property) -> Option<Capability> {
        let (key, words) = (self.key()?, self.words());
        if words.is_empty() {
            return None;
        }
        let pairs = words
            .iter()
            .map(|word| (Value::text(word), Json::from(word.as_str())))
            .collect();
        let binding = Binding {
            codec: Codec {
                words: pairs,
                scale: Scale::MappedOnly,
            },
            ..at.binding(&property, key)
        };
        Some(self.able(setting(property, Domain::Choice(words), binding)))
    }

    /// A number as it is.
    fn plain(&self, at: At<'_>, property: Property, usual: (f64, f64, &str)) -> Option<Capability> {
        let binding = Binding {
            codec: Codec::default(),
            ..at.binding(&property, self.key()?)
        };
        Some(self.able(setting(property, self.takes_number(usual), binding)))
    }

    /// A number of the device's own range, told and taken in percent.
    fn percent(&self, at: At<'_>, property: Property, usual: f64) -> Option<Capability> {
        let range = (
            self.value_min.unwrap_or(0.0),
            self.value_max.unwrap_or(usual),
        );
        let range = if range.0 < range.1 {
            range
        } else {
            (0.0, usual)
        };
        let codec = Codec {
            words: Vec::new(),
            scale: Scale::Linear {
                from: (0.0, 100.0),
                to: range,
            },
        };
        let binding = Binding {
            codec,
            ..at.binding(&property, self.key()?)
        };
        Some(self.able(setting(property, number(0.0, 100.0, "%"), binding)))
    }

    /// Speeds counted from 1 in percent: off is no speed, as for Home Assistant.
    fn speed(&self, at: At<'_>) -> Option<Capability> {
        let speeds = self
            .value_max
            .filter(|max| self.value_min == Some(1.0) && *max > 1.0 && *max < 100.0);
        let Some(speeds) = speeds else {
            return self.percent(at, Property::Speed, 254.0);
        };
        let codec = Codec {
            words: Vec::new(),
            scale: Scale::Linear {
                from: (0.0, 100.0),
                to: (0.0, speeds),
            },
        };
        let binding = Binding {
            codec,
            ..at.binding(&Property::Speed, self.key()?)
        };
        Some(self.able(setting(
            Property::Speed,
            number((100.0 / speeds).floor(), 100.0, "%"),
            binding,
        )))
    }

    /// Some devices expose the parts of a fan one by one: they are taken out of `rest` and make one.
    pub(super) fn loose_fan(rest: &mut Vec<Self>) -> Option<Self> {
        let is_part = |e: &Self| {
            e.is_settable() && matches!(e.name.as_deref(), Some("fan_state" | "fan_speed"))
        };
        let parts: Vec<Self> = rest.extract_if(.., |e| is_part(e)).collect();
        let features = parts.into_iter().map(|part| {
            let name = match (part.name.as_deref(), part.kind.as_str()) {
                (Some("fan_state"), _) => "state",
                (_, "enum") => "mode",
                _ => "speed",
            };
            Self {
                name: Some(name.to_owned()),
                ..part
            }
        });
        let features: Vec<Self> = features.collect();
        (!features.is_empty()).then(|| Self {
            kind: "fan".to_owned(),
            features,
            ..Self::default()
        })
    }

    /// A warning device: on is its loudest burglar alarm, which ends by itself.
    fn siren(&self, at: At<'_>) -> Option<Capability> {
        /// Seconds; without a word on it, `Zigbee2MQTT` would take 10.
        const LASTS: f64 = 180.0;
        let key = self.key().filter(|_| self.is_settable())?;
        let best = |feature: &str, words: &[&str]| {
            let known = self.feature(feature)?.words();
            let word = words
                .iter()
                .find(|word| known.iter().any(|k| k == *word))
                .map(|&word| word.to_owned());
            word.or_else(|| known.into_iter().find(|word| word != "stop"))
        };
        let (mode, level) = (
            best("mode", &["burglar", "emergency"])?,
            best("level", &["very_high", "high"]),
        );
        let lasts = self
            .feature("duration")
            .map(|f| LASTS.min(f.value_max.unwrap_or(LASTS)));
        let mut on = json!({"mode": mode});
        if let Some(level) = level {
            on["level"] = level.into();
        }
        if let Some(lasts) = lasts.filter(|lasts| *lasts >= 1.0) {
            #[expect(clippy::cast_possible_truncation, reason = "from 1 to 180")]
            let whole = lasts as i64;
            on["duration"] = whole.into();
        }
        let fixed = vec![
            (Value::text("on"), at.set(key, &on)),
            (Value::text("off"), at.set(key, &json!({"mode": "stop"}))),
        ];
        Some(setting(
            Property::Power,
            choice(&["on", "off"]),
            Binding {
                fixed,
                ..Binding::default()
            },
        ))
    }

    /// What can only be read has nothing that commands it.
    fn able(&self, mut capability: Capability) -> Capability {
        if !self.is_settable() {
            capability.settable = false;
            let binding = &mut capability.binding;
            (binding.command, binding.stop, binding.toggle, binding.fixed) =
                (None, None, None, Vec::new());
        }
        capability
    }

    /// What the features of a light, switch, cover, lock, climate or fan become.
    pub(super) fn capabilities(&self, at: At<'_>) -> Vec<Capability> {
        let all: Vec<Option<Capability>> = match self.kind.as_str() {
            "light" => self.light(at),
            "switch" => vec![
                self.feature("state")
                    .and_then(|f| f.switch(at, Property::Power, ["on", "off"])),
            ],
            "cover" => self.cover(at),
            "lock" => vec![
                self.feature("state")
                    .and_then(|f| f.switch(at, Property::Lock, ["locked", "unlocked"])),
            ],
            "climate" => self.climate(at),
            "fan" => vec![
                self.feature("state")
                    .and_then(|f| f.switch(at, Property::Power, ["on", "off"])),
                self.feature("speed").and_then(|f| f.speed(at)),
                self.feature("mode")
                    .and_then(|f| f.select(at, Property::FanMode)),
            ],
            "composite" => vec![self.siren(at)],
            _ => Vec::new(),
        };
        all.into_iter().flatten().collect()
    }

    fn light(&self, at: At<'_>) -> Vec<Option<Capability>> {
        let color = self
            .feature("color_xy")
            .or_else(|| self.feature("color_hs"));
        vec![
            self.feature("state")
                .and_then(|f| f.switch(at, Property::Power, ["on", "off"])),
            self.feature("brightness")
                .and_then(|f| f.percent(at, Property::Brightness, 254.0)),
            self.feature("color_temp").and_then(|f| f.color_temp(at)),
            color.and_then(|f| {
                Some(f.able(setting(
                    Property::Color,
                    Domain::Color,
                    at.binding(&Property::Color, &format!("{}.hex", f.key()?)),
                )))
            }),
        ]
    }

    fn color_temp(&self, at: At<'_>) -> Option<Capability> {
        let kelvin = |mired: Option<f64>, usual| {
            mired
                .filter(|m| *m > 0.0)
                .map_or(usual, |m| (1e6 / m).round())
        };
        let (min, max) = (
            kelvin(self.value_max, 2000.0),
            kelvin(self.value_min, 6500.0),
        );
        let (min, max) = if min < max {
            (min, max)
        } else {
            (2000.0, 6500.0)
        };
        Some(self.able(setting(
            Property::ColorTemp,
            number(min, max, "K"),
            at.binding(&Property::ColorTemp, self.key()?),
        )))
    }

    fn cover(&self, at: At<'_>) -> Vec<Option<Capability>> {
        let state = self
            .feature("state")
            .filter(|f| f.is_settable())
            .and_then(Self::key);
        let stop = state.map(|key| at.set(key, &"STOP".into()));
        let moved = |capability: Capability| Capability {
            binding: Binding {
                stop: stop.clone(),
                ..capability.binding
            },
            ..capability
        };
        let position = self
            .feature("position")
            .and_then(|f| f.percent(at, Property::Position, 100.0))
            .map(moved);
        let tilt = self
            .feature("tilt")
            .and_then(|f| f.percent(at, Property::Tilt, 100.0))
            .map(moved);
        if position.is_some() {
            return vec![position, tilt];
        }
        // Without a position there are only open, closed and stop.
        let words = |key: &str| {
            let pairs = [(100.0, "OPEN"), (0.0, "CLOSE"), (0.0, "CLOSED")]
                .map(|(n, word)| (Value::Number(n), Json::from(word)));
            let fixed = pairs[..2]
                .iter()
                .map(|(value, wire)| (value.clone(), at.set(key, wire)))
                .collect();
            let codec = Codec {
                words: pairs.to_vec(),
                scale: Scale::MappedOnly,
            };
            let binding = Binding {
                fixed,
                codec,
                state: vec![field(&at.state(), &[key])],
                stop: stop.clone(),
                ..Binding::default()
            };
            setting(Property::Position, number(0.0, 100.0, "%"), binding)
        };
        vec![state.map(words), tilt]
    }

    fn climate(&self, at: At<'_>) -> Vec<Option<Capability>> {
        const USUAL: (f64, f64, &str) = (5.0, 35.0, "°C");
        let targets = [
            "occupied_heating_setpoint",
            "current_heating_setpoint",
            "occupied_cooling_setpoint",
        ];
        // Which of two setpoints a device obeys, its exposes do not say; the first that can be set is the one people mean.
        let mut set = targets
            .iter()
            .filter_map(|name| self.feature(name))
            .filter(|f| f.is_settable());
        let target = set.next();
        let cooling = set.find(|f| f.name.as_deref() == Some("occupied_cooling_setpoint"));
        let unoccupied = self.feature("unoccupied_heating_setpoint");
        let degrees = |f: Option<&Self>, property: Property| {
            f.and_then(|f| f.plain(at, property, USUAL))
                .map(|c| Capability { step: 1.0, ..c })
        };
        let told = |name: &str, reading: &str| {
            let feature = self.feature(name)?;
            Some(readings::told(
                reading,
                feature.unit.as_deref(),
                vec![field(&at.state(), &[feature.key()?])],
            ))
        };
        vec![
            degrees(target, Property::Temperature),
            degrees(cooling, "temperature_high".into()),
            degrees(unoccupied, "away_temperature".into()),
            self.feature("system_mode")
                .and_then(|f| f.select(at, Property::HvacMode)),
            self.feature("preset")
                .and_then(|f| f.select(at, Property::Preset)),
            self.feature("fan_mode")
                .and_then(|f| f.select(at, Property::FanMode)),
            told("local_temperature", "temperature"),
            self.feature("running_state").and_then(|f| {
                Some(readings::one_of(
                    "action",
                    f.words(),
                    vec![field(&at.state(), &[f.key()?])],
                ))
            }),
        ]
    }

    /// What a feature that stands alone becomes: a setting or a reading of its own name.
    pub(super) fn alone(&self, at: At<'_>) -> Option<Capability> {
        if self.kind == "switch" {
            let state = self.feature("state")?;
            return state.switch(at, readings::named(state.key()?), ["on", "off"]);
        }
        let key = self.key()?;
        let told = || vec![field(&at.state(), &[key])];
        if !self.is_settable() {
            return match self.kind.as_str() {
                "numeric" => Some(readings::told(key, self.unit.as_deref(), told())),
                "enum" => Some(readings::one_of(key, self.words(), told())),
                "binary" => Some(readings::sensed(
                    key,
                    [
                        self.value_on.clone().unwrap_or(true.into()),
                        self.value_off.clone().unwrap_or(false.into()),
                    ],
                    told(),
                )),
                _ => None,
            };
        }
        match (self.kind.as_str(), key) {
            ("binary", "state") => self.switch(at, Property::Power, ["on", "off"]),
            ("binary", _) => self.switch(at, readings::named(key), ["on", "off"]),
            ("numeric", "position") => self.percent(at, Property::Position, 100.0),
            ("numeric", _) => self.plain(
                at,
                readings::named(key),
                (
                    0.0,
                    if self.unit.as_deref() == Some("%") {
                        100.0
                    } else {
                        65535.0
                    },
                    "",
                ),
            ),
            ("enum", "preset") => self.select(at, Property::Preset),
            ("enum", _) => self.select(at, readings::named(key)),
            _ => None,
        }
    }
}
