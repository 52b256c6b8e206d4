//! The path from announcements to the devices of a home: merge by physical device, choose the
//! ecosystem, compose the parts, let declared devices take over, and give identifiers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::home::device::{Area, Device};
use crate::vocabulary::slug::Slug;

use crate::discovery::announcement::{AnnouncedDevice, Origin};
use crate::discovery::names;
use crate::discovery::registry::adopt::{Adoption, bind};
use crate::discovery::registry::command_keys::{command_keys, command_roots};
use crate::discovery::registry::compose::{DevicePart, KnownMembers, compose, is_main};
use crate::discovery::registry::entry::RegistryEntry;
use crate::discovery::registry::identifiers::Identifiers;

/// Areas and devices of a home, and where the devices are known from.
#[derive(Debug, Clone, Default)]
pub struct AssembledHome {
    /// Declared areas, then those that announcements suggest.
    pub areas: Vec<Area>,
    /// Declared devices, then the announced ones in the order of their first announcement.
    pub devices: Vec<Device>,
    /// Ecosystem that announced a device. A device that is only declared has none.
    pub origins: HashMap<Slug, Origin>,
    /// Value of `announced` that binds a table of the home file to a device, for devices whose name
    /// is not enough.
    pub bindings: HashMap<Slug, String>,
    /// Declared devices whose announcement is missing, as sentences.
    pub unmet: Vec<String>,
    /// Conflicts an operator should know of, as sentences.
    pub conflicts: Vec<String>,
}

/// All announcements of one physical device.
struct DeviceEntries<'a> {
    order: u64,
    entries: Vec<(&'a str, &'a RegistryEntry)>,
    /// The entry of the bridge's own list, which alone knows its members and its number.
    listed: Option<&'a AnnouncedDevice>,
}

/// Assembles a home from `entries` in the order of their first announcement, each with its topic.
pub(super) fn assemble(
    entries: &[(&str, &RegistryEntry)],
    areas: Vec<Area>,
    declared: Vec<Device>,
) -> AssembledHome {
    let bound: BTreeSet<String> = declared.iter().flat_map(command_keys).collect();
    let mut conflicts = Vec::new();
    let bodies = bodies(entries, &mut conflicts);
    let members = capabilities_of_members(&bodies);
    let mut parts: Vec<DevicePart> = Vec::new();
    for body in &bodies {
        for mut part in compose(&body.entries, &members) {
            if let Some(listed) = body.listed {
                part.device.members = listed.device.members.clone();
                part.device.bridge_id.clone_from(&listed.device.bridge_id);
            }
            parts.push(part);
        }
    }
    let taken = names_of_bound(&declared);
    let mut identifiers = Identifiers::new(areas, &declared);
    let mut adoption = Adoption::new(&declared);
    let mut devices = declared;
    let mut origins = HashMap::new();
    let mut bindings = HashMap::new();
    let mut sources = BindingSources::new(&parts);
    for part in parts {
        let source = sources.source(&part);
        let keys = command_keys(&part.device);
        if !keys.is_disjoint(&bound) {
            learn_members(&mut devices, &part.device, &keys);
            continue;
        }
        let id = if let Some(index) = adoption.claim(&part, &devices, &mut conflicts) {
            bind(&mut devices[index], part.device);
            identifiers.place(&mut devices[index], part.area.as_deref());
            devices[index].id.clone()
        } else {
            let mut device = identifiers.assign(part.device, part.area.as_deref());
            device.physical = Some(part.unique.clone());
            conflicts.extend(give_way(&mut device, &taken, &part.topic));
            let id = device.id.clone();
            let is_enough = names::slug(&device.name).as_ref() == Some(&id);
            if let Some(source) = source.filter(|_| device.is_entrance() || !is_enough) {
                bindings.insert(id.clone(), source);
            }
            devices.push(device);
            id
        };
        origins.insert(id, part.origin);
    }
    conflicts.extend(equal_names(&devices));
    let unmet = adoption.unmet(&devices);
    AssembledHome {
        areas: identifiers.areas(),
        devices,
        origins,
        bindings,
        unmet,
        conflicts,
    }
}

/// Gives the members of a group that its bridge lists to the declared device that commands it.
fn learn_members(devices: &mut [Device], group: &Device, keys: &BTreeSet<String>) {
    // Only the list of a bridge names members.
    if group.members.ids.is_empty() {
        return;
    }
    for device in devices {
        if !command_keys(device).is_disjoint(keys) {
            device.members.learn(group.members.clone());
        }
    }
}

/// The address or topic of each announcement, as far as it identifies one device only.
struct BindingSources {
    /// Number of devices announced on each topic.
    by_topic: HashMap<String, usize>,
    /// Addresses of which a device was seen: the first device of an address is bound to it.
    addresses: HashSet<String>,
}

impl BindingSources {
    fn new(parts: &[DevicePart]) -> Self {
        let mut by_topic: HashMap<String, usize> = HashMap::new();
        for part in parts {
            *by_topic.entry(part.topic.clone()).or_default() += 1;
        }
        Self {
            by_topic,
            addresses: HashSet::new(),
        }
    }

    /// Returns the address of the device, or its topic. A list of a bridge has one topic for all
    /// its devices.
    fn source(&mut self, part: &DevicePart) -> Option<String> {
        if names::is_address(&part.unique) && self.addresses.insert(part.unique.clone()) {
            return Some(part.unique.clone());
        }
        let is_only = self.by_topic.get(&part.topic) == Some(&1);
        (is_only && part.origin != Origin::Zigbee2mqtt).then(|| part.topic.clone())
    }
}

/// Groups the announcements by physical device: those with the same identity, and those of
/// different ecosystems that command the same.
fn bodies<'a>(
    entries: &[(&'a str, &'a RegistryEntry)],
    conflicts: &mut Vec<String>,
) -> Vec<DeviceEntries<'a>> {
    let mut by_unique: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_command: HashMap<String, (usize, Origin)> = HashMap::new();
    let mut groups: Vec<Vec<(&str, &RegistryEntry)>> = Vec::new();
    for &(topic, entry) in entries {
        let announced = &entry.announced;
        let keys = command_keys(&announced.device);
        let same_command = keys
            .iter()
            .filter_map(|key| by_command.get(key))
            .find(|(_, origin)| *origin != announced.origin)
            .map(|(group, _)| *group);
        let known = by_unique.get(announced.unique.as_str()).copied();
        let group = known.or(same_command).unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        by_unique.entry(&announced.unique).or_insert(group);
        for key in keys {
            by_command.entry(key).or_insert((group, announced.origin));
        }
        groups[group].push((topic, entry));
    }
    let mut bodies = Vec::new();
    for group in groups {
        let Some(order) = group.iter().map(|(_, entry)| entry.order).min() else {
            continue;
        };
        let announced = group.iter().map(|(_, entry)| &entry.announced);
        let listed = announced
            .filter(|announced| announced.device.bridge_id.is_some())
            .find(|announced| announced.device.kind.as_str() != "scene");
        let entries = of_one_origin(group, conflicts);
        bodies.push(DeviceEntries {
            order,
            entries,
            listed,
        });
    }
    bodies.sort_by_key(|body| body.order);
    bodies
}

/// Returns the announcements of the first ecosystem in the order of [`Origin`], unless it only
/// reads a property that a later one can set, or does not describe the same device as the later
/// one.
fn of_one_origin<'a>(
    group: Vec<(&'a str, &'a RegistryEntry)>,
    conflicts: &mut Vec<String>,
) -> Vec<(&'a str, &'a RegistryEntry)> {
    let mut origins: Vec<Origin> = group.iter().map(|(_, e)| e.announced.origin).collect();
    origins.sort();
    origins.dedup();
    if origins.len() < 2 {
        return group;
    }
    let of = |origin: Origin| -> Vec<&AnnouncedDevice> {
        let announced = group.iter().map(|(_, entry)| &entry.announced);
        announced.filter(|a| a.origin == origin).collect()
    };
    let is_able = |origin: &Origin| {
        let mut announced = of(*origin).into_iter();
        announced.any(|announced| !command_keys(&announced.device).is_empty())
    };
    let able: Vec<Origin> = origins.iter().copied().filter(is_able).collect();
    let mut chosen = able.first().or(origins.first()).copied();
    if let (Some(first), Some(last)) = (able.first().copied(), able.last().copied())
        && first != last
        && let Some(difference) = difference(&of(first), &of(last))
    {
        chosen = Some(last);
        if let Some((topic, entry)) = group.iter().find(|(_, e)| e.announced.origin == first) {
            conflicts.push(format!(
                "`{topic}` announces `{}` {difference} {last:?} does: it is not used",
                entry.announced.device.name
            ));
        }
    }
    let chosen = chosen.unwrap_or(Origin::HomeAssistant);
    group
        .into_iter()
        .filter(|(_, entry)| entry.announced.origin == chosen)
        .collect()
}

/// Returns the difference between the announcements of one physical device by two ecosystems, as
/// the middle of a sentence, or `None` if the first describe the same device as the others.
fn difference(first: &[&AnnouncedDevice], others: &[&AnnouncedDevice]) -> Option<&'static str> {
    let roots = |announced: &[&AnnouncedDevice]| -> BTreeSet<String> {
        let roots = announced.iter().flat_map(|a| command_roots(&a.device));
        roots.collect()
    };
    if !all_below(&roots(first), &roots(others)) {
        return Some("with other topics than");
    }
    let keys: BTreeSet<String> = first.iter().flat_map(|a| command_keys(&a.device)).collect();
    let mains = others.iter().filter(|announced| is_main(announced));
    let is_missing = |main: &&AnnouncedDevice| {
        let of_main = command_keys(&main.device);
        !of_main.is_empty() && of_main.is_disjoint(&keys)
    };
    if mains.clone().any(is_missing) {
        return Some("with fewer commands than");
    }
    // A switch in place of a lock would open it without a confirmation.
    let is_weaker = |main: &&AnnouncedDevice| {
        main.device.is_entrance() && !first.iter().any(|a| a.device.kind == main.device.kind)
    };
    if mains.clone().any(is_weaker) {
        return Some("as another type of device than");
    }
    None
}

/// Returns whether each topic is one of `others`, or below one of them.
fn all_below(topics: &BTreeSet<String>, others: &BTreeSet<String>) -> bool {
    topics.iter().all(|topic| {
        others.iter().any(|other| {
            let rest = topic.strip_prefix(other.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    })
}

/// Returns for each physical device the announcements a group can learn its capabilities from.
fn capabilities_of_members<'a>(bodies: &[DeviceEntries<'a>]) -> KnownMembers<'a> {
    let mut members = KnownMembers::new();
    for (_, entry) in bodies.iter().flat_map(|body| &body.entries) {
        let announced = &entry.announced;
        if announced.device.members.ids.is_empty() {
            let of_device = members.entry(&announced.unique).or_default();
            of_device.push(announced);
        }
    }
    members
}

/// Returns the names, in the form they are compared in, of declared devices with topics of their
/// own.
fn names_of_bound(declared: &[Device]) -> HashSet<String> {
    let bound = declared.iter().filter(|device| {
        let mut capabilities = device.capabilities.iter();
        capabilities.any(|capability| capability.command_topics().next().is_some())
    });
    bound
        .flat_map(|device| std::iter::once(&device.name).chain(&device.aliases))
        .map(|name| names::comparable(name))
        .collect()
}

/// Gives an announced device that can be commanded another name if the operator has declared a
/// device with topics of its own under this one: the declared device is meant by the name. Returns
/// a sentence for the operator.
fn give_way(device: &mut Device, taken: &HashSet<String>, topic: &str) -> Option<String> {
    if !device
        .capabilities
        .iter()
        .any(|capability| capability.settable)
    {
        return None;
    }
    device
        .aliases
        .retain(|alias| !taken.contains(&names::comparable(alias)));
    if !taken.contains(&names::comparable(&device.name)) {
        return None;
    }
    let name = format!("{} (announced)", device.name);
    let sentence = format!(
        "`{topic}` announces another `{}`: the one in home.toml keeps the name, this one is called \
         `{name}`",
        device.name
    );
    device.name = name;
    Some(sentence)
}

/// Returns a sentence for each device that has the name of an earlier one in the same area.
fn equal_names(devices: &[Device]) -> Vec<String> {
    let mut first: HashMap<(Option<&Slug>, String), &Device> = HashMap::new();
    let mut reported: HashSet<&Slug> = HashSet::new();
    let mut sentences = Vec::new();
    for device in devices {
        for name in std::iter::once(&device.name).chain(&device.aliases) {
            let key = (device.area.as_ref(), names::comparable(name));
            let other = *first.entry(key).or_insert(device);
            if other.id != device.id && reported.insert(&device.id) {
                sentences.push(format!(
                    "devices `{}` and `{}` are both called `{name}`: give one of them another name \
                     or area in home.toml",
                    other.id, device.id
                ));
            }
        }
    }
    sentences
}
