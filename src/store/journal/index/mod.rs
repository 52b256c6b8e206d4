//! The records of the journal in memory: commands live for a minute, and there are few at once.

pub(super) mod duplicate;
mod eviction;
mod write_back;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZeroU64;

use crate::command::reply::Reply;
use crate::store::journal::byte_totals::ByteTotals;
use crate::store::journal::duplicate_keys::DuplicateKeys;
use crate::store::journal::open_commands::OpenCommands;
use crate::store::journal::packed_reply::PackedReply;
use crate::store::journal::record::JournalRecord;
use crate::store::journal::remembered::{Logged, RememberedCommand};
use crate::store::journal::wal::WalNote;

/// The bytes of commands without a delivered reply above which no further command is taken from the
/// inbox.
pub const MAX_OPEN_BYTES: usize = 3 << 20;

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
    /// Records of finished commands that are not written to disk: the write-ahead log has them.
    pub(super) only_in_wal: BTreeSet<u64>,
    /// States of records for the write-ahead log. At most a few for each record that is in it.
    pub(super) notes: Vec<(u64, WalNote)>,
    /// The lowest number of the records that are being written.
    pub(super) first_in_progress: Option<u64>,
    /// Records to remove from the disk.
    pub(super) gone: BTreeSet<u64>,
    /// Records that neither the disk nor the kernel has in their present state.
    pub(super) unpersisted: BTreeSet<u64>,
    /// Whether the records of an earlier run have been read.
    pub(super) has_recovered: bool,
    /// Boxed: while a table of this size grows, it exists twice.
    pub(super) known: foldhash::HashMap<u64, Box<RememberedCommand>>,
    /// Each key of each command, with its number.
    by_key: BTreeSet<(NonZeroU64, u64)>,
    open: OpenCommands,
    /// The newest command with a reply that sent a message to the device.
    newest: HashMap<String, u64>,
    /// Oldest first.
    order: VecDeque<u64>,
    bytes: ByteTotals,
    /// Shortest time for which a command is remembered, in milliseconds: as long as the broker may
    /// send it again.
    keep: u64,
}

/// Circumstances under which a command was received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reception {
    pub(super) connection: u64,
    /// It may have been received before, in another run that it ended.
    pub(super) may_be_suspect: bool,
    pub(super) is_written: bool,
    /// The write-ahead log has a state of it.
    pub(super) is_logged: bool,
}

impl Index {
    pub(super) fn new(keep: u64) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Adds a record; `keys` are its own.
    pub(super) fn remember(
        &mut self,
        number: u64,
        record: JournalRecord,
        keys: DuplicateKeys,
        reception: Reception,
    ) {
        self.by_key.extend(keys.iter().map(|key| (key, number)));
        if record.answer.is_none() {
            self.open.insert(number, reception.is_written);
        }
        let is_finished = record.reply_acked;
        let mut remembered = RememberedCommand::new(record, keys, reception.connection);
        remembered.note_suspect(reception.may_be_suspect.then_some(self.changes + 1));
        remembered.is_written = reception.is_written;
        if reception.is_logged {
            remembered.logged = Logged::Open;
        }
        self.bytes.add(&mut remembered);
        if is_finished {
            self.bytes.finish(&mut remembered);
        }
        self.known.insert(number, Box::new(remembered));
        self.order.push_back(number);
        self.next = self.next.max(number + 1);
    }

    /// Changes the record of a command whose reply the broker may not have; returns false if there
    /// is none.
    pub(super) fn update(&mut self, number: u64, change: impl FnOnce(&mut JournalRecord)) -> bool {
        let Some(known) = self.known.get_mut(&number) else {
            return false;
        };
        let Some(record) = known.open_mut() else {
            return false;
        };
        change(record);
        self.bytes.recount(known);
        true
    }

    /// Enters the reply of a command, whose JSON is `json`; returns false if the command is not
    /// known, or finished.
    pub(super) fn answer(&mut self, number: u64, reply: &Reply, json: &[u8]) -> bool {
        let Some(known) = self.known.get(&number) else {
            return false;
        };
        let keys = known.keys;
        let packed = PackedReply::new(reply, json);
        if !self.update(number, |record| record.enter_reply(packed, keys)) {
            return false;
        }
        self.open.remove(number);
        self.note_devices(number, reply);
        true
    }

    /// Notes that the broker has the reply; returns false if the command is not known, or that is.
    pub(super) fn finish(&mut self, number: u64) -> bool {
        let known = self.known.get_mut(&number);
        known.is_some_and(|known| self.bytes.finish(known))
    }

    /// Notes that a record must be written: to disk, or only to the write-ahead log if its command
    /// is finished and the disk does not have it. Its absence after a power cut does no harm: the
    /// broker has the messages and the reply. Returns whether the disk is meant.
    pub(super) fn mark_changed(&mut self, number: u64, has_wal: bool) -> bool {
        self.changes += 1;
        self.unpersisted.insert(number);
        let needs_disk = !has_wal || !self.is_finished_unwritten(number);
        if needs_disk {
            self.only_in_wal.remove(&number);
            self.unwritten.insert(number);
        } else {
            self.unwritten.remove(&number);
            self.only_in_wal.insert(number);
        }
        needs_disk
    }

    fn is_finished_unwritten(&self, number: u64) -> bool {
        self.known.get(&number).is_some_and(|known| {
            let keeps_order = known.newest_of > 0 && self.open.is_older_one_on_disk(number);
            known.is_finished() && !known.is_written && !keeps_order
        })
    }

    /// Notes that the broker has the reply. Returns whether the disk is meant, see
    /// [`Index::mark_changed`]; `None` if the command is not known, or that is.
    pub(super) fn ack_reply(&mut self, number: u64, has_wal: bool) -> Option<bool> {
        let is_logged_as_it_is = !self.unpersisted.contains(&number);
        if !self.finish(number) {
            return None;
        }
        let needs_disk = self.mark_changed(number, has_wal);
        let logged = self.known.get(&number).map(|known| known.logged);
        if logged != Some(Logged::No) {
            self.notes.push((number, WalNote::Acked));
        }
        if logged == Some(Logged::Answered) && is_logged_as_it_is {
            self.unpersisted.remove(&number);
        }
        Some(needs_disk)
    }

    /// Notes the devices that a command commanded.
    pub(super) fn note_devices(&mut self, number: u64, reply: &Reply) {
        let mut newest_of = 0;
        for device in reply.commanded_devices() {
            match self.newest.get_mut(device) {
                Some(newest) if *newest >= number => continue,
                Some(newest) => {
                    let earlier = std::mem::replace(newest, number);
                    if let Some(earlier) = self.known.get_mut(&earlier) {
                        earlier.newest_of = earlier.newest_of.saturating_sub(1);
                    }
                }
                None => drop(self.newest.insert(device.to_owned(), number)),
            }
            newest_of += 1;
        }
        if let Some(known) = self.known.get_mut(&number) {
            known.newest_of += newest_of;
        }
    }

    /// Returns whether a crash without this record could let an older command reach a device that
    /// has received this one.
    fn keeps_order(&self, number: u64, known: &RememberedCommand) -> bool {
        known.newest_of > 0 && self.open.is_older_one_open(number)
    }

    /// Returns whether the commands without a delivered reply leave room for more.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.open < MAX_OPEN_BYTES
    }

    /// Sets the commands without a delivered reply aside; of an earlier run alone if `is_earlier`.
    /// Returns how many there were.
    pub(super) fn set_aside(&mut self, is_earlier: bool) -> usize {
        let mut count = 0;
        for (number, known) in &mut self.known {
            let is_meant = !is_earlier || known.connection == 0;
            if is_meant && !known.is_finished() && !known.is_set_aside {
                known.is_set_aside = true;
                self.open.remove(*number);
                count += 1;
            }
        }
        count
    }

    /// Takes back the commands that were set aside, and returns them, oldest first.
    pub(super) fn take_back(&mut self) -> Vec<(u64, JournalRecord)> {
        let mut taken = Vec::new();
        for (number, known) in &mut self.known {
            let was_set_aside = std::mem::take(&mut known.is_set_aside);
            if let Some(open) = known.open()
                && was_set_aside
            {
                taken.push((*number, open.record.clone()));
                if open.record.answer.is_none() {
                    self.open.insert(*number, known.is_written);
                }
            }
        }
        if !taken.is_empty() {
            // They are older than some that are finished: those keep the order after a power cut.
            self.write_from_wal(u64::MAX);
        }
        taken.sort_unstable_by_key(|(number, _)| *number);
        taken
    }
}
