//! Capabilities of a device: a property with its domain, its risk and its binding. Knows no topics.

use serde::{Deserialize, Serialize};

use crate::binding::{Binding, color};
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::{Domain, Property, Value};

/// Condition under which an action may be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Executed at once.
    Auto,
    /// Executed after a confirmation by the same source.
    Confirm,
    /// Never executed.
    Never,
}

impl Risk {
    /// The risks an operator may choose, with their names in the configuration.
    pub const NAMED: [(&'static str, Self); 3] = [
        ("auto", Self::Auto),
        ("confirm", Self::Confirm),
        ("never", Self::Never),
    ];
}

/// The risk of a capability by direction: a lock may be locked at once, but unlocked only after a
/// confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// For actions that open, unlock or disarm, and for those that may, such as a toggle of unknown
    /// state.
    pub opening: Risk,
    /// For all other actions.
    pub otherwise: Risk,
}

impl Guard {
    /// Creates guards with the same risk in both directions.
    pub fn all(risk: Risk) -> Self {
        Self {
            opening: risk,
            otherwise: risk,
        }
    }

    /// Returns the higher risk of both guards, for each direction.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            opening: self.opening.max(other.opening),
            otherwise: self.otherwise.max(other.otherwise),
        }
    }

    /// Returns the higher risk of the two directions.
    pub fn worst(self) -> Risk {
        self.opening.max(self.otherwise)
    }
}

/// One property of one device, with its domain, its risk and its binding.
#[derive(Debug, Clone, PartialEq)]
pub struct Capability {
    /// Property that it commands or reads.
    pub property: Property,
    /// The values it takes; the permission gate refuses all others.
    pub domain: Domain,
    /// The risk of setting it.
    pub guard: Guard,
    /// False for a reading of a sensor, which can be queried but not set.
    pub settable: bool,
    /// The size of one "brighter" or "warmer", in the unit of the domain.
    pub step: f64,
    /// The topics and payloads.
    pub binding: Binding,
}

impl Capability {
    /// Creates a capability with the standard domain and step of `property`, without risk and
    /// without a binding.
    pub fn standard(property: Property) -> Self {
        Self {
            domain: property.standard_domain(),
            step: property.standard_step(),
            property,
            guard: Guard::all(Risk::Auto),
            settable: true,
            binding: Binding::default(),
        }
    }

    /// Returns the topics of the messages that command it; none where it has no binding of its own.
    pub fn command_topics(&self) -> impl Iterator<Item = &SharedStr> {
        self.binding.command_topics()
    }

    /// Returns whether a device that was set to `wanted` and reports `reported` has done it. A
    /// number may differ by the rounding of the device: one percent of the range, or as far as both
    /// have the same message.
    pub fn is_reached(&self, wanted: &Value, reported: &Value) -> bool {
        if wanted == reported {
            return true;
        }
        match (&self.domain, wanted, reported) {
            (
                Domain::Number { min, max, .. },
                Value::Number(wanted_n),
                Value::Number(reported_n),
            ) => {
                let is_off = |n: &f64| *n <= min.max(0.0);
                let is_near = (wanted_n - reported_n).abs() <= (max - min) / 100.0;
                let message = self.binding.encode(wanted);
                is_off(wanted_n) == is_off(reported_n)
                    && (is_near || message.is_some() && message == self.binding.encode(reported))
            }
            (Domain::Color, Value::Text(wanted), Value::Text(reported)) => {
                color::is_near(wanted, reported)
            }
            (_, Value::Text(wanted), Value::Text(reported)) => {
                wanted.eq_ignore_ascii_case(reported)
            }
            _ => false,
        }
    }

    /// Returns the same capability with another domain.
    #[must_use]
    pub fn with_domain(self, domain: Domain) -> Self {
        Self { domain, ..self }
    }
}
