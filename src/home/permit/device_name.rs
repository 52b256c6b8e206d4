//! The names of devices within sentences.

use std::fmt;

use crate::home::device::Device;
use crate::vocabulary::Property;
use crate::vocabulary::speech::Speech;

/// The name of a device, and whether it is a robot or a person, whose name of one word is a proper
/// name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName {
    name: String,
    is_being: bool,
}

impl From<&Device> for DeviceName {
    fn from(device: &Device) -> Self {
        Self {
            name: device.name.clone(),
            is_being: is_being(device),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl DeviceName {
    /// Returns the name alone.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns the name within a sentence.
    pub(super) fn within(&self, speech: &Speech) -> String {
        within(speech, &self.name, self.is_being)
    }
}

/// Returns the name of a device within a sentence.
pub fn the_device(speech: &Speech, device: &Device) -> String {
    within(speech, &device.name, is_being(device))
}

fn within(speech: &Speech, name: &str, is_being: bool) -> String {
    speech.the(name, is_being && !name.contains(' '))
}

fn is_being(device: &Device) -> bool {
    let mut properties = device.capabilities.iter().map(|c| &c.property);
    properties.any(|property| {
        matches!(property, Property::Vacuum | Property::Mower) || property.name() == "presence"
    })
}
