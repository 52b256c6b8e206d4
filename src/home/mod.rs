//! What exists and what it may do: devices, areas, their state, and the one gate to them.
//! Pure: std, serde and templates. No MQTT, HTTP, disk or clock; time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};

use serde_json::Value as Json;

pub mod capability;
pub mod device;
pub mod permit;
pub mod rights;
pub mod state;

use crate::home::capability::Capability;
use crate::home::device::{Area, Device};
use crate::home::rights::Rights;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

/// What exists at one moment. Immutable: a change makes a new one with a new revision.
#[derive(Debug)]
pub struct Home {
    devices: Vec<Device>,
    areas: Vec<Area>,
    rights: Rights,
    /// The first levels of own topics: `sayso`.
    prefix: String,
    by_id: HashMap<Slug, usize>,
    /// State topic → the capabilities heard there, as positions in `devices` and `capabilities`.
    listeners: HashMap<String, Vec<(usize, usize)>>,
    /// Command topics that several devices share → the capabilities commanded there.
    shared: HashMap<String, Vec<(usize, usize)>>,
    revision: u64,
}

/// Two things in a home that cannot both be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeConflict {
    /// Two devices with one identifier.
    #[error("two devices have the identifier `{0}`")]
    SameId(Slug),
    /// Two devices that nobody could tell apart: the same name in the same area.
    #[error(
        "devices `{first}` and `{second}` are both called `{name}` in the same area: give one another name"
    )]
    SameName {
        /// The first.
        first: Slug,
        /// The second.
        second: Slug,
        /// The name.
        name: String,
    },
    /// A device in an area that is not there.
    #[error("device `{device}` stands in the area `{area}`, which does not exist")]
    NoSuchArea {
        /// The device.
        device: Slug,
        /// The area it names.
        area: Slug,
    },
}

/// Takes text into a hash.
struct ContentHash<'a>(&'a mut DefaultHasher);

impl fmt::Write for ContentHash<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Home {
    /// Puts a home together. `prefix` is the first level of sayso's own topics.
    ///
    /// # Errors
    /// With every clash found, not just the first.
    pub fn new(
        areas: Vec<Area>,
        devices: Vec<Device>,
        rights: Rights,
        prefix: &str,
    ) -> Result<Self, Vec<HomeConflict>> {
        let mut clashes = Vec::new();
        let mut by_id = HashMap::new();
        let mut by_name: HashMap<(Option<&Slug>, String), &Slug> = HashMap::new();
        for (index, device) in devices.iter().enumerate() {
            if by_id.insert(device.id.clone(), index).is_some() {
                clashes.push(HomeConflict::SameId(device.id.clone()));
                continue;
            }
            if let Some(area) = device
                .area
                .as_ref()
                .filter(|id| !areas.iter().any(|a| a.id == **id))
            {
                clashes.push(HomeConflict::NoSuchArea {
                    device: device.id.clone(),
                    area: area.clone(),
                });
            }
            let mut names: Vec<String> = std::iter::once(&device.name)
                .chain(&device.aliases)
                .map(|n| n.to_lowercase())
                .collect();
            names.sort();
            names.dedup();
            for name in names {
                if let Some(first) =
                    by_name.insert((device.area.as_ref(), name.clone()), &device.id)
                {
                    clashes.push(HomeConflict::SameName {
                        first: first.clone(),
                        second: device.id.clone(),
                        name,
                    });
                }
            }
        }
        if !clashes.is_empty() {
            return Err(clashes);
        }
        let mut listeners: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (d, device) in devices.iter().enumerate() {
            for (c, capability) in device.heard().enumerate() {
                for port in &capability.link.state {
                    let here = listeners.entry(port.topic.clone()).or_default();
                    if here.last() != Some(&(d, c)) {
                        here.push((d, c));
                    }
                }
            }
        }
        let shared = shared(&devices);
        let mut hasher = DefaultHasher::new();
        // In order: a map's own order differs from start to start, and kept drafts would be lost with each.
        let rules: BTreeMap<_, _> = rights.by_source.iter().collect();
        // Straight into the hash: as one text, a large home would be many megabytes.
        let _ = write!(ContentHash(&mut hasher), "{areas:?}{devices:?}{rules:?}");
        let revision = hasher.finish();
        Ok(Self {
            devices,
            areas,
            rights,
            prefix: prefix.to_owned(),
            by_id,
            listeners,
            shared,
            revision,
        })
    }

    /// A home with nothing in it.
    pub fn empty(prefix: &str) -> Self {
        Self::new(Vec::new(), Vec::new(), Rights::default(), prefix)
            .unwrap_or_else(|_| unreachable!("nothing cannot clash"))
    }

    /// The devices, in the order they were given.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The areas, in the order they were given.
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// Who may command what.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Changes whenever anything in the home does: part of the key of everything kept about it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The device with this identifier.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.by_id
            .get(&Slug::new(id).ok()?)
            .map(|&index| &self.devices[index])
    }

    /// The area with this identifier.
    pub fn area(&self, id: &Slug) -> Option<&Area> {
        self.areas.iter().find(|a| a.id == *id)
    }

    /// The area somebody means by `text`: its identifier, name or one of its aliases, in any case.
    pub fn area_named(&self, text: &str) -> Option<&Area> {
        let text = text.trim().to_lowercase();
        self.areas.iter().find(|a| {
            a.id.as_str() == text
                || a.name.to_lowercase() == text
                || a.aliases.iter().any(|n| n.to_lowercase() == text)
        })
    }

    /// Where a device without a binding is told what to do.
    pub fn action_topic(&self, device: &Slug) -> String {
        format!("{}/action/{device}", self.prefix)
    }

    /// The topics on which devices tell their state.
    pub fn state_topics(&self) -> impl Iterator<Item = &str> {
        self.listeners.keys().map(String::as_str)
    }

    /// Whether devices tell their state there.
    pub fn hears(&self, topic: &str) -> bool {
        self.listeners.contains_key(topic)
    }

    /// The topics sayso may publish to for its devices: none of them may be one it listens on.
    pub fn command_topics(&self) -> impl Iterator<Item = String> {
        self.devices.iter().flat_map(|device| {
            let linked = device
                .capabilities
                .iter()
                .flat_map(Capability::command_topics)
                .map(str::to_owned);
            linked.chain(std::iter::once(self.action_topic(&device.id)))
        })
    }

    /// What a message on a state topic says about whom. Nothing, where it says nothing we follow.
    pub fn observe(&self, topic: &str, payload: &[u8]) -> Vec<(Slug, Property, Value)> {
        let Some(listeners) = self.listeners.get(topic) else {
            return Vec::new();
        };
        let Ok(text) = std::str::from_utf8(payload) else {
            return Vec::new();
        };
        let heard =
            serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.trim().to_owned()));
        let heard_by = listeners
            .iter()
            .filter_map(|&(d, c)| Some((&self.devices[d], self.devices[d].heard().nth(c)?)));
        heard_by
            .filter_map(|(device, capability)| {
                Some((
                    device.id.clone(),
                    capability.property.clone(),
                    capability.link.decode(topic, &heard)?,
                ))
            })
            .collect()
    }
}

/// The topics that are commanded under more than one device's name.
fn shared(devices: &[Device]) -> HashMap<String, Vec<(usize, usize)>> {
    let mut all: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
    for (d, device) in devices.iter().enumerate() {
        for (c, capability) in device.capabilities.iter().enumerate() {
            for topic in capability.command_topics() {
                let here = all.entry(topic).or_default();
                if here.last() != Some(&(d, c)) {
                    here.push((d, c));
                }
            }
        }
    }
    all.retain(|_, here| here.first().map(|(d, _)| d) != here.last().map(|(d, _)| d));
    all.into_iter()
        .map(|(topic, here)| (topic.to_owned(), here))
        .collect()
}
