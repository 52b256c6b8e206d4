//! The properties of the vocabulary: one table with one row per property.
//!
//! Everything that is a fact of a property stands in its row. Capabilities, configuration, grammar,
//! prompt and the test of the documentation read the table; none of them matches on all properties.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::vocabulary::domain::Domain;
use crate::vocabulary::text_visitor::from_text;

/// Something about a device that can be set or read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each variant is described by its row in the table"
)]
pub enum Property {
    Power,
    Brightness,
    Color,
    ColorTemp,
    Position,
    Tilt,
    Lock,
    Temperature,
    Humidity,
    HvacMode,
    FanMode,
    Preset,
    Volume,
    Mute,
    Playback,
    Source,
    Vacuum,
    Mower,
    Press,
    Scene,
    Script,
    Speed,
    /// A property declared in `home.toml` or announced under a name outside the vocabulary.
    Custom(Arc<str>),
}

/// The values a property takes on a device that declares none of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StandardDomain {
    /// One of these words.
    Words(&'static [&'static str]),
    /// A number from the first to the second, in a unit.
    Range(f64, f64, &'static str),
    /// A CSS colour name or `#rrggbb`.
    Color,
    /// No value.
    Trigger,
}

/// The devices a phrase means when it names a property and no device: "turn the volume up".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImpliedDevices {
    /// No device can be implied.
    None,
    /// The one device of these kinds.
    One(&'static [&'static str]),
    /// All devices of these kinds.
    All(&'static [&'static str]),
}

/// Everything the program knows about one property.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertySpec {
    /// Property that the row describes.
    pub property: Property,
    /// Name in payloads, prompts, configuration and replies.
    pub name: &'static str,
    /// The values it takes unless the device declares others.
    pub domain: StandardDomain,
    /// True where every device has options of its own, such as the modes of a fan.
    pub own_options: bool,
    /// The size of one "more" or "less", in the unit of the property.
    pub step: f64,
    /// The kinds of device that have it by default.
    pub default_kinds: &'static [&'static str],
    /// The devices meant when a phrase names only the property.
    pub implied: ImpliedDevices,
    /// Explanation for a model, after the range.
    pub remark: &'static str,
}

const PERCENT: StandardDomain = StandardDomain::Range(0.0, 100.0, "%");
const ON_OFF: StandardDomain = StandardDomain::Words(&["on", "off"]);
const STEP: f64 = 10.0;

/// Creates a row with the values that most properties share.
const fn row(property: Property, name: &'static str, domain: StandardDomain) -> PropertySpec {
    PropertySpec {
        property,
        name,
        domain,
        own_options: false,
        step: STEP,
        default_kinds: &[],
        implied: ImpliedDevices::None,
        remark: "",
    }
}

impl PropertySpec {
    const fn own_options(mut self) -> Self {
        self.own_options = true;
        self
    }

    const fn step(mut self, step: f64) -> Self {
        self.step = step;
        self
    }

    const fn default_of(mut self, kinds: &'static [&'static str]) -> Self {
        self.default_kinds = kinds;
        self
    }

    const fn implied(mut self, devices: ImpliedDevices) -> Self {
        self.implied = devices;
        self
    }

    const fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }
}

/// All properties, in the order in which prompts and documentation list them.
pub static PROPERTIES: [PropertySpec; 22] = [
    row(Property::Power, "power", ON_OFF).default_of(&[
        "light",
        "water_heater",
        "fan",
        "humidifier",
        "media_player",
        "switch",
        "siren",
        "alarm_control_panel",
    ]),
    row(Property::Brightness, "brightness", PERCENT)
        .step(20.0)
        .default_of(&["light"])
        .implied(ImpliedDevices::All(&["light"])),
    row(Property::Color, "color", StandardDomain::Color).implied(ImpliedDevices::All(&["light"])),
    row(
        Property::ColorTemp,
        "color_temp",
        StandardDomain::Range(2000.0, 6500.0, "K"),
    )
    .step(500.0)
    .implied(ImpliedDevices::All(&["light"]))
    .remark(", less is warmer"),
    row(Property::Position, "position", PERCENT)
        .step(20.0)
        .default_of(&["cover", "valve"])
        .remark(", 0 is closed, 100 is open"),
    row(Property::Tilt, "tilt", PERCENT)
        .step(20.0)
        .implied(ImpliedDevices::All(&["cover"]))
        .remark(", 0 is closed"),
    row(
        Property::Lock,
        "lock",
        StandardDomain::Words(&["locked", "unlocked"]),
    )
    .default_of(&["lock"]),
    row(
        Property::Temperature,
        "temperature",
        StandardDomain::Range(5.0, 35.0, "°C"),
    )
    .step(1.0)
    .default_of(&["climate", "water_heater"])
    .implied(ImpliedDevices::One(&["climate"]))
    .remark(", a target"),
    row(Property::Humidity, "humidity", PERCENT)
        .step(5.0)
        .default_of(&["humidifier"])
        .implied(ImpliedDevices::One(&["humidifier"]))
        .remark(", a target"),
    row(
        Property::HvacMode,
        "hvac_mode",
        StandardDomain::Words(&[
            "off",
            "heat",
            "cool",
            "heat_cool",
            "auto",
            "dry",
            "fan_only",
        ]),
    )
    .own_options()
    .default_of(&["climate"])
    .implied(ImpliedDevices::One(&["climate"])),
    row(
        Property::FanMode,
        "fan_mode",
        StandardDomain::Words(&["auto", "low", "medium", "high"]),
    )
    .own_options()
    .implied(ImpliedDevices::One(&["climate", "fan"])),
    row(
        Property::Preset,
        "preset",
        StandardDomain::Words(&[
            "none", "away", "home", "eco", "comfort", "boost", "sleep", "activity",
        ]),
    )
    .own_options()
    .implied(ImpliedDevices::One(&["climate"])),
    row(Property::Volume, "volume", PERCENT)
        .default_of(&["media_player"])
        .implied(ImpliedDevices::One(&["media_player"])),
    row(Property::Mute, "mute", ON_OFF)
        .default_of(&["media_player"])
        .implied(ImpliedDevices::One(&["media_player"])),
    row(
        Property::Playback,
        "playback",
        StandardDomain::Words(&["playing", "paused", "stopped", "next", "previous"]),
    )
    .default_of(&["media_player"])
    .implied(ImpliedDevices::One(&["media_player"])),
    row(Property::Source, "source", StandardDomain::Words(&[]))
        .own_options()
        .implied(ImpliedDevices::One(&["media_player"])),
    row(
        Property::Vacuum,
        "vacuum",
        StandardDomain::Words(&["cleaning", "paused", "stopped", "docked", "located"]),
    )
    .default_of(&["vacuum"]),
    row(
        Property::Mower,
        "mower",
        StandardDomain::Words(&["mowing", "paused", "docked"]),
    )
    .default_of(&["lawn_mower"]),
    row(Property::Press, "press", StandardDomain::Trigger).default_of(&["button"]),
    row(
        Property::Scene,
        "scene",
        StandardDomain::Words(&["activated"]),
    )
    .default_of(&["scene"]),
    row(Property::Script, "script", StandardDomain::Words(&["run"])).default_of(&["script"]),
    row(Property::Speed, "speed", PERCENT)
        .step(20.0)
        .default_of(&["fan"])
        .implied(ImpliedDevices::One(&["fan"])),
];

impl Property {
    /// Returns the row of the property, or `None` for a custom one.
    pub fn spec(&self) -> Option<&'static PropertySpec> {
        PROPERTIES.iter().find(|spec| spec.property == *self)
    }

    /// Returns its name in payloads, prompts, configuration and replies.
    pub fn name(&self) -> &str {
        match self {
            Self::Custom(name) => name,
            standard => standard.spec().map_or("", |spec| spec.name),
        }
    }

    /// Returns true for the properties of the table, false for custom ones.
    pub fn is_standard(&self) -> bool {
        !matches!(self, Self::Custom(_))
    }

    /// Returns all properties of the table, in its order.
    pub fn standard() -> impl Iterator<Item = Self> {
        PROPERTIES.iter().map(|spec| spec.property.clone())
    }

    /// Returns the values it takes unless the device declares others. A custom property takes a
    /// number from 0 to 100.
    pub fn standard_domain(&self) -> Domain {
        match self.spec().map(|spec| spec.domain) {
            Some(StandardDomain::Words(words)) => Domain::words(words),
            Some(StandardDomain::Range(min, max, unit)) => Domain::number(min, max, unit),
            Some(StandardDomain::Color) => Domain::Color,
            Some(StandardDomain::Trigger) => Domain::Trigger,
            None => Domain::number(0.0, 100.0, ""),
        }
    }

    /// Returns the size of one "more" or "less", in the unit of the property.
    pub fn standard_step(&self) -> f64 {
        self.spec().map_or(STEP, |spec| spec.step)
    }

    /// Returns true if the property is a percentage on every device.
    pub fn is_percentage(&self) -> bool {
        self.spec().is_some_and(|spec| spec.domain == PERCENT)
    }

    /// Returns whether a flag of this name tells that a window, a door or a gate is open.
    pub fn tells_whether_open(&self) -> bool {
        matches!(
            self.name(),
            "contact" | "door" | "window" | "opening" | "open" | "garage_door" | "gate"
        )
    }

    /// Returns the word for a flag of this property: `open` or `closed` for a contact, `home` or
    /// `away` for a person, `detected` or `clear` for what a sensor notices, otherwise `on` or
    /// `off`.
    pub fn flag_word(&self, flag: bool) -> &'static str {
        let [is_so, is_not] = match self.name() {
            _ if self.tells_whether_open() => ["open", "closed"],
            "presence" => ["home", "away"],
            "motion" | "occupancy" | "smoke" | "gas" | "carbon_monoxide" | "vibration"
            | "tamper" | "problem" => ["detected", "clear"],
            "water_leak" => ["wet", "dry"],
            _ => ["on", "off"],
        };
        if flag { is_so } else { is_not }
    }

    /// Returns true if the operator may name options freely: for custom properties, and those with
    /// options per device.
    pub fn has_own_options(&self) -> bool {
        self.spec().is_none_or(|spec| spec.own_options)
    }
}

impl From<&str> for Property {
    fn from(name: &str) -> Self {
        PROPERTIES
            .iter()
            .find(|spec| spec.name == name)
            .map_or_else(|| Self::Custom(name.into()), |spec| spec.property.clone())
    }
}

impl From<String> for Property {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

impl Serialize for Property {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_is_found_by_its_name() {
        for property in Property::standard() {
            assert_eq!(Property::from(property.name()), property);
            assert!(property.is_standard());
        }
        assert_eq!(Property::from("flow"), Property::Custom("flow".into()));
    }

    #[test]
    fn every_row_has_its_own_property_and_name() {
        let mut properties: Vec<Property> = Property::standard().collect();
        properties.sort();
        properties.dedup();
        assert_eq!(properties.len(), PROPERTIES.len());
        // A variant without a row would have no name.
        assert!(
            properties
                .iter()
                .all(|property| !property.name().is_empty())
        );
    }

    #[test]
    fn every_language_has_a_word_for_every_property() {
        // English words are the names themselves unless the file says otherwise.
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/language");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let language: toml::Table = toml::from_str(&text).unwrap();
            let in_replies = language["say"]["properties"].as_table().unwrap();
            let in_commands = language["properties"].as_table().unwrap();
            for spec in &PROPERTIES {
                let name = spec.name;
                assert!(
                    in_replies.contains_key(name) || path.ends_with("en.toml"),
                    "{}: [say.properties] lacks {name}",
                    path.display()
                );
                // Fixed words are set by verbs: "lock", "mute", "press".
                let has_verbs = !spec.own_options
                    && matches!(
                        spec.domain,
                        StandardDomain::Words(_) | StandardDomain::Trigger
                    );
                assert!(
                    has_verbs || in_commands.contains_key(name),
                    "{}: [properties] lacks {name}, which no command could name",
                    path.display()
                );
            }
            files += 1;
        }
        assert!(files >= 5, "only {files} language files in {folder}");
    }
}
