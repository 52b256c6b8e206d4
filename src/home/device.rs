//! Areas, and the devices in them.

use std::fmt;

use crate::home::availability::Availability;
use crate::home::capability::{Capability, Guard, Risk};
use crate::home::entrance;
use crate::home::entrance::NamedEntrance;
use crate::vocabulary::properties::PROPERTIES;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Domain, Property};

/// A room, a zone, or a part of the garden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// The identifier: `living_room`.
    pub id: Slug,
    /// The name: `Living room`.
    pub name: String,
    /// Other names that commands may use.
    pub aliases: Vec<String>,
    /// The name of its floor, equal for all areas of that floor: `upstairs`.
    pub floor: Option<String>,
}

impl Area {
    /// Returns the names by which commands may call it: the name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.aliases)
    }
}

/// The kind of a device: a domain of Home Assistant (`light`, `cover`, `media_player`) or a word of
/// the operator's (`pump`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind(Slug);

impl Kind {
    /// Creates a kind from its name.
    pub fn new(name: Slug) -> Self {
        Self(name)
    }

    /// Returns the name, such as `light`.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the properties of a device of this kind that declares none.
    pub fn default_properties(&self) -> Vec<Property> {
        PROPERTIES
            .iter()
            .filter(|spec| spec.default_kinds.contains(&self.as_str()))
            .map(|spec| spec.property.clone())
            .collect()
    }

    /// Returns the standard capability for `property` of a device of this kind. The water of a
    /// water heater may be set to a higher temperature than a room.
    pub fn capability(&self, property: Property) -> Capability {
        let mut capability = Capability::standard(property);
        if self.as_str() == "water_heater" && capability.property == Property::Temperature {
            capability.domain = Domain::number(30.0, 80.0, "°C");
        }
        capability
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One device that can be commanded or queried.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// The identifier in replies, prompts and `<prefix>/action/<device>`.
    pub id: Slug,
    /// Name in replies and prompts; commands may use it, its aliases and shorter forms of them.
    pub name: String,
    /// Other names that commands may use.
    pub aliases: Vec<String>,
    /// The area in which it is.
    pub area: Option<Slug>,
    /// Kind of device, from which its default properties and risks follow.
    pub kind: Kind,
    /// The device class of Home Assistant: `garage`, `blind`, `outlet`.
    pub class: Option<String>,
    /// The properties that can be set or read.
    pub capabilities: Vec<Capability>,
    /// The sources that report whether it is online.
    pub availability: Availability,
    /// The risks chosen by the operator: for one property, or for all others (`None`).
    pub risks: Vec<(Option<Property>, Risk)>,
    /// The devices that move with it, for a group or a scene.
    pub members: Members,
    /// The IEEE address or group number under which its bridge knows it. Only the bridge's own list
    /// sets it: an announcement by anybody else could claim any number.
    pub bridge_id: Option<String>,
    /// The announcement the operator bound the device to: its topic, or the address of the physical
    /// device.
    pub announced: Option<String>,
    /// Identity of the physical device, for one that the operator has not declared: another one may
    /// have its name and identifier later.
    pub physical: Option<String>,
}

/// The devices that a message to a group or scene moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// Identifiers of devices: their `id` or their `bridge_id`.
    pub ids: Vec<String>,
    /// False where there may be more members than listed. The group is then judged by the worst it
    /// could contain.
    pub complete: bool,
}

impl Members {
    /// The members of a device that is no group.
    pub const NONE: Self = Self {
        ids: Vec::new(),
        complete: true,
    };

    /// The members of a group that does not list them.
    pub const UNKNOWN: Self = Self {
        ids: Vec::new(),
        complete: false,
    };
}

impl Members {
    /// Adds the members that the bridge or an announcement knows. A complete list stays complete.
    pub fn learn(&mut self, announced: Self) {
        let has_own_list = !self.ids.is_empty();
        self.complete = announced.complete || (self.complete && has_own_list);
        for id in announced.ids {
            if !self.ids.contains(&id) {
                self.ids.push(id);
            }
        }
    }
}

impl Default for Members {
    fn default() -> Self {
        Self::NONE
    }
}

/// The property of a drive that is started by one pulse in either direction.
const TRIGGER: &str = "trigger";

/// The kinds that may move a door, gate or lock under another kind than its own.
const SWITCHES: [&str; 4] = ["button", "scene", "script", "switch"];

/// The kinds that heat or pump.
const HEATS_OR_PUMPS: [&str; 5] = ["water_heater", "climate", "valve", "pump", "heater"];

impl Device {
    /// Creates a device with the default properties of its kind, named after its identifier, in no
    /// area.
    pub fn new(id: Slug, kind: Kind) -> Self {
        let capabilities = kind
            .default_properties()
            .into_iter()
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
            availability: Availability::default(),
            risks: Vec::new(),
            members: Members::NONE,
            bridge_id: None,
            announced: None,
            physical: None,
        };
        device.apply_default_guards();
        device
    }

    /// Returns all readings whose topics are subscribed to: the capabilities, then the sources of
    /// availability.
    pub fn observed(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().chain(&self.availability.sources)
    }

    /// Returns the capability for `property`, if the device has it.
    pub fn capability(&self, property: &Property) -> Option<&Capability> {
        self.capabilities.iter().find(|c| c.property == *property)
    }

    /// Returns true for devices that let somebody in or keep somebody out: locks, alarms, garage
    /// doors, gates and doors, and the switches and buttons that move one.
    pub fn is_entrance(&self) -> bool {
        matches!(self.kind.as_str(), "lock" | "alarm_control_panel")
            || self.is_door()
            || self.switched_entrance().is_some()
    }

    /// Returns the type of entrance that a switch, button, scene or script moves, if it is called
    /// like a door, gate, garage or lock.
    pub(super) fn switched_entrance(&self) -> Option<NamedEntrance> {
        let kind = self.kind.as_str();
        let is_outlet = self.class.as_deref() == Some("outlet");
        if !SWITCHES.contains(&kind) || is_outlet {
            return None;
        }
        let mut names = std::iter::once(&self.name).chain(&self.aliases);
        names.find_map(|name| entrance::entrance_switch(name))
    }

    /// Returns true for a cover that lets somebody in: opening it must be confirmed unless the
    /// operator says otherwise. Its name decides where it has no class. A class that is not known
    /// for covers may be another word for a gate.
    pub fn is_door(&self) -> bool {
        match self.kind.as_str() {
            "cover" => self.says_entrance(),
            "valve" => self.class.is_some() && !self.is_of_known_class() && self.says_entrance(),
            _ => false,
        }
    }

    fn is_of_known_class(&self) -> bool {
        let known = entrance::classes(self.kind.as_str());
        let class = self.class.as_deref();
        class
            .zip(known)
            .is_some_and(|(class, known)| known.contains(&class))
    }

    /// Returns true for a device that is an entrance by its kind or class, independent of its name.
    pub fn is_entrance_by_class(&self) -> bool {
        let by_name = (self.kind.as_str() == "cover" && self.class.is_none())
            || self.switched_entrance().is_some();
        self.is_entrance() && !by_name
    }

    fn says_entrance(&self) -> bool {
        if let Some(class) = &self.class {
            return entrance::is_entrance_class(class);
        }
        let mut names = self.aliases.iter().chain([&self.name]);
        names.any(|name| entrance::names_an_entrance(name))
    }

    /// Returns whether the device has the drive of a garage door that moves with each message.
    fn has_door_trigger(&self) -> bool {
        let mut properties = self.capabilities.iter().map(|c| c.property.name());
        let reports_garage = properties.any(|name| name.contains("garage"));
        reports_garage || self.says_entrance()
    }

    /// Returns true for the kinds of devices that heat or pump.
    pub fn heats_or_pumps(&self) -> bool {
        HEATS_OR_PUMPS.contains(&self.kind.as_str())
    }

    /// Sets the default guard of every capability: opening a device that lets somebody in and
    /// disarming one that keeps somebody out must be confirmed.
    pub fn apply_default_guards(&mut self) {
        let guards = self.default_guards();
        for (capability, guard) in self.capabilities.iter_mut().zip(guards) {
            capability.guard = guard;
        }
    }

    /// Raises each guard to the default one, after the names or the class have changed.
    pub fn raise_to_default_guards(&mut self) {
        let guards = self.default_guards();
        for (capability, guard) in self.capabilities.iter_mut().zip(guards) {
            capability.guard = capability.guard.max(guard);
        }
    }

    fn default_guards(&self) -> Vec<Guard> {
        let alarm = self.kind.as_str() == "alarm_control_panel";
        let door = self.is_door();
        let switched = self.switched_entrance();
        let guard = |capability: &Capability| {
            let opens = match &capability.property {
                Property::Power | Property::Press | Property::Scene | Property::Script
                    if switched == Some(NamedEntrance::Lock) =>
                {
                    return Guard::all(Risk::Confirm);
                }
                Property::Power | Property::Press | Property::Scene | Property::Script
                    if switched.is_some() =>
                {
                    true
                }
                Property::Lock => true,
                Property::Position | Property::Power => alarm || door,
                other if other.name() == TRIGGER && self.has_door_trigger() => {
                    return Guard::all(Risk::Confirm);
                }
                _ => alarm,
            };
            Guard {
                opening: if opens { Risk::Confirm } else { Risk::Auto },
                otherwise: Risk::Auto,
            }
        };
        self.capabilities.iter().map(guard).collect()
    }

    /// Applies the risks chosen by the operator, which take precedence over the default guards.
    pub fn apply_operator_risks(&mut self) {
        let chosen = |property: Option<&Property>| {
            self.risks
                .iter()
                .find(|(of, _)| of.as_ref() == property)
                .map(|(_, risk)| *risk)
        };
        for capability in &mut self.capabilities {
            if let Some(risk) = chosen(Some(&capability.property)).or_else(|| chosen(None)) {
                capability.guard = Guard::all(risk);
            }
        }
    }
}
