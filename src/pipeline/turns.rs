//! Who is next at a device. What must be in order is what a *device* hears: a slow answer said earlier never undoes a quick one said later.
//! By device, not by property: a brightness sent after "off" turns a lamp on again. Pure.

use std::collections::HashMap;

use crate::home::slug::Slug;

/// The last command each device was sent something for, and how many plans wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Turns {
    heard: HashMap<Slug, u64>,
    waiting: HashMap<Slug, u32>,
}

impl Turns {
    /// Whether an earlier plan for one of these devices is ready but still waits for the disk: a later one must wait behind it.
    pub(super) fn anyone_waits<'a>(&self, devices: impl IntoIterator<Item = &'a Slug>) -> bool {
        devices.into_iter().any(|device| self.waiting.contains_key(device))
    }

    /// A plan for these devices begins to wait.
    pub(super) fn wait<'a>(&mut self, devices: impl IntoIterator<Item = &'a Slug>) {
        for device in devices {
            *self.waiting.entry(device.clone()).or_default() += 1;
        }
    }

    /// It waits no longer.
    pub(super) fn go<'a>(&mut self, devices: impl IntoIterator<Item = &'a Slug>) {
        for device in devices {
            if let Some(count) = self.waiting.get_mut(device) {
                *count -= 1;
                if *count == 0 {
                    self.waiting.remove(device);
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
            let (mut turns, device) = (Turns::default(), Slug::new("lamp").unwrap());
            let heard: Vec<u64> = order.into_iter().filter(|turn| turns.take(&device, *turn)).collect();
            prop_assert!(heard.is_sorted());
            prop_assert_eq!(heard.last(), Some(&11), "the last one said is always heard");
        }
    }

    #[test]
    fn waiting_is_counted_per_device() {
        let (mut turns, lamp, fan) = (Turns::default(), Slug::new("lamp").unwrap(), Slug::new("fan").unwrap());
        turns.wait([&lamp]);
        turns.wait([&lamp]);
        turns.go([&lamp]);
        assert!(turns.anyone_waits([&fan, &lamp]));
        turns.go([&lamp]);
        assert!(!turns.anyone_waits([&lamp]));
    }
}
