//! The records of the journal in memory: commands live for a minute, and there are few at once.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::command::Redelivery;
use crate::store::journal::disk::Pages;
use crate::store::journal::record::{JournalRecord, Received, strong_keys, weak_key};

/// The most commands remembered at once. Above it the oldest ones with a delivered reply are forgotten first; a duplicate of
/// a forgotten command counts as new.
const MAX_COMMANDS: usize = 20_000;

/// The most bytes of commands and replies remembered at once, with the same effect.
const MAX_BYTES: usize = 4 << 20;

/// The bytes of commands without a delivered reply above which no further command is taken from the inbox.
const MAX_OPEN_BYTES: usize = 3 << 20;

/// How long a command is remembered past its own time, in milliseconds: the clocks of its sender and of this machine may
/// differ.
const GRACE_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// The number of the next command.
    pub(super) next: u64,
    /// The number of changes.
    pub(super) changes: u64,
    /// The number of syncs, from one run to the next.
    pub(super) syncs: u64,
    /// Records changed since they were last written.
    pub(super) unwritten: BTreeSet<u64>,
    /// Records to remove from the disk.
    pub(super) gone: BTreeSet<u64>,
    /// Records that neither the disk nor the kernel has in their present state.
    pub(super) unpersisted: BTreeSet<u64>,
    /// Whether the records of an earlier run have been read.
    pub(super) has_recovered: bool,
    /// Boxed: while a table of this size grows, it exists twice.
    pub(super) known: HashMap<u64, Box<RememberedCommand>>,
    by_key: HashMap<u64, Vec<u64>>,
    /// Oldest first.
    order: VecDeque<u64>,
    /// Bytes of all records.
    bytes: usize,
    /// Bytes of the records without a delivered reply.
    open_bytes: usize,
    /// How long a command is remembered at least, in milliseconds: as long as the broker may send it again.
    keep: u64,
}

/// A record and its state in this run.
#[derive(Debug)]
pub(super) struct RememberedCommand {
    pub(super) record: JournalRecord,
    keys: Vec<u64>,
    /// The connection it was last received on; 0 for an earlier run. Each equal payload of another connection stands for one.
    epoch: u64,
    /// The number of changes when it was entered, if it may have ended an earlier run.
    pub(super) suspect: Option<u64>,
    /// Whether its acknowledgement is on its way to the broker.
    pub(super) is_acknowledged: bool,
    /// Whether it has been written.
    is_written: bool,
    bytes: usize,
}

/// How a command was received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reception {
    pub(super) epoch: u64,
    /// It may have been received before, in another run that it ended.
    pub(super) may_be_suspect: bool,
    pub(super) is_written: bool,
}

impl Index {
    pub(super) fn new(keep: u64) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Returns the record of this command if it was received before.
    pub(super) fn earlier(
        &mut self,
        received: &Received,
        epoch: u64,
        redelivery: Redelivery,
    ) -> Option<&JournalRecord> {
        let strong = strong_keys(received);
        let found = if strong.is_empty() {
            self.earlier_equal(received, epoch, redelivery)?
        } else {
            *strong.iter().find_map(|key| self.by_key.get(key)?.last())?
        };
        let known = self.known.get_mut(&found)?;
        let is_sent_again = may_be_sent_again(known, redelivery);
        known.epoch = epoch;
        // A client that was asked to come back is served when it does; a redelivery gets the reply again.
        (is_sent_again || !known.record.is_put_off()).then_some(&known.record)
    }

    /// Returns the newest equal command that the broker may send again.
    fn earlier_equal(
        &self,
        received: &Received,
        epoch: u64,
        redelivery: Redelivery,
    ) -> Option<u64> {
        let equal = self.by_key.get(&weak_key(received))?;
        let mut newest_first = equal.iter().rev().copied();
        newest_first.find(|number| {
            self.known
                .get(number)
                .is_some_and(|known| known.epoch != epoch && may_be_sent_again(known, redelivery))
        })
    }

    pub(super) fn remember(&mut self, number: u64, record: JournalRecord, reception: Reception) {
        let mut keys = strong_keys(&record.received);
        if keys.is_empty() {
            keys.push(weak_key(&record.received));
        }
        for key in &keys {
            self.by_key.entry(*key).or_default().push(number);
        }
        let bytes = record.bytes();
        self.bytes += bytes;
        if !record.reply_acked {
            self.open_bytes += bytes;
        }
        let remembered = RememberedCommand {
            record,
            keys,
            epoch: reception.epoch,
            suspect: reception.may_be_suspect.then_some(self.changes + 1),
            is_acknowledged: false,
            is_written: reception.is_written,
            bytes,
        };
        self.known.insert(number, Box::new(remembered));
        self.order.push_back(number);
        self.next = self.next.max(number + 1);
    }

    /// Changes a record; returns false if it is not known.
    pub(super) fn update(&mut self, number: u64, change: impl FnOnce(&mut JournalRecord)) -> bool {
        let Some(known) = self.known.get_mut(&number) else {
            return false;
        };
        let was_open = !known.record.reply_acked;
        change(&mut known.record);
        let bytes = known.record.bytes();
        self.bytes = self.bytes + bytes - known.bytes;
        if was_open {
            self.open_bytes -= known.bytes;
        }
        if !known.record.reply_acked {
            self.open_bytes += bytes;
        }
        known.bytes = bytes;
        true
    }

    /// Returns whether the commands without a delivered reply leave room for more.
    pub(super) fn has_room(&self) -> bool {
        self.open_bytes < MAX_OPEN_BYTES
    }

    /// Returns the records to write and the ones to remove.
    pub(super) fn pages(&mut self, numbers: &BTreeSet<u64>, gone: &BTreeSet<u64>) -> Pages {
        let mut pages = Pages {
            gone: gone.iter().copied().collect(),
            syncs: self.syncs,
            ..Pages::default()
        };
        for number in numbers {
            let Some(known) = self.known.get_mut(number) else {
                continue;
            };
            known.is_written = true;
            pages.records.push((*number, known.record.write()));
        }
        pages
    }

    /// Enters into the records which acknowledgements have left, and marks those records to be written.
    pub(super) fn write_acknowledged(&mut self) {
        for (number, known) in &mut self.known {
            if known.is_acknowledged && !known.record.acknowledged {
                known.record.acknowledged = true;
                self.unwritten.insert(*number);
            }
        }
    }

    /// Returns whether the time of a record is over at `now`.
    pub(super) fn is_over(&self, record: &JournalRecord, now: u64) -> bool {
        let kept_until = record.heard.saturating_add(self.keep);
        let until = record.received.until.max(kept_until);
        until.saturating_add(GRACE_MS) < now
    }

    /// Forgets records whose time is over, and the oldest ones above the limits. Records without a delivered reply stay.
    pub(super) fn forget_old(&mut self, now: u64) {
        for _ in 0..self.order.len() {
            let Some(number) = self.order.pop_front() else {
                return;
            };
            let Some(known) = self.known.get(&number) else {
                continue;
            };
            let is_over = self.is_over(&known.record, now);
            if !known.record.reply_acked {
                self.order.push_back(number);
            } else if is_over || self.is_above_limits() {
                self.forget(number);
            } else {
                self.order.push_front(number);
                return;
            }
        }
    }

    /// Forgets the oldest records above the limits.
    pub(super) fn enforce_budget(&mut self) {
        if self.is_above_limits() {
            self.forget_old(0);
        }
    }

    fn is_above_limits(&self) -> bool {
        self.known.len() >= MAX_COMMANDS || self.bytes > MAX_BYTES
    }

    fn forget(&mut self, number: u64) {
        let Some(known) = self.known.remove(&number) else {
            return;
        };
        self.bytes -= known.bytes;
        if !known.record.reply_acked {
            self.open_bytes -= known.bytes;
        }
        for key in &known.keys {
            if let Some(numbers) = self.by_key.get_mut(key) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        self.unpersisted.remove(&number);
        if !self.unwritten.remove(&number) || known.is_written {
            self.gone.insert(number);
        }
    }
}

/// Returns whether the broker may send the known command again.
fn may_be_sent_again(known: &RememberedCommand, redelivery: Redelivery) -> bool {
    match redelivery {
        Redelivery::No => false,
        Redelivery::Possible => known.epoch == 0 && !known.record.acknowledged,
        Redelivery::Certain => true,
    }
}
