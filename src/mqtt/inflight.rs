//! What is on its way on one connection: messages until the broker has acknowledged them, and our acknowledgements of its
//! messages. Pure. rumqttc forgets its own list when a session is lost and sends it out of order when not, so it is kept here.

use std::collections::VecDeque;

use crate::mqtt::inbox::AckToken;

/// Messages handed to the client, in order, until the broker has acknowledged them.
#[derive(Debug)]
pub(super) struct UnackedPublishes<T> {
    /// Handed over, not yet seen leaving.
    handed: VecDeque<T>,
    /// Seen leaving under these packet ids.
    left: Vec<(u16, T)>,
    window: usize,
}

impl<T> UnackedPublishes<T> {
    /// Nothing on its way, with room for `window` messages.
    pub(super) fn new(window: usize) -> Self {
        Self {
            handed: VecDeque::new(),
            left: Vec::new(),
            window,
        }
    }

    /// True where one more may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.handed.len() + self.left.len() < self.window
    }

    /// True where nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.handed.is_empty() && self.left.is_empty()
    }

    /// A message was handed to the client.
    pub(super) fn handed(&mut self, message: T) {
        self.handed.push_back(message);
    }

    /// The next message handed over left as packet `pkid`: the client sends in the order it was handed.
    pub(super) fn departed(&mut self, pkid: u16) {
        if let Some(message) = self.handed.pop_front() {
            self.left.push((pkid, message));
        }
    }

    /// The broker acknowledged packet `pkid`.
    pub(super) fn arrived(&mut self, pkid: u16) -> Option<T> {
        let at = self.left.iter().position(|(id, _)| *id == pkid)?;
        Some(self.left.remove(at).1)
    }

    /// The connection is gone: everything that was on its way, in its first order; true marks what had left.
    pub(super) fn broken(&mut self) -> Vec<(T, bool)> {
        let left = self.left.drain(..).map(|(_, message)| (message, true));
        left.chain(self.handed.drain(..).map(|message| (message, false)))
            .collect()
    }
}

/// The acknowledgements we owe the broker on one connection. They leave in the order of receipt (MQTT 5, section 4.6).
#[derive(Debug, Default)]
pub(super) struct PendingAcks(VecDeque<(u16, bool)>);

impl PendingAcks {
    /// A message came as packet `pkid`; 0 owes nothing.
    pub(super) fn received(&mut self, pkid: u16) {
        if pkid != 0 {
            self.0.push_back((pkid, false));
        }
    }

    /// The message may be acknowledged as soon as all before it are.
    pub(super) fn ready(&mut self, pkid: u16) {
        if let Some((_, ready)) = self.0.iter_mut().find(|(id, ready)| *id == pkid && !ready) {
            *ready = true;
        }
    }

    /// The answer that a message waited for has arrived, or never will.
    pub(super) fn settle(&mut self, receipt: Option<&AckToken>) {
        if let Some(receipt) = receipt {
            self.ready(receipt.pkid);
        }
    }

    /// The packet to acknowledge next, where there is one.
    pub(super) fn next(&self) -> Option<u16> {
        self.0
            .front()
            .filter(|(_, ready)| *ready)
            .map(|(pkid, _)| *pkid)
    }

    /// The packet of [`PendingAcks::next`] was acknowledged.
    pub(super) fn paid(&mut self) {
        self.0.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_leave_in_the_order_of_receipt() {
        let mut owed = PendingAcks::default();
        for pkid in [5, 0, 6, 7] {
            owed.received(pkid);
        }
        owed.ready(7);
        assert_eq!(owed.next(), None);
        owed.ready(5);
        assert_eq!(owed.next(), Some(5));
        owed.paid();
        assert_eq!(owed.next(), None);
        owed.ready(6);
        let mut left = Vec::new();
        while let Some(pkid) = owed.next() {
            left.push(pkid);
            owed.paid();
        }
        assert_eq!(left, [6, 7]);
    }

    #[test]
    fn a_broken_connection_gives_back_everything_in_its_first_order() {
        let mut flight = UnackedPublishes::new(4);
        for message in ["a", "b", "c", "d"] {
            flight.handed(message);
        }
        assert!(!flight.has_room());
        for pkid in [1, 2, 3] {
            flight.departed(pkid);
        }
        assert_eq!(flight.arrived(2), Some("b"));
        assert_eq!(flight.arrived(2), None);
        assert!(flight.has_room());
        assert_eq!(flight.broken(), [("a", true), ("c", true), ("d", false)]);
        assert!(flight.is_empty());
    }
}
