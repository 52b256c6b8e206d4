//! Which entries have to be written to the database, and when the log may be dropped.
//!
//! It does no I/O: pages leave it, and what was written is reported back.

use std::collections::BTreeSet;

use crate::store::journal::disk::Pages;
use crate::store::journal::index::Index;
use crate::store::journal::remembered::Logged;
use crate::store::journal::wal::WalNote;

impl Index {
    /// Notes that the write-ahead log has these records.
    pub(in crate::store::journal) fn note_logged(&mut self, numbers: &BTreeSet<u64>) {
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
    pub(in crate::store::journal) fn is_finished_in_order(&self, number: u64) -> bool {
        let known = self.known.get(&number);
        known.is_some_and(|known| known.is_finished())
            && self.unwritten.first().is_none_or(|first| *first > number)
            && self.first_in_progress.is_none_or(|first| first > number)
    }

    /// Marks all records to be written, because the store and the write-ahead log were opened
    /// again: the log has their states of before the failure.
    pub(in crate::store::journal) fn write_all_again(&mut self) {
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
    pub(in crate::store::journal) fn write_from_wal(&mut self, up_to: u64) {
        let later = match up_to.checked_add(1) {
            Some(next) => self.only_in_wal.split_off(&next),
            None => BTreeSet::new(),
        };
        let moved = std::mem::replace(&mut self.only_in_wal, later);
        self.unwritten.extend(moved);
    }

    /// Returns the lowest number of a record that is not on disk.
    pub(in crate::store::journal) fn oldest_not_on_disk(&self) -> Option<u64> {
        let firsts = [&self.unwritten, &self.only_in_wal].map(|numbers| numbers.first().copied());
        firsts.into_iter().flatten().min()
    }

    /// Notes that the records `numbers` are being written. Adds the finished commands that the disk
    /// must have with them: those without which an open command among the records could reach a
    /// device that received a newer one.
    pub(in crate::store::journal) fn begin_writing(&mut self, numbers: &mut BTreeSet<u64>) {
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
    pub(in crate::store::journal) fn held_back(&self, next: u64) -> u64 {
        let oldest = self.unwritten.first().copied();
        oldest.map_or(0, |oldest| next.saturating_sub(oldest))
    }

    /// Returns the records to write and the ones to remove.
    pub(in crate::store::journal) fn pages(
        &mut self,
        numbers: &BTreeSet<u64>,
        gone: &BTreeSet<u64>,
    ) -> Pages {
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
    pub(in crate::store::journal) fn write_acknowledged(&mut self) {
        for (number, known) in &mut self.known {
            if known.note_ack() {
                self.unwritten.insert(*number);
            }
        }
    }
}
