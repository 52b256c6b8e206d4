//! What the journal remembers, in memory: commands live for a minute, and there are few at once.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::store::journal::disk::Pages;
use crate::store::journal::record::{JournalRecord, Received, strong_keys, weak_key};

/// The most commands remembered at once. Past it the oldest answered ones are forgotten first: memory stays flat under a
/// flood, and what is forgotten is a duplicate that may be taken for a new command.
const MOST: usize = 20_000;

/// How long a command is remembered past its own time, in milliseconds: its speaker's clock and ours may differ.
const GRACE_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) next: u64,
    /// Counts the changes.
    pub(super) changes: u64,
    /// Counts the syncs, from one life to the next.
    pub(super) syncs: u64,
    /// The records that changed since they were last written, and those that are gone.
    pub(super) unwritten: BTreeSet<u64>,
    pub(super) gone: BTreeSet<u64>,
    /// Those that neither the disk nor the kernel has as they are now.
    pub(super) exposed: BTreeSet<u64>,
    /// In boxes: a table of this size doubles at some moment for the places of those that went, and a place is small then.
    pub(super) known: HashMap<u64, Box<Remembered_>>,
    by_key: HashMap<u64, Vec<u64>>,
    /// Oldest first.
    order: VecDeque<u64>,
    /// For how long a command is remembered at least, in milliseconds: as long as the broker may send it again.
    keep: u64,
}

#[derive(Debug)]
pub(super) struct Remembered_ {
    pub(super) record: JournalRecord,
    keys: Vec<u64>,
    /// The connection it was last heard on: equal payloads are duplicates only over two of them, and each stands for one.
    epoch: u64,
    /// Where an earlier life may have ended with it: the count of changes when it was entered.
    pub(super) suspect: Option<u64>,
    /// True once it has been written.
    written: bool,
}

/// How a command was heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receipt_ {
    pub(super) epoch: u64,
    /// It may have been heard before, in another life.
    pub(super) again: bool,
    pub(super) written: bool,
}

impl Index {
    pub(super) fn new(keep: u64) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// The earlier hearing of this command, where there is one. `again` says that it may be one the broker or its speaker
    /// sends again: only then is an equal payload without a name a duplicate.
    pub(super) fn earlier(
        &mut self,
        received: &Received,
        epoch: u64,
        again: bool,
    ) -> Option<&JournalRecord> {
        let strong = strong_keys(received);
        let found = if strong.is_empty() {
            let same = self.by_key.get(&weak_key(received)).filter(|_| again)?;
            *same.iter().find(|number| {
                self.known
                    .get(number)
                    .is_some_and(|known| known.epoch != epoch)
            })?
        } else {
            *strong.iter().find_map(|key| self.by_key.get(key)?.last())?
        };
        let known = self.known.get_mut(&found)?;
        known.epoch = epoch;
        // Whoever was told to come again comes again; what the broker sends again has its answer.
        (again || !known.record.is_put_off()).then_some(&known.record)
    }

    pub(super) fn remember(&mut self, number: u64, record: JournalRecord, hearing: Receipt_) {
        let mut keys = strong_keys(&record.received);
        if keys.is_empty() {
            keys.push(weak_key(&record.received));
        }
        for key in &keys {
            self.by_key.entry(*key).or_default().push(number);
        }
        self.known.insert(
            number,
            Box::new(Remembered_ {
                record,
                keys,
                epoch: hearing.epoch,
                suspect: hearing.again.then_some(self.changes + 1),
                written: hearing.written,
            }),
        );
        self.order.push_back(number);
        self.next = self.next.max(number + 1);
    }

    /// What is to be written of these.
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
            known.written = true;
            pages.records.push((*number, known.record.write()));
        }
        pages
    }

    /// Drops what is past its time. What is not answered yet, or whose answer the broker has not taken, stays.
    pub(super) fn forget_old(&mut self, now: u64) {
        for _ in 0..self.order.len() {
            let Some(number) = self.order.pop_front() else {
                return;
            };
            let Some(known) = self.known.get(&number) else {
                continue;
            };
            let JournalRecord {
                received,
                heard,
                told,
                ..
            } = &known.record;
            let over = received
                .until
                .max(heard.saturating_add(self.keep))
                .saturating_add(GRACE_MS)
                < now;
            if !told {
                self.order.push_back(number);
            } else if over || self.known.len() >= MOST {
                self.forget(number);
            } else {
                return self.order.push_front(number);
            }
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(known) = self.known.remove(&number) else {
            return;
        };
        for key in &known.keys {
            if let Some(numbers) = self.by_key.get_mut(key) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        self.exposed.remove(&number);
        if !self.unwritten.remove(&number) || known.written {
            self.gone.insert(number);
        }
    }
}
