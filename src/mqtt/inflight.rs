//! Messages and acknowledgements in flight on one connection. Pure.
//!
//! rumqttc forgets its own list when a session is lost and resends it out of order when it is not,
//! so it is kept here.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;

use crate::mqtt::inbox::AckToken;

/// While the oldest message has waited this long for its acknowledgement, no further one is sent: a
/// broker that is frozen would deliver them all late, and their deadlines are checked only here.
const STALL: Duration = Duration::from_secs(1);

/// An acknowledgement that left this long before the last sign of life of the connection has
/// reached the broker.
const ACK_TRAVEL: Duration = Duration::from_millis(250);

/// The longest way of an acknowledgement, through a slow network or a full buffer.
const MAX_ACK_TRAVEL: Duration = Duration::from_secs(30);

/// Acknowledgements that left and may not have arrived yet, at most; the broker has no more
/// unacknowledged messages either.
const MAX_RECENT: usize = 256;

/// A command of an earlier connection that the broker may send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Redeliverable {
    pub(super) pkid: u16,
    pub(super) digest: u64,
    /// Whether it may come also without the DUP flag: its acknowledgement did not leave, or only
    /// just.
    pub(super) is_expected: bool,
}

/// A message in flight.
#[derive(Debug)]
pub(super) struct InFlight<T> {
    pub(super) message: T,
    /// Time at which it was handed to the client.
    pub(super) since: Instant,
    /// Whether it left; a message that is only handed over did not.
    pub(super) left: bool,
}

/// Messages handed to the client and not yet acknowledged by the broker, in their order.
#[derive(Debug)]
pub(super) struct UnackedPublishes<T> {
    /// Handed over, not yet seen leaving.
    handed: VecDeque<InFlight<T>>,
    /// Left, with their packet ids.
    sent: VecDeque<(u16, InFlight<T>)>,
    window: usize,
}

impl<T> UnackedPublishes<T> {
    /// Creates an empty list with room for `window` messages.
    pub(super) fn new(window: usize) -> Self {
        Self {
            handed: VecDeque::new(),
            sent: VecDeque::new(),
            window,
        }
    }

    /// Returns whether one more message may be handed over.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let is_stalled = self
            .oldest()
            .is_some_and(|since| now.saturating_duration_since(since) >= STALL);
        !is_stalled && self.handed.len() + self.sent.len() < self.window
    }

    /// Returns whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.handed.is_empty() && self.sent.is_empty()
    }

    /// Returns when the oldest message was handed over.
    pub(super) fn oldest(&self) -> Option<Instant> {
        // Both lists are in the order of handing over, and what left was handed over earlier.
        match self.sent.front() {
            Some((_, message)) => Some(message.since),
            None => self.handed.front().map(|message| message.since),
        }
    }

    /// Records a message handed to the client.
    pub(super) fn hand(&mut self, message: T, now: Instant) {
        self.handed.push_back(InFlight {
            message,
            since: now,
            left: false,
        });
    }

    /// Records that the next message left as packet `pkid`: the client sends in the order it was
    /// handed.
    pub(super) fn departed(&mut self, pkid: u16) {
        if let Some(mut message) = self.handed.pop_front() {
            message.left = true;
            self.sent.push_back((pkid, message));
        }
    }

    /// Removes and returns the message the broker acknowledged as packet `pkid`.
    pub(super) fn acked(&mut self, pkid: u16) -> Option<T> {
        let at = self.sent.iter().position(|(id, _)| *id == pkid)?;
        self.sent.remove(at).map(|(_, sent)| sent.message)
    }

    /// Returns the messages in flight.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let sent = self.sent.iter_mut().map(|(_, message)| message);
        sent.chain(&mut self.handed)
            .map(|message| &mut message.message)
    }

    /// Removes and returns everything in flight, in its order: the connection is gone.
    pub(super) fn take_all(&mut self) -> Vec<InFlight<T>> {
        let sent = self.sent.drain(..).map(|(_, message)| message);
        sent.chain(self.handed.drain(..)).collect()
    }
}

/// Acknowledgements the broker waits for on one connection. They leave in the order of receipt
/// (MQTT 5, section 4.6).
#[derive(Debug, Default)]
pub(super) struct PendingAcks {
    waiting: VecDeque<PendingAck>,
    /// Commands whose acknowledgement left, and when: the last few may not have reached the broker.
    recent: VecDeque<(Instant, PendingAck)>,
}

#[derive(Debug)]
struct PendingAck {
    pkid: u16,
    is_ready: bool,
    /// Identifies a command; 0 for every other message.
    digest: u64,
}

impl PendingAcks {
    /// Records a message received as packet `pkid`; 0 needs no acknowledgement.
    pub(super) fn received(&mut self, pkid: u16) {
        if pkid != 0 {
            self.waiting.push_back(PendingAck {
                pkid,
                is_ready: false,
                digest: 0,
            });
        }
    }

    /// Records that the message received last is the command with this digest.
    pub(super) fn is_command(&mut self, pkid: u16, digest: u64) {
        if let Some(last) = self.waiting.back_mut()
            && last.pkid == pkid
        {
            last.digest = digest;
        }
    }

    /// Allows the acknowledgement of packet `pkid`, as soon as all before it have left.
    pub(super) fn ready(&mut self, pkid: u16) {
        let is_it = |ack: &&mut PendingAck| ack.pkid == pkid && !ack.is_ready;
        // Mostly it is one of the oldest, or the newest one, which is rejected at once.
        let newest = self.waiting.back_mut().filter(is_it);
        let ack = match newest {
            Some(newest) => Some(newest),
            None => self.waiting.iter_mut().find(is_it),
        };
        if let Some(ack) = ack {
            ack.is_ready = true;
        }
    }

    /// Allows the acknowledgement of the command that was answered by a message with this token.
    pub(super) fn settle(&mut self, token: Option<&AckToken>) {
        if let Some(token) = token {
            self.ready(token.pkid);
        }
    }

    /// Returns the packet to acknowledge next.
    pub(super) fn next(&self) -> Option<u16> {
        let first = self.waiting.front()?;
        first.is_ready.then_some(first.pkid)
    }

    /// Records that the packet of [`PendingAcks::next`] was acknowledged.
    pub(super) fn acked(&mut self, now: Instant) {
        let Some(ack) = self.waiting.pop_front() else {
            return;
        };
        if ack.digest != 0 {
            self.recent.push_back((now, ack));
        }
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
    }

    /// Returns the commands that the broker may send again, oldest first: those whose
    /// acknowledgement left too short a time before `last_sign`, the last moment the connection is
    /// known to have worked, and those not acknowledged.
    pub(super) fn redeliverable(self, last_sign: Instant) -> Vec<Redeliverable> {
        let entry = |ack: PendingAck, is_expected| Redeliverable {
            pkid: ack.pkid,
            digest: ack.digest,
            is_expected,
        };
        let recent = self.recent.into_iter();
        let recent = recent.filter(|(left, _)| *left + MAX_ACK_TRAVEL > last_sign);
        let recent = recent.map(|(left, ack)| entry(ack, left + ACK_TRAVEL > last_sign));
        let unacked = self.waiting.into_iter().map(|ack| entry(ack, true));
        recent
            .chain(unacked)
            .filter(|one| one.digest != 0)
            .collect()
    }
}

/// Returns a number by which a command is recognised when the broker sends it again, under its
/// original packet identifier (MQTT 5, section 4.4); never 0.
pub(super) fn digest(topic: &str, payload: &[u8], pkid: u16) -> u64 {
    // Many times quicker for a long payload than the hasher of the standard library.
    let number = FixedState::default().hash_one((topic, payload, pkid));
    number.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_leave_in_the_order_of_receipt() {
        let now = crate::clock::now();
        let mut acks = PendingAcks::default();
        for pkid in [5, 0, 6, 7] {
            acks.received(pkid);
        }
        acks.ready(7);
        assert_eq!(acks.next(), None);
        acks.ready(5);
        assert_eq!(acks.next(), Some(5));
        acks.acked(now);
        assert_eq!(acks.next(), None);
        acks.ready(6);
        let mut left = Vec::new();
        while let Some(pkid) = acks.next() {
            left.push(pkid);
            acks.acked(now);
        }
        assert_eq!(left, [6, 7]);
    }

    #[test]
    fn a_command_can_come_again_until_its_acknowledgement_has_safely_left() {
        let start = crate::clock::now();
        let mut acks = PendingAcks::default();
        for pkid in 1..=4 {
            acks.received(pkid);
            if pkid != 4 {
                acks.is_command(pkid, u64::from(pkid));
            }
        }
        acks.ready(1);
        acks.acked(start);
        acks.ready(2);
        acks.acked(start + Duration::from_secs(1));
        let last_sign = start + Duration::from_millis(1100);
        let again: Vec<_> = (acks.redeliverable(last_sign).into_iter())
            .map(|one| (one.pkid, one.is_expected))
            .collect();
        assert_eq!(again, [(1, false), (2, true), (3, true)]);
    }

    #[test]
    fn a_broken_connection_gives_back_everything_in_its_order() {
        let now = crate::clock::now();
        let mut unacked = UnackedPublishes::new(4);
        for message in ["a", "b", "c", "d"] {
            unacked.hand(message, now);
        }
        assert!(!unacked.has_room(now));
        for pkid in [1, 2, 3] {
            unacked.departed(pkid);
        }
        assert_eq!(unacked.acked(2), Some("b"));
        assert_eq!(unacked.acked(2), None);
        assert!(unacked.has_room(now));
        let all: Vec<_> = unacked
            .take_all()
            .iter()
            .map(|one| (one.message, one.left))
            .collect();
        assert_eq!(all, [("a", true), ("c", true), ("d", false)]);
        assert!(unacked.is_empty());
    }

    #[test]
    fn nothing_more_is_sent_while_the_oldest_message_is_not_acknowledged_in_time() {
        let start = crate::clock::now();
        let mut unacked = UnackedPublishes::new(4);
        unacked.hand("a", start);
        unacked.departed(1);
        let later = start + STALL;
        unacked.hand("b", start + STALL / 2);
        assert!(!unacked.has_room(later));
        unacked.acked(1);
        assert!(unacked.has_room(later));
    }
}
