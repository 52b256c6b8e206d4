//! Device discovery: announcements of Home Assistant's MQTT discovery, `Zigbee2MQTT` and Tasmota,
//! parsed into devices.
//!
//! Parsing is pure: a topic and a payload go in, devices come out. Announcements come from the
//! network and are not trusted: names are cleaned, topics checked, templates parsed, counts and
//! sizes limited. Each ecosystem's topics and payloads are known by one submodule only;
//! [`registry`] merges their devices, and [`finder`] builds homes from them.

mod announcement;
mod capabilities;
pub mod finder;
pub mod homeassistant;
mod names;
mod postponed;
mod readings;
pub mod registry;
pub mod tasmota;
pub mod zigbee2mqtt;

pub use crate::discovery::announcement::{
    AnnouncedDevice, Announcement, InvalidAnnouncement, Origin,
};

/// Topics on which announcements are expected. The defaults are the ecosystems' own.
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
        // Filters without wildcards come first, as in the daemon's requests: the order decides
        // which of two devices of one name keeps its identifier.
        for base in &self.zigbee2mqtt {
            filters.push(format!("{base}/bridge/devices"));
            filters.push(format!("{base}/bridge/groups"));
        }
        // One filter for both depths would be `prefix/#`, where devices may publish their states as
        // well.
        if let Some(prefix) = &self.homeassistant {
            filters.push(format!("{prefix}/+/+/config"));
            filters.push(format!("{prefix}/+/+/+/config"));
        }
        if self.tasmota {
            filters.push(format!("{}/+/config", tasmota::PREFIX));
        }
        filters
    }

    /// Returns whether no format of announcement is accepted.
    pub fn is_off(&self) -> bool {
        self.homeassistant.is_none() && self.zigbee2mqtt.is_empty() && !self.tasmota
    }

    /// Returns whether `topic` matches one of the [`filters`](Self::filters).
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
    /// If the payload does not belong on its topic.
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
