//! A disk for simulations, under virtual time: syncs take their time, or fail.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::store::journal::disk::{Disk, Pages};

/// Faults of the simulated disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DiskBehaviour {
    /// Time that a sync takes in addition.
    pub(crate) delay: Duration,
    /// Whether the disk is full.
    pub(crate) is_full: bool,
}

thread_local! {
    static IMAGES: RefCell<Option<SyncedImages>> = const { RefCell::new(None) };
    static BEHAVIOUR: Cell<Option<DiskBehaviour>> = const { Cell::new(None) };
    static WRITES: RefCell<Vec<AbortHandle>> = const { RefCell::new(Vec::new()) };
    /// Writes that are being carried out.
    static RUNNING: Cell<u32> = const { Cell::new(0) };
    static LOST_WAKE_UP: RefCell<Option<Arc<Notify>>> = const { RefCell::new(None) };
}

/// The folder of a store, and its content at the last sync.
struct SyncedImages {
    folder: PathBuf,
    last: Option<TempDir>,
}

/// Keeps the content of this folder at each sync from now on.
pub(crate) fn keep_image(folder: &Path) {
    let folder = folder.to_owned();
    IMAGES.set(Some(SyncedImages { folder, last: None }));
}

/// Returns the content at the last sync, if there was one.
pub(crate) fn take_image() -> Option<TempDir> {
    IMAGES.take()?.last
}

fn note_sync() {
    IMAGES.with_borrow_mut(|images| {
        if let Some(images) = images {
            images.last = Some(copied(&images.folder));
        }
    });
}

/// Returns a copy of a folder.
pub(crate) fn copied(from: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    copy(from, image.path());
    image
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Lets all journals of this thread write to such a disk.
pub(crate) fn simulate_disk(behaviour: DiskBehaviour) {
    BEHAVIOUR.set(Some(behaviour));
}

/// Lets the next write fail without being woken, until another flush wakes it.
pub(crate) fn lose_wake_up() {
    LOST_WAKE_UP.set(Some(Arc::default()));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the task ends with the runtime of the test"
)]
fn begin_unwoken(wake_up: Arc<Notify>) -> JoinHandle<io::Result<()>> {
    tokio::spawn(async move {
        wake_up.notified().await;
        Err(io::ErrorKind::StorageFull.into())
    })
}

pub(super) fn begin_flush(disk: Disk) -> JoinHandle<io::Result<()>> {
    if let Some(wake_up) = LOST_WAKE_UP.take() {
        wake_up.notify_one();
    }
    spawn_blocking(move || disk.flush())
}

/// Returns whether a write is being carried out.
pub(crate) fn is_writing() -> bool {
    RUNNING.get() > 0
}

/// Ends the writes that have not begun, as the end of the process does. Returns false while one is
/// being carried out.
pub(crate) fn end_writes() -> bool {
    if is_writing() {
        return false;
    }
    WRITES.with_borrow_mut(|writes| writes.drain(..).for_each(|write| write.abort()));
    true
}

pub(super) fn begin_write(disk: Disk, pages: Pages) -> JoinHandle<io::Result<()>> {
    if let Some(wake_up) = LOST_WAKE_UP.with_borrow(Clone::clone) {
        return begin_unwoken(wake_up);
    }
    begin(move || disk.write(&pages))
}

/// Begins a write, which takes its time or fails.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulation aborts the task when it ends a run of the daemon"
)]
pub(crate) fn begin(
    write: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> JoinHandle<io::Result<()>> {
    let Some(DiskBehaviour { delay, is_full }) = BEHAVIOUR.get() else {
        return spawn_blocking(write);
    };
    let write = tokio::spawn(async move {
        sleep(delay / 2).await;
        if is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RUNNING.set(RUNNING.get() + 1);
        let written = spawn_blocking(write).await;
        RUNNING.set(RUNNING.get() - 1);
        note_sync();
        sleep(delay / 2).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error)))
    });
    WRITES.with_borrow_mut(|writes| {
        writes.retain(|write| !write.is_finished());
        writes.push(write.abort_handle());
    });
    write
}
