//! What devices say of themselves: Home Assistant's MQTT discovery, `Zigbee2MQTT`'s device list and Tasmota's announcements,
//! read into [`Device`]s. Pure: a topic and a payload in, devices out. What is read comes from the network and is not believed:
//! names are cleaned, topics checked, templates parsed, numbers of things limited.

use serde_json::Value as Json;

use crate::binding::{Binding, Codec, Form, Port, Scale};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::capability::{Capability, Guard, Risk};
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property, Value};

pub mod finder;
pub mod homeassistant;
mod names;
mod readings;
pub mod registry;
pub mod tasmota;
pub mod zigbee2mqtt;

/// Where to listen for announcements. The defaults are the ecosystems' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Home Assistant's discovery prefix; `None` does not listen.
    pub homeassistant: Option<String>,
    /// Base topics of `Zigbee2MQTT`, one per bridge; none does not listen.
    pub zigbee2mqtt: Vec<String>,
    /// Whether to listen to Tasmota, whose prefix is fixed.
    pub tasmota: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            homeassistant: Some("homeassistant".to_owned()),
            zigbee2mqtt: vec!["zigbee2mqtt".to_owned()],
            tasmota: true,
        }
    }
}

impl Settings {
    /// The topic filters to subscribe to: announcements are retained there.
    pub fn filters(&self) -> Vec<String> {
        // One filter for both depths of topic would be `prefix/#`, which may carry the devices' own traffic as well.
        let home_assistant = self.homeassistant.iter().flat_map(|prefix| {
            [
                format!("{prefix}/+/+/config"),
                format!("{prefix}/+/+/+/config"),
            ]
        });
        let zigbee = self.zigbee2mqtt.iter().flat_map(|base| {
            [
                format!("{base}/bridge/devices"),
                format!("{base}/bridge/groups"),
            ]
        });
        let tasmota = self
            .tasmota
            .then(|| format!("{}/+/config", tasmota::PREFIX));
        home_assistant.chain(zigbee).chain(tasmota).collect()
    }

    /// Whether nothing is listened to.
    pub fn is_off(&self) -> bool {
        self.homeassistant.is_none() && self.zigbee2mqtt.is_empty() && !self.tasmota
    }

    /// Whether `topic` matches one of the [`filters`](Self::filters).
    pub fn hears(&self, topic: &str) -> bool {
        let below = |prefix: &str| {
            topic
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('/'))
        };
        let levels = |rest: &str| {
            rest.strip_suffix("/config")
                .map(|path| path.split('/').count())
        };
        self.zigbee2mqtt
            .iter()
            .any(|base| matches!(below(base), Some("bridge/devices" | "bridge/groups")))
            || self
                .homeassistant
                .as_deref()
                .and_then(below)
                .and_then(levels)
                .is_some_and(|n| n == 2 || n == 3)
            || (self.tasmota && below(tasmota::PREFIX).and_then(levels) == Some(1))
    }

    /// Reads a message on one of the [`filters`](Self::filters).
    ///
    /// # Errors
    /// When the payload is not what belongs on its topic.
    pub fn read(&self, topic: &str, payload: &[u8]) -> Result<Message, Malformed> {
        for base in &self.zigbee2mqtt {
            match topic
                .strip_prefix(base.as_str())
                .and_then(|rest| rest.strip_prefix("/bridge/"))
            {
                Some("devices") => return zigbee2mqtt::devices(base, payload),
                Some("groups") => return zigbee2mqtt::groups(base, payload),
                _ => {}
            }
        }
        match &self.homeassistant {
            Some(prefix)
                if topic
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.starts_with('/')) =>
            {
                homeassistant::read(prefix, topic, payload)
            }
            _ if self.tasmota => tasmota::read(topic, payload),
            _ => Ok(Message::Ignored(
                "no announcement is expected on this topic",
            )),
        }
    }
}

/// Who announced a device. In order of who wins where several announce the same one: Home Assistant's messages carry
/// the names and areas people gave, Tasmota's only what is in the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Home Assistant's MQTT discovery.
    HomeAssistant,
    /// `Zigbee2MQTT`'s `bridge/devices` and `bridge/groups`.
    Zigbee2mqtt,
    /// Tasmota's own discovery.
    Tasmota,
}

/// One thing announced: a device, or the part of one that is spoken to under its own name.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is. Its identifier is provisional: [`registry::Registry`] makes it unique.
    pub device: Device,
    /// Who announced it.
    pub origin: Origin,
    /// The physical device, spelled the same by every origin: `0x00158d0001a2b3c4`, a MAC address, an identifier.
    pub unique: String,
    /// The name of the physical device, where it has one.
    pub called: Option<String>,
    /// The area the announcement suggests.
    pub suggested_area: Option<String>,
    /// Of a group: the physical devices in it. It can do what any of them can.
    pub members: Vec<String>,
}

/// What an announcement says.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// These are there, and nothing else that the same topic announced before.
    Announced(Vec<Found>),
    /// What the same topic announced before is gone.
    Removed,
    /// Nothing for us, and why.
    Ignored(&'static str),
}

/// The announcement cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than any honest announcement.
    #[error("the announcement has {found} bytes, more than {most}")]
    TooLong {
        /// Its length.
        found: usize,
        /// The longest taken.
        most: usize,
    },
    /// More parts than any honest device has: half of it taken would be half of a home, and nobody told.
    #[error("the announcement has {found} components, more than {most}")]
    TooMany {
        /// How many it has.
        found: usize,
        /// The most taken.
        most: usize,
    },
    /// Not JSON, or nested too deep.
    #[error("the announcement is not the JSON expected: {0}")]
    NotJson(String),
    /// A topic that cannot be published to.
    #[error("`{key}` is not a topic to publish to or hear from")]
    BadTopic {
        /// The key it stands under.
        key: String,
    },
    /// A template that does not parse.
    #[error("`{key}` is not a template")]
    BadTemplate {
        /// The key it stands under.
        key: String,
    },
    /// Something without which the device cannot be used.
    #[error("`{0}` is missing")]
    Missing(&'static str),
}

/// A capability that can be set.
fn setting(property: Property, domain: Domain, binding: Binding) -> Capability {
    let mut capability = Capability {
        domain,
        binding,
        ..Capability::standard(property)
    };
    if let Domain::Number { min, max, step, .. } = &capability.domain {
        let tenth = (max - min) / 10.0;
        // A custom number has no step that is known to feel right: a tenth of its range, on its grain.
        if !capability.property.is_standard() && tenth.is_finite() && tenth > 0.0 {
            capability.step = step
                .filter(|s| *s > 0.0)
                .map_or(tenth, |s| (tenth / s).round().max(1.0) * s);
        }
    }
    capability
}

/// A capability that can only be asked for.
fn reading(property: Property, domain: Domain, state: Vec<Port>) -> Capability {
    let binding = Binding {
        state,
        ..Binding::default()
    };
    Capability {
        property,
        domain,
        guard: Guard {
            opening: Risk::Auto,
            otherwise: Risk::Auto,
        },
        settable: false,
        step: 0.0,
        binding,
    }
}

/// Whether a device can be reached: where that is told, each in its words for yes and no; two ports where it may be told in two forms.
fn availability(told: Vec<(Vec<Port>, [Json; 2])>, mode: AvailabilityMode) -> Availability {
    let told = told.into_iter().enumerate().map(|(n, (state, [yes, no]))| {
        let mut told = reading(Availability::property(n), Domain::Boolean, state);
        told.binding.codec = Codec {
            words: vec![(Value::Flag(true), yes), (Value::Flag(false), no)],
            scale: Scale::MappedOnly,
        };
        told
    });
    Availability {
        sources: told.collect(),
        mode,
    }
}

/// The value under `keys` in the JSON object on `topic`.
fn field(topic: &str, keys: &[&str]) -> Port {
    Port {
        topic: topic.to_owned(),
        form: Form::Field(keys.iter().map(|&k| k.to_owned()).collect()),
    }
}

/// These words.
fn choice(words: &[&str]) -> Domain {
    Domain::Choice(words.iter().map(|&w| w.to_owned()).collect())
}

/// A number from `min` to `max` in `unit`.
fn number(min: f64, max: f64, unit: &str) -> Domain {
    Domain::Number {
        min,
        max,
        step: None,
        unit: unit.to_owned(),
    }
}

/// A percentage of a device that counts in whole ones.
fn whole_percent() -> Domain {
    Domain::Number {
        min: 0.0,
        max: 100.0,
        step: Some(1.0),
        unit: "%".to_owned(),
    }
}
