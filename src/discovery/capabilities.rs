//! Constructors of capabilities and domains that all ecosystems use.

use serde_json::Value as Json;

use crate::binding::{Binding, Codec, Form, Port, Scale};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::capability::{Capability, Guard, Risk};
use crate::home::setpoint::{COOLING_TARGET, HEATING_TARGET};
use crate::vocabulary::{Domain, Property, Value};

/// Largest number of options of one select or list of modes. A lamp with WLED has about 200
/// effects.
pub(super) const MAX_OPTIONS: usize = 256;

/// Reason of a list with more than [`MAX_OPTIONS`] options.
pub(super) const TOO_MANY_OPTIONS: &str = "has more than 256 options: the others are not used";

/// Returns a capability that can be set.
pub(super) fn setting(property: Property, domain: Domain, binding: Binding) -> Capability {
    let mut capability = Capability {
        domain,
        binding,
        ..Capability::standard(property)
    };
    if let Domain::Number { min, max, step, .. } = &capability.domain {
        let tenth = (max - min) / 10.0;
        // No step is known to feel right for a custom number: it is a tenth of its range, on its
        // grain.
        if !capability.property.is_standard() && tenth.is_finite() && tenth > 0.0 {
            let grain = step.filter(|s| *s > 0.0);
            capability.step = grain.map_or(tenth, |s| (tenth / s).round().max(1.0) * s);
        }
    }
    capability
}

/// Returns the target temperature of a device that has only one for heating and one for cooling. It
/// has no topics: the permission gate selects one of the two by the mode.
pub(super) fn selected_target(capabilities: &[Capability]) -> Option<Capability> {
    let of = |property: &Property| capabilities.iter().find(|c| c.property == *property);
    let heating = of(&HEATING_TARGET.into()).filter(|c| c.settable)?;
    let cooling = of(&COOLING_TARGET.into()).filter(|c| c.settable)?;
    let (
        Domain::Number { min, max, .. },
        Domain::Number {
            min: low,
            max: high,
            ..
        },
    ) = (&heating.domain, &cooling.domain)
    else {
        return None;
    };
    if of(&Property::Temperature).is_some() {
        return None;
    }
    let domain = number(min.min(*low), max.max(*high), "°C");
    Some(setting(Property::Temperature, domain, Binding::default()))
}

/// Returns a capability that can only be read.
pub(super) fn reading(property: Property, domain: Domain, state: Vec<Port>) -> Capability {
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

/// Returns how the availability of a device is reported: for each source its ports, and the
/// payloads for available and not available. A source may have two ports where its payload has two
/// possible forms.
pub(super) fn availability(
    sources: Vec<(Vec<Port>, [Json; 2])>,
    mode: AvailabilityMode,
) -> Availability {
    let readings =
        sources
            .into_iter()
            .enumerate()
            .map(|(n, (state, [available, not_available]))| {
                let mut source = reading(Availability::property(n), Domain::Boolean, state);
                source.binding.codec = Codec {
                    words: vec![
                        (Value::Flag(true), available),
                        (Value::Flag(false), not_available),
                    ],
                    scale: Scale::MappedOnly,
                };
                source
            });
    Availability {
        sources: readings.collect(),
        mode,
    }
}

/// Returns the port for the value under `keys` in the JSON object on `topic`.
pub(super) fn field(topic: &str, keys: &[&str]) -> Port {
    Port {
        topic: topic.into(),
        form: Form::Field(keys.iter().map(|&k| k.to_owned()).collect()),
    }
}

/// Returns the domain of these words.
pub(super) fn choice(words: &[&str]) -> Domain {
    Domain::Choice(words.iter().map(|&w| w.to_owned()).collect())
}

/// Returns the domain of numbers from `min` to `max` in `unit`.
pub(super) fn number(min: f64, max: f64, unit: &str) -> Domain {
    Domain::Number {
        min,
        max,
        step: None,
        unit: unit.to_owned(),
    }
}

/// Returns the domain of all percentages.
pub(super) fn percent() -> Domain {
    number(0.0, 100.0, "%")
}

/// Returns the domain of whole percentages.
pub(super) fn whole_percent() -> Domain {
    Domain::Number {
        min: 0.0,
        max: 100.0,
        step: Some(1.0),
        unit: "%".to_owned(),
    }
}

/// Returns the codec of words only.
pub(super) fn words(pairs: Vec<(Value, Json)>) -> Codec {
    Codec {
        words: pairs,
        scale: Scale::MappedOnly,
    }
}

/// Returns the codec that maps percent linearly to the range `to` of the device.
pub(super) fn linear(to: (f64, f64)) -> Codec {
    Codec {
        words: Vec::new(),
        scale: Scale::Linear {
            from: (0.0, 100.0),
            to,
        },
    }
}

/// Returns the codec of a scale without words.
pub(super) fn scaled(scale: Scale) -> Codec {
    Codec {
        words: Vec::new(),
        scale,
    }
}
