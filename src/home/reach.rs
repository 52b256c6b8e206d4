//! The devices that a message can move: those bound to its address, members of groups, and devices
//! under other names.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::binding::Publication;
use crate::binding::address::{self, Address, Reach};
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::shared_str::SharedStr;

/// Lookup tables over the devices of one home. Devices are positions in its list.
#[derive(Debug, Default)]
pub(super) struct ReachIndex {
    by_address: HashMap<Address, Vec<usize>>,
    by_member_id: HashMap<String, Vec<usize>>,
    /// Topics whose messages are addressed to one device alone, with any payload, and that device.
    own_topics: foldhash::HashMap<SharedStr, usize>,
}

/// One device that a message can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// The position of the device.
    pub(super) device: usize,
    /// True where it is not certain that the message moves the device, only that it could.
    pub(super) possible: bool,
}

impl ReachIndex {
    pub(super) fn new(devices: &[Device]) -> Self {
        let mut index = Self::default();
        for (position, device) in devices.iter().enumerate() {
            let mut addresses: Vec<Address> = device_addresses(device);
            addresses.extend(bridge_addresses(device));
            for address in addresses {
                push_once(index.by_address.entry(address).or_default(), position);
            }
            let ids = [Some(device.id.as_str()), device.bridge_id.as_deref()];
            for id in ids.into_iter().flatten() {
                push_once(
                    index.by_member_id.entry(id.to_lowercase()).or_default(),
                    position,
                );
            }
        }
        for (position, device) in devices.iter().enumerate() {
            for topic in topics(device) {
                // Most capabilities of a device share a topic.
                if !index.own_topics.contains_key(topic) && index.is_own(topic, position) {
                    index.own_topics.insert(topic.clone(), position);
                }
            }
        }
        index
    }

    /// Returns whether a message on `topic` is addressed to the device at `position` alone, with
    /// any payload.
    fn is_own(&self, topic: &str, position: usize) -> bool {
        let is_alone = |address| self.at(address).iter().all(|device| *device == position);
        address::reaches_recipients_only(topic) && address::recipients(topic).iter().all(is_alone)
    }

    /// Returns every device other than `commanded` that `publication` can move.
    pub(super) fn reached(
        &self,
        devices: &[Device],
        commanded: usize,
        publication: &Publication,
    ) -> Vec<Reached> {
        let mut walk = Walk::new(commanded);
        if self.own_topics.get(&publication.topic) != Some(&commanded) {
            self.add_addressed(devices, publication, &mut walk);
        }
        while let Some(next) = walk.next() {
            let device = &devices[next.device];
            for id in &device.members.ids {
                let members = self.by_member_id.get(&id.to_lowercase());
                match members {
                    Some(members) => walk.add_all(members, next.possible),
                    None => walk.add_all(&self.could_contain(devices, device), true),
                }
            }
            if !device.members.complete {
                walk.add_all(&self.could_contain(devices, device), true);
            }
            // A member may be bound under another name as well, which has guards of its own.
            if next.device != commanded {
                for address in device_recipients(device) {
                    walk.add_all(self.at(&address), next.possible);
                }
            }
        }
        walk.found
    }

    /// Adds the devices that the topic and the payload of `publication` address.
    fn add_addressed(&self, devices: &[Device], publication: &Publication, walk: &mut Walk) {
        let addresses = address::recipients(&publication.topic);
        for address in &addresses {
            walk.add_all(self.at(address), false);
        }
        let known_number = || addresses.iter().any(|a| self.is_vouched(devices, a));
        match address::reach(&publication.topic, &publication.payload) {
            Reach::Bound => {}
            Reach::Base(_) if known_number() => {}
            reach => walk.add_all(&self.could_reach(devices, &reach), true),
        }
    }

    /// Returns every device that some message to `commanded` may move.
    pub(super) fn together(&self, devices: &[Device], commanded: usize) -> Vec<usize> {
        let mut walk = Walk::new(commanded);
        while let Some(next) = walk.next() {
            let device = &devices[next.device];
            for address in device_recipients(device) {
                walk.add_all(self.at(&address), false);
            }
            for id in &device.members.ids {
                if let Some(members) = self.by_member_id.get(&id.to_lowercase()) {
                    walk.add_all(members, false);
                }
            }
            if !device.members.complete {
                walk.add_all(&self.could_contain(devices, device), true);
            }
        }
        walk.found.iter().map(|found| found.device).collect()
    }

    fn at(&self, address: &Address) -> &[usize] {
        self.by_address.get(address).map_or(&[], Vec::as_slice)
    }

    /// Returns whether the bridge itself reported which device a number stands for.
    fn is_vouched(&self, devices: &[Device], address: &Address) -> bool {
        self.at(address)
            .iter()
            .any(|&position| bridge_addresses(&devices[position]).contains(address))
    }

    /// Returns the devices a group with unknown members could contain: those of its bridges, or all
    /// if it has none.
    fn could_contain(&self, devices: &[Device], group: &Device) -> Vec<usize> {
        let bases: HashSet<String> = device_addresses(group)
            .iter()
            .filter_map(|a| address::base(a).map(str::to_owned))
            .filter(|base| !base.is_empty())
            .collect();
        if bases.is_empty() {
            return self.could_reach(devices, &Reach::Everything);
        }
        let of_each = bases.into_iter().map(Reach::Base);
        let unique: BTreeSet<usize> = of_each
            .flat_map(|base| self.could_reach(devices, &base))
            .collect();
        unique.into_iter().collect()
    }

    fn could_reach(&self, devices: &[Device], reach: &Reach) -> Vec<usize> {
        let fits = |address: &Address| match reach {
            Reach::Bound => false,
            Reach::Everything => true,
            Reach::Tasmota => matches!(address, Address::Tasmota(_)),
            Reach::Base(base) => address::base(address)
                .is_some_and(|own| own == base || own.starts_with(&format!("{base}/"))),
        };
        let all = || 0..devices.len();
        if *reach == Reach::Everything {
            return all().collect();
        }
        let positions = self
            .by_address
            .iter()
            .filter(|(address, _)| fits(address))
            .flat_map(|(_, positions)| positions.iter().copied());
        let unique: HashSet<usize> = positions.collect();
        all().filter(|position| unique.contains(position)).collect()
    }
}

/// A breadth-first walk over groups, members and shared addresses, in which each device occurs
/// once.
struct Walk {
    commanded: usize,
    /// Whether the commanded device was visited.
    has_begun: bool,
    queue: VecDeque<Reached>,
    /// Devices other than the commanded one. Most messages reach none.
    seen: HashSet<usize>,
    found: Vec<Reached>,
}

impl Walk {
    fn new(commanded: usize) -> Self {
        Self {
            commanded,
            has_begun: false,
            queue: VecDeque::new(),
            seen: HashSet::new(),
            found: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<Reached> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(Reached {
                device: self.commanded,
                possible: false,
            });
        }
        self.queue.pop_front()
    }

    fn add_all(&mut self, devices: &[usize], possible: bool) {
        for &device in devices {
            if device != self.commanded && self.seen.insert(device) {
                let reached = Reached { device, possible };
                self.queue.push_back(reached);
                self.found.push(reached);
            }
        }
    }
}

fn push_once(positions: &mut Vec<usize>, position: usize) {
    if positions.last() != Some(&position) {
        positions.push(position);
    }
}

/// Returns the topics the device is commanded on.
fn topics(device: &Device) -> impl Iterator<Item = &SharedStr> {
    let capabilities = device.capabilities.iter();
    capabilities.flat_map(Capability::command_topics)
}

/// Returns the addresses of all topics the device is commanded on.
fn device_addresses(device: &Device) -> Vec<Address> {
    each_address(device, address::addresses)
}

/// Returns the addresses that receive the messages on any topic the device is commanded on.
fn device_recipients(device: &Device) -> Vec<Address> {
    each_address(device, address::recipients)
}

fn each_address(device: &Device, of_topic: fn(&str) -> Vec<Address>) -> Vec<Address> {
    let mut addresses = Vec::new();
    for address in topics(device).flat_map(|topic| of_topic(topic)) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Returns the addresses under which the bridge takes commands for the device by number:
/// `zigbee2mqtt/0x00158d0001a2b3c4`.
fn bridge_addresses(device: &Device) -> Vec<Address> {
    let Some(number) = &device.bridge_id else {
        return Vec::new();
    };
    let bases: HashSet<String> = device_addresses(device)
        .iter()
        .filter_map(|a| address::base(a).map(str::to_owned))
        .collect();
    bases
        .into_iter()
        .map(|base| Address::Entity(format!("{base}/{}", number.to_lowercase())))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::binding::{Binding, Form, Port};
    use crate::home::device::{Kind, Members};
    use crate::vocabulary::Property;
    use crate::vocabulary::slug::Slug;

    const TOPICS: [&str; 14] = [
        "z/Lamp/set",
        "z/lamp/set/state",
        "z/Lamp/left/set",
        "z/left/set",
        "Z/LAMP/SET/x",
        "z/5/set",
        "z/0x01/set",
        "z/hall/Lamp/set",
        "z/Lamp/get",
        "cmnd/plug/POWER",
        "plug/cmnd/POWER",
        "cmnd/tasmotas/POWER",
        "z/bridge/request/x",
        "x",
    ];

    fn device(n: usize, topics: &[&str], members: Members) -> Device {
        let slug = |text: &str| Slug::new(text).unwrap();
        let mut device = Device::new(slug(&format!("d{n}")), Kind::new(slug("light")));
        let capability = |topic: &&str| Capability {
            binding: Binding {
                command: Some(Port {
                    topic: (*topic).into(),
                    form: Form::Raw,
                }),
                ..Binding::default()
            },
            ..Capability::standard(Property::Power)
        };
        device.capabilities = topics.iter().map(capability).collect();
        device.members = members;
        device
    }

    fn reached(index: &ReachIndex, devices: &[Device], publication: &Publication) -> Vec<Reached> {
        index.reached(devices, 0, publication)
    }

    #[test]
    fn a_group_on_two_bridges_may_contain_the_devices_of_both() {
        let devices = [
            device(0, &["z/All/set", "y/All/set"], Members::UNKNOWN),
            device(1, &["z/Lamp/set"], Members::default()),
            device(2, &["y/Lamp/set"], Members::default()),
            device(3, &["x/Lamp/set"], Members::default()),
        ];
        let message = Publication::new("z/All/set", "ON");
        let found = reached(&ReachIndex::new(&devices), &devices, &message);
        let found: Vec<usize> = found.iter().map(|reached| reached.device).collect();
        assert_eq!(found, [1, 2]);
    }

    proptest! {
        /// Checks that the table of topics of a single device saves time and changes no result.
        #[test]
        fn topics_of_one_device_reach_no_other(
            topics in prop::collection::vec(prop::collection::vec(0..TOPICS.len(), 0..3), 1..5),
            is_complete in any::<bool>(),
            number in prop::option::of(prop::sample::select(&["5", "0x01", "left"][..])),
        ) {
            let devices = topics.iter().enumerate().map(|(n, own)| {
                let own: Vec<&str> = own.iter().map(|topic| TOPICS[*topic]).collect();
                let complete = is_complete || n > 0;
                let members = Members { complete, ..Members::default() };
                device(n, &own, members)
            });
            let mut devices: Vec<Device> = devices.collect();
            devices[0].bridge_id = number.map(str::to_owned);
            let index = ReachIndex::new(&devices);
            let mut without = ReachIndex::new(&devices);
            without.own_topics.clear();
            for topic in TOPICS {
                for payload in ["ON", "publish a b", "power on; publish x y"] {
                    let message = Publication::new(topic, payload);
                    let expected = reached(&without, &devices, &message);
                    prop_assert_eq!(reached(&index, &devices, &message), expected, "{}", topic);
                }
            }
        }
    }
}
