//! The journal: every received command, the messages planned for it, its reply, and whether the
//! broker has the reply, until its time is over.
//!
//! The journal allows the broker's copy of a command to be acknowledged, lets a restart continue
//! unfinished commands, and recognises duplicates. There is one record per command; the index over
//! them is in memory, because they live for a minute. `sync` writes the records to disk, `recovery`
//! reads them at the start.

mod byte_totals;
mod clock;
mod disk;
mod duplicate_keys;
mod durability;
mod entry;
mod in_pair;
mod index;
mod open_commands;
mod packed_reply;
mod received;
mod record;
mod recovered;
mod recovery;
mod remembered;
mod reopening;
mod seq;
mod state;
mod sync;
mod wal;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::command::Redelivery;
use crate::command::reply::Reply;
use crate::store::{Settings, Store};

use crate::store::journal::clock::{Clock, millis};
use crate::store::journal::disk::Disk;
use crate::store::journal::duplicate_keys::DuplicateKeys;
pub use crate::store::journal::durability::Durability;
pub use crate::store::journal::entry::JournalEntry;
pub use crate::store::journal::index::MAX_OPEN_BYTES;
use crate::store::journal::index::duplicate::EarlierEntry;
use crate::store::journal::index::{Index, Reception};
pub use crate::store::journal::received::Received;
pub use crate::store::journal::record::{JournalRecord, PlannedPublish};
pub use crate::store::journal::recovered::{IdentifiedCommand, Recovered, Unfinished};
pub use crate::store::journal::seq::Seq;
pub use crate::store::journal::state::{Health, Journal};
use crate::store::journal::wal::{Wal, WalNote};

/// Number of held-back commands from which a record that has waited for a while is synced without
/// waiting for more: a broker with a window of 20 messages would soon send no further command.
const BATCH: u64 = 16;

/// Number of held-back commands from which a record is synced even during the rest after a sync.
const HIGH_WATER: u64 = 128;

/// Time for which a command of an earlier run is alone in progress: if it ends this run as well, it
/// mostly does so at once.
const ALONE: Duration = Duration::from_secs(2);

/// Time for which all commands of an earlier run that may have ended one run at most are alone
/// together: after a crash with hundreds of them new commands wait no longer.
const ALONE_TOGETHER: Duration = Duration::from_secs(4);

/// Crashes during one command after which the command is taken for their cause and given up.
pub const MAX_CRASHES: u32 = 3;

impl Journal {
    /// Opens the journal in `store`; returns it with the records of an earlier run. A command is
    /// remembered for `keep` at least: as long as the broker may send it again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Option<Arc<Store>>, keep: Duration) -> Result<(Self, Recovered), io::Error> {
        let Some(store) = store else {
            return Ok((Self::in_memory(keep), Recovered::default()));
        };
        let disk = Disk::new(store)?;
        let last = disk.last()?;
        let boot = disk.store.settings.boot.clone();
        let clock = Clock::continue_from(last.clock.as_ref(), boot.as_deref());
        let journal = Self::new(Some(disk.clone()), clock, keep);
        let recovered = journal.recover(&disk, &last, 0)?;
        Ok((journal, recovered))
    }

    /// Creates a journal in memory alone, without a store.
    pub fn in_memory(keep: Duration) -> Self {
        Self::new(None, Clock::continue_from(None, None), keep)
    }

    /// Creates a journal for a store that cannot be opened yet: it is tried again and again, and
    /// its records are then returned by [`Journal::recovered_late`].
    pub fn waiting(settings: Settings, path: PathBuf, keep: Duration) -> Self {
        let clock = Clock::continue_from(None, settings.boot.as_deref());
        let journal = Self {
            place: Some((settings, path)),
            ..Self::new(None, clock, keep)
        };
        // Commands received from now on are newer than those in the store.
        journal.lock().next = recovery::first_number_without_store();
        journal.health.send_replace(Health::Failing);
        journal
    }

    fn new(disk: Option<Disk>, clock: Clock, keep: Duration) -> Self {
        let place = disk
            .as_ref()
            .map(|disk| (disk.store.settings.clone(), disk.store.path.clone()));
        let health = if disk.is_some() {
            Health::Safe
        } else {
            Health::Absent
        };
        Self {
            disk: Mutex::new(disk),
            wal: Mutex::default(),
            place,
            index: Mutex::new(Index::new(millis(keep))),
            clock,
            clock_written: Mutex::default(),
            dirty: Notify::new(),
            urgent: Notify::new(),
            batch_ready: Notify::new(),
            high_water: Notify::new(),
            finished: Notify::new(),
            syncing: tokio::sync::Mutex::default(),
            synced: watch::Sender::new(0),
            health: watch::Sender::new(health),
            suspects: tokio::sync::Mutex::default(),
            attributing: tokio::sync::Mutex::default(),
            running: Mutex::default(),
            recovered_late: Mutex::default(),
            late: Notify::new(),
            left_behind: Mutex::default(),
        }
    }

    /// Returns the moment `left` from now, on the journal's own scale.
    pub fn moment(&self, left: Duration) -> u64 {
        self.clock.now().saturating_add(millis(left))
    }

    /// Records a command received on the connection of this number, or recognises it as a
    /// duplicate. Without an id and correlation data a command is a duplicate only of an equal one
    /// that the broker may send again.
    pub fn receive(
        &self,
        received: Received,
        connection: u64,
        redelivery: Redelivery,
    ) -> JournalEntry {
        let now = self.clock.now();
        let mut record = JournalRecord::new(received, now);
        let keys = record.keys();
        let mut index = self.lock();
        index.forget_old(now);
        match index.earlier(&record.received, &keys, connection, redelivery) {
            Some(EarlierEntry::Known(entry)) => return entry,
            Some(EarlierEntry::PutOff { until }) => record.received.limit(until),
            Some(EarlierEntry::SetAside { .. }) | None => {}
        }
        let reception = Reception {
            connection,
            may_be_suspect: redelivery != Redelivery::No,
            is_written: false,
            is_logged: false,
        };
        JournalEntry::New(self.enter(&mut index, record, keys, reception))
    }

    /// Forgets commands whose time is over; to be called from time to time. While commands are
    /// received, each of them does so.
    pub fn sweep(&self) {
        let mut index = self.lock();
        index.forget_old(self.clock.now());
        index.shrink();
        self.dirty.notify_one();
    }

    /// Notes that the broker had lost the session when this connection was made: it sends
    /// nothing again that it sent before, and has begun to count its packets again.
    pub fn session_lost(&self, connection: u64) {
        let mut index = self.lock();
        for number in index.end_session(connection) {
            self.changed(&mut index, number);
        }
    }

    fn enter(
        &self,
        index: &mut Index,
        record: JournalRecord,
        keys: DuplicateKeys,
        reception: Reception,
    ) -> Seq {
        let number = index.next;
        index.remember(number, record, keys, reception);
        self.changed(index, number);
        Seq(number)
    }

    /// Returns whether the bytes of commands without a delivered reply leave room for more.
    pub fn has_room(&self) -> bool {
        self.lock().has_room()
    }

    /// Returns the time left to a command; `None` if it is not known.
    pub fn remaining(&self, seq: Seq) -> Option<Duration> {
        let until = self.lock().known.get(&seq.0)?.until();
        let left = until.saturating_sub(self.clock.now());
        Some(Duration::from_millis(left))
    }

    /// Returns the bytes of the record of command `number`; 0 if it is not known.
    pub fn recorded_bytes(&self, number: u64) -> usize {
        self.lock().bytes_of(number)
    }

    /// Waits until the command is on disk, if it may have ended an earlier run: each run it ends
    /// must be counted.
    pub async fn persist_if_suspect(&self, seq: Seq) {
        let entered_at = {
            let index = self.lock();
            let known = index.known.get(&seq.0);
            known.and_then(|known| known.open()?.suspect)
        };
        let Some(entered_at) = entered_at else {
            return;
        };
        Box::pin(self.persist_in_turn(entered_at)).await;
    }

    async fn persist_in_turn(&self, entered_at: u64) {
        // One after the other, so that they continue in the order of their receipt.
        let _turn = self.suspects.lock().await;
        if *self.synced.borrow() < entered_at {
            self.wait_until_synced().await;
        }
        // There may be hundreds of long ones: the connection has its turn between two of them.
        tokio::task::yield_now().await;
    }

    /// Runs a command that an earlier run did not finish so that the next crash is counted for the
    /// right command: a marker on disk names it for its first moments, in which no other such
    /// command begins, and whenever its code runs.
    pub async fn attribute<F: Future>(self: Arc<Self>, seq: Seq, command: F) -> F::Output {
        let mut command = pin!(command);
        {
            let mut spent = self.attributing.lock().await;
            let left = if self.crashes(seq) > 1 {
                ALONE
            } else {
                ALONE_TOGETHER.saturating_sub(*spent)
            };
            let began = Instant::now();
            self.mark_running(Some(seq));
            let result = timeout(ALONE.min(left), command.as_mut()).await;
            self.mark_running(None);
            *spent += began.elapsed();
            if let Ok(output) = result {
                return output;
            }
        }
        poll_fn(|context| {
            let other = self.mark_running(Some(seq));
            let polled = command.as_mut().poll(context);
            self.mark_running(other);
            polled
        })
        .await
    }

    /// Returns how many runs have ended during this command.
    pub fn crashes(&self, seq: Seq) -> u32 {
        let index = self.lock();
        let known = index.known.get(&seq.0);
        known.map_or(0, |known| known.crashes())
    }

    /// Names the command in progress on disk; returns the one named before.
    fn mark_running(&self, seq: Option<Seq>) -> Option<Seq> {
        if let Some(disk) = &*self.disk() {
            disk.mark_running(seq.map(|seq| seq.0));
        }
        std::mem::replace(&mut *self.running.lock(), seq)
    }

    /// Records the messages planned for the command. Await [`Journal::wait_until_persisted`] before
    /// publishing them.
    pub fn record_plan(&self, seq: Seq, planned: Vec<PlannedPublish>) {
        let mut index = self.lock();
        if index.update(seq.0, |record| record.sending = Some(planned)) {
            self.changed(&mut index, seq.0);
        }
    }

    /// Records the reply, and returns its JSON, which is sent.
    pub fn record_reply(&self, seq: Seq, reply: &Reply) -> Vec<u8> {
        let json = reply.to_json();
        let mut index = self.lock();
        if index.answer(seq.0, reply, &json) {
            self.changed(&mut index, seq.0);
        }
        json
    }

    /// Records that the broker has the reply.
    pub fn record_reply_ack(&self, seq: Seq) {
        let mut index = self.lock();
        if *self.health.borrow() == Health::Absent {
            index.finish(seq.0);
            return;
        }
        let has_wal = self.has_wal();
        if let Some(needs_disk) = index.ack_reply(seq.0, has_wal) {
            self.wake(&index, needs_disk);
            drop(index);
            self.finished.notify_one();
        }
    }

    /// Notes that the acknowledgement of the command is on its way to the broker. It is written
    /// when the journal closes: until then it may not have left.
    pub fn note_ack_sent(&self, seq: Seq) {
        if let Some(known) = self.lock().known.get_mut(&seq.0) {
            known.is_ack_sent = true;
        }
    }

    /// Notes that a record must be written. It is not written here: a command that is answered
    /// meanwhile is written once, and one that is finished meanwhile only to the write-ahead log.
    fn changed(&self, index: &mut Index, number: u64) {
        if *self.health.borrow() == Health::Absent {
            return;
        }
        let has_wal = self.has_wal();
        let needs_disk = index.mark_changed(number, has_wal);
        self.wake(index, needs_disk);
    }

    /// Wakes the sync loop after a change.
    fn wake(&self, index: &Index, needs_disk: bool) {
        self.dirty.notify_one();
        match index.held_back(index.next) {
            HIGH_WATER.. if needs_disk => {
                self.batch_ready.notify_one();
                self.high_water.notify_one();
            }
            BATCH.. if needs_disk => self.batch_ready.notify_one(),
            _ => {}
        }
    }

    /// Returns whether records may be in the write-ahead log alone.
    fn has_wal(&self) -> bool {
        self.is_safe() && self.wal().is_some()
    }

    /// Returns the number of changes so far.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Waits until a command needs no copy at the broker any more: all changes up to number
    /// `changes` are on disk, or the command is finished. The latter is noticed at once only if
    /// `is_early`. Cancel safe.
    pub async fn wait_until_kept(&self, seq: Option<Seq>, changes: u64, is_early: bool) {
        let mut synced = self.synced.subscribe();
        let mut health = self.health.subscribe();
        while !self.is_kept(seq, changes) {
            // The senders live in self, so none can fail.
            tokio::select! {
                _ = synced.changed() => {}
                _ = health.changed() => {}
                () = self.finished.notified(), if is_early => {}
            }
        }
    }

    /// Returns whether a command needs no copy at the broker any more.
    pub fn is_kept(&self, seq: Option<Seq>, changes: u64) -> bool {
        if *self.synced.borrow() >= changes || !self.is_safe() {
            return true;
        }
        seq.is_some_and(|seq| self.lock().is_finished_in_order(seq.0))
    }

    /// Waits until everything recorded so far has this durability.
    pub async fn wait_until_persisted(&self, durability: Durability) {
        match durability {
            Durability::None => {}
            Durability::Kernel => self.hand_to_kernel().await,
            Durability::Disk => self.wait_until_synced().await,
        }
    }

    /// Waits until the record of one command has this durability. Those of others, which are not
    /// needed for it, are not written with it, except by a sync.
    pub async fn wait_until_record_persisted(&self, seq: Seq, durability: Durability) {
        if durability != Durability::Kernel {
            return self.wait_until_persisted(durability).await;
        }
        self.hand_over(Some(seq)).await;
    }

    /// Hands everything recorded so far to the kernel: it then survives the end of this process,
    /// though not a power cut. Waits for the disk only if that fails.
    pub async fn hand_to_kernel(&self) {
        self.hand_over(None).await;
    }

    async fn hand_over(&self, only: Option<Seq>) {
        if self.is_safe() && !self.append_to_wal(only) {
            self.wait_until_synced().await;
        }
    }

    /// Appends one record, or all, to the write-ahead log, unless it is there already; returns
    /// whether that succeeded.
    fn append_to_wal(&self, only: Option<Seq>) -> bool {
        let mut index = self.lock();
        let mut wal = self.wal();
        let Some(wal) = wal.as_mut() else {
            return false;
        };
        // A command of a pair that is entered anew takes the place of its earlier record.
        let only = only.filter(|_| !index.notes.iter().any(|(_, note)| *note == WalNote::Gone));
        let unpersisted = match only {
            Some(seq) => index.unpersisted.take(&seq.0).into_iter().collect(),
            None => std::mem::take(&mut index.unpersisted),
        };
        Self::log(&mut index, wal, unpersisted)
    }

    /// Appends records, and the notes that wait, to the write-ahead log; returns whether that
    /// succeeded.
    fn log(index: &mut Index, wal: &mut Wal, unpersisted: BTreeSet<u64>) -> bool {
        let records = unpersisted
            .iter()
            .filter_map(|number| Some((*number, index.known.get(number)?.stored())));
        if wal.append(records, &index.notes).is_ok() {
            index.note_logged(&unpersisted);
            true
        } else {
            index.unpersisted.extend(unpersisted);
            false
        }
    }

    /// Waits until everything recorded so far is on disk, and starts the sync at once. Without a
    /// store, or while it fails, there is nothing to wait for.
    pub async fn wait_until_synced(&self) {
        self.urgent.notify_one();
        // Boxed: nearly every command waits for the kernel alone.
        Box::pin(self.wait_for_next_sync()).await;
    }

    /// Waits as [`Journal::wait_until_synced`] does, but lets changes of the next moments be synced
    /// together.
    async fn wait_for_next_sync(&self) {
        if !self.is_safe() {
            return;
        }
        let target = self.lock().changes;
        let mut synced = self.synced.subscribe();
        let mut health = self.health.subscribe();
        let is_unsafe = |health: &Health| !matches!(health, Health::Safe | Health::Slow);
        // The senders live in self, so neither can fail.
        tokio::select! {
            _ = synced.wait_for(|done| *done >= target) => {}
            _ = health.wait_for(is_unsafe) => {}
        }
    }

    /// Returns the store, if it works. It must not be kept: a store that fails has to be released.
    pub fn store(&self) -> Option<Arc<Store>> {
        if !self.is_safe() {
            return None;
        }
        self.disk().as_ref().map(|disk| Arc::clone(&disk.store))
    }

    /// Returns a number after that of every command received, for a command that comes from no
    /// message.
    pub fn next_number(&self) -> u64 {
        let mut index = self.lock();
        let number = index.next;
        index.next += 1;
        number
    }

    /// Returns the state of the journal, now and in future.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Returns whether commands are safe on disk.
    pub fn is_safe(&self) -> bool {
        matches!(*self.health.borrow(), Health::Safe | Health::Slow)
    }

    /// Returns how many commands are remembered, and how many of them have no reply yet.
    pub fn counts(&self) -> (usize, usize) {
        let index = self.lock();
        let unanswered = index.known.values().filter(|known| known.reply().is_none());
        (index.known.len(), unanswered.count())
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock()
    }

    /// Locks the write-ahead log. Where the index is locked too, it is locked first.
    fn wal(&self) -> MutexGuard<'_, Option<Wal>> {
        self.wal.lock()
    }

    fn disk(&self) -> MutexGuard<'_, Option<Disk>> {
        self.disk.lock()
    }
}

#[cfg(test)]
pub mod simulated_disk;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
