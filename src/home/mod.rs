//! The home: areas, devices, their state, the rights of sources, and the permission gate.
//!
//! Pure: no MQTT, HTTP, disk or clock; time is an argument. A [`Home`] is an immutable snapshot.
//! Drafts enter through [`Home::permit`], which alone makes a plan of them; state messages enter
//! through [`Home::observe`].

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};
use std::time::Instant;

use serde_json::Value as Json;

pub mod availability;
pub mod capability;
pub mod device;
pub mod entrance;
pub mod permit;
mod reach;
pub mod rights;
pub mod setpoint;
pub mod state;

use crate::binding::Decoded;
use crate::home::capability::Capability;
use crate::home::device::{Area, Device};
use crate::home::reach::ReachIndex;
use crate::home::rights::Rights;
use crate::home::state::{Report, State};
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::topic;
use crate::vocabulary::{Domain, Property, Value};

/// An immutable snapshot of everything that can be commanded. A change makes a new snapshot with a
/// new revision.
#[derive(Debug)]
pub struct Home {
    devices: Vec<Device>,
    areas: Vec<Area>,
    rights: Rights,
    /// The first levels of sayso's own topics.
    prefix: String,
    by_id: foldhash::HashMap<Slug, usize>,
    /// The readings on each state topic, as positions in `devices` and in [`Device::observed`].
    readers: HashMap<SharedStr, Vec<(usize, usize)>>,
    /// The state topics with wildcards, which are among the readers as well.
    wildcards: Vec<SharedStr>,
    reach: ReachIndex,
    revision: u64,
}

/// A reason why areas and devices do not make a home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeConflict {
    /// Two devices have one identifier.
    #[error("two devices have the identifier `{0}`")]
    SameId(Slug),
    /// Two devices cannot be distinguished, because they have one name in one area.
    #[error(
        "devices `{first}` and `{second}` are both called `{name}` in the same area: give one \
         another name"
    )]
    SameName {
        /// The first device.
        first: Slug,
        /// The second device.
        second: Slug,
        /// The name they share.
        name: String,
    },
    /// A device is in an area that does not exist.
    #[error("device `{device}` is in the area `{area}`, which does not exist")]
    NoSuchArea {
        /// Identifier of the device.
        device: Slug,
        /// Identifier of the missing area.
        area: Slug,
    },
}

/// Feeds formatted text into a hash without building the text.
struct ContentHash<'a>(&'a mut DefaultHasher);

impl fmt::Write for ContentHash<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Home {
    /// Returns whether some message to the first device may move the second one, because they share
    /// an address or one is a group of which the other is a member.
    pub fn moves_together(&self, commanded: &str, other: &str) -> bool {
        let position = |id: &str| self.by_id.get(id).copied();
        let (Some(commanded), Some(other)) = (position(commanded), position(other)) else {
            return false;
        };
        commanded == other
            || self
                .reach
                .together(&self.devices, commanded)
                .contains(&other)
    }

    /// Creates a home. `prefix` is the first level of sayso's own topics.
    ///
    /// # Errors
    /// Returns all conflicts found.
    pub fn new(
        areas: Vec<Area>,
        devices: Vec<Device>,
        rights: Rights,
        prefix: &str,
    ) -> Result<Self, Vec<HomeConflict>> {
        let declared = devices.len();
        Self::with_announced(areas, devices, declared, rights, prefix)
    }

    /// Creates a home of `declared` devices and the announced ones behind them. Announced devices
    /// may share a name, because nobody can forbid it: a command that names both is asked about.
    ///
    /// # Errors
    /// Returns all conflicts found.
    pub fn with_announced(
        areas: Vec<Area>,
        devices: Vec<Device>,
        declared: usize,
        rights: Rights,
        prefix: &str,
    ) -> Result<Self, Vec<HomeConflict>> {
        let conflicts = conflicts(&areas, &devices, declared);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let by_id = devices
            .iter()
            .enumerate()
            .map(|(index, device)| (device.id.clone(), index))
            .collect();
        let readers = readers(&devices);
        let is_wild = |topic: &&SharedStr| !topic::is_exact(topic);
        let mut wildcards: Vec<SharedStr> = readers.keys().filter(is_wild).cloned().collect();
        wildcards.sort_unstable();
        Ok(Self {
            revision: revision(&areas, &devices, &rights),
            readers,
            wildcards,
            reach: ReachIndex::new(&devices),
            by_id,
            devices,
            areas,
            rights,
            prefix: prefix.to_owned(),
        })
    }

    /// Returns the home as if each declared device took the actions on sayso's own topic. This is
    /// for a trial without a broker, where no announcement can be received.
    ///
    /// # Panics
    /// Never: the devices made a home before.
    #[must_use]
    pub fn without_announcements(&self) -> Self {
        let mut devices = self.devices.clone();
        for device in &mut devices {
            device.announced = None;
        }
        Self::new(
            self.areas.clone(),
            devices,
            self.rights.clone(),
            &self.prefix,
        )
        .expect("the same devices made a home before")
    }

    /// Creates a home without devices.
    pub fn empty(prefix: &str) -> Self {
        Self::new(Vec::new(), Vec::new(), Rights::default(), prefix)
            .unwrap_or_else(|_| unreachable!("an empty home has no conflicts"))
    }

    /// Returns the devices, in the order in which they were given.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Returns the areas, in the order in which they were given.
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// Returns the rights of all sources.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Returns a hash of the home's content, which is part of the key of everything that is cached
    /// about it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the device with this identifier.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.by_id.get(id).map(|&index| &self.devices[index])
    }

    /// Returns the area with this identifier.
    pub fn area(&self, id: &Slug) -> Option<&Area> {
        self.areas.iter().find(|a| a.id == *id)
    }

    /// Returns the area with this identifier, name or alias, in any case.
    pub fn area_named(&self, text: &str) -> Option<&Area> {
        let text = text.trim().to_lowercase();
        self.areas.iter().find(|a| {
            a.id.as_str() == text
                || a.name.to_lowercase() == text
                || a.aliases.iter().any(|n| n.to_lowercase() == text)
        })
    }

    /// Returns the topic on which a device without a binding is commanded.
    pub fn action_topic(&self, device: &Slug) -> String {
        format!("{}/action/{device}", self.prefix)
    }

    /// Returns the topics on which devices report their state; some are filters with wildcards.
    pub fn state_topics(&self) -> impl Iterator<Item = &str> {
        self.readers.keys().map(SharedStr::as_str)
    }

    /// Returns whether a device reports its state on `topic`.
    pub fn has_state_topic(&self, topic: &str) -> bool {
        self.readers.contains_key(topic) || self.wildcards.iter().any(|w| topic::receives(w, topic))
    }

    /// Returns the readings on `topic`, each as the index of its device and its place among the
    /// device's [`observed`](Device::observed) readings. A wildcard receives none of sayso's own
    /// messages.
    fn readers_of(&self, topic: &str) -> Vec<(usize, usize)> {
        let mut found = self.readers.get(topic).cloned().unwrap_or_default();
        let below_prefix = topic.strip_prefix(self.prefix.as_str());
        if below_prefix.is_some_and(|rest| rest.starts_with('/')) {
            return found;
        }
        let matching = self.wildcards.iter().filter(|w| topic::receives(w, topic));
        let exact = found.len();
        found.extend(matching.flat_map(|wildcard| &self.readers[wildcard]));
        if found.len() > exact {
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    /// Returns the topics sayso may publish on; it must not subscribe to any of them.
    pub fn command_topics(&self) -> impl Iterator<Item = String> {
        self.devices.iter().flat_map(|device| {
            let bound = device
                .capabilities
                .iter()
                .flat_map(Capability::command_topics)
                .map(SharedStr::to_string);
            bound.chain(std::iter::once(self.action_topic(&device.id)))
        })
    }

    /// Reads a state message: the properties it reports, of all devices on this topic.
    pub fn observe(&self, topic: &str, payload: &[u8]) -> Vec<Report> {
        self.observe_with(topic, payload, |_, capability, json| {
            capability.binding.decode(topic, json)
        })
    }

    /// Reads a state message as [`Home::observe`] does, with `decode` for the value of each
    /// property in it.
    pub fn observe_with(
        &self,
        topic: &str,
        payload: &[u8],
        mut decode: impl FnMut(&Device, &Capability, &Json) -> Option<Decoded>,
    ) -> Vec<Report> {
        let readers = self.readers_of(topic);
        if readers.is_empty() {
            return Vec::new();
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return Vec::new();
        };
        let json =
            serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.trim().to_owned()));
        let reading = |&(device, nth): &(usize, usize)| {
            let device = &self.devices[device];
            let capability = device.observed().nth(nth)?;
            let decoded = decode(device, capability, &json)?;
            Some(Report {
                device: device.id.clone(),
                property: capability.property.clone(),
                decoded: recognized(capability, decoded),
                expire_after: capability.binding.expire_after,
                reverts: capability.binding.reverts.clone(),
            })
        };
        readers.iter().filter_map(reading).collect()
    }

    /// Records that a device was commanded to a value.
    pub fn assume(
        &self,
        state: &mut State,
        device: &Slug,
        (property, value): (&Property, Value),
        at: Instant,
    ) {
        if let Some(device) = self.device(device.as_str()) {
            state.assume(device, property, value, at);
        }
    }

    /// Returns the state of this home as far as it is known from the state of `old`. Devices are
    /// recognized by their topics, because an identifier may belong to another device now.
    #[must_use]
    pub fn carry_over(&self, old: &Self, state: &State) -> State {
        let mut before: HashMap<String, Vec<(&Device, &Capability)>> = HashMap::new();
        for device in old.devices().iter().filter(|d| state.knows(&d.id)) {
            for capability in device.observed() {
                before
                    .entry(first_topic(capability).unwrap_or_default().to_owned())
                    .or_default()
                    .push((device, capability));
            }
        }
        let mut carried = State::default();
        for device in self.devices() {
            for capability in device.observed() {
                let topic = first_topic(capability);
                let is_same = |(was, candidate): &&(&Device, &Capability)| {
                    // Without a topic, only the identifier is left to recognize it by.
                    candidate.property == capability.property
                        && candidate.binding == capability.binding
                        && (topic.is_some() || was.id == device.id)
                };
                let known = before
                    .get(topic.unwrap_or_default())
                    .and_then(|candidates| candidates.iter().find(is_same))
                    .and_then(|(was, _)| state.get(&was.id, &capability.property));
                if let Some(seen) = known {
                    carried.put(&device.id, &capability.property, seen.clone());
                }
            }
        }
        carried
    }
}

/// Returns the topic by which a capability is recognized in another snapshot.
fn first_topic(capability: &Capability) -> Option<&str> {
    let binding = &capability.binding;
    let port = binding.state.first().or(binding.command.as_ref());
    port.map(|port| port.topic.as_str())
}

/// Checks a decoded value against the domain: a word that is no value of the property is not a
/// state of it.
fn recognized(capability: &Capability, decoded: Decoded) -> Decoded {
    let Decoded::Value(value) = decoded else {
        return decoded;
    };
    let known = match (&capability.domain, &value) {
        (Domain::Choice(words), Value::Text(text)) => words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(text))
            .map(|word| Value::text(word))
            .or_else(|| (words.is_empty() && !is_no_state(text)).then(|| value.clone())),
        (Domain::Choice(words), other) => words
            .iter()
            .find(|word| **word == other.to_string())
            .map(|word| Value::text(word)),
        (Domain::Number { .. }, Value::Number(n)) => {
            Some(Value::Number(as_percentage(capability, *n)))
        }
        (Domain::Boolean, Value::Flag(_)) | (Domain::Trigger, _) => Some(value.clone()),
        (Domain::Boolean, Value::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "on" | "true" => Some(Value::Flag(true)),
            "off" | "false" => Some(Value::Flag(false)),
            _ => None,
        },
        (Domain::Color, Value::Text(text)) => {
            crate::binding::color::rgb(text).map(|_| value.clone())
        }
        _ => None,
    };
    known.map_or_else(|| Decoded::Unrecognized(value.to_string()), Decoded::Value)
}

/// Returns a reported number within 0 to 100 % if it is a level that can be set, as Home Assistant
/// does: some drives report 101 or 255 when they are open. Every other number is taken as it is
/// reported, because the nearest value allowed would not be true.
fn as_percentage(capability: &Capability, reported: f64) -> f64 {
    match &capability.domain {
        Domain::Number { min, max, unit, .. } if unit == "%" && capability.settable => {
            reported.max(min.min(0.0)).min(max.max(100.0))
        }
        _ => reported,
    }
}

/// Returns whether the text is one of Home Assistant's words for "no state".
pub(crate) fn is_no_state(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "" | "none" | "null" | "unknown" | "unavailable"
    )
}

/// Finds identifiers and names that occur twice, and areas that do not exist.
fn conflicts(areas: &[Area], devices: &[Device], declared: usize) -> Vec<HomeConflict> {
    let mut conflicts = Vec::new();
    let mut ids = std::collections::HashSet::new();
    let mut by_name: HashMap<(Option<&Slug>, String), &Slug> = HashMap::new();
    for (index, device) in devices.iter().enumerate() {
        if !ids.insert(&device.id) {
            conflicts.push(HomeConflict::SameId(device.id.clone()));
            continue;
        }
        let area = device.area.as_ref();
        if let Some(area) = area.filter(|id| !areas.iter().any(|a| a.id == **id)) {
            conflicts.push(HomeConflict::NoSuchArea {
                device: device.id.clone(),
                area: area.clone(),
            });
        }
        if index >= declared {
            continue;
        }
        let names: std::collections::BTreeSet<String> = std::iter::once(&device.name)
            .chain(&device.aliases)
            .map(|name| name.to_lowercase())
            .collect();
        for name in names {
            if let Some(first) = by_name.insert((area, name.clone()), &device.id) {
                conflicts.push(HomeConflict::SameName {
                    first: first.clone(),
                    second: device.id.clone(),
                    name,
                });
            }
        }
    }
    conflicts
}

/// Collects the readings on each state topic, each as the index of its device and its place among
/// the device's [`observed`](Device::observed) readings.
fn readers(devices: &[Device]) -> HashMap<SharedStr, Vec<(usize, usize)>> {
    let mut readers: HashMap<SharedStr, Vec<(usize, usize)>> = HashMap::new();
    for (index, device) in devices.iter().enumerate() {
        for (nth, capability) in device.observed().enumerate() {
            for port in capability.binding.state_ports() {
                let here = readers.entry(port.topic.clone()).or_default();
                if here.last() != Some(&(index, nth)) {
                    here.push((index, nth));
                }
            }
        }
    }
    readers
}

/// Hashes the content of a home. The rules are sorted, because the order of a map differs from
/// start to start.
fn revision(areas: &[Area], devices: &[Device], rights: &Rights) -> u64 {
    let mut hasher = DefaultHasher::new();
    let rules: BTreeMap<_, _> = rights.by_source.iter().collect();
    let _ = write!(ContentHash(&mut hasher), "{areas:?}{devices:?}{rules:?}");
    hasher.finish()
}

#[cfg(test)]
mod tests;
