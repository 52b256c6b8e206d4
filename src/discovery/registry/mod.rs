//! Everything announced, by the topic it was announced on, and the devices it comes to: one physical device is one device,
//! however many entities tell of it and whoever announced it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::binding::Form;
use crate::home::capability::{Capability, Risk};
use crate::home::device::{Area, Device, Kind};
use crate::vocabulary::Property;
use crate::vocabulary::slug::Slug;

use crate::discovery::registry::tags::Tags;
use crate::discovery::{Found, Message, Origin};

mod tags;

/// The most things kept, of all announcements together. The largest homes known have some 3,000 entities;
/// a broker gone wild must not fill a gateway's memory.
pub const MOST: usize = 10_000;

/// Capabilities one device may gather from the entities it is announced as.
const MOST_CAPABILITIES: usize = 64;

/// What was announced, and is still there.
#[derive(Debug, Clone)]
pub struct Registry {
    announced: BTreeMap<String, Vec<Found>>,
    count: usize,
    /// The first levels of sayso's own topics: no device is told anything there.
    prefix: String,
}

/// What an announcement changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainedAnnouncement {
    /// Whether the devices may be others now.
    pub changed: bool,
    /// How many things were left out: beyond [`MOST`], or with a topic of sayso's own.
    pub refused: usize,
}

impl Registry {
    /// A registry in which nothing is announced. `prefix` is the first level of sayso's own topics.
    pub fn new(prefix: &str) -> Self {
        Self {
            announced: BTreeMap::new(),
            count: 0,
            prefix: prefix.to_owned(),
        }
    }

    /// Takes in what was announced on `topic`. It replaces all that was announced there before.
    pub fn hear(&mut self, topic: &str, message: Message) -> RetainedAnnouncement {
        let mut found = match message {
            Message::Announced(found) => found,
            Message::Removed => Vec::new(),
            Message::Ignored(_) => {
                return RetainedAnnouncement {
                    changed: false,
                    refused: 0,
                };
            }
        };
        let whole = found.len();
        found.retain(|found| !self.is_own(&found.device));
        let before = self.announced.get(topic).map_or(0, Vec::len);
        found.truncate(MOST - (self.count - before));
        let (after, refused) = (found.len(), whole - found.len());
        let changed = if found.is_empty() {
            self.announced.remove(topic).is_some()
        } else if self.announced.get(topic) == Some(&found) {
            false
        } else {
            self.announced.insert(topic.to_owned(), found);
            true
        };
        self.count = self.count - before + after;
        RetainedAnnouncement { changed, refused }
    }

    /// Whether anything announced on `topic` is kept.
    pub fn holds(&self, topic: &str) -> bool {
        self.announced.contains_key(topic)
    }

    /// How many things are announced.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is announced.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether any topic of the device is sayso's own: commanding it would command ourselves.
    fn is_own(&self, device: &Device) -> bool {
        let own = |topic: &str| {
            topic
                .strip_prefix(self.prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        device.observed().any(|c| {
            let binding = &c.binding;
            let ports = binding
                .command
                .iter()
                .chain(&binding.state)
                .map(|port| &port.topic);
            let messages = binding
                .stop
                .iter()
                .chain(&binding.toggle)
                .chain(binding.fixed.iter().map(|(_, m)| m))
                .map(|m| &m.topic);
            ports.chain(messages).any(|topic| own(topic))
        })
    }

    /// Adds the devices announced, and the areas they suggest, to those the operator declared. Identifiers are unique
    /// then, and so are names within an area. A declared device that binds the same commands replaces the announced one; a
    /// declared device of the same identifier that binds none takes over how the announced one is commanded, and where it stands
    /// unless it says so itself.
    pub fn furnish(&self, areas: Vec<Area>, declared: Vec<Device>) -> AssembledHome {
        let bound: HashSet<String> = declared.iter().flat_map(commands).collect();
        let mut unbound: HashMap<Slug, usize> = HashMap::new();
        for (index, device) in declared
            .iter()
            .enumerate()
            .filter(|(_, device)| commands(device).next().is_none())
        {
            unbound.insert(device.id.clone(), index);
        }
        let mut tags = Tags::new(areas, &declared);
        let mut devices = declared;
        let mut origins = HashMap::new();
        let mut alike: HashMap<Slug, usize> = HashMap::new();
        for piece in self.pieces() {
            if commands(&piece.device).any(|command| bound.contains(&command)) {
                continue;
            }
            let wanted = crate::discovery::names::slug(&piece.device.name).and_then(|id| {
                let nth = alike.entry(id.clone()).or_insert(0);
                *nth += 1;
                tags::numbered(&id, *nth)
            });
            let id = if let Some(index) = wanted.and_then(|id| unbound.remove(&id)) {
                adopt(&mut devices[index], piece.device);
                tags.place(&mut devices[index], piece.area.as_deref());
                devices[index].id.clone()
            } else {
                let device = tags.tag(piece.device, piece.area.as_deref());
                let id = device.id.clone();
                devices.push(device);
                id
            };
            origins.insert(id, piece.origin);
        }
        AssembledHome {
            areas: tags.areas(),
            devices,
            origins,
        }
    }

    /// The devices announced, each once.
    fn pieces(&self) -> Vec<DevicePart> {
        let mut bodies: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
        for found in self.announced.values().flatten() {
            bodies.entry(&found.unique).or_default().push(found);
        }
        let chosen: Vec<(&str, Vec<&Found>)> = bodies
            .into_iter()
            .map(|(unique, found)| (unique, best(found)))
            .collect();
        let mut can: HashMap<&str, Vec<&Found>> = HashMap::new();
        for (unique, found) in &chosen {
            can.insert(
                unique,
                found
                    .iter()
                    .copied()
                    .filter(|f| f.members.is_empty())
                    .collect(),
            );
        }
        chosen
            .iter()
            .flat_map(|(_, found)| assemble(found, &can))
            .collect()
    }
}

/// What a home is made of, and who told of it.
#[derive(Debug, Clone, Default)]
pub struct AssembledHome {
    /// The areas declared, and those suggested.
    pub areas: Vec<Area>,
    /// The devices declared, and those announced.
    pub devices: Vec<Device>,
    /// Who announced which of them; whoever is not here was declared alone.
    pub origins: HashMap<Slug, Origin>,
}

/// A device before it has its place among the others.
struct DevicePart {
    device: Device,
    area: Option<String>,
    origin: Origin,
}

/// What the first origin says of a physical device, unless it only reads what a later one can set.
fn best(found: Vec<&Found>) -> Vec<&Found> {
    let settable = |f: &&Found| f.device.capabilities.iter().any(|c| c.settable);
    let first = |found: &mut dyn Iterator<Item = Origin>| found.min();
    let winner = first(&mut found.iter().filter(|f| settable(f)).map(|f| f.origin))
        .or_else(|| first(&mut found.iter().map(|f| f.origin)));
    found
        .into_iter()
        .filter(|f| Some(f.origin) == winner)
        .collect()
}

/// What is spoken to under its own name, the most telling first; all else is a part of such a thing.
const MAINS: [&str; 13] = [
    "lock",
    "cover",
    "climate",
    "water_heater",
    "humidifier",
    "fan",
    "vacuum",
    "lawn_mower",
    "valve",
    "light",
    "switch",
    "siren",
    "media_player",
];

fn rank(kind: &Kind) -> Option<usize> {
    MAINS.iter().position(|main| *main == kind.as_str())
}

/// The devices one physical device is to people.
fn assemble(found: &[&Found], can: &HashMap<&str, Vec<&Found>>) -> Vec<DevicePart> {
    let is_mute = |f: &Found| {
        f.device
            .capabilities
            .iter()
            .all(|c| c.property == Property::Mute)
    };
    let is_part = |f: &Found| {
        matches!(
            f.device.kind.as_str(),
            "sensor" | "binary_sensor" | "number" | "select"
        ) || is_mute(f)
    };
    let (parts, mains): (Vec<&Found>, Vec<&Found>) =
        found.iter().copied().partition(|f| is_part(f));
    let top = mains.iter().filter_map(|f| rank(&f.device.kind)).min();
    let hosts = mains
        .iter()
        .filter(|f| rank(&f.device.kind).is_some())
        .count();
    let alone = mains
        .iter()
        .filter(|f| top.is_some() && rank(&f.device.kind) == top)
        .count()
        == 1;
    let mut parts: Vec<Found> = parts.into_iter().cloned().collect();
    let mut pieces = Vec::new();
    for main in &mains {
        let mut device = main.device.clone();
        if !main.members.is_empty() && !fit_group(&mut device, &main.members, can) {
            continue;
        }
        if alone && rank(&device.kind) == top {
            for mut part in parts.drain(..) {
                // What else can be set on a lock (how soon it locks again) may leave it open.
                for setting in part
                    .device
                    .capabilities
                    .iter_mut()
                    .filter(|c| c.settable && device.kind.as_str() == "lock")
                {
                    setting.guard.opening = Risk::Confirm;
                }
                gather(&mut device.capabilities, part.device.capabilities);
            }
        }
        be_player(&mut device);
        if hosts == 1 && rank(&device.kind).is_some() {
            device.aliases = alias(main).into_iter().collect();
        }
        pieces.push(DevicePart {
            device,
            area: main.suggested_area.clone(),
            origin: main.origin,
        });
    }
    pieces.extend(rest(parts));
    pieces
}

/// A switch with a volume or something to play is a media player, which nobody can announce as one.
fn be_player(device: &mut Device) {
    let plays = |c: &Capability| {
        c.settable
            && matches!(
                c.property,
                Property::Volume | Property::Mute | Property::Playback
            )
    };
    if device.kind.as_str() == "switch"
        && device.capabilities.iter().any(plays)
        && let Ok(player) = Slug::new("media_player")
    {
        device.kind = Kind::new(player);
    }
}

/// The physical device's own name, where it is another than the thing's and not just the room's.
fn alias(found: &Found) -> Option<String> {
    let called = found.called.clone()?;
    let same = |other: &str| other.to_lowercase() == called.to_lowercase();
    (!same(&found.device.name) && !found.suggested_area.as_deref().is_some_and(same))
        .then_some(called)
}

/// The parts nobody hosts are a device by themselves.
fn rest(parts: Vec<Found>) -> Option<DevicePart> {
    let settable = |p: &&Found| p.device.capabilities.iter().any(|c| c.settable);
    let telling = parts
        .iter()
        .find(settable)
        .or_else(|| parts.iter().find(|p| p.device.kind.as_str() == "sensor"));
    let kind = telling.or(parts.first())?.device.kind.clone();
    let area = parts.iter().find_map(|p| p.suggested_area.clone());
    let origin = parts.first()?.origin;
    let mut parts = parts.into_iter();
    let first = parts.next()?;
    let mut device = Device {
        name: first.called.unwrap_or(first.device.name),
        kind,
        ..first.device
    };
    // A temperature is no class for a device that tells five things.
    for part in parts {
        device.class = device
            .class
            .filter(|class| part.device.class.as_ref() == Some(class));
        gather(&mut device.capabilities, part.device.capabilities);
    }
    Some(DevicePart {
        device,
        area,
        origin,
    })
}

fn gather(into: &mut Vec<Capability>, more: Vec<Capability>) {
    for capability in more {
        if into.len() < MOST_CAPABILITIES && !into.iter().any(|c| c.property == capability.property)
        {
            into.push(capability);
        }
    }
}

/// A group can do what any member can, and is of its members' kind. False where no member is known.
fn fit_group(group: &mut Device, members: &[String], can: &HashMap<&str, Vec<&Found>>) -> bool {
    let known: Vec<&&Found> = members
        .iter()
        .filter_map(|m| can.get(m.as_str()))
        .flatten()
        .collect();
    let able: HashSet<&Property> = known
        .iter()
        .flat_map(|f| &f.device.capabilities)
        .filter(|c| c.settable)
        .map(|c| &c.property)
        .collect();
    group.capabilities.retain(|c| able.contains(&c.property));
    let kind = known
        .iter()
        .map(|f| &f.device.kind)
        .filter(|kind| rank(kind).is_some())
        .min_by_key(|kind| rank(kind));
    if let Some(kind) = kind {
        group.kind = kind.clone();
        group.class = known
            .iter()
            .find(|f| f.device.kind == *kind)
            .and_then(|f| f.device.class.clone());
    }
    group.apply_default_guards();
    !group.capabilities.is_empty()
}

/// The declared device keeps its name, place and kind, and is commanded as the announced one is.
fn adopt(declared: &mut Device, announced: Device) {
    let Device {
        mut capabilities,
        class,
        availability,
        ..
    } = announced;
    for capability in &mut capabilities {
        // The stricter of both, where the operator said nothing: the announcement knows that it is a gate.
        if let Some(own) = declared.capability(&capability.property) {
            capability.guard.opening = capability.guard.opening.max(own.guard.opening);
            capability.guard.otherwise = capability.guard.otherwise.max(own.guard.otherwise);
        }
    }
    declared.class = declared.class.take().or(class);
    declared.capabilities = capabilities;
    declared.availability = availability;
    declared.apply_operator_risks();
}

/// What the device is told where, in a form that is the same for every way to declare it.
fn commands(device: &Device) -> impl Iterator<Item = String> {
    device.capabilities.iter().flat_map(|c| {
        let port = c.binding.command.iter().map(|port| match &port.form {
            Form::Field(keys) => format!("{} {}", port.topic, keys.join(".")),
            Form::Raw | Form::Template(_) => port.topic.clone(),
        });
        // A message in JSON shares its topic with others of the same device.
        let fixed = c.binding.fixed.iter().map(|(_, m)| {
            if m.payload.starts_with('{') {
                format!("{} {}", m.topic, m.payload)
            } else {
                m.topic.clone()
            }
        });
        port.chain(fixed)
    })
}

#[cfg(test)]
mod tests;
