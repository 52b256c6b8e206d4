//! The state of the journal: records in memory and on disk, and the signals of the sync loop.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::store::Settings;

use crate::store::journal::clock::Clock;
use crate::store::journal::disk::Disk;
use crate::store::journal::index::Index;
use crate::store::journal::recovered::Recovered;
use crate::store::journal::seq::Seq;
use crate::store::journal::wal::Wal;

/// State of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Received commands survive a restart.
    Safe,
    /// They do, but syncs take long.
    Slow,
    /// The store fails, or a sync does not end: commands are served without the promise to survive
    /// a restart.
    Failing,
    /// There is no store.
    Absent,
}

/// The journal. With a store its records are on disk; without one they are only in memory.
#[derive(Debug)]
pub struct Journal {
    /// `None` without a store, or while one that failed cannot be opened again.
    pub(super) disk: Mutex<Option<Disk>>,
    /// Records that are not on disk yet, so that they survive the end of this process; `None` if it
    /// cannot be opened.
    pub(super) wal: Mutex<Option<Wal>>,
    /// Settings and folder of the store, if there is one.
    pub(super) place: Option<(Settings, PathBuf)>,
    pub(super) index: Mutex<Index>,
    pub(super) clock: Clock,
    /// Time at which the clocks were last written, on the journal's own scale.
    pub(super) clock_written: Mutex<Option<u64>>,
    /// Wakes the sync loop: something changed.
    pub(super) dirty: Notify,
    /// Ends the sync loop's wait for more changes at once.
    pub(super) urgent: Notify,
    /// Ends the sync loop's wait for more changes after its rest.
    pub(super) batch_ready: Notify,
    /// Ends the sync loop's rest.
    pub(super) high_water: Notify,
    /// Wakes [`Journal::wait_until_kept`]: a command is finished.
    pub(super) finished: Notify,
    /// Held during a sync.
    pub(super) syncing: tokio::sync::Mutex<()>,
    /// The number of changes that are on disk.
    pub(super) synced: watch::Sender<u64>,
    pub(super) health: watch::Sender<Health>,
    /// Lets commands that may have ended an earlier run pass one by one, in their order.
    pub(super) suspects: tokio::sync::Mutex<()>,
    /// Held by a command of an earlier run during its first moments: how long all of them together
    /// have held it.
    pub(super) attributing: tokio::sync::Mutex<Duration>,
    /// The command that is named on disk.
    pub(super) running: Mutex<Option<Seq>>,
    /// Records of an earlier run that could only be read after the start.
    pub(super) recovered_late: Mutex<Option<Recovered>>,
    /// Wakes [`Journal::recovered_late`].
    pub(super) late: Notify,
    /// Failed stores that did not close.
    pub(super) left_behind: Mutex<u32>,
}
