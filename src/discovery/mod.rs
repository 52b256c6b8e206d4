//! Device discovery: announcements of Home Assistant's MQTT discovery, `Zigbee2MQTT` and Tasmota, parsed into [`Device`]s.
//!
//! Parsing is pure: a topic and a payload go in, devices come out. Announcements come from the network and are not trusted:
//! names are cleaned, topics checked, templates parsed, counts and sizes limited. Each ecosystem's topics and payloads are
//! known by one submodule only; [`registry`] merges their devices, and [`finder`] builds homes from them.

use crate::home::device::Device;

mod capabilities;
pub mod finder;
pub mod homeassistant;
mod names;
mod readings;
pub mod registry;
pub mod tasmota;
pub mod zigbee2mqtt;

/// Where announcements are expected. The defaults are the ecosystems' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Home Assistant's discovery prefix, `None` to ignore its announcements.
    pub homeassistant: Option<String>,
    /// Base topics of `Zigbee2MQTT`, one per bridge.
    pub zigbee2mqtt: Vec<String>,
    /// Whether to use Tasmota's announcements, whose prefix is fixed.
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

/// Ecosystem an announcement's topic belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TopicOwner<'a> {
    HomeAssistant { prefix: &'a str },
    ZigbeeDevices { base: &'a str },
    ZigbeeGroups { base: &'a str },
    Tasmota,
}

impl Settings {
    /// Returns the topic filters to subscribe to. Announcements are retained there.
    pub fn filters(&self) -> Vec<String> {
        let mut filters = Vec::new();
        // Filters without wildcards come first, as in the daemon's requests: the order decides which of two devices of one
        // name keeps its identifier.
        for base in &self.zigbee2mqtt {
            filters.push(format!("{base}/bridge/devices"));
            filters.push(format!("{base}/bridge/groups"));
        }
        // One filter for both depths would be `prefix/#`, where devices may publish their states as well.
        if let Some(prefix) = &self.homeassistant {
            filters.push(format!("{prefix}/+/+/config"));
            filters.push(format!("{prefix}/+/+/+/config"));
        }
        if self.tasmota {
            filters.push(format!("{}/+/config", tasmota::PREFIX));
        }
        filters
    }

    /// Whether discovery is turned off.
    pub fn is_off(&self) -> bool {
        self.homeassistant.is_none() && self.zigbee2mqtt.is_empty() && !self.tasmota
    }

    /// Whether `topic` matches one of the [`filters`](Self::filters).
    pub fn matches(&self, topic: &str) -> bool {
        self.owner(topic).is_some()
    }

    fn owner(&self, topic: &str) -> Option<TopicOwner<'_>> {
        let below = |prefix: &str| topic.strip_prefix(prefix)?.strip_prefix('/');
        for base in &self.zigbee2mqtt {
            match below(base) {
                Some("bridge/devices") => return Some(TopicOwner::ZigbeeDevices { base }),
                Some("bridge/groups") => return Some(TopicOwner::ZigbeeGroups { base }),
                _ => {}
            }
        }
        let levels = |rest: &str| Some(rest.strip_suffix("/config")?.split('/').count());
        if let Some(prefix) = &self.homeassistant
            && matches!(below(prefix).and_then(levels), Some(2 | 3))
        {
            return Some(TopicOwner::HomeAssistant { prefix });
        }
        let is_tasmota = self.tasmota && below(tasmota::PREFIX).and_then(levels) == Some(1);
        is_tasmota.then_some(TopicOwner::Tasmota)
    }

    /// Parses a message on one of the [`filters`](Self::filters).
    ///
    /// # Errors
    /// If the payload is not what belongs on its topic.
    pub fn parse(&self, topic: &str, payload: &[u8]) -> Result<Announcement, InvalidAnnouncement> {
        match self.owner(topic) {
            Some(TopicOwner::ZigbeeDevices { base }) => zigbee2mqtt::parse_devices(base, payload),
            Some(TopicOwner::ZigbeeGroups { base }) => zigbee2mqtt::parse_groups(base, payload),
            Some(TopicOwner::HomeAssistant { prefix }) => {
                homeassistant::parse(prefix, topic, payload)
            }
            Some(TopicOwner::Tasmota) => tasmota::parse(topic, payload),
            None => Ok(Announcement::Ignored(
                "no announcement is expected on this topic",
            )),
        }
    }
}

/// Ecosystem that announced a device. If several announce the same device, the first in this order is used: Home Assistant's
/// messages carry the names and areas people chose, Tasmota's only those stored in the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Home Assistant's MQTT discovery.
    HomeAssistant,
    /// `Zigbee2MQTT`'s `bridge/devices` and `bridge/groups`.
    Zigbee2mqtt,
    /// Tasmota's native discovery.
    Tasmota,
}

/// One announced device, or a part of one that is addressed by a name of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnouncedDevice {
    /// The device. Its identifier is provisional: [`registry::Registry`] makes it unique.
    pub device: Device,
    /// Ecosystem that announced it.
    pub origin: Origin,
    /// Identity of the physical device, spelled alike by every ecosystem: a Zigbee or MAC address, or another identifier.
    pub unique: String,
    /// Name of the physical device.
    pub physical_name: Option<String>,
    /// Area the announcement suggests.
    pub suggested_area: Option<String>,
    /// Announced options that sayso does not carry out, and why.
    pub limitations: Vec<Limitation>,
}

/// An announced option that is not carried out. The rest of the device is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limitation {
    /// Name of the option.
    pub option: &'static str,
    /// Reason, as the end of a sentence.
    pub reason: &'static str,
}

/// Content of an announcement.
#[derive(Debug, Clone, PartialEq)]
pub enum Announcement {
    /// These devices exist; they replace everything announced on the same topic before.
    Announced(Vec<AnnouncedDevice>),
    /// The devices announced on the same topic no longer exist.
    Removed,
    /// Nothing that sayso uses, with the reason.
    Ignored(&'static str),
}

/// An announcement that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnnouncement {
    /// Longer than any real announcement.
    #[error("the announcement has {found} bytes, more than {most}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
        /// The longest accepted.
        most: usize,
    },
    /// More components than any real device has. It is rejected as a whole, because a part of it would be a part of a home.
    #[error("the announcement has {found} components, more than {most}")]
    TooMany {
        /// Number of components.
        found: usize,
        /// Largest number accepted.
        most: usize,
    },
    /// Not JSON, or nested too deeply.
    #[error("the announcement is not the JSON expected: {0}")]
    NotJson(String),
    /// A topic that cannot be published or subscribed to.
    #[error("`{key}` is not a valid topic")]
    BadTopic {
        /// Option the topic is the value of.
        key: String,
    },
    /// A template that does not parse, or uses names that are not available.
    #[error("`{key}` is not a template sayso can use: {why}")]
    BadTemplate {
        /// Option the template is the value of.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// An option without which the device cannot be used.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// An option with a value that makes the whole entity unusable.
    #[error("`{option}` {reason}")]
    Unusable {
        /// Name of the option.
        option: &'static str,
        /// Reason, as the end of a sentence.
        reason: &'static str,
    },
}
