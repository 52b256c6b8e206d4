//! Composition of the announced parts of one physical device into the devices it is to people.

use std::collections::{HashMap, HashSet};

use crate::home::capability::{Capability, Risk};
use crate::home::device::{Device, Kind};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Domain, Property};

use crate::discovery::announcement::{AnnouncedDevice, Origin};
use crate::discovery::registry::entry::RegistryEntry;
use crate::discovery::{names, readings};

/// Largest number of capabilities one device may gather from its parts.
const MAX_CAPABILITIES: usize = 64;

/// Types of devices that have a name of their own, the most important first. All other types are
/// parts of such a device.
const MAIN_KINDS: [&str; 14] = [
    "lock",
    "alarm_control_panel",
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

/// A device before it has its identifier.
pub(super) struct DevicePart {
    pub(super) device: Device,
    /// Name of the area the announcement suggests.
    pub(super) area: Option<String>,
    pub(super) origin: Origin,
    /// Topic it was announced on.
    pub(super) topic: String,
    /// Identity of the physical device.
    pub(super) unique: String,
}

/// Capabilities of the members of groups, by the identity of the physical device.
pub(super) type KnownMembers<'a> = HashMap<&'a str, Vec<&'a AnnouncedDevice>>;

fn rank(kind: &Kind) -> Option<usize> {
    MAIN_KINDS.iter().position(|main| *main == kind.as_str())
}

/// Returns whether the entity is one of the devices that people name, not a part of another.
pub(super) fn is_main(announced: &AnnouncedDevice) -> bool {
    rank(&announced.device.kind).is_some() && !is_part(announced)
}

/// Returns whether the entity is a part of another device: a reading, a setting, or the switch that
/// mutes it.
fn is_part(announced: &AnnouncedDevice) -> bool {
    let kind = announced.device.kind.as_str();
    let capabilities = &announced.device.capabilities;
    matches!(kind, "sensor" | "binary_sensor" | "number" | "select")
        || capabilities.iter().all(|c| c.property == Property::Mute)
}

/// Returns the devices that the entities of one physical device are to people. Parts belong to the
/// main device, if there is one of the most important type; otherwise they are a device by
/// themselves.
pub(super) fn compose(
    entries: &[(&str, &RegistryEntry)],
    members: &KnownMembers<'_>,
) -> Vec<DevicePart> {
    let (parts, mains): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|(topic, entry)| (*topic, &entry.announced))
        .partition(|(_, announced)| is_part(announced));
    let ranks: Vec<usize> = mains
        .iter()
        .filter_map(|(_, main)| rank(&main.device.kind))
        .collect();
    let top = ranks.iter().min().copied();
    let has_one_host = ranks.iter().filter(|rank| Some(**rank) == top).count() == 1;
    let mut parts: Vec<(&str, AnnouncedDevice)> = parts
        .into_iter()
        .map(|(topic, part)| (topic, part.clone()))
        .collect();
    let mut composed = Vec::new();
    for (topic, main) in mains {
        let mut device = main.device.clone();
        if is_listed_group(main) && !fit_group(&mut device, members) {
            continue;
        }
        let main_rank = rank(&device.kind);
        if has_one_host && main_rank.is_some() && main_rank == top {
            for (_, part) in parts.drain(..) {
                add_part(&mut device, part);
            }
        }
        make_media_player(&mut device);
        if ranks.len() == 1 && main_rank.is_some() {
            device.aliases.extend(physical_alias(main));
            device.raise_to_default_guards();
        }
        composed.push(DevicePart {
            device,
            area: main.suggested_area.clone(),
            origin: main.origin,
            topic: topic.to_owned(),
            unique: main.unique.clone(),
        });
    }
    composed.extend(join_parts(parts));
    tell_apart(&mut composed);
    for part in &mut composed {
        name_state(&mut part.device);
    }
    composed
}

/// Gives the devices of one physical device that can be commanded different names: the long name of
/// Home Assistant, or else the type behind the name, and a number where two are of one type. The
/// most important one keeps the name if it has no long one.
fn tell_apart(composed: &mut [DevicePart]) {
    let mut of_name: HashMap<String, Vec<usize>> = HashMap::new();
    let can_be_set = |device: &Device| device.capabilities.iter().any(|c| c.settable);
    for (index, part) in composed.iter().enumerate() {
        if !can_be_set(&part.device) {
            continue;
        }
        let name = names::comparable(&part.device.name);
        of_name.entry(name).or_default().push(index);
    }
    for indexes in of_name.into_values().filter(|indexes| indexes.len() > 1) {
        let rank_of = |index: &usize| rank(&composed[*index].device.kind);
        let ranks: Vec<usize> = indexes.iter().filter_map(rank_of).collect();
        let top = ranks.iter().min().copied();
        let mut of_kind: HashMap<Kind, usize> = HashMap::new();
        for index in indexes {
            let device = &mut composed[index].device;
            if let Some(long) = take_long_name(device) {
                rename(device, long);
                continue;
            }
            let nth = of_kind.entry(device.kind.clone()).or_default();
            *nth += 1;
            let mut long = device.name.clone();
            if rank(&device.kind) != top {
                long = format!("{long} {}", device.kind.as_str().replace('_', " "));
            }
            if *nth > 1 {
                long = format!("{long} {nth}");
            }
            if long != device.name {
                rename(device, long);
            }
        }
    }
}

/// Returns the alias that begins with the device's name, and removes it from the aliases.
fn take_long_name(device: &mut Device) -> Option<String> {
    let is_long = |alias: &String| alias.starts_with(&device.name);
    let at = device.aliases.iter().position(is_long)?;
    Some(device.aliases.remove(at))
}

fn rename(device: &mut Device, name: String) {
    if let Some(id) = names::slug(&name) {
        device.id = id;
    }
    device.name = name;
}

/// Names a reading of on and off that has the name of its device by what it is: in "is the
/// dishwasher on" the dishwasher is the device.
fn name_state(device: &mut Device) {
    let own_name = names::slug(&device.name);
    let state = Property::from(readings::STATE);
    let is_on_off = |capability: &Capability| {
        !capability.settable && capability.domain == Domain::words(&["on", "off"])
    };
    let has_state = device.capability(&state).is_some();
    let own = device.capabilities.iter_mut().find(|capability| {
        let is_own = own_name
            .as_ref()
            .is_some_and(|own| own.as_str() == capability.property.name());
        is_own && is_on_off(capability) && !has_state
    });
    if let Some(own) = own {
        own.property = state;
    }
}

fn add_part(device: &mut Device, mut part: AnnouncedDevice) {
    // A setting of a lock, such as how soon it locks again, may leave it open.
    if device.kind.as_str() == "lock" {
        for setting in part.device.capabilities.iter_mut().filter(|c| c.settable) {
            setting.guard.opening = Risk::Confirm;
        }
    }
    add_capabilities(&mut device.capabilities, part.device.capabilities);
}

fn add_capabilities(into: &mut Vec<Capability>, more: Vec<Capability>) {
    for capability in more {
        let is_known = into.iter().any(|c| c.property == capability.property);
        if !is_known && into.len() < MAX_CAPABILITIES {
            into.push(capability);
        }
    }
}

/// Makes a switch with a volume or playback a media player, which Home Assistant has not over MQTT.
fn make_media_player(device: &mut Device) {
    let plays = |c: &Capability| {
        let property = &c.property;
        let is_media = matches!(
            property,
            Property::Volume | Property::Mute | Property::Playback
        );
        c.settable && is_media
    };
    if device.kind.as_str() == "switch"
        && device.capabilities.iter().any(plays)
        && let Ok(player) = Slug::new("media_player")
    {
        device.kind = Kind::new(player);
    }
}

/// Returns the name of the physical device, if it is neither the entity's name nor the area's.
fn physical_alias(announced: &AnnouncedDevice) -> Option<String> {
    let name = announced.physical_name.clone()?;
    let lower = name.to_lowercase();
    let is_own_name = announced.device.name.to_lowercase() == lower;
    let area = announced
        .suggested_area
        .as_ref()
        .map(|area| area.to_lowercase());
    (!is_own_name && area != Some(lower)).then_some(name)
}

/// Returns parts without a main device as one device, of the type of the first that can be set, or
/// that is a sensor.
fn join_parts(parts: Vec<(&str, AnnouncedDevice)>) -> Option<DevicePart> {
    let can_be_set = |part: &AnnouncedDevice| part.device.capabilities.iter().any(|c| c.settable);
    let settable = parts.iter().find(|(_, part)| can_be_set(part));
    let sensor = || {
        parts
            .iter()
            .find(|(_, part)| part.device.kind.as_str() == "sensor")
    };
    let (_, typical) = settable.or_else(sensor).or(parts.first())?;
    let kind = typical.device.kind.clone();
    let area = parts
        .iter()
        .find_map(|(_, part)| part.suggested_area.clone());
    let mut parts = parts.into_iter();
    let (topic, first) = parts.next()?;
    let mut device = Device {
        name: first.physical_name.unwrap_or(first.device.name),
        kind,
        ..first.device
    };
    for (_, part) in parts {
        // A class is that of the whole only if all parts have it.
        if device.class != part.device.class {
            device.class = None;
        }
        add_capabilities(&mut device.capabilities, part.device.capabilities);
    }
    device.raise_to_default_guards();
    Some(DevicePart {
        device,
        area,
        origin: first.origin,
        topic: topic.to_owned(),
        unique: first.unique,
    })
}

/// Returns whether the device is a group that was announced with the list of its members, so that
/// it has the abilities of all of them.
fn is_listed_group(announced: &AnnouncedDevice) -> bool {
    let device = &announced.device;
    announced.origin == Origin::Zigbee2mqtt
        && device.kind.as_str() != "scene"
        && !device.members.ids.is_empty()
}

/// Restricts a group to the abilities of its members, and gives it the type of the most important
/// one. Returns whether a member is known.
fn fit_group(group: &mut Device, members: &KnownMembers<'_>) -> bool {
    let ids = group.members.ids.iter();
    let known: Vec<&AnnouncedDevice> = ids
        .filter_map(|id| members.get(id.as_str()))
        .flatten()
        .copied()
        .collect();
    let properties: HashSet<&Property> = known
        .iter()
        .flat_map(|member| &member.device.capabilities)
        .filter(|c| c.settable)
        .map(|c| &c.property)
        .collect();
    group
        .capabilities
        .retain(|c| properties.contains(&c.property));
    let main = known
        .iter()
        .filter(|member| rank(&member.device.kind).is_some())
        .min_by_key(|member| rank(&member.device.kind));
    if let Some(main) = main {
        group.kind = main.device.kind.clone();
        group.class.clone_from(&main.device.class);
    }
    group.apply_default_guards();
    !group.capabilities.is_empty()
}
