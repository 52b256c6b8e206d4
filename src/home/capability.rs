//! What a device can do: the vocabulary, the values each property takes, and what needs a second yes.
//! One word for one thing everywhere: prompt, schema, cache, reply, docs. Knows no topics.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::binding::Link;

/// A thing about a device that can be set or read, in the words of the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Property {
    /// `on` or `off`.
    Power,
    /// 0–100 %.
    Brightness,
    /// A CSS colour name or `#rrggbb`.
    Color,
    /// Kelvin.
    ColorTemp,
    /// 0 closed – 100 open.
    Position,
    /// Of slats: 0 closed – 100 open.
    Tilt,
    /// `locked` or `unlocked`.
    Lock,
    /// The target, in °C.
    Temperature,
    /// The target, in %.
    Humidity,
    /// One of the device's.
    HvacMode,
    /// One of the device's.
    FanMode,
    /// One of the device's.
    Preset,
    /// 0–100 %.
    Volume,
    /// `on` or `off`.
    Mute,
    /// `playing`, `paused`, `stopped`, `next`, `previous`.
    Playback,
    /// One of the device's.
    Source,
    /// `cleaning`, `paused`, `stopped`, `docked`, `located`.
    Vacuum,
    /// `mowing`, `paused`, `docked`.
    Mower,
    /// A button: no value.
    Press,
    /// `activated`.
    Scene,
    /// `run`.
    Script,
    /// 0–100 %.
    Speed,
    /// A property the operator declared, with its own range, options or boolean.
    Custom(Arc<str>),
}

/// The vocabulary's names, in the order of its table.
const NAMES: [(&str, Property); 22] = [
    ("power", Property::Power),
    ("brightness", Property::Brightness),
    ("color", Property::Color),
    ("color_temp", Property::ColorTemp),
    ("position", Property::Position),
    ("tilt", Property::Tilt),
    ("lock", Property::Lock),
    ("temperature", Property::Temperature),
    ("humidity", Property::Humidity),
    ("hvac_mode", Property::HvacMode),
    ("fan_mode", Property::FanMode),
    ("preset", Property::Preset),
    ("volume", Property::Volume),
    ("mute", Property::Mute),
    ("playback", Property::Playback),
    ("source", Property::Source),
    ("vacuum", Property::Vacuum),
    ("mower", Property::Mower),
    ("press", Property::Press),
    ("scene", Property::Scene),
    ("script", Property::Script),
    ("speed", Property::Speed),
];

impl Property {
    /// The word for it in payloads, prompts and replies.
    pub fn name(&self) -> &str {
        match self {
            Self::Custom(name) => name,
            known => NAMES
                .iter()
                .find(|(_, p)| p == known)
                .map_or("", |(name, _)| name),
        }
    }

    /// True of the vocabulary's own properties, false of a declared one.
    pub fn is_standard(&self) -> bool {
        !matches!(self, Self::Custom(_))
    }

    /// Every property of the vocabulary, in its order.
    pub fn standard() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(_, property)| property)
    }
}

impl From<&str> for Property {
    fn from(name: &str) -> Self {
        NAMES
            .iter()
            .find(|(n, _)| *n == name)
            .map_or_else(|| Self::Custom(name.into()), |(_, p)| p.clone())
    }
}

impl From<String> for Property {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl From<Property> for String {
    fn from(property: Property) -> Self {
        property.name().to_owned()
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value of a property: as it stands in a draft, in a reply and in the state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of a declared boolean.
    Flag(bool),
    /// Finite always.
    Number(f64),
    /// A word of the vocabulary, or one of the device's options.
    Text(String),
}

impl Value {
    /// A word.
    pub fn text(word: &str) -> Self {
        Self::Text(word.to_owned())
    }

    /// The number, where it is one.
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(n) = self {
            Some(*n)
        } else {
            None
        }
    }
}

impl Serialize for Value {
    /// Whole numbers are written without a fraction: `40`, not `40.0`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(b) => serializer.serialize_bool(*b),
            Self::Text(t) => serializer.serialize_str(t),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and below 2^53, checked by the guard"
            )]
            Self::Number(n) if n.fract() == 0.0 && n.abs() < 9e15 => {
                serializer.serialize_i64(*n as i64)
            }
            Self::Number(n) => serializer.serialize_f64(*n),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(b) => b.fmt(f),
            Self::Number(n) => n.fmt(f),
            Self::Text(t) => f.write_str(t),
        }
    }
}

/// The values a capability takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Takes {
    /// One of these words.
    Choice(Vec<String>),
    /// A number from `min` to `max`, both included, in `unit`.
    Number {
        /// The smallest value taken.
        min: f64,
        /// The largest value taken.
        max: f64,
        /// The grain: values are multiples of it above `min`. `None` is any.
        step: Option<f64>,
        /// `%`, `°C`, `K`, `l/min`; empty for a bare count.
        unit: String,
    },
    /// A CSS colour name or `#rrggbb`.
    Color,
    /// `true` or `false`.
    Boolean,
    /// No value: it just happens.
    Trigger,
}

impl Takes {
    fn words(words: &[&str]) -> Self {
        Self::Choice(words.iter().map(|&w| w.to_owned()).collect())
    }

    fn number(min: f64, max: f64, unit: &str) -> Self {
        Self::Number {
            min,
            max,
            step: None,
            unit: unit.to_owned(),
        }
    }
}

/// Whether an action may be done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Done at once.
    Auto,
    /// Done after a yes from the same source.
    Confirm,
    /// Never done by sayso.
    Never,
}

/// The risk of a capability, which may differ by direction: a lock may close at once but open only after a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// For what opens, unlocks or disarms, and for what may (a toggle of unknown state).
    pub opening: Risk,
    /// For everything else.
    pub otherwise: Risk,
}

impl Guard {
    /// The same risk whatever the value.
    pub fn all(risk: Risk) -> Self {
        Self {
            opening: risk,
            otherwise: risk,
        }
    }
}

/// One property of one device, with its range, its risk and the way to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Capability {
    /// What it is.
    pub property: Property,
    /// What it takes: the gate refuses everything else.
    pub takes: Takes,
    /// What needs a second yes.
    pub guard: Guard,
    /// False of a mere reading (a sensor): it can be asked for, not set.
    pub settable: bool,
    /// How far one "brighter" or "warmer" goes, in the capability's unit.
    pub step: f64,
    /// How it is told the device, and heard from it.
    pub link: Link,
}

impl Capability {
    /// A property of the vocabulary with its usual range, no risk, and no way of its own to the device yet.
    /// A property outside the vocabulary is taken as a number from 0 to 100 without unit.
    pub fn standard(property: Property) -> Self {
        use Property as P;
        let takes = match &property {
            P::Power | P::Mute => Takes::words(&["on", "off"]),
            P::Brightness | P::Position | P::Tilt | P::Humidity | P::Volume | P::Speed => {
                Takes::number(0.0, 100.0, "%")
            }
            P::Color => Takes::Color,
            P::ColorTemp => Takes::number(2000.0, 6500.0, "K"),
            P::Lock => Takes::words(&["locked", "unlocked"]),
            P::Temperature => Takes::number(5.0, 35.0, "°C"),
            P::HvacMode => Takes::words(&[
                "off",
                "heat",
                "cool",
                "heat_cool",
                "auto",
                "dry",
                "fan_only",
            ]),
            P::FanMode => Takes::words(&["auto", "low", "medium", "high"]),
            P::Preset => Takes::words(&[
                "none", "away", "home", "eco", "comfort", "boost", "sleep", "activity",
            ]),
            P::Playback => Takes::words(&["playing", "paused", "stopped", "next", "previous"]),
            P::Source => Takes::Choice(Vec::new()),
            P::Vacuum => Takes::words(&["cleaning", "paused", "stopped", "docked", "located"]),
            P::Mower => Takes::words(&["mowing", "paused", "docked"]),
            P::Press => Takes::Trigger,
            P::Scene => Takes::words(&["activated"]),
            P::Script => Takes::words(&["run"]),
            P::Custom(_) => Takes::number(0.0, 100.0, ""),
        };
        let step = match &property {
            P::Temperature => 1.0,
            P::ColorTemp => 500.0,
            P::Humidity => 5.0,
            P::Brightness | P::Position | P::Tilt | P::Speed => 20.0,
            _ => 10.0,
        };
        let settable = true;
        Self {
            property,
            takes,
            guard: Guard::all(Risk::Auto),
            settable,
            step,
            link: Link::default(),
        }
    }

    /// The topics it is commanded on; none where it has no way of its own to the device.
    pub fn command_topics(&self) -> impl Iterator<Item = &str> {
        let link = &self.link;
        let messages = link
            .stop
            .iter()
            .chain(&link.toggle)
            .chain(link.fixed.iter().map(|(_, message)| message));
        link.command
            .iter()
            .map(|port| port.topic.as_str())
            .chain(messages.map(|message| message.topic.as_str()))
    }

    /// The same, taking other values.
    #[must_use]
    pub fn taking(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_has_one_name_and_comes_back_from_it() {
        for property in Property::standard() {
            assert_eq!(Property::from(property.name()), property);
            assert!(property.is_standard());
        }
        assert_eq!(Property::from("flow"), Property::Custom("flow".into()));
    }

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        let json = |v: Value| serde_json::to_string(&v).unwrap();
        assert_eq!(json(Value::Number(40.0)), "40");
        assert_eq!(json(Value::Number(21.5)), "21.5");
        assert_eq!(json(Value::Flag(true)), "true");
    }
}
