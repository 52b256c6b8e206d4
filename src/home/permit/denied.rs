//! Reasons why the gate refuses a draft, and their sentences.

use crate::home::permit::device_name::DeviceName;
use crate::home::permit::domain_text::domain_text;
use crate::home::permit::plan::MOST_ACTIONS;
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::{Domain, Property, Value};

/// The reason why a draft is refused. `Display` is for the log; [`Denied::sentence`] is for the
/// reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denied {
    /// The draft does nothing and says nothing.
    #[error("nothing to do")]
    Nothing,
    /// The draft has more than [`MOST_ACTIONS`] actions.
    #[error("{count} actions at once")]
    TooMany {
        /// The number of actions.
        count: usize,
    },
    /// The device does not exist.
    #[error("no device `{device}`")]
    UnknownDevice {
        /// The name given.
        device: String,
    },
    /// The device does not have the property, or does not support the operation on it.
    #[error("{device} does not support that for its {property}: {lack:?}")]
    NotCapable {
        /// The name of the device.
        device: DeviceName,
        /// Property that the action sets or queries.
        property: Property,
        /// The unsupported request.
        lack: Unsupported,
    },
    /// The value is outside the domain.
    #[error("{device} does not take {property} {value}")]
    OutOfRange {
        /// The name of the device.
        device: DeviceName,
        /// Property that the action sets or queries.
        property: Property,
        /// The value found.
        value: String,
        /// The values it takes.
        takes: Box<Domain>,
    },
    /// The source has no right to command a device that the message would move.
    #[error("{source_name} may not command {device}")]
    NotAllowed {
        /// Name of the source that sent the command.
        source_name: String,
        /// The name of the device.
        device: DeviceName,
    },
    /// The operator chose the risk `never` for a device that the message would move.
    #[error("{device} ({property}) is never to be commanded")]
    Never {
        /// The name of the device.
        device: DeviceName,
        /// Property that the action sets or queries.
        property: Property,
    },
    /// Two actions of one draft set one property to different values.
    #[error("two different values for {device} ({property})")]
    Contradiction {
        /// The name of the device.
        device: DeviceName,
        /// Property that the action sets or queries.
        property: Property,
    },
    /// A toggle or relative change needs a state that is not known.
    #[error("the present {property} of {device} is not known")]
    StateUnknown {
        /// The name of the device.
        device: DeviceName,
        /// Property that the action sets or queries.
        property: Property,
    },
    /// The device has one target temperature for heating and one for cooling, and its mode does not
    /// select one of them.
    #[error("the mode of {device} selects neither its heating target nor its cooling target")]
    TwoTargets {
        /// The name of the device.
        device: DeviceName,
    },
    /// The operator bound the device to an announcement that is missing.
    #[error("`{source_name}`, to which {device} is bound, is not announced")]
    NotAnnounced {
        /// The name of the device.
        device: DeviceName,
        /// Value of `announced` in the home file.
        source_name: String,
    },
    /// The draft must be confirmed first.
    #[error("{question}")]
    Unconfirmed {
        /// The question to ask.
        question: String,
    },
}

/// A feature that a device does not support.
#[derive(Debug, Clone, PartialEq)]
pub enum Unsupported {
    /// It does not have the property.
    Property,
    /// The property can only be read.
    Setting,
    /// The action lacks a value.
    Value,
    /// The property has no relative changes.
    Steps,
    /// The property has no opposite value.
    Opposite,
    /// The property cannot be stopped.
    Stop,
    /// The property cannot be toggled while its state is unknown.
    Toggle,
    /// The device has no message for the value.
    Encoding(Option<Value>),
}

impl Denied {
    /// Returns the sentence for the reply.
    pub fn sentence(&self, speech: &Speech) -> String {
        let forms = &speech.denied;
        match self {
            Self::Nothing => forms.nothing.clone(),
            Self::TooMany { count } => {
                let places = [
                    ("count", count.to_string()),
                    ("most", MOST_ACTIONS.to_string()),
                ];
                fill(
                    &forms.too_many,
                    &places.each_ref().map(|(k, v)| (*k, v.as_str())),
                )
            }
            Self::UnknownDevice { device } => fill(&forms.unknown_device, &[("device", device)]),
            Self::NotCapable {
                device,
                property,
                lack,
            } => lack.sentence(speech, device, property),
            Self::OutOfRange {
                device,
                property,
                value,
                takes,
            } => {
                let places = [
                    ("device", device.as_str()),
                    ("property", &speech.property(property.name())),
                    ("value", value),
                    ("wanted", &domain_text(speech, takes)),
                ];
                fill(&forms.out_of_range, &places)
            }
            Self::NotAllowed {
                source_name,
                device,
            } => {
                let the_device = device.within(speech);
                let places = [
                    ("source", source_name.as_str()),
                    ("device", device.as_str()),
                    ("the_device", &the_device),
                ];
                fill(&forms.not_allowed, &places)
            }
            Self::Never { device, property } => of(speech, &forms.never, device, property),
            Self::Contradiction { device, property } => {
                of(speech, &forms.contradiction, device, property)
            }
            Self::StateUnknown { device, property } => {
                of(speech, &forms.state_unknown, device, property)
            }
            Self::TwoTargets { device } => of_device(speech, &forms.two_targets, device),
            Self::NotAnnounced { device, .. } => of_device(speech, &forms.not_announced, device),
            Self::Unconfirmed { question } => question.clone(),
        }
    }
}

impl Unsupported {
    fn sentence(&self, speech: &Speech, device: &DeviceName, property: &Property) -> String {
        let forms = &speech.denied;
        let form = match self {
            Self::Property => &forms.lacks,
            Self::Setting => &forms.read_only,
            Self::Value => &forms.wants_value,
            Self::Steps => &forms.no_steps,
            Self::Opposite => &forms.no_opposite,
            Self::Stop => &forms.no_stop,
            Self::Toggle => &forms.no_toggle,
            Self::Encoding(value) => {
                let value = value.as_ref().map(ToString::to_string).unwrap_or_default();
                let places = [
                    ("device", device.as_str()),
                    ("the_device", &device.within(speech)),
                    ("property", &speech.property(property.name())),
                    ("value", speech.value(&value)),
                ];
                return speech.begun(&fill(&forms.no_way, &places));
            }
        };
        of(speech, form, device, property)
    }
}

/// Fills a form with a device.
fn of_device(speech: &Speech, form: &str, device: &DeviceName) -> String {
    let the_device = device.within(speech);
    let places = [("device", device.as_str()), ("the_device", &the_device)];
    speech.begun(&fill(form, &places))
}

/// Fills a form with a device and a property.
fn of(speech: &Speech, form: &str, device: &DeviceName, property: &Property) -> String {
    let property = speech.property(property.name());
    let the_device = device.within(speech);
    let places = [
        ("device", device.as_str()),
        ("the_device", &the_device),
        ("property", &property),
    ];
    speech.begun(&fill(form, &places))
}
