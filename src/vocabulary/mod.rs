//! Property names, value domains and values: the words used by capabilities, configuration, grammar, prompts and replies.
//! One word for one thing everywhere. Knows no topics.

pub mod action;
pub mod slug;
pub mod speech;
pub mod topic;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
pub enum Domain {
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

impl Domain {
    pub(crate) fn words(words: &[&str]) -> Self {
        Self::Choice(words.iter().map(|&w| w.to_owned()).collect())
    }

    pub(crate) fn number(min: f64, max: f64, unit: &str) -> Self {
        Self::Number {
            min,
            max,
            step: None,
            unit: unit.to_owned(),
        }
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
