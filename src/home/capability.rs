//! What a device can do: the vocabulary, the values each property takes, and what needs a second yes.
//! One word for one thing everywhere: prompt, schema, cache, reply, docs. Knows no topics.

use serde::{Deserialize, Serialize};

use crate::binding::Binding;
use crate::vocabulary::{Domain, Property};

/// Whether an action may be done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Done at once.
    Auto,
    /// Done after a yes from the same source.
    Confirm,
    /// Never done by sayso.
    Never,
}

/// The risk of a capability, which may differ by direction: a lock may close at once but open only after a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// For what opens, unlocks or disarms, and for what may (a toggle of unknown state).
    pub opening: Risk,
    /// For everything else.
    pub otherwise: Risk,
}

impl Guard {
    /// The same risk whatever the value.
    pub fn all(risk: Risk) -> Self {
        Self {
            opening: risk,
            otherwise: risk,
        }
    }
}

/// One property of one device, with its range, its risk and the way to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Capability {
    /// What it is.
    pub property: Property,
    /// What it takes: the gate refuses everything else.
    pub takes: Domain,
    /// What needs a second yes.
    pub guard: Guard,
    /// False of a mere reading (a sensor): it can be asked for, not set.
    pub settable: bool,
    /// How far one "brighter" or "warmer" goes, in the capability's unit.
    pub step: f64,
    /// How it is told the device, and heard from it.
    pub link: Binding,
}

impl Capability {
    /// A property of the vocabulary with its usual range, no risk, and no way of its own to the device yet.
    /// A property outside the vocabulary is taken as a number from 0 to 100 without unit.
    pub fn standard(property: Property) -> Self {
        use Property as P;
        let takes = match &property {
            P::Power | P::Mute => Domain::words(&["on", "off"]),
            P::Brightness | P::Position | P::Tilt | P::Humidity | P::Volume | P::Speed => {
                Domain::number(0.0, 100.0, "%")
            }
            P::Color => Domain::Color,
            P::ColorTemp => Domain::number(2000.0, 6500.0, "K"),
            P::Lock => Domain::words(&["locked", "unlocked"]),
            P::Temperature => Domain::number(5.0, 35.0, "°C"),
            P::HvacMode => Domain::words(&[
                "off",
                "heat",
                "cool",
                "heat_cool",
                "auto",
                "dry",
                "fan_only",
            ]),
            P::FanMode => Domain::words(&["auto", "low", "medium", "high"]),
            P::Preset => Domain::words(&[
                "none", "away", "home", "eco", "comfort", "boost", "sleep", "activity",
            ]),
            P::Playback => Domain::words(&["playing", "paused", "stopped", "next", "previous"]),
            P::Source => Domain::Choice(Vec::new()),
            P::Vacuum => Domain::words(&["cleaning", "paused", "stopped", "docked", "located"]),
            P::Mower => Domain::words(&["mowing", "paused", "docked"]),
            P::Press => Domain::Trigger,
            P::Scene => Domain::words(&["activated"]),
            P::Script => Domain::words(&["run"]),
            P::Custom(_) => Domain::number(0.0, 100.0, ""),
        };
        let step = match &property {
            P::Temperature => 1.0,
            P::ColorTemp => 500.0,
            P::Humidity => 5.0,
            P::Brightness | P::Position | P::Tilt | P::Speed => 20.0,
            _ => 10.0,
        };
        let settable = true;
        Self {
            property,
            takes,
            guard: Guard::all(Risk::Auto),
            settable,
            step,
            link: Binding::default(),
        }
    }

    /// The topics it is commanded on; none where it has no way of its own to the device.
    pub fn command_topics(&self) -> impl Iterator<Item = &str> {
        let link = &self.link;
        let messages = link
            .stop
            .iter()
            .chain(&link.toggle)
            .chain(link.fixed.iter().map(|(_, message)| message));
        link.command
            .iter()
            .map(|port| port.topic.as_str())
            .chain(messages.map(|message| message.topic.as_str()))
    }

    /// The same, taking other values.
    #[must_use]
    pub fn taking(self, takes: Domain) -> Self {
        Self { takes, ..self }
    }
}
