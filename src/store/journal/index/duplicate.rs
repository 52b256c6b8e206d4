//! Whether a command was received before: by its id, its packet, its payload, or its identity in a
//! pair.
//!
//! It changes nothing on disk. A received command enters; the earlier entry leaves, if there is
//! one.

use std::num::NonZeroU64;

use crate::command::Redelivery;
use crate::store::journal::duplicate_keys::{DuplicateKeys, identity_key};
use crate::store::journal::entry::JournalEntry;
use crate::store::journal::index::Index;
use crate::store::journal::received::Received;
use crate::store::journal::remembered::RememberedCommand;

/// The earlier entry of a command.
#[derive(Debug)]
pub(in crate::store::journal) enum EarlierEntry {
    /// It was processed, or is in progress.
    Known(JournalEntry),
    /// The client was asked to come back later, and does so: its command is new.
    PutOff {
        /// Time at which it expires, where it gave its time.
        until: u64,
    },
    /// It was set aside in a pair, and is forgotten now.
    SetAside {
        /// Crashes during it.
        crashes: u32,
    },
}

impl Index {
    /// Returns the earlier entry of a command of a single daemon. `keys` are those of the command.
    pub(in crate::store::journal) fn earlier(
        &mut self,
        received: &Received,
        keys: &DuplicateKeys,
        connection: u64,
        redelivery: Redelivery,
    ) -> Option<EarlierEntry> {
        let found = if received.is_named() {
            keys.iter().find_map(|key| self.newest_first(key).next())?
        } else {
            self.earlier_equal(received, keys, connection, redelivery)?
        };
        let known = self.known.get_mut(&found)?;
        let is_sent_again = may_be_sent_again(known, redelivery);
        known.connection = connection;
        // A redelivery gets the reply again.
        if !is_sent_again && known.is_put_off() {
            let until = known.until();
            return Some(EarlierEntry::PutOff { until });
        }
        Some(EarlierEntry::Known(known.entry()))
    }

    /// Returns the numbers of the commands with this key.
    fn newest_first(&self, key: NonZeroU64) -> impl Iterator<Item = u64> {
        let with_key = self.by_key.range((key, 0)..=(key, u64::MAX));
        with_key.rev().map(|(_, number)| *number)
    }

    /// Notes in all records of connections before this one that their packets will not be sent
    /// again; returns the changed ones. A later run would otherwise take a new command for an equal
    /// one whose packet had the same identifier in the lost session.
    pub(in crate::store::journal) fn end_session(&mut self, connection: u64) -> Vec<u64> {
        let mut changed = Vec::new();
        for (number, known) in &mut self.known {
            if known.connection < connection && known.end_session() {
                changed.push(*number);
            }
        }
        changed
    }

    /// Returns the newest equal command that the broker may send again.
    fn earlier_equal(
        &self,
        received: &Received,
        keys: &DuplicateKeys,
        connection: u64,
        redelivery: Redelivery,
    ) -> Option<u64> {
        if redelivery == Redelivery::No {
            return None;
        }
        self.newest_first(keys.first()?).find(|number| {
            self.known.get(number).is_some_and(|known| {
                known.connection != connection
                    && is_same_packet(known, received)
                    && may_be_sent_again(known, redelivery)
                    && !self.is_packet_reused(*number, received, keys)
            })
        })
    }

    /// Returns whether a later command of an earlier run came in a packet with the same identifier:
    /// then the broker had the acknowledgement of the earlier one.
    fn is_packet_reused(&self, number: u64, received: &Received, keys: &DuplicateKeys) -> bool {
        received.packet.is_some()
            && self.known.iter().any(|(other, known)| {
                *other > number
                    && known.connection == 0
                    && known.packet() == received.packet
                    && known.keys.first() != keys.first()
            })
    }

    /// Returns the earlier entry of a command of a pair. One that was set aside without a reply is
    /// forgotten: the command is about to be entered again.
    pub(in crate::store::journal) fn earlier_in_pair(
        &mut self,
        received: &Received,
        redelivery: Redelivery,
    ) -> Option<EarlierEntry> {
        if redelivery == Redelivery::No {
            return None;
        }
        let identity = received.identity.as_deref()?;
        let number = self.newest_first(identity_key(identity)).next()?;
        let known = self.known.get(&number)?;
        match known.reply() {
            Some(_) if redelivery != Redelivery::Certain && known.is_put_off() => {
                let until = known.until();
                Some(EarlierEntry::PutOff { until })
            }
            None if known.is_set_aside => {
                let crashes = known.crashes();
                self.forget(number);
                Some(EarlierEntry::SetAside { crashes })
            }
            _ => Some(EarlierEntry::Known(known.entry())),
        }
    }
}

/// Returns whether a received command may be a redelivery of the known one. An acknowledgement that
/// was noted may have been lost with the connection: a mark of the broker counts for more.
fn may_be_sent_again(known: &RememberedCommand, redelivery: Redelivery) -> bool {
    match redelivery {
        Redelivery::No => false,
        Redelivery::Possible => known.connection == 0 && !known.has_ack(),
        Redelivery::Marked => known.connection == 0,
        Redelivery::Certain => true,
    }
}

/// Returns whether both may be one packet: it is sent again under its original identifier (MQTT 5,
/// section 4.4). Earlier versions did not record it.
fn is_same_packet(known: &RememberedCommand, received: &Received) -> bool {
    known.packet().is_none() || known.packet() == received.packet
}
