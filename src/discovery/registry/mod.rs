//! All announcements by topic, and the devices they describe: one physical device is one device,
//! however many entities and ecosystems announce it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::home::device::{Area, Device};
use crate::vocabulary::shared_str::SharedStr;

use crate::discovery::announcement::{AnnouncedDevice, Announcement};
use crate::discovery::registry::assemble::assemble;
use crate::discovery::registry::entry::RegistryEntry;

mod adopt;
mod assemble;
mod command_keys;
mod compose;
mod entry;
mod identifiers;

pub use assemble::AssembledHome;

/// Largest number of announced devices kept, of all topics together. The largest homes known have
/// some 3,000 entities.
pub const MAX_DEVICES: usize = 4_000;

/// Largest number of capabilities of all announced devices together, which bounds the memory they
/// take: 2,000 lights have as many.
pub const MAX_CAPABILITIES: usize = 8_000;

/// Everything announced and not removed. Cloning it is cheap: the devices are shared.
#[derive(Debug, Clone)]
pub struct Registry {
    topics: BTreeMap<String, Arc<[RegistryEntry]>>,
    count: usize,
    capabilities: usize,
    /// Number of the next device announced for the first time.
    next: u64,
    /// First levels of sayso's own topics, on which no device is commanded.
    prefix: String,
}

/// Effect of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryChange {
    /// Whether the devices may have changed.
    pub changed: bool,
    /// Number of devices left out because they have a topic of sayso's own.
    pub with_own_topic: usize,
    /// Number of devices left out because they are beyond [`MAX_DEVICES`] or
    /// [`MAX_CAPABILITIES`].
    pub without_room: usize,
}

impl Registry {
    /// Returns an empty registry. `prefix` is the first level of sayso's own topics.
    pub fn new(prefix: &str) -> Self {
        Self {
            topics: BTreeMap::new(),
            count: 0,
            capabilities: 0,
            next: 0,
            prefix: prefix.to_owned(),
        }
    }

    /// Replaces everything announced on `topic` before.
    pub fn update(&mut self, topic: &str, announcement: Announcement) -> RegistryChange {
        let mut announced = match announcement {
            Announcement::Announced(announced) | Announcement::Partial(announced, _) => announced,
            Announcement::Removed => Vec::new(),
            Announcement::Ignored(_) => {
                return RegistryChange {
                    changed: false,
                    with_own_topic: 0,
                    without_room: 0,
                };
            }
        };
        let total = announced.len();
        announced.retain(|announced| !self.commands_itself(&announced.device));
        let permitted = announced.len();
        let before = self.topics.get(topic).map_or(&[][..], |entries| entries);
        let of_entry = |entry: &RegistryEntry| entry.announced.device.capabilities.len();
        let mut count = self.count - before.len();
        let mut capabilities = self.capabilities - before.iter().map(of_entry).sum::<usize>();
        announced.retain(|announced| {
            let more = announced.device.capabilities.len();
            let fits = count < MAX_DEVICES && capabilities + more <= MAX_CAPABILITIES;
            if fits {
                count += 1;
                capabilities += more;
            }
            fits
        });
        self.count = count;
        self.capabilities = capabilities;
        let without_room = permitted - announced.len();
        RegistryChange {
            changed: self.replace(topic, announced),
            with_own_topic: total - permitted,
            without_room,
        }
    }

    /// Stores the devices of a topic, and returns whether they differ from those stored before.
    fn replace(&mut self, topic: &str, announced: Vec<AnnouncedDevice>) -> bool {
        if announced.is_empty() {
            return self.topics.remove(topic).is_some();
        }
        let before = self.topics.get(topic).map_or(&[][..], |entries| entries);
        let is_same = before.len() == announced.len()
            && before
                .iter()
                .zip(&announced)
                .all(|(a, b)| a.announced == *b);
        if is_same {
            return false;
        }
        let mut next = self.next;
        let mut entries = Vec::with_capacity(announced.len());
        for announced in announced {
            let known = before
                .iter()
                .find(|entry| is_same_part(&entry.announced, &announced));
            let order = known.map_or(next, |entry| entry.order);
            if known.is_none() {
                next += 1;
            }
            entries.push(RegistryEntry { order, announced });
        }
        self.next = next;
        self.topics.insert(topic.to_owned(), entries.into());
        true
    }

    /// Returns whether another device fits.
    pub fn has_room(&self) -> bool {
        self.count < MAX_DEVICES && self.capabilities < MAX_CAPABILITIES
    }

    /// Returns whether the registry keeps anything that was announced on `topic`.
    pub fn contains(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Returns the number of announced devices.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether the registry has no device.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns whether the device is commanded or reports on one of sayso's own topics.
    fn commands_itself(&self, device: &Device) -> bool {
        let is_own = |topic: &SharedStr| {
            let rest = topic.strip_prefix(self.prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let topics = |c: &crate::home::capability::Capability| {
            c.command_topics().any(is_own)
                || c.binding.state_ports().any(|port| is_own(&port.topic))
        };
        device.observed().any(topics)
    }

    /// Adds the announced devices, and the areas they suggest, to those the operator declared.
    pub fn assemble(&self, areas: Vec<Area>, declared: Vec<Device>) -> AssembledHome {
        let mut entries: Vec<(&str, &RegistryEntry)> = Vec::with_capacity(self.count);
        for (topic, of_topic) in &self.topics {
            entries.extend(of_topic.iter().map(|entry| (topic.as_str(), entry)));
        }
        entries.sort_by_key(|(_, entry)| entry.order);
        assemble(&entries, areas, declared)
    }

    /// Returns the options of announced devices that are not carried out: the topic, the device's
    /// name, option and reason.
    pub fn limitations(&self) -> impl Iterator<Item = (&str, String)> {
        self.topics.iter().flat_map(|(topic, entries)| {
            entries.iter().flat_map(move |entry| {
                let limitations = entry.announced.limitations.iter();
                limitations.map(move |limitation| {
                    let name = &entry.announced.device.name;
                    let text = format!("{name}: `{}` {}", limitation.option, limitation.reason);
                    (topic.as_str(), text)
                })
            })
        })
    }
}

/// Returns whether both are the same part of the same physical device.
fn is_same_part(a: &AnnouncedDevice, b: &AnnouncedDevice) -> bool {
    a.unique == b.unique && a.device.kind == b.device.kind && a.device.id == b.device.id
}

#[cfg(test)]
mod tests;
