//! The content of announcements, the same for all ecosystems.

use crate::home::device::Device;

/// Ecosystem that announced a device. If several announce the same device, the first in this order
/// is used: Home Assistant's messages carry the names and areas people chose, Tasmota's only those
/// stored in the device.
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
    /// The device. Its identifier is provisional:
    /// [`Registry`](crate::discovery::registry::Registry) makes it unique.
    pub device: Device,
    /// Ecosystem that announced it.
    pub origin: Origin,
    /// Identity of the physical device, spelled alike by every ecosystem: a Zigbee or MAC address,
    /// or another identifier.
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
    /// Like [`Announced`](Self::Announced), and these components cannot be used.
    Partial(Vec<AnnouncedDevice>, Vec<InvalidComponent>),
    /// The devices announced on the same topic no longer exist.
    Removed,
    /// Nothing that sayso uses, with the reason.
    Ignored(&'static str),
}

/// A component of a device that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("component `{component}`: {error}")]
pub struct InvalidComponent {
    /// Key of the component in the announcement.
    pub component: String,
    /// Description of the fault.
    pub error: InvalidAnnouncement,
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
    /// More components than any real device has. It is rejected as a whole, because a part of it
    /// would be a part of a home.
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
    /// A payload that cannot be sent or compared.
    #[error("`{key}` is not a payload sayso can use: {reason}")]
    BadPayload {
        /// Option the payload is the value of.
        key: String,
        /// Description of the fault.
        reason: &'static str,
    },
    /// A template that does not parse, or uses names that are not available.
    #[error("`{key}` is not a template sayso can use: {why}")]
    BadTemplate {
        /// Option the template is the value of.
        key: String,
        /// Description of the fault.
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
