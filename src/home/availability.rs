//! Availability of a device: the topics on which it, its bridge or both report whether it is
//! online.

use crate::home::capability::Capability;
use crate::vocabulary::Property;

/// The sources that report whether a device is online.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Availability {
    /// One boolean reading per source. A source that has not reported yet does not count.
    pub sources: Vec<Capability>,
    /// The rule that combines the sources.
    pub mode: AvailabilityMode,
}

/// The rule that combines several sources, as Home Assistant defines it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AvailabilityMode {
    /// Offline as soon as one source reports so.
    #[default]
    All,
    /// Online as long as one source reports so.
    Any,
    /// The most recent report counts.
    Latest,
}

impl Availability {
    /// Returns the name under which the state of the `n`th source is kept. It contains a space, so
    /// that no property of a device has this name.
    pub fn property(n: usize) -> Property {
        Property::from(format!("availability {n}"))
    }
}
