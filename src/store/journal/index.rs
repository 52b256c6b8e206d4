//! The records of the journal in memory: commands live for a minute, and there are few at once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZeroU64;

use crate::command::Redelivery;
use crate::command::reply::Reply;
use crate::store::journal::byte_totals::ByteTotals;
use crate::store::journal::disk::Pages;
use crate::store::journal::duplicate_keys::{DuplicateKeys, identity_key};
use crate::store::journal::entry::JournalEntry;
use crate::store::journal::open_commands::OpenCommands;
use crate::store::journal::packed_reply::PackedReply;
use crate::store::journal::received::Received;
use crate::store::journal::record::JournalRecord;
use crate::store::journal::remembered::{Logged, RememberedCommand};
use crate::store::journal::wal::WalNote;

/// The most commands remembered at once. Above it commands with a delivered reply are forgotten:
/// the oldest ones of the sources that have more than their share. A duplicate of a forgotten
/// command counts as new.
const MAX_COMMANDS: usize = 20_000;

/// The most bytes of commands with a delivered reply, with the same effect: some 8,500 everyday
/// ones.
const MAX_FINISHED_BYTES: usize = 5 << 19;

/// The most bytes of all commands, with the same effect.
const MAX_BYTES: usize = 4 << 20;

/// Share of the limits, in percent, down to which commands are forgotten at once, so that this is
/// not done again for each new command.
const TARGET: usize = 90;

/// The bytes of commands without a delivered reply above which no further command is taken from the
/// inbox.
pub const MAX_OPEN_BYTES: usize = 3 << 20;

/// Time for which a command is remembered past its own time, in milliseconds: the clocks of its
/// sender and of this machine may differ.
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

/// The earlier entry of a command.
#[derive(Debug)]
pub(super) enum EarlierEntry {
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

    /// Returns the earlier entry of a command of a single daemon. `keys` are those of the command.
    pub(super) fn earlier(
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
    pub(super) fn end_session(&mut self, connection: u64) -> Vec<u64> {
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
    pub(super) fn earlier_in_pair(
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

    /// Notes that the write-ahead log has these records.
    pub(super) fn note_logged(&mut self, numbers: &BTreeSet<u64>) {
        for number in numbers {
            if let Some(known) = self.known.get_mut(number) {
                known.logged = match known.reply() {
                    _ if known.is_finished() => Logged::Acked,
                    Some(_) => Logged::Answered,
                    None => Logged::Open,
                };
            }
        }
        for (number, note) in self.notes.drain(..) {
            if note == WalNote::Acked
                && let Some(known) = self.known.get_mut(&number)
            {
                known.logged = Logged::Acked;
            }
        }
    }

    /// Returns whether a command may be forgotten by the broker although the last sync does not
    /// cover it: it is finished, and after a power cut neither it nor an older one is found in a
    /// state before its end.
    pub(super) fn is_finished_in_order(&self, number: u64) -> bool {
        let known = self.known.get(&number);
        known.is_some_and(|known| known.is_finished())
            && self.unwritten.first().is_none_or(|first| *first > number)
            && self.first_in_progress.is_none_or(|first| first > number)
    }

    /// Marks all records to be written, because the store and the write-ahead log were opened
    /// again: the log has their states of before the failure.
    pub(super) fn write_all_again(&mut self) {
        self.only_in_wal.clear();
        self.unwritten.extend(self.known.keys());
        self.notes.retain(|(_, note)| *note == WalNote::Gone);
        let acked = self
            .known
            .iter()
            .filter(|(_, known)| known.is_finished() && known.logged != Logged::No);
        let acked = acked.map(|(number, _)| (*number, WalNote::Acked));
        self.notes.extend(acked);
    }

    /// Marks records that are only in the write-ahead log, up to a number, to be written to disk.
    pub(super) fn write_from_wal(&mut self, up_to: u64) {
        let later = match up_to.checked_add(1) {
            Some(next) => self.only_in_wal.split_off(&next),
            None => BTreeSet::new(),
        };
        let moved = std::mem::replace(&mut self.only_in_wal, later);
        self.unwritten.extend(moved);
    }

    /// Returns the lowest number of a record that is not on disk.
    pub(super) fn oldest_not_on_disk(&self) -> Option<u64> {
        let firsts = [&self.unwritten, &self.only_in_wal].map(|numbers| numbers.first().copied());
        firsts.into_iter().flatten().min()
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

    /// Returns the bytes of a record; 0 if it is not known.
    pub(super) fn bytes_of(&self, number: u64) -> usize {
        self.known.get(&number).map_or(0, |known| known.bytes)
    }

    /// Notes that the records `numbers` are being written. Adds the finished commands that the disk
    /// must have with them: those without which an open command among the records could reach a
    /// device that received a newer one.
    pub(super) fn begin_writing(&mut self, numbers: &mut BTreeSet<u64>) {
        let Some(oldest) = self.open.note_written(numbers) else {
            return;
        };
        let known = &self.known;
        let newer = self.only_in_wal.extract_if(oldest.., |number| {
            known.get(number).is_some_and(|known| known.newest_of > 0)
        });
        numbers.extend(newer);
    }

    /// Returns the number of commands that the broker must keep because of the oldest record to
    /// write, of those received before number `next`.
    pub(super) fn held_back(&self, next: u64) -> u64 {
        let oldest = self.unwritten.first().copied();
        oldest.map_or(0, |oldest| next.saturating_sub(oldest))
    }

    /// Returns the records to write and the ones to remove.
    pub(super) fn pages(&mut self, numbers: &BTreeSet<u64>, gone: &BTreeSet<u64>) -> Pages {
        let mut pages = Pages::new(gone.iter().copied().collect(), self.syncs);
        for number in numbers {
            let Some(known) = self.known.get_mut(number) else {
                continue;
            };
            known.is_written = true;
            pages.add(*number, &known.stored());
        }
        pages
    }

    /// Enters into the records which acknowledgements have left, and marks those records to be
    /// written.
    pub(super) fn write_acknowledged(&mut self) {
        for (number, known) in &mut self.known {
            if known.note_ack() {
                self.unwritten.insert(*number);
            }
        }
    }

    /// Returns whether the time of a command is over at `now` that was received at `received_at`,
    /// and whose own time ends at `until`.
    pub(super) fn is_over(&self, received_at: u64, until: u64, now: u64) -> bool {
        let until = until.max(received_at.saturating_add(self.keep));
        until.saturating_add(GRACE_MS) < now
    }

    /// Forgets records whose time is over, and some of those above the limits. Records without a
    /// delivered reply stay, and those without which an older command could overtake a newer one
    /// after a crash.
    pub(super) fn forget_old(&mut self, now: u64) {
        for _ in 0..self.order.len() {
            let Some(number) = self.order.pop_front() else {
                break;
            };
            let Some(known) = self.known.get(&number) else {
                continue;
            };
            let is_over = self.is_over(known.received_at(), known.until(), now);
            let is_open = !known.is_finished() && !known.is_set_aside;
            if is_open || (is_over && self.keeps_order(number, known)) {
                self.order.push_back(number);
            } else if is_over {
                self.forget(number);
            } else {
                self.order.push_front(number);
                break;
            }
        }
        self.enforce_budget();
    }

    /// Makes tables smaller that held many more records.
    pub(super) fn shrink(&mut self) {
        let least = 2 * self.known.len();
        self.known.shrink_to(least);
        self.bytes.shrink();
        self.newest.shrink_to(2 * self.newest.len());
        self.order.shrink_to(least);
    }

    /// Forgets records above the limits: those of sources with more than their share, and if that
    /// is not enough, others.
    pub(super) fn enforce_budget(&mut self) {
        if !self.is_above(100) {
            return;
        }
        let share = MAX_FINISHED_BYTES * TARGET / 100 / self.bytes.sources().max(1);
        self.forget_while_above(|index, topic| index.bytes.of_source(topic) > share);
        self.forget_while_above(|_, _| true);
    }

    /// Forgets the oldest records of the chosen topics until enough are forgotten.
    fn forget_while_above(&mut self, is_chosen: impl Fn(&Self, &str) -> bool) {
        let mut order = std::mem::take(&mut self.order);
        let mut kept = VecDeque::new();
        while self.is_above(TARGET)
            && let Some(number) = order.pop_front()
        {
            let Some(known) = self.known.get(&number) else {
                continue;
            };
            if (known.is_finished() || known.is_set_aside)
                && is_chosen(self, known.topic())
                && !self.keeps_order(number, known)
            {
                self.forget(number);
            } else {
                kept.push_back(number);
            }
        }
        // Mostly nearly all are behind, and few were kept.
        while let Some(number) = kept.pop_back() {
            order.push_front(number);
        }
        self.order = order;
    }

    /// Returns whether the records are above this share of a limit, in percent.
    fn is_above(&self, percent: usize) -> bool {
        self.known.len() >= MAX_COMMANDS * percent / 100
            || self.bytes.finished() > MAX_FINISHED_BYTES * percent / 100
            || self.bytes.all > MAX_BYTES * percent / 100
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

    fn forget(&mut self, number: u64) {
        let Some(known) = self.known.remove(&number) else {
            return;
        };
        self.bytes.remove(&known);
        self.open.remove(number);
        if known.newest_of > 0 {
            let reply = known.reply().and_then(PackedReply::reply);
            for device in reply.iter().flat_map(Reply::commanded_devices) {
                if self.newest.get(device) == Some(&number) {
                    self.newest.remove(device);
                }
            }
        }
        for key in known.keys.iter() {
            self.by_key.remove(&(key, number));
        }
        let is_behind_on_disk = self.unwritten.remove(&number) && known.is_written;
        self.only_in_wal.remove(&number);
        if known.is_written {
            self.gone.insert(number);
        }
        // Without it a later run could take an earlier state of the record for the last one.
        self.unpersisted.remove(&number);
        let is_behind_in_log = !matches!(known.logged, Logged::No | Logged::Acked);
        if is_behind_on_disk || is_behind_in_log {
            self.notes.push((number, WalNote::Gone));
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
