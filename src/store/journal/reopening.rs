//! Opening the store again after a failure. Everything that touches the disk runs beside the sync
//! loop, and no wait for it is without a bound or a report.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::store::Settings;
use crate::store::reopened::open_again;

use crate::store::journal::disk::Disk;
use crate::store::journal::state::Journal;

/// Time a failed store may take to close. sled 0.34.7 flushes it once more, and may wait for ever:
/// for the place in the log of a page that could not be written.
const CLOSE_FAILED: Duration = Duration::from_secs(2);

/// Work on the disk that takes longer is reported.
const REPORT: Duration = Duration::from_secs(5);

/// Largest number of failed stores that do not close and are left behind, each with up to 10 MiB of
/// memory and a deleted file.
const MAX_LEFT_BEHIND: u32 = 3;

/// A store that is open again.
struct Reopened {
    disk: Disk,
    /// Whether it is a copy, because the failed one did not close.
    was_copied: bool,
}

impl Journal {
    /// Opens a failed store again if its disk accepts data: sled accepts nothing any more after one
    /// failure. Everybody else's trees are released, so that nothing holds the store open.
    pub(super) async fn reopen(&self) {
        let Some((settings, path)) = self.place.clone() else {
            return;
        };
        if *self.left_behind.lock() > MAX_LEFT_BEHIND {
            return;
        }
        if !reported(self.begin_probe()).await.unwrap_or(false) {
            return;
        }
        let old = self.disk().take();
        if let Some(old) = old {
            close(old).await;
        }
        let is_first_time = !self.lock().has_recovered;
        let open = move || open_empty(&settings, &path, is_first_time);
        let opened = reported(spawn_blocking(open)).await.flatten();
        let disk = opened.and_then(|Reopened { disk, was_copied }| {
            if was_copied {
                self.note_left_behind();
            }
            if is_first_time {
                self.recover_late(&disk)?;
            } else {
                self.open_wal(&disk.store.path);
            }
            Ok(disk)
        });
        match disk {
            Ok(disk) => *self.disk() = Some(disk),
            Err(error) => tracing::warn!(%error, "the store cannot be opened again yet"),
        }
        {
            // Its records may be lost with those that could not be written.
            self.lock().write_all_again();
            *self.clock_written.lock() = None;
        }
        self.sync().await;
    }

    /// Notes that a failed store did not close. Each keeps its memory, so their number is limited.
    fn note_left_behind(&self) {
        let mut left_behind = self.left_behind.lock();
        *left_behind += 1;
        if *left_behind > MAX_LEFT_BEHIND {
            tracing::error!(
                "the store failed too often without closing: after the next failure it is not \
                 opened again; restart sayso, and see why the disk fails"
            );
        } else {
            tracing::warn!(
                "the failed store did not close: it was left behind, and its file copied"
            );
        }
    }
}

/// Closes a failed store, and waits for that only for a while. In a thread of its own: a store that
/// does not close is left behind, and must not delay the end of the process.
async fn close(old: Disk) {
    let (closed, is_closed) = oneshot::channel::<()>();
    let closing = move || {
        old.store.release_trees();
        drop(old);
        drop(closed);
    };
    // Without a thread the store stays open, as if it did not close.
    if thread::Builder::new().spawn(closing).is_ok() {
        let _ = timeout(CLOSE_FAILED, is_closed).await;
    }
}

/// Opens the store. Except the first time in this run it is emptied of the journal's records: they
/// are those of this run, which are written again now, or older.
fn open_empty(settings: &Settings, path: &Path, is_first_time: bool) -> io::Result<Reopened> {
    let (store, was_copied) = open_again(settings, path).map_err(io::Error::other)?;
    store.log_losses();
    let disk = Disk::new(Arc::new(store))?;
    if !is_first_time {
        disk.clear()?;
    }
    Ok(Reopened { disk, was_copied })
}

/// Waits for work on the disk. The disk may hang: that is reported once, and there is nothing else
/// to do than to wait.
async fn reported<T>(mut work: JoinHandle<T>) -> io::Result<T> {
    if let Ok(done) = timeout(REPORT, &mut work).await {
        return done.map_err(io::Error::other);
    }
    tracing::error!(
        waited = ?REPORT,
        "the disk of the store does not answer: the store is not opened again before it does; \
         check the disk"
    );
    work.await.map_err(io::Error::other)
}
