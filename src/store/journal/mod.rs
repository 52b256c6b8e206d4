//! The journal: every command that was heard, what is about to be sent for it, how it was answered, and whether the broker has
//! the answer, until its time is over. It is what lets the broker's copy be acknowledged, what a restart takes up again, and
//! what knows a duplicate. One record per command; the index over them is in memory, because they live for a minute.

mod wal;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time;

use crate::command::Redelivery;
use crate::command::reply::Reply;
use crate::store::{Settings, Store, StoreError};

mod clock;
mod disk;
mod durability;
mod index;
mod record;

use crate::store::journal::clock::{Clock, ClockReading, millis};
use crate::store::journal::disk::{Disk, LastWrite};
pub use crate::store::journal::durability::Durability;
use crate::store::journal::index::{Index, Receipt_};
pub use crate::store::journal::record::{JournalRecord, PlannedPublish, Received};
use crate::store::journal::wal::{Wal, WalRemainder};

/// How long writes gather before they are synced together: each sync costs the processor more than a millisecond and wears
/// the SD card. The broker's copy is kept as long.
const GATHER: Duration = Duration::from_millis(200);

/// So many records are synced without waiting for more: with mosquitto's window of 20 messages it waits for nobody.
const ENOUGH: usize = 16;

/// Between two such syncs it rests so many times as long as the first took: in a flood more commands share each, and three
/// quarters of the time the disk and the processor are theirs. Whoever waits for the disk does not wait for this.
const REST: u32 = 3;

/// So many records are not kept waiting by the rest either: without acknowledgements the broker would soon hold back the next commands.
const PLENTY: usize = 128;

/// A sync that takes longer than this is slow, and said to be.
const SLOW: Duration = Duration::from_millis(200);

/// How long a store that failed is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How often the clocks are read, in milliseconds of the journal's own.
const READ_EVERY_MS: u64 = 10_000;

/// In so many lives a command may have been begun without being finished: then it is taken to be what ended them.
pub const MOST_DEATHS: u32 = 3;

/// A command that was heard in an earlier life and has no answer yet.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// Its place in the journal.
    pub mark: Seq,
    /// What was heard.
    pub received: Received,
    /// How long it is still good for.
    pub left: Duration,
    /// What was about to be sent, where it had come so far.
    pub sending: Option<Vec<PlannedPublish>>,
    /// In how many lives it was begun.
    pub deaths: u32,
}

/// An answer of an earlier life that the broker may not have.
#[derive(Debug, Clone)]
pub struct UnsentReply {
    /// Its command's place in the journal.
    pub mark: Seq,
    /// What was heard.
    pub received: Received,
    /// The answer.
    pub reply: Reply,
}

/// What an earlier life left.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Commands without an answer, oldest first.
    pub unfinished: Vec<Unfinished>,
    /// Answers to be sent again.
    pub untold: Vec<UnsentReply>,
    /// The devices that heard something, and for which command.
    pub heard: Vec<(String, Seq)>,
    /// How many records could not be read, and were dropped.
    pub unreadable: usize,
    /// How many of the last syncs are missing: the store is damaged, and what was written by them is lost.
    pub missing: u64,
}

/// A command's place in the journal: they are numbered as they are heard, from one life to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(u64);

impl Seq {
    /// Its number: the order in which commands were heard.
    pub fn turn(self) -> u64 {
        self.0
    }
}

/// What the journal says of a command just heard.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalEntry {
    /// It is new.
    New(Seq),
    /// It was heard before, and is being worked on.
    Pending,
    /// It was heard before, and this was the answer.
    Answered(Box<Reply>),
}

/// How the journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// What is heard survives.
    Safe,
    /// It does, but the disk takes long.
    Slow,
    /// The store takes nothing: commands are served without the promise to survive a restart.
    Failing,
    /// There is no store.
    Absent,
}

/// The journal. With a store its records are on disk; without, in memory alone.
#[derive(Debug)]
pub struct Journal {
    /// `None` where there is no store, or while one that failed cannot be opened anew.
    disk: Mutex<Option<Disk>>,
    /// What survives the end of this process until it is on disk; `None` where there is no such place.
    tail: Mutex<Option<Wal>>,
    /// Where the store is, where there is one.
    place: Option<(Settings, PathBuf)>,
    index: Mutex<Index>,
    clock: Clock,
    /// When the clocks were last written down.
    read_at: Mutex<Option<u64>>,
    /// Wakes the one that syncs: something was written.
    dirty: Notify,
    /// Tells it not to wait for more: somebody waits for the disk, or plenty has gathered.
    urgent: Notify,
    /// Tells it that enough has gathered: it need not wait for more once it has rested.
    enough: Notify,
    /// The count of changes that are on disk for good.
    synced: watch::Sender<u64>,
    health: watch::Sender<Health>,
    /// Commands that may have ended an earlier life pass here, in their order.
    suspects: tokio::sync::Mutex<()>,
}

impl Journal {
    /// Opens the journal in `store`, and gives what an earlier life left. `keep` is how long a command is remembered at
    /// least: as long as the broker may send it again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Option<Arc<Store>>, keep: Duration) -> Result<(Self, Recovered), io::Error> {
        let disk = store.map(Disk::new).transpose()?;
        let LastWrite {
            clock,
            syncs,
            missing,
        } = disk
            .as_ref()
            .map(Disk::last)
            .transpose()?
            .unwrap_or_default();
        let journal = Self::new(
            disk.clone(),
            Clock::go_on(
                clock.as_ref(),
                disk.as_ref()
                    .and_then(|disk| disk.store.settings.boot.as_deref()),
            ),
            keep,
        );
        journal.lock().syncs = syncs;
        let mut heritage = Recovered {
            missing,
            ..Recovered::default()
        };
        let WalRemainder {
            records: mut tail,
            unreadable,
        } = disk
            .as_ref()
            .map(|disk| journal.open_tail(&disk.store.path))
            .unwrap_or_default();
        heritage.unreadable += unreadable;
        for entry in disk.iter().flat_map(Disk::records) {
            let (number, value) = entry?;
            journal.inherit(number, &value, &mut tail, &mut heritage);
        }
        for (number, record) in tail {
            journal.take_over(number, record, true, &mut heritage);
        }
        heritage
            .unfinished
            .sort_by_key(|unfinished| unfinished.mark);
        heritage.untold.sort_by_key(|untold| untold.mark);
        Ok((journal, heritage))
    }

    /// A journal in memory alone, for when there is no store.
    pub fn in_memory(keep: Duration) -> Self {
        Self::new(None, Clock::go_on(None, None), keep)
    }

    /// A journal for a store that cannot be opened yet: it is tried again and again.
    pub fn waiting(settings: Settings, path: PathBuf, keep: Duration) -> Self {
        let clock = Clock::go_on(None, settings.boot.as_deref());
        let journal = Self {
            place: Some((settings, path)),
            ..Self::new(None, clock, keep)
        };
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
            tail: Mutex::default(),
            place,
            index: Mutex::new(Index::new(millis(keep))),
            clock,
            read_at: Mutex::default(),
            dirty: Notify::new(),
            urgent: Notify::new(),
            enough: Notify::new(),
            synced: watch::Sender::new(0),
            health: watch::Sender::new(health),
            suspects: tokio::sync::Mutex::default(),
        }
    }

    /// Opens the tail; gives what an earlier life left there.
    fn open_tail(&self, folder: &Path) -> WalRemainder {
        let opened = Wal::open(folder).inspect_err(
            |error| tracing::warn!(%error, "what waits for the disk is kept in memory alone"),
        );
        let (tail, left) = opened
            .map(|(tail, left)| (Some(tail), left))
            .unwrap_or_default();
        *self.tail() = tail;
        left
    }

    fn inherit(
        &self,
        number: Option<u64>,
        value: &[u8],
        tail: &mut BTreeMap<u64, JournalRecord>,
        heritage: &mut Recovered,
    ) {
        let (Some(number), Some(record)) = (number, JournalRecord::read(value)) else {
            heritage.unreadable += 1;
            // A key that is no number is nobody's: it stays, and does no harm.
            self.lock().gone.extend(number);
            return;
        };
        match tail.remove(&number) {
            Some(later) if later.progress() > record.progress() => {
                self.take_over(number, later, true, heritage);
            }
            _ => self.take_over(number, record, false, heritage),
        }
    }

    /// `late` says that it is not on disk like this, or not at all.
    fn take_over(
        &self,
        number: u64,
        mut record: JournalRecord,
        late: bool,
        heritage: &mut Recovered,
    ) {
        let mut index = self.lock();
        let (mark, received) = (Seq(number), record.received.clone());
        heritage
            .heard
            .extend(record.devices().into_iter().map(|device| (device, mark)));
        match &record.answer {
            None => {
                record.deaths += 1;
                let left = Duration::from_millis(received.until.saturating_sub(self.clock.now()));
                // It may have been sent: nothing said before it may follow.
                heritage.heard.extend(
                    record
                        .sending
                        .iter()
                        .flatten()
                        .map(|sending| (sending.action.device.clone(), mark)),
                );
                heritage.unfinished.push(Unfinished {
                    mark,
                    received,
                    left,
                    sending: record.sending.clone(),
                    deaths: record.deaths,
                });
            }
            Some(reply) if !record.told => heritage.untold.push(UnsentReply {
                mark,
                received,
                reply: reply.clone(),
            }),
            Some(_) => {}
        }
        if late || record.answer.is_none() {
            self.changed(&mut index, number);
        }
        index.remember(
            number,
            record,
            Receipt_ {
                epoch: 0,
                again: true,
                written: true,
            },
        );
    }

    /// The moment `left` from now, by the journal's own clock.
    pub fn moment(&self, left: Duration) -> u64 {
        self.clock.now().saturating_add(millis(left))
    }

    /// Enters a command that came by connection `epoch`. `again` says that it may be one the broker or its speaker
    /// sends again: only then is an equal payload without an id a duplicate.
    pub fn receive(&self, received: Received, epoch: u64, redelivery: Redelivery) -> JournalEntry {
        let again = redelivery != Redelivery::No;
        let now = self.clock.now();
        let mut index = self.lock();
        index.forget_old(now);
        if let Some(record) = index.earlier(&received, epoch, again) {
            return record
                .answer
                .clone()
                .map_or(JournalEntry::Pending, |reply| {
                    JournalEntry::Answered(Box::new(reply))
                });
        }
        let number = index.next;
        let record = JournalRecord {
            received,
            heard: now,
            deaths: 0,
            sending: None,
            answer: None,
            told: false,
        };
        index.remember(
            number,
            record,
            Receipt_ {
                epoch,
                again,
                written: false,
            },
        );
        self.changed(&mut index, number);
        JournalEntry::New(Seq(number))
    }

    /// Waits until the command is on disk, where it may be what ended an earlier life: each life it ends must be counted.
    pub async fn begun(&self, mark: Seq) {
        let Some(entered) = self
            .lock()
            .known
            .get(&mark.0)
            .and_then(|known| known.suspect)
        else {
            return;
        };
        // One after the other, so that they go on in the order they were heard.
        let _turn = self.suspects.lock().await;
        if *self.synced.borrow() < entered {
            self.synced().await;
        }
    }

    /// Writes down what is about to be sent. Await [`Journal::synced`] before sending what is not harmless twice.
    pub fn sending(&self, mark: Seq, sending: Vec<PlannedPublish>) {
        self.change(mark, |record| record.sending = Some(sending));
    }

    /// Writes down the answer.
    pub fn answered(&self, mark: Seq, reply: &Reply) {
        self.change(mark, |record| record.answer = Some(reply.clone()));
    }

    /// Writes down that the broker has the answer.
    pub fn told(&self, mark: Seq) {
        self.change(mark, |record| record.told = true);
    }

    fn change(&self, mark: Seq, change: impl FnOnce(&mut JournalRecord)) {
        let mut index = self.lock();
        let Some(known) = index.known.get_mut(&mark.0) else {
            return;
        };
        change(&mut known.record);
        self.changed(&mut index, mark.0);
    }

    /// A record is to be written. It is not written here: a command that is answered meanwhile is written once.
    fn changed(&self, index: &mut Index, number: u64) {
        if *self.health.borrow() == Health::Absent {
            return;
        }
        index.changes += 1;
        index.unwritten.insert(number);
        index.exposed.insert(number);
        self.dirty.notify_one();
        match index.unwritten.len() {
            PLENTY.. => self.urgent.notify_one(),
            ENOUGH.. => self.enough.notify_one(),
            _ => {}
        }
    }

    /// Sees to it that everything written so far outlives this process, though perhaps not a power cut: the kernel has it then.
    /// Waits for the disk only where that cannot be.
    pub async fn outlives(&self) {
        if self.is_safe() && !self.hand_over() {
            self.synced().await;
        }
    }

    fn hand_over(&self) -> bool {
        let (mut index, mut tail) = (self.lock(), self.tail());
        let Some(tail) = tail.as_mut() else {
            return false;
        };
        let exposed = std::mem::take(&mut index.exposed);
        let records = exposed
            .iter()
            .filter_map(|number| Some((*number, &index.known.get(number)?.record)));
        let taken = tail.add(records).is_ok();
        if !taken {
            index.exposed = exposed;
        }
        taken
    }

    /// Waits until everything written so far is on disk for good, and lets it be written now. Without a store, or while it
    /// fails, there is nothing to wait for.
    pub async fn synced(&self) {
        self.urgent.notify_one();
        self.synced_in_time().await;
    }

    /// The same, without haste: what comes within the next moments is synced together.
    pub async fn synced_in_time(&self) {
        if !self.is_safe() {
            return;
        }
        let target = self.lock().changes;
        let mut synced = self.synced.subscribe();
        // The sender lives in self, so this cannot fail.
        let _ = synced.wait_for(|done| *done >= target).await;
    }

    /// Syncs what was written, many writes at a time, for ever; and opens a store that failed anew once it takes something again.
    pub async fn keep_synced(&self) {
        if *self.health.borrow() == Health::Absent {
            return std::future::pending().await;
        }
        let mut rested = time::Instant::now();
        loop {
            if *self.health.borrow() == Health::Failing {
                time::sleep(RETRY).await;
                self.mend().await;
                continue;
            }
            self.dirty.notified().await;
            if self.is_written() {
                continue;
            }
            tokio::select! {
                () = time::sleep(GATHER) => {}
                () = self.urgent.notified() => {}
                () = async { self.enough.notified().await; time::sleep_until(rested).await } => {}
            }
            let began = time::Instant::now();
            self.sync().await;
            rested = time::Instant::now() + (began.elapsed() * REST).min(GATHER);
        }
    }

    /// True where the last sync took what woke us: its changes came while it was gathered.
    fn is_written(&self) -> bool {
        let index = self.lock();
        let written = index.unwritten.is_empty() && index.gone.is_empty();
        if written {
            self.synced.send_replace(index.changes);
        }
        written
    }

    /// Syncs what is still unsynced; for the way out.
    pub async fn close(&self) {
        self.sync().await;
    }

    async fn sync(&self) {
        let Some(disk) = self.disk().clone() else {
            return;
        };
        let (target, mut pages, numbers, gone) = {
            let mut index = self.lock();
            index.syncs += 1;
            let (numbers, gone) = (
                std::mem::take(&mut index.unwritten),
                std::mem::take(&mut index.gone),
            );
            if let Some(tail) = self.tail().as_mut() {
                tail.turn();
            }
            (index.changes, index.pages(&numbers, &gone), numbers, gone)
        };
        pages.clock = self.read_clocks();
        let began = time::Instant::now();
        let result = spawn_blocking(move || disk.write(&pages))
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)));
        match &result {
            Ok(()) => self.on_disk(&numbers),
            Err(_) => self.unwritten(numbers, gone),
        }
        self.tell_health(result.map(|()| began.elapsed()));
        self.synced.send_replace(target);
    }

    /// These are on disk, but for those that have changed meanwhile.
    fn on_disk(&self, numbers: &BTreeSet<u64>) {
        let mut index = self.lock();
        let Index {
            exposed, unwritten, ..
        } = &mut *index;
        exposed.retain(|number| unwritten.contains(number) || !numbers.contains(number));
        if let Some(tail) = self.tail().as_mut() {
            tail.clear();
        }
    }

    /// Puts back what could not be written.
    fn unwritten(&self, numbers: BTreeSet<u64>, gone: BTreeSet<u64>) {
        let mut index = self.lock();
        index.unwritten.extend(numbers);
        index.gone.extend(gone);
    }

    /// What the clocks show, where it is time to write it down.
    fn read_clocks(&self) -> Option<ClockReading> {
        let mut read_at = self.read_at.lock();
        let now = self.clock.now();
        if read_at.is_some_and(|at| now < at + READ_EVERY_MS) {
            return None;
        }
        *read_at = Some(now);
        Some(self.clock.read())
    }

    /// Opens a store that failed anew, where its disk takes something again: sled takes nothing any more after one failure.
    /// Whoever else holds the store must let go of it first.
    async fn mend(&self) {
        let Some((settings, path)) = self.place.clone() else {
            return;
        };
        let tried = path.clone();
        if !spawn_blocking(move || crate::store::takes_something(&tried))
            .await
            .unwrap_or(false)
        {
            return;
        }
        let old = self.disk().take();
        let open = move || {
            drop(old);
            crate::store::open(&settings, &path)
        };
        let opened = spawn_blocking(open)
            .await
            .map_err(io::Error::other)
            .and_then(|opened: Result<Store, StoreError>| opened.map_err(io::Error::other));
        // What it holds is of another life, or is written again now.
        let disk = opened
            .map(Arc::new)
            .and_then(Disk::new)
            .and_then(|disk| disk.clear().map(|()| disk));
        match disk {
            Ok(disk) => {
                // What lies there is of another life as well, and what counts is written anew.
                self.open_tail(&disk.store.path);
                *self.disk() = Some(disk);
            }
            Err(error) => tracing::warn!(%error, "the store cannot be opened anew yet"),
        }
        {
            // What it held may be gone with what could not be written.
            let mut index = self.lock();
            let all: Vec<u64> = index.known.keys().copied().collect();
            index.unwritten.extend(all);
            *self.read_at.lock() = None;
        }
        self.sync().await;
    }

    /// Says once when the store stops taking what it is given, or takes long, and once when that is over.
    fn tell_health(&self, result: io::Result<Duration>) {
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
                tracing::error!(%error, "the store takes nothing: commands are served without the promise to survive a restart; free the disk or mend its permissions");
            }
            Ok(took) if after == Health::Slow => {
                tracing::warn!(took = ?took, "the disk is slow: commands wait for it before they are acknowledged");
            }
            Ok(_) if before == Health::Slow => tracing::info!("the disk is quick again"),
            Ok(_) => tracing::info!("the store works again"),
        }
        self.health.send_replace(after);
    }

    /// The store, where there is one and it works. Not to be kept: a store that fails must be let go of.
    pub fn store(&self) -> Option<Arc<Store>> {
        self.is_safe()
            .then(|| self.disk().as_ref().map(|disk| Arc::clone(&disk.store)))?
    }

    /// How it is, and from now on.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// True while commands are safe on disk: there is a store, and it takes what it is given.
    pub fn is_safe(&self) -> bool {
        matches!(*self.health.borrow(), Health::Safe | Health::Slow)
    }

    /// How many commands it remembers, and how many of them have no answer yet.
    pub fn counts(&self) -> (usize, usize) {
        let index = self.lock();
        (
            index.known.len(),
            index
                .known
                .values()
                .filter(|k| k.record.answer.is_none())
                .count(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock()
    }

    /// Locked after the index, where both are.
    fn tail(&self) -> MutexGuard<'_, Option<Wal>> {
        self.tail.lock()
    }

    fn disk(&self) -> MutexGuard<'_, Option<Disk>> {
        self.disk.lock()
    }
}

#[cfg(test)]
mod tests;
