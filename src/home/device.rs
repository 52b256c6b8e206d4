//! What there is in a home: areas on floors, and devices in areas.

use std::fmt;

use crate::home::capability::{Capability, Guard, Risk};
use crate::home::state::{Observation, State};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Domain, Property, Value};

/// A room, a zone, a part of the garden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Its identifier: `living_room`.
    pub id: Slug,
    /// What people call it: `Living room`.
    pub name: String,
    /// What else people call it.
    pub aliases: Vec<String>,
    /// The floor it is on, as people call it: `upstairs`. Areas of one floor share the text.
    pub floor: Option<String>,
}

/// What a device is, by Home Assistant's domain names (`light`, `cover`, `media_player`) or a word of the operator's (`pump`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind(Slug);

impl Kind {
    /// A kind by its name.
    pub fn new(name: Slug) -> Self {
        Self(name)
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What a device of this kind can do when nothing else is said.
    pub fn usual(&self) -> &'static [Property] {
        use Property as P;
        match self.as_str() {
            "light" => &[P::Power, P::Brightness],
            "cover" | "valve" => &[P::Position],
            "lock" => &[P::Lock],
            "climate" => &[P::Temperature, P::HvacMode],
            "water_heater" => &[P::Power, P::Temperature],
            "fan" => &[P::Power, P::Speed],
            "humidifier" => &[P::Power, P::Humidity],
            "media_player" => &[P::Power, P::Volume, P::Mute, P::Playback],
            "vacuum" => &[P::Vacuum],
            "lawn_mower" => &[P::Mower],
            "button" => &[P::Press],
            "scene" => &[P::Scene],
            "script" => &[P::Script],
            "switch" | "siren" | "alarm_control_panel" => &[P::Power],
            _ => &[],
        }
    }
}

impl Kind {
    /// The capability for `property` as devices of this kind have it: water is heated further than a room.
    pub fn capability(&self, property: Property) -> Capability {
        let mut capability = Capability::standard(property);
        if self.as_str() == "water_heater" && capability.property == Property::Temperature {
            capability.takes = Domain::Number {
                min: 30.0,
                max: 80.0,
                step: None,
                unit: "°C".to_owned(),
            };
        }
        capability
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing that can be spoken to.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its identifier: in replies, prompts and `sayso/action/<device>`.
    pub id: Slug,
    /// What people call it.
    pub name: String,
    /// What else people call it.
    pub aliases: Vec<String>,
    /// The area it stands in.
    pub area: Option<Slug>,
    /// What it is.
    pub kind: Kind,
    /// What sort of its kind, by Home Assistant's device classes: `garage`, `blind`, `outlet`.
    pub class: Option<String>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// Where it is told whether it can be reached.
    pub presence: Presence,
    /// What the operator said of its risk: for a property, or for all others (`None`).
    pub risks: Vec<(Option<Property>, Risk)>,
}

/// Where it is told whether a device can be reached: by itself, by its bridge, or by both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Presence {
    /// Each tells a yes or no of its own; what it has not told yet does not count.
    pub told: Vec<Capability>,
    /// How they come to one.
    pub mode: Mode,
}

/// How several that tell whether a device can be reached come to one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// It cannot as soon as one says so.
    #[default]
    All,
    /// It can as long as one says so.
    Any,
    /// The last word counts.
    Latest,
}

impl Presence {
    /// The name under which the `n`th that tells it is kept in the state. With a space, so that no property is called the same.
    pub fn property(n: usize) -> Property {
        Property::from(format!("presence {n}"))
    }

    fn is_away(&self, device: &Slug, state: &State) -> bool {
        let known: Vec<&Observation> = self
            .told
            .iter()
            .filter_map(|told| state.of(device, &told.property))
            .collect();
        let no = |seen: &&Observation| seen.value == Value::Flag(false);
        match self.mode {
            Mode::All => known.iter().any(no),
            Mode::Any => {
                !known.is_empty() && known.len() == self.told.len() && known.iter().all(no)
            }
            Mode::Latest => known.iter().max_by_key(|seen| seen.at).is_some_and(no),
        }
    }
}

/// The classes of cover that let somebody in: opening one needs a yes unless the operator says otherwise.
const ENTRANCES: [&str; 3] = ["garage", "gate", "door"];

impl Device {
    /// A device with what is usual for its kind, called by its identifier, nowhere in particular.
    pub fn new(id: Slug, kind: Kind) -> Self {
        let capabilities = kind
            .usual()
            .iter()
            .cloned()
            .map(|property| kind.capability(property))
            .collect();
        let mut device = Self {
            name: id.spoken(),
            id,
            aliases: Vec::new(),
            area: None,
            kind,
            class: None,
            capabilities,
            presence: Presence::default(),
            risks: Vec::new(),
        };
        device.guard_entrances();
        device
    }

    /// Whether it is known that the device cannot be reached at present.
    pub fn is_away(&self, state: &State) -> bool {
        self.presence.is_away(&self.id, state)
    }

    /// Everything that is heard of it: its capabilities, then whether it can be reached.
    pub fn heard(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().chain(&self.presence.told)
    }

    /// The capability for `property`, where there is one.
    pub fn can(&self, property: &Property) -> Option<&Capability> {
        self.capabilities.iter().find(|c| c.property == *property)
    }

    /// Gives every capability the risk that is right when the operator is silent: opening what lets somebody in,
    /// and disarming what keeps somebody out, wants a yes.
    pub fn guard_entrances(&mut self) {
        let entrance = self
            .class
            .as_deref()
            .is_some_and(|c| ENTRANCES.contains(&c));
        let alarm = self.kind.as_str() == "alarm_control_panel";
        let cover = matches!(self.kind.as_str(), "cover" | "valve");
        for capability in &mut self.capabilities {
            let opens = match capability.property {
                Property::Lock => true,
                Property::Position | Property::Power => alarm || (entrance && cover),
                _ => alarm,
            };
            let opening = if opens { Risk::Confirm } else { Risk::Auto };
            capability.guard = Guard {
                opening,
                otherwise: Risk::Auto,
            };
        }
    }

    /// Gives the capabilities the risk the operator chose, where he did: it wins over everything worked out.
    pub fn obey_risks(&mut self) {
        let said = |property: Option<&Property>| {
            self.risks
                .iter()
                .find(|(of, _)| of.as_ref() == property)
                .map(|(_, risk)| *risk)
        };
        for capability in &mut self.capabilities {
            if let Some(risk) = said(Some(&capability.property)).or_else(|| said(None)) {
                capability.guard = Guard::all(risk);
            }
        }
    }
}
