//! Causes for not understanding a command without a language model.

/// Cause, as far as the local grammar can determine it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misunderstanding {
    /// The home has no devices yet.
    NoDevices,
    /// A value is outside the range of the device.
    OutOfRange {
        /// Name of the device.
        device: String,
        /// The property in the language of the command.
        property: String,
        /// Accepted values in the language of the command: "5 to 30 °C".
        range: String,
    },
    /// No device that the command means can do it.
    Incapable {
        /// The devices, as a list in the language of the command.
        devices: String,
    },
    /// No device has the name.
    NoSuchDevice {
        /// The unknown words.
        words: String,
        /// Names of devices with a similar name.
        nearest: Vec<String>,
    },
    /// The command has a time or a duration.
    Time {
        /// The words that express it.
        words: String,
    },
    /// The command has a condition.
    Condition {
        /// The word that introduces it.
        words: String,
    },
    /// The command has a time that may be meant for a part of it only.
    TimeOfPart {
        /// The words that express it.
        words: String,
    },
    /// The command has a condition that may be meant for a part of it only.
    ConditionOfPart {
        /// The words that express it.
        words: String,
    },
    /// The command is negated.
    Negation {
        /// The word that negates it.
        words: String,
    },
}

impl Misunderstanding {
    /// Returns the values for the places of its sentence.
    pub(super) fn places(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NoDevices => Vec::new(),
            Self::OutOfRange {
                device,
                property,
                range,
            } => vec![
                ("device", device.clone()),
                ("property", property.clone()),
                ("range", range.clone()),
            ],
            Self::Incapable { devices } => vec![("devices", devices.clone())],
            Self::NoSuchDevice { words, nearest } => {
                vec![("words", words.clone()), ("names", nearest.join(", "))]
            }
            Self::Time { words }
            | Self::Condition { words }
            | Self::TimeOfPart { words }
            | Self::ConditionOfPart { words }
            | Self::Negation { words } => vec![("words", words.clone())],
        }
    }
}
