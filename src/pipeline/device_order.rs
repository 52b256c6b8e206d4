//! Who is next at a device. What must be in order is what a *device* hears: a slow answer said earlier never undoes a quick one said later.
//! By device, not by property: a brightness sent after "off" turns a lamp on again. Pure.

use std::collections::{HashMap, VecDeque};

use crate::vocabulary::slug::Slug;

/// The last command each device was sent something for, and the plans that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct DeviceOrder {
    heard: HashMap<Slug, u64>,
    /// Per device, the places of the plans that wait, in order. One that need not wait itself stands in line behind those that do.
    lines: HashMap<Slug, VecDeque<u64>>,
    places: u64,
}

impl DeviceOrder {
    /// Whether an earlier plan for one of these devices is ready but still waits for the disk: a later one must wait behind it.
    pub(super) fn anyone_waits<'a>(&self, devices: impl IntoIterator<Item = &'a Slug>) -> bool {
        devices
            .into_iter()
            .any(|device| self.lines.contains_key(device))
    }

    /// A plan for these devices begins to wait. Gives its place, which is the same in every line.
    pub(super) fn line_up<'a>(&mut self, devices: impl IntoIterator<Item = &'a Slug>) -> u64 {
        self.places += 1;
        for device in devices {
            self.lines
                .entry(device.clone())
                .or_default()
                .push_back(self.places);
        }
        self.places
    }

    /// Whether the plan is the first at each of its devices.
    pub(super) fn is_first<'a>(
        &self,
        place: u64,
        devices: impl IntoIterator<Item = &'a Slug>,
    ) -> bool {
        devices.into_iter().all(|device| {
            self.lines
                .get(device)
                .is_none_or(|line| line.front().is_none_or(|first| *first == place))
        })
    }

    /// It waits no longer.
    pub(super) fn go<'a>(&mut self, place: u64, devices: impl IntoIterator<Item = &'a Slug>) {
        for device in devices {
            if let Some(line) = self.lines.get_mut(device) {
                line.retain(|other| *other != place);
                if line.is_empty() {
                    self.lines.remove(device);
                }
            }
        }
    }

    /// Forgets the devices that `stay` does not keep.
    pub(super) fn retain(&mut self, stay: impl Fn(&Slug) -> bool) {
        self.heard.retain(|device, _| stay(device));
    }

    /// Whether the command with this turn may still speak to `device`; if so, no earlier one may from now on.
    pub(super) fn take(&mut self, device: &Slug, turn: u64) -> bool {
        match self.heard.get_mut(device) {
            Some(last) if *last > turn => false,
            Some(last) => {
                *last = turn;
                true
            }
            None => {
                self.heard.insert(device.clone(), turn);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_device_never_hears_an_earlier_command_after_a_later_one(order in Just((0..12_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let (mut turns, device) = (DeviceOrder::default(), Slug::new("lamp").unwrap());
            let heard: Vec<u64> = order.into_iter().filter(|turn| turns.take(&device, *turn)).collect();
            prop_assert!(heard.is_sorted());
            prop_assert_eq!(heard.last(), Some(&11), "the last one said is always heard");
        }
    }

    #[test]
    fn plans_for_one_device_go_in_the_order_they_lined_up() {
        let (mut turns, lamp, fan) = (
            DeviceOrder::default(),
            Slug::new("lamp").unwrap(),
            Slug::new("fan").unwrap(),
        );
        let first = turns.line_up([&lamp, &lamp]);
        let second = turns.line_up([&fan, &lamp]);
        assert!(turns.is_first(first, [&lamp]) && !turns.is_first(second, [&fan, &lamp]));
        turns.go(first, [&lamp, &lamp]);
        assert!(turns.is_first(second, [&fan, &lamp]) && turns.anyone_waits([&lamp]));
        turns.go(second, [&fan, &lamp]);
        assert!(!turns.anyone_waits([&fan, &lamp]));
    }
}
