//! The sync loop: writes changed records to disk, many at a time, and watches how long the disk
//! takes.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{self, timeout};

use crate::store::is_writable;
use crate::store::journal::BATCH;
use crate::store::journal::clock::ClockReading;
use crate::store::journal::disk::{Disk, Pages};
use crate::store::journal::index::Index;
#[cfg(test)]
use crate::store::journal::simulated_disk::{begin_flush, begin_write};
use crate::store::journal::state::{Health, Journal};
use crate::store::journal::wal::Wal;

/// Time for which changes gather before they are synced together: each sync costs more than a
/// millisecond of processor time and wears the SD card. One that comes while others gather waits
/// for the next sync, so at most twice as long. The broker keeps its copy until then.
const GATHER: Duration = Duration::from_millis(200);

/// Shortest wait of records for which a sync comes before the usual time: in a flood of commands
/// that are understood locally, each command is finished before.
const BATCH_AGE: Duration = Duration::from_millis(30);

/// The rest after a sync, as a multiple of its duration: in a flood more commands share each sync,
/// and half of the time disk and processor are free for others. A longer one would delay everybody:
/// a broker with a window of 20 messages sends no more before the next sync.
const REST: u32 = 1;

/// A sync that took longer is slow, and reported.
const SLOW: Duration = Duration::from_millis(200);

/// A sync in progress is reported as slow after this time.
const SLOW_IN_PROGRESS: Duration = Duration::from_secs(1);

/// A sync in progress suspends the journal after this time: commands are then served and
/// acknowledged without it, instead of waiting for a disk that may never answer.
const SUSPEND: Duration = Duration::from_secs(5);

/// Time for which a failed store is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Time after the suspension of the journal at which a sync that has not ended is given up, if the
/// disk accepts other data: sled waits for something that never comes.
const GIVE_UP: Duration = Duration::from_secs(20);

/// Time that closing the journal may take on a slow disk.
const CLOSE: Duration = Duration::from_secs(5);

/// Interval at which the clocks are written, in milliseconds of the journal's own.
const CLOCK_INTERVAL_MS: u64 = 10_000;

/// The records that a sync writes. A command that was received a moment ago is mostly finished
/// before the next sync, and then needs no write at all; written half finished it would need two.
#[derive(Debug, Clone, Copy)]
pub(super) enum SyncScope {
    All,
    /// Those that waited when the sync was planned.
    Waiting(WaitingRecords),
}

/// The records that wait for the disk at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitingRecords {
    /// The number of the next record.
    pub(super) next: u64,
    /// The number of changes so far.
    changes: u64,
}

#[cfg(not(test))]
fn begin_write(disk: Disk, pages: Pages) -> JoinHandle<io::Result<()>> {
    spawn_blocking(move || disk.write(&pages))
}

#[cfg(not(test))]
fn begin_flush(disk: Disk) -> JoinHandle<io::Result<()>> {
    spawn_blocking(move || disk.flush())
}

impl Journal {
    /// Syncs changes for ever, and opens a failed store again once its disk accepts data.
    pub async fn keep_synced(&self) {
        if *self.health.borrow() == Health::Absent {
            return std::future::pending().await;
        }
        let mut rest_ends = time::Instant::now();
        let mut batch_age = BATCH_AGE;
        loop {
            if *self.health.borrow() == Health::Failing {
                time::sleep(RETRY).await;
                self.reopen().await;
                continue;
            }
            self.dirty.notified().await;
            if self.is_written() {
                continue;
            }
            let waiting = self.waiting_records();
            let scope = tokio::select! {
                () = time::sleep(GATHER) => SyncScope::Waiting(waiting),
                () = self.urgent.notified() => SyncScope::All,
                waiting = self.batch_waits(rest_ends, batch_age) => SyncScope::Waiting(waiting),
            };
            let began = time::Instant::now();
            self.sync_some(scope).await;
            let took = began.elapsed().min(GATHER);
            rest_ends = time::Instant::now() + took * REST;
            batch_age = BATCH_AGE.max(took);
        }
    }

    /// Waits until a record has waited for `age` and holds back many commands; returns the records
    /// that waited as long.
    async fn batch_waits(&self, rest_ends: time::Instant, age: Duration) -> WaitingRecords {
        loop {
            self.batch_ready.notified().await;
            tokio::select! {
                () = time::sleep_until(rest_ends) => {}
                () = self.high_water.notified() => {}
            }
            let waiting = self.waiting_records();
            time::sleep(age).await;
            if self.lock().held_back(waiting.next) >= BATCH {
                return waiting;
            }
        }
    }

    /// Returns the records that wait for the disk at this moment.
    pub(super) fn waiting_records(&self) -> WaitingRecords {
        let index = self.lock();
        WaitingRecords {
            next: index.next,
            changes: index.changes,
        }
    }

    /// Returns whether the last sync wrote the changes that woke the loop, because they came while
    /// it gathered.
    fn is_written(&self) -> bool {
        let index = self.lock();
        let is_logged = index.notes.is_empty()
            && (index.only_in_wal.is_empty() || index.unpersisted.is_empty());
        let is_written = is_logged && index.unwritten.is_empty() && index.gone.is_empty();
        if is_written {
            self.report_synced(index.changes);
        }
        is_written
    }

    /// Appends finished commands to the write-ahead log. Those that it does not accept are written
    /// to disk.
    fn log_finished(&self, index: &mut Index) {
        let mut wal = self.wal();
        let finished: BTreeSet<u64> = {
            let only = &index.only_in_wal;
            let unpersisted = &mut index.unpersisted;
            unpersisted
                .extract_if(.., |number| only.contains(number))
                .collect()
        };
        let is_logged = if let Some(wal) = wal.as_mut() {
            Self::log(index, wal, finished)
        } else {
            index.unpersisted.extend(finished);
            false
        };
        if wal.is_none() {
            index.notes.clear();
        }
        if !is_logged {
            index.write_from_wal(u64::MAX);
        } else if let Some(up_to) = wal.as_ref().and_then(Wal::overdue) {
            index.write_from_wal(up_to);
        }
    }

    /// Returns everything to write, with the number of changes it covers; `None` if the disk needs
    /// nothing.
    fn pages_to_write(
        &self,
        disk: &Disk,
        scope: SyncScope,
    ) -> Option<(u64, Pages, BTreeSet<u64>, BTreeSet<u64>)> {
        let mut index = self.lock();
        self.log_finished(&mut index);
        let (target, later) = match scope {
            SyncScope::All => (index.changes, BTreeSet::new()),
            SyncScope::Waiting(waiting) => {
                (waiting.changes, index.unwritten.split_off(&waiting.next))
            }
        };
        let mut numbers = std::mem::replace(&mut index.unwritten, later);
        index.begin_writing(&mut numbers);
        let needs_sync = disk.store.take_written();
        let needs_sync = needs_sync || !numbers.is_empty() || !index.gone.is_empty();
        let clock = self.clocks_to_write(needs_sync);
        if !needs_sync && clock.is_none() {
            self.turn_wal(&index);
            self.report_synced(target);
            return None;
        }
        index.syncs += 1;
        let gone = std::mem::take(&mut index.gone);
        index.first_in_progress = numbers.first().copied();
        let mut pages = index.pages(&numbers, &gone);
        pages.clock = clock;
        Some((target, pages, numbers, gone))
    }

    fn turn_wal(&self, index: &Index) {
        if let Some(wal) = self.wal().as_mut() {
            wal.turn(index.oldest_not_on_disk());
        }
    }

    /// Syncs the remaining changes, with a bound on the time.
    pub async fn close(&self) {
        if !self.is_safe() {
            return;
        }
        {
            let mut index = self.lock();
            index.write_acknowledged();
            // The next boot does not read the log.
            index.write_from_wal(u64::MAX);
        }
        let disk = self.disk().clone();
        let closing = async {
            // Not on this thread: a disk that hangs blocks this write as well.
            let marked = spawn_blocking(move || {
                if let Some(disk) = disk {
                    disk.mark_running(None);
                }
            });
            // Fails only if the write panicked.
            let _ = marked.await;
            self.sync().await;
        };
        if timeout(CLOSE, closing).await.is_err() {
            tracing::error!("the disk does not answer: the last commands may be lost");
        }
    }

    /// Syncs all changes.
    pub(super) async fn sync(&self) {
        self.sync_some(SyncScope::All).await;
    }

    pub(super) async fn sync_some(&self, scope: SyncScope) {
        let _only = self.syncing.lock().await;
        let Some(disk) = self.disk().clone() else {
            return;
        };
        let Some((target, pages, numbers, gone)) = self.pages_to_write(&disk, scope) else {
            return;
        };
        let began = time::Instant::now();
        let result = self.watch(begin_write(disk, pages)).await;
        if result.is_ok() {
            self.on_disk(&numbers);
        } else {
            self.put_back(numbers, gone);
            self.release_trees();
        }
        self.report_health(result.map(|()| began.elapsed()));
        self.report_synced(target);
    }

    /// Reports that all changes up to number `target` are on disk.
    fn report_synced(&self, target: u64) {
        self.synced
            .send_modify(|synced| *synced = target.max(*synced));
    }

    /// Waits for a write; reports it as slow and suspends the journal if it takes too long.
    async fn watch(&self, mut write: JoinHandle<io::Result<()>>) -> io::Result<()> {
        let mut waited = Duration::ZERO;
        for (limit, health) in [(SLOW_IN_PROGRESS, Health::Slow), (SUSPEND, Health::Failing)] {
            if let Ok(result) = timeout(limit.saturating_sub(waited), &mut write).await {
                return result.unwrap_or_else(|error| Err(io::Error::other(error)));
            }
            waited = limit;
            self.report_unfinished(health, waited);
        }
        self.watch_suspended(write).await
    }

    /// Waits for a write that suspended the journal. It may wait for a wake-up that never comes,
    /// see [`Disk::flush`](crate::store::journal::disk::Disk::flush): a flush beside it ends both,
    /// and the store is opened again. A write that does not end by that is given up once the disk
    /// accepts other data.
    async fn watch_suspended(&self, mut write: JoinHandle<io::Result<()>>) -> io::Result<()> {
        let mut flush: Option<JoinHandle<io::Result<()>>> = None;
        let mut probe: Option<JoinHandle<bool>> = None;
        let began = time::Instant::now();
        loop {
            // On a disk that hangs each of them takes a thread: one is enough.
            if flush.as_ref().is_none_or(JoinHandle::is_finished) {
                tracing::info!("a sync does not end: the store is flushed beside it");
                flush = self.disk().clone().map(begin_flush);
            }
            if let Ok(result) = timeout(RETRY, &mut write).await {
                return result.unwrap_or_else(|error| Err(io::Error::other(error)));
            }
            if began.elapsed() < GIVE_UP {
                continue;
            }
            let probed = probe.get_or_insert_with(|| self.begin_probe());
            let Ok(accepts_data) = timeout(SLOW_IN_PROGRESS, probed).await else {
                continue;
            };
            probe = None;
            if accepts_data.unwrap_or(false) {
                tracing::warn!("a sync is given up, because the disk takes other data");
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
        }
    }

    /// Begins to write a trial file beside the store; returns whether that succeeds.
    pub(super) fn begin_probe(&self) -> JoinHandle<bool> {
        let path = self.place.as_ref().map(|(_, path)| path.clone());
        spawn_blocking(move || path.is_some_and(|path| is_writable(&path)))
    }

    /// Reports a sync that has not ended.
    fn report_unfinished(&self, health: Health, waited: Duration) {
        let before = self.health.send_replace(health);
        if health == Health::Failing {
            tracing::error!(
                ?waited,
                "the store takes nothing: a sync does not end; commands are served without the \
                 promise to survive a restart"
            );
        } else if before != Health::Slow {
            tracing::warn!(
                ?waited,
                "the disk is slow: a sync has not ended; commands wait for it before they are \
                 acknowledged"
            );
        }
    }

    /// Notes that these records are on disk, except those that have changed meanwhile.
    fn on_disk(&self, numbers: &BTreeSet<u64>) {
        let mut index = self.lock();
        let index = &mut *index;
        index.first_in_progress = None;
        let unwritten = &index.unwritten;
        index
            .unpersisted
            .retain(|number| unwritten.contains(number) || !numbers.contains(number));
        self.turn_wal(index);
    }

    /// Takes the failed store from all others at once: each of their writes could make it worse.
    fn release_trees(&self) {
        let disk = self.disk().clone();
        if let Some(disk) = disk {
            disk.store.release_trees();
        }
    }

    /// Marks records that could not be written as unwritten again.
    fn put_back(&self, numbers: BTreeSet<u64>, gone: BTreeSet<u64>) {
        let mut index = self.lock();
        index.first_in_progress = None;
        index.unwritten.extend(numbers);
        index.gone.extend(gone);
    }

    /// Returns the clocks if it is time to write them. While nothing else `is_written`, one reading
    /// of each run is enough: a later run of the same boot continues from it.
    fn clocks_to_write(&self, is_written: bool) -> Option<ClockReading> {
        let mut written = self.clock_written.lock();
        let now = self.clock.now();
        if written.is_some_and(|at| !is_written || now < at + CLOCK_INTERVAL_MS) {
            return None;
        }
        *written = Some(now);
        Some(self.clock.read())
    }

    /// Reports once when the store fails or is slow, and once when that is over.
    fn report_health(&self, result: io::Result<Duration>) {
        let before = *self.health.borrow();
        let after = match &result {
            Err(_) => Health::Failing,
            Ok(took) if *took > SLOW || (before == Health::Slow && *took > SLOW / 2) => {
                Health::Slow
            }
            Ok(_) => Health::Safe,
        };
        if before == after {
            return;
        }
        match result {
            Err(error) => {
                tracing::error!(%error, "the store takes nothing: commands are served without the \
                    promise to survive a restart; free the disk or correct its permissions");
            }
            Ok(_) if before == Health::Failing => tracing::info!("the store works again"),
            Ok(took) if after == Health::Slow => {
                tracing::warn!(
                    ?took,
                    "the disk is slow: commands wait for it before they are acknowledged"
                );
            }
            Ok(_) => tracing::info!("the disk is quick again"),
        }
        self.health.send_replace(after);
    }
}
