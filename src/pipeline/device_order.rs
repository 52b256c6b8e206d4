//! The order in which plans reach a device. An answer that a model gave late to an earlier command
//! never undoes a later one.
//!
//! The order is kept by device, not by property: a brightness sent after "off" turns a lamp on
//! again. Pure.

use std::collections::{HashMap, VecDeque};

use crate::vocabulary::slug::Slug;

/// The newest command published to each device, and the plans that wait to be published.
#[derive(Debug, Default)]
pub(super) struct DeviceOrder {
    newest: HashMap<Slug, u64>,
    /// Tickets of the waiting plans by device, in order. A plan that need not wait itself queues
    /// behind those that do.
    queues: HashMap<Slug, VecDeque<u64>>,
    last_ticket: u64,
}

impl DeviceOrder {
    /// Returns whether an earlier plan for one of these devices still waits: a later one must queue
    /// behind it.
    pub(super) fn has_queue<'a>(&self, devices: impl IntoIterator<Item = &'a Slug>) -> bool {
        devices
            .into_iter()
            .any(|device| self.queues.contains_key(device))
    }

    /// Queues a plan at all its devices and returns its ticket.
    pub(super) fn enqueue<'a>(&mut self, devices: impl IntoIterator<Item = &'a Slug>) -> u64 {
        self.last_ticket += 1;
        for device in devices {
            let queue = self.queues.entry(device.clone()).or_default();
            queue.push_back(self.last_ticket);
        }
        self.last_ticket
    }

    /// Returns whether the plan is the first at each of its devices.
    pub(super) fn is_first<'a>(
        &self,
        ticket: u64,
        devices: impl IntoIterator<Item = &'a Slug>,
    ) -> bool {
        let first_at = |device: &Slug| self.queues.get(device).and_then(VecDeque::front);
        devices
            .into_iter()
            .all(|device| first_at(device).is_none_or(|first| *first == ticket))
    }

    /// Removes the plan from the queues of its devices.
    pub(super) fn dequeue<'a>(&mut self, ticket: u64, devices: impl IntoIterator<Item = &'a Slug>) {
        for device in devices {
            let Some(queue) = self.queues.get_mut(device) else {
                continue;
            };
            queue.retain(|other| *other != ticket);
            if queue.is_empty() {
                self.queues.remove(device);
            }
        }
    }

    /// Forgets the devices that `keep` rejects.
    pub(super) fn retain(&mut self, keep: impl Fn(&Slug) -> bool) {
        self.newest.retain(|device, _| keep(device));
    }

    /// Returns the newest command published to the device.
    pub(super) fn newest(&self, device: &Slug) -> Option<u64> {
        self.newest.get(device).copied()
    }

    /// Claims a device for the command with this sequence number. Returns false where a newer
    /// command has claimed it already; otherwise no older one can from now on.
    pub(super) fn claim(&mut self, device: &Slug, seq: u64) -> bool {
        let Some(newest) = self.newest.get_mut(device) else {
            self.newest.insert(device.clone(), seq);
            return true;
        };
        if *newest > seq {
            return false;
        }
        *newest = seq;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_device_never_receives_an_earlier_command_after_a_later_one(seqs in Just((0..12_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let (mut order, device) = (DeviceOrder::default(), Slug::new("lamp").unwrap());
            let received: Vec<u64> = seqs.into_iter().filter(|seq| order.claim(&device, *seq)).collect();
            prop_assert!(received.is_sorted());
            prop_assert_eq!(received.last(), Some(&11), "the last one is always received");
        }
    }

    #[test]
    fn plans_for_one_device_are_published_in_the_order_of_their_tickets() {
        let (mut order, lamp, fan) = (
            DeviceOrder::default(),
            Slug::new("lamp").unwrap(),
            Slug::new("fan").unwrap(),
        );
        let first = order.enqueue([&lamp, &lamp]);
        let second = order.enqueue([&fan, &lamp]);
        assert!(order.is_first(first, [&lamp]) && !order.is_first(second, [&fan, &lamp]));
        order.dequeue(first, [&lamp, &lamp]);
        assert!(order.is_first(second, [&fan, &lamp]) && order.has_queue([&lamp]));
        order.dequeue(second, [&fan, &lamp]);
        assert!(!order.has_queue([&fan, &lamp]));
    }
}
