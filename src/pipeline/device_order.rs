//! The order in which plans reach a device. An answer that a model gave late to an earlier command
//! never undoes a later one.
//!
//! The order is kept by device, not by property: a brightness sent after "off" turns a lamp on
//! again. Pure.

use std::collections::VecDeque;

use foldhash::HashMap;

use crate::vocabulary::slug::Slug;

/// The newest command published to each device, and the plans that wait to be published.
#[derive(Debug, Default)]
pub(super) struct DeviceOrder {
    newest: HashMap<Slug, u64>,
    /// Tickets of the waiting plans by device, in order. A plan that need not wait itself queues
    /// behind those that do.
    queues: HashMap<Slug, VecDeque<u64>>,
    last_ticket: u64,
    /// Commands without a reply in the journal, oldest first.
    unfinished: Vec<u64>,
    /// Those of them whose devices are not known yet, oldest first: mostly they wait for a model.
    undecided: Vec<u64>,
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

    /// Registers a command that was received.
    pub(super) fn begin(&mut self, seq: u64) {
        for commands in [&mut self.unfinished, &mut self.undecided] {
            if let Err(at) = commands.binary_search(&seq) {
                commands.insert(at, seq);
            }
        }
    }

    /// Removes a command whose reply is in the journal.
    pub(super) fn end(&mut self, seq: u64) {
        for commands in [&mut self.unfinished, &mut self.undecided] {
            if let Ok(at) = commands.binary_search(&seq) {
                commands.remove(at);
            }
        }
    }

    /// Notes that the devices of a command are known. Returns whether an older command without a
    /// reply may be for one of them: after a crash it would be carried out behind this one, unless
    /// the journal knows of this one.
    pub(super) fn decide<'a>(
        &mut self,
        seq: u64,
        devices: impl IntoIterator<Item = &'a Slug>,
    ) -> bool {
        if let Ok(at) = self.undecided.binary_search(&seq) {
            self.undecided.remove(at);
        }
        let is_unfinished = |device: &Slug| {
            let newest = self.newest.get(device);
            newest.is_some_and(|newest| {
                *newest < seq && self.unfinished.binary_search(newest).is_ok()
            })
        };
        self.undecided.first().is_some_and(|oldest| *oldest < seq)
            || devices.into_iter().any(is_unfinished)
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
    fn a_command_behind_one_that_may_be_for_its_device_is_recognised() {
        let (mut order, lamp, fan) = (
            DeviceOrder::default(),
            Slug::new("lamp").unwrap(),
            Slug::new("fan").unwrap(),
        );
        for seq in 1..=5 {
            order.begin(seq);
        }
        assert!(order.decide(2, [&lamp]), "the devices of 1 are not known");
        assert!(!order.decide(1, [&fan]), "nothing is older");
        assert!(order.claim(&fan, 1) && order.claim(&lamp, 2));
        assert!(order.decide(3, [&lamp]), "2 has no reply");
        order.end(2);
        order.end(1);
        assert!(order.claim(&lamp, 3));
        assert!(!order.decide(4, [&fan]), "1 has a reply");
        assert!(order.decide(5, [&fan, &lamp]), "3 has none");
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
