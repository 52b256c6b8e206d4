//! Which entries are forgotten: those whose time is over, and the oldest ones above the limits in
//! count and bytes.
//!
//! It knows neither the disk nor replies.

use std::collections::VecDeque;

use crate::command::reply::Reply;
use crate::store::journal::index::Index;
use crate::store::journal::packed_reply::PackedReply;
use crate::store::journal::remembered::Logged;
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

/// Time for which a command is remembered past its own time, in milliseconds: the clocks of its
/// sender and of this machine may differ.
const GRACE_MS: u64 = 5_000;

impl Index {
    /// Returns the bytes of a record; 0 if it is not known.
    pub(in crate::store::journal) fn bytes_of(&self, number: u64) -> usize {
        self.known.get(&number).map_or(0, |known| known.bytes)
    }

    /// Returns whether the time of a command is over at `now` that was received at `received_at`,
    /// and whose own time ends at `until`.
    pub(in crate::store::journal) fn is_over(
        &self,
        received_at: u64,
        until: u64,
        now: u64,
    ) -> bool {
        let until = until.max(received_at.saturating_add(self.keep));
        until.saturating_add(GRACE_MS) < now
    }

    /// Forgets records whose time is over, and some of those above the limits. Records without a
    /// delivered reply stay, and those without which an older command could overtake a newer one
    /// after a crash.
    pub(in crate::store::journal) fn forget_old(&mut self, now: u64) {
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
    pub(in crate::store::journal) fn shrink(&mut self) {
        let least = 2 * self.known.len();
        self.known.shrink_to(least);
        self.bytes.shrink();
        self.newest.shrink_to(2 * self.newest.len());
        self.order.shrink_to(least);
    }

    /// Forgets records above the limits: those of sources with more than their share, and if that
    /// is not enough, others.
    pub(in crate::store::journal) fn enforce_budget(&mut self) {
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

    pub(super) fn forget(&mut self, number: u64) {
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
