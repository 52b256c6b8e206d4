//! Data that survives a restart: the journal of commands, timers, the amounts spent at providers,
//! the results of aptitude tests and, in trees of their own, the cached drafts. Opens the sled
//! database, and sets a damaged one aside.

use parking_lot::{Mutex, MutexGuard};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, SystemTime};

/// Location and memory of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder; with `None` nothing is kept on disk, and commands may be lost at a restart.
    pub path: Option<PathBuf>,
    /// Memory for sled's page cache, in bytes. sled's own default is 1 GiB, too much for a gateway.
    pub cache_bytes: u64,
    /// The boot id of the kernel as the service manager gives it.
    pub boot: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            cache_bytes: 8 << 20,
            boot: None,
        }
    }
}

pub mod aptitude;
pub mod journal;
pub mod progress_log;
mod reopened;
pub mod spending;
#[cfg(test)]
pub(crate) mod timer_kill;
pub mod timers;
mod tree;

pub use crate::store::tree::StoreTree;

/// Time to wait for a lock that another process, or the last run of this one, still holds.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it: two daemons would also end each other's connection to the broker.
    #[error("another sayso uses the store in `{}`: stop it, or give this one a `store.path` and an \
        `mqtt.client_id` of its own", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The disk or its permissions are at fault: the daemon serves without the store, and reports
    /// that.
    #[error("cannot open the store in `{}`; free the disk or correct its permissions, then \
        restart", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// An open store, and the faults found on opening it.
#[derive(Debug)]
pub struct Store {
    /// The database.
    pub db: sled::Db,
    /// The folder.
    pub path: PathBuf,
    /// The settings it was opened with.
    pub settings: Settings,
    /// The folder an unreadable store was moved to.
    pub set_aside: Option<PathBuf>,
    /// The file of the database, to sync it.
    file: Arc<fs::File>,
    /// Whether there was a file from which nothing could be recovered.
    pub lost: bool,
    /// The trees in use, one for each name.
    trees: Mutex<Vec<StoreTree>>,
    /// Whether one of the trees was written since the last sync.
    is_written: Arc<AtomicBool>,
    /// The write of a timer before which a test ends the process.
    #[cfg(test)]
    pub(crate) timer_kill: Arc<timer_kill::SimulatedKill>,
}

/// The store being opened, if any: a panic then means that sled cannot read its files.
static OPENING: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Sets a store aside if the process panics while it is opened, so that the next start does not end
/// in the same way; returns where it is now. A store on a full disk stays where it is: the next
/// start does not open it. For the panic hook.
pub fn set_aside_after_panic() -> Option<PathBuf> {
    set_aside_opening(&OPENING)
}

fn set_aside_opening(opening: &Mutex<Option<PathBuf>>) -> Option<PathBuf> {
    let path = opening.try_lock()?.take()?;
    check_room_at(&path).ok()?;
    set_aside(&path).ok()
}

/// While this exists, a panic is taken for one of the store, see [`set_aside_after_panic`].
#[derive(Debug)]
#[must_use = "it guards only while it exists"]
pub struct PanicQuarantine(Option<PathBuf>);

/// Begins reading the store at `path`: sled reads most of its files only when a value is requested.
pub fn reading(path: Option<&Path>) -> PanicQuarantine {
    PanicQuarantine(std::mem::replace(&mut *opening(), path.map(Path::to_owned)))
}

impl Drop for PanicQuarantine {
    fn drop(&mut self) {
        *opening() = self.0.take();
    }
}

/// Opens the store. An unreadable store is moved aside, and an empty one is created.
/// Blocks for up to 1 s while another process holds it.
///
/// # Errors
/// When the folder cannot be written, the disk is full, or another process keeps the lock.
pub fn open(settings: &Settings, path: &Path) -> Result<Store, StoreError> {
    move_from_parent(path).map_err(|source| StoreError::Unusable {
        path: path.to_owned(),
        source,
    })?;
    // sled opened on a full disk loses what it has: a store without room is not touched.
    check_room_at(path).map_err(|source| StoreError::Unusable {
        path: path.to_owned(),
        source,
    })?;
    let had_data = fs::metadata(path.join("db")).is_ok_and(|file| file.len() > 0);
    match open_once(settings, path) {
        Ok(db) => Store::new(db, settings, path, had_data),
        Err(sled::Error::Io(source)) if is_locked(&source) => Err(StoreError::InUse {
            path: path.to_owned(),
        }),
        Err(sled::Error::Io(source)) if source.kind() != io::ErrorKind::InvalidData => {
            Err(StoreError::Unusable {
                path: path.to_owned(),
                source,
            })
        }
        Err(_) => {
            // The disk may have filled meanwhile: then the store is not damaged.
            let aside = check_room_at(path).and_then(|()| set_aside(path));
            let aside = aside.map_err(|e| StoreError::Unusable {
                path: path.to_owned(),
                source: e,
            })?;
            let db = open_once(settings, path).map_err(|source| StoreError::Unusable {
                path: path.to_owned(),
                source: io::Error::other(source),
            })?;
            Ok(Store {
                set_aside: Some(aside),
                lost: true,
                ..Store::new(db, settings, path, false)?
            })
        }
    }
}

/// Moves a store that an earlier version kept in the parent folder.
fn move_from_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let is_old_layout = parent.join("db").is_file() && parent.join("conf").is_file();
    if path.exists() || !is_old_layout {
        return Ok(());
    }
    fs::create_dir(path)?;
    for name in ["blobs", "conf", "synced", "tail.0", "tail.1", "db"] {
        if parent.join(name).exists() {
            fs::rename(parent.join(name), path.join(name))?;
        }
    }
    Ok(())
}

fn open_once(settings: &Settings, path: &Path) -> Result<sled::Db, sled::Error> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(settings.cache_bytes)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(None);
    let since = crate::clock::now();
    loop {
        let guard = reading(Some(path));
        let opened = config.open();
        drop(guard);
        match opened {
            Err(sled::Error::Io(e)) if is_locked(&e) && since.elapsed() < LOCK_PATIENCE => {
                thread::park_timeout(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

fn opening() -> MutexGuard<'static, Option<PathBuf>> {
    OPENING.lock()
}

/// Returns whether another process holds the store's lock, which sled reports as an error of kind
/// `Other` with this text.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}

/// Bytes that must fit on the disk: two segments of sled, more than it needs at once.
const PROBE_BYTES: usize = 1 << 20;

/// Bytes that must be free before anything is written. sled 0.34.7 does not survive a full disk: a
/// page of more than 128 KiB gets a file of its own, and if that cannot be written, its place in
/// the log is never completed, so that every later flush waits for ever.
const HEADROOM: u64 = 2 << 20;

/// Checks that the disk of an open file has room for twice `bytes`: sled may write a whole page
/// again, with the entries around the new ones.
///
/// # Errors
/// When it has not.
fn check_room(file: &fs::File, bytes: usize) -> io::Result<()> {
    let disk = rustix::fs::fstatvfs(file)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(2);
    // Some file systems do not count their blocks.
    if disk.f_blocks > 0 && free < needed.saturating_add(HEADROOM) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// Checks that the disk of a folder, which need not exist yet, has room to open a store in it.
///
/// # Errors
/// When it has not.
fn check_room_at(path: &Path) -> io::Result<()> {
    let existing = path.ancestors().find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        fs::File::open(folder).ok()
    });
    match existing {
        Some(folder) => check_room(&folder, 0),
        // Opening the store reports what is wrong with the folder.
        None => Ok(()),
    }
}

/// Returns whether the disk of a store accepts data.
fn is_writable(path: &Path) -> bool {
    let trial = path.join("trial");
    let written = fs::create_dir_all(path)
        .and_then(|()| check_room(&fs::File::open(path)?, 0))
        .and_then(|()| fs::write(&trial, vec![0x55; PROBE_BYTES]))
        .and_then(|()| fs::File::open(&trial)?.sync_all());
    let removed = fs::remove_file(&trial);
    written.is_ok() && removed.is_ok()
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".broken-{now}"));
    let aside = PathBuf::from(aside);
    fs::rename(path, &aside)?;
    Ok(aside)
}

impl Store {
    fn new(
        db: sled::Db,
        settings: &Settings,
        path: &Path,
        had_data: bool,
    ) -> Result<Self, StoreError> {
        let file = fs::File::open(path.join("db")).map_err(|e| StoreError::Unusable {
            path: path.to_owned(),
            source: e,
        })?;
        Ok(Self {
            lost: had_data && !db.was_recovered(),
            db,
            path: path.to_owned(),
            settings: settings.clone(),
            set_aside: None,
            file: Arc::new(file),
            trees: Mutex::default(),
            is_written: Arc::default(),
            #[cfg(test)]
            timer_kill: Arc::default(),
        })
    }

    /// Logs what was lost when the store was opened.
    pub(crate) fn log_losses(&self) {
        if let Some(aside) = &self.set_aside {
            tracing::warn!(
                aside = %aside.display(),
                "the store could not be read: it is put aside, and an empty one is used"
            );
        } else if self.lost {
            tracing::warn!(
                path = %self.path.display(),
                "nothing in the store could be read: an empty one is used"
            );
        }
    }

    /// Returns the tree with this name. It may be kept: the store releases it when it fails.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tree(&self, name: &'static str) -> io::Result<StoreTree> {
        let mut trees = self.trees.lock();
        if let Some(tree) = trees.iter().find(|tree| tree.name() == name) {
            return Ok(tree.clone());
        }
        let tree = self.db.open_tree(name).map_err(io::Error::other)?;
        let tree = StoreTree::new(name, tree, Arc::clone(&self.is_written));
        trees.push(tree.clone());
        Ok(tree)
    }

    /// Checks that the disk has room for a write of this number of bytes.
    ///
    /// # Errors
    /// When it has not, or cannot be asked.
    fn check_room(&self, bytes: usize) -> io::Result<()> {
        check_room(&self.file, bytes)
    }

    /// Returns whether one of the trees was written since this was last asked.
    fn take_written(&self) -> bool {
        self.is_written.swap(false, Relaxed)
    }

    /// Releases all trees, even while they are in use elsewhere: the database is closed after its
    /// last user.
    fn release_trees(&self) {
        for tree in self.trees.lock().iter() {
            tree.release();
        }
    }

    /// Syncs everything written so far, so that it survives a power cut. sled's own flush leaves
    /// the length of the file and the disk's cache to the kernel, so the file is synced after it;
    /// without its times, which would cost a commit of the file system's journal each time. Blocks
    /// for as long as the disk takes.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.db.flush().map_err(io::Error::other)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a folder with a store in which `k` is `v`.
    fn written() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = open(&Settings::default(), &path).unwrap();
        store.db.insert("k", "v").unwrap();
        store.sync().unwrap();
        (folder, path)
    }

    #[test]
    fn a_damaged_store_is_set_aside_and_an_empty_one_created() {
        let (_folder, path) = written();
        fs::write(path.join("conf"), [0xff; 200]).unwrap();
        let store = open(&Settings::default(), &path).unwrap();
        assert!(store.set_aside.as_ref().is_some_and(|aside| aside.exists()));
        assert_eq!(store.db.get("k").unwrap(), None);
    }

    #[test]
    fn a_store_of_an_earlier_version_is_moved_out_of_the_parent_folder() {
        let (folder, path) = written();
        let below = path.join("store");
        let store = open(&Settings::default(), &below).unwrap();
        assert_eq!(store.db.get("k").unwrap().as_deref(), Some(b"v".as_slice()));
        assert!(!path.join("db").exists());
        drop(folder);
    }

    #[test]
    fn synced_data_is_there_after_reopening() {
        let (_folder, path) = written();
        let store = open(&Settings::default(), &path).unwrap();
        assert_eq!((&store.set_aside, store.lost), (&None, false));
        assert_eq!(store.db.get("k").unwrap().as_deref(), Some(b"v".as_slice()));
    }

    #[test]
    fn a_data_file_of_garbage_is_reported_as_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(open(&Settings::default(), &path).unwrap());
        fs::write(path.join("db"), vec![0x41; 600_000]).unwrap();
        assert!(open(&Settings::default(), &path).unwrap().lost);
    }

    #[test]
    fn a_store_whose_opening_panicked_is_set_aside() {
        let (folder, path) = written();
        assert_eq!(set_aside_opening(&Mutex::new(None)), None);
        let aside = set_aside_opening(&Mutex::new(Some(path.clone()))).unwrap();
        assert!(aside.starts_with(folder.path()) && aside.exists() && !path.exists());
    }

    #[test]
    fn an_impossible_folder_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = open(&Settings::default(), &file.join("store")).unwrap_err();
        assert!(error.to_string().contains("file/store"), "{error}");
    }
}
