//! One MQTT message to a device.

use crate::vocabulary::shared_str::SharedStr;

/// A topic and a payload, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Publication {
    /// The device's command topic.
    pub topic: SharedStr,
    /// The payload, in the device's own format.
    pub payload: String,
}

impl Publication {
    /// Creates a publication of `payload` on `topic`.
    pub fn new(topic: impl Into<SharedStr>, payload: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
        }
    }
}
