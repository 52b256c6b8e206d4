//! What survives a restart: the journal of commands, and the drafts models gave. Only here lives sled.

use parking_lot::{Mutex, MutexGuard};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// Where to keep things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder; `None` keeps nothing on disk, and the promise that no command is lost does not hold over a restart.
    pub path: Option<PathBuf>,
    /// Memory for sled's page cache, in bytes. sled's own default is 1 GiB, too much for a gateway.
    pub cache_bytes: u64,
    /// The name of this run of the kernel, where somebody told it.
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

pub mod journal;
pub mod spending;

/// How long to wait for a lock that another process, or our own last life, still holds.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it: two daemons would throw each other off the broker as well.
    #[error("another sayso uses the store in `{}`: stop it, or give this one a `store.path` and an `mqtt.client_id` of its own", path.display())]
    InUse {
        /// Its folder.
        path: PathBuf,
    },
    /// The disk or its permissions: the daemon goes on without it, and says so.
    #[error("cannot open the store in `{}`; free the disk or mend its permissions, then restart", path.display())]
    Unusable {
        /// Its folder.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: sled::Error,
    },
}

/// An open store, and what had to be done to open it.
#[derive(Debug)]
pub struct Store {
    /// The database.
    pub db: sled::Db,
    /// Its folder.
    pub path: PathBuf,
    /// How it was opened.
    pub settings: Settings,
    /// Where a store that could not be read was put aside.
    pub set_aside: Option<PathBuf>,
    /// The file it lies in, to sync it.
    file: fs::File,
    /// True where a file was there but nothing could be recovered from it: what was kept is lost.
    pub lost: bool,
}

/// The store being opened, if any: a panic then is sled meeting files it cannot make sense of.
static OPENING: Mutex<Option<PathBuf>> = Mutex::new(None);

/// To be called when the process panics: a store that cannot even be opened is put aside, so that the next start begins anew
/// instead of ending the same way. Gives where it lies now.
pub fn rescue() -> Option<PathBuf> {
    rescue_from(&OPENING)
}

fn rescue_from(opening: &Mutex<Option<PathBuf>>) -> Option<PathBuf> {
    let path = opening.try_lock()?.take()?;
    put_aside(&path).ok()
}

/// While this lives, a panic is taken for the store's, see [`rescue`].
#[derive(Debug)]
#[must_use = "it guards only while it lives"]
pub struct PanicQuarantine(Option<PathBuf>);

/// The store at `path` is about to be read through: sled reads most of it only when it is asked for.
pub fn reading(path: Option<&Path>) -> PanicQuarantine {
    PanicQuarantine(std::mem::replace(&mut *opening(), path.map(Path::to_owned)))
}

impl Drop for PanicQuarantine {
    fn drop(&mut self) {
        *opening() = self.0.take();
    }
}

/// Opens the store. A store that cannot be read is put aside under another name, and an empty one is begun.
/// Blocks for up to 1 s while another process holds it.
///
/// # Errors
/// When the folder cannot be written, the disk is full, or another process keeps the lock.
pub fn open(settings: &Settings, path: &Path) -> Result<Store, StoreError> {
    let had_data = fs::metadata(path.join("db")).is_ok_and(|file| file.len() > 0);
    match open_once(settings, path) {
        Ok(db) => Store::new(db, settings, path, had_data),
        Err(sled::Error::Io(source)) if is_locked(&source) => Err(StoreError::InUse {
            path: path.to_owned(),
        }),
        Err(sled::Error::Io(source)) if source.kind() != io::ErrorKind::InvalidData => {
            Err(StoreError::Unusable {
                path: path.to_owned(),
                source: sled::Error::Io(source),
            })
        }
        Err(_) => {
            let aside = put_aside(path).map_err(|e| StoreError::Unusable {
                path: path.to_owned(),
                source: sled::Error::Io(e),
            })?;
            let db = open_once(settings, path).map_err(|source| StoreError::Unusable {
                path: path.to_owned(),
                source,
            })?;
            Ok(Store {
                set_aside: Some(aside),
                lost: true,
                ..Store::new(db, settings, path, false)?
            })
        }
    }
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

/// sled tells a held lock as an error of kind `Other` with these words.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}

/// More than sled wants at once: two of its segments.
const ROOM: usize = 1 << 20;

/// True where the disk a store lies on takes something.
fn takes_something(path: &Path) -> bool {
    let trial = path.join("trial");
    let taken = fs::create_dir_all(path)
        .and_then(|()| fs::write(&trial, vec![0x55; ROOM]))
        .and_then(|()| fs::File::open(&trial)?.sync_all());
    let removed = fs::remove_file(&trial);
    taken.is_ok() && removed.is_ok()
}

fn put_aside(path: &Path) -> io::Result<PathBuf> {
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
            source: sled::Error::Io(e),
        })?;
        Ok(Self {
            lost: had_data && !db.was_recovered(),
            db,
            path: path.to_owned(),
            settings: settings.clone(),
            set_aside: None,
            file,
        })
    }

    /// Makes what was written survive a power cut. sled's own flush leaves it to the kernel how long the file is and when the
    /// disk empties its cache, so the file is synced after it; without its times, which would cost a commit of the file
    /// system's own journal each time. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// When the disk says so.
    pub fn sync(&self) -> io::Result<()> {
        self.db.flush().map_err(io::Error::other)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a store in which `k` is `v`.
    fn written() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = open(&Settings::default(), &path).unwrap();
        store.db.insert("k", "v").unwrap();
        store.sync().unwrap();
        (folder, path)
    }

    #[test]
    fn a_broken_store_is_put_aside_and_an_empty_one_begun() {
        let (_folder, path) = written();
        fs::write(path.join("conf"), [0xff; 200]).unwrap();
        let store = open(&Settings::default(), &path).unwrap();
        assert!(store.set_aside.as_ref().is_some_and(|aside| aside.exists()));
        assert_eq!(store.db.get("k").unwrap(), None);
    }

    #[test]
    fn what_was_synced_is_there_after_reopening() {
        let (_folder, path) = written();
        let store = open(&Settings::default(), &path).unwrap();
        assert_eq!((&store.set_aside, store.lost), (&None, false));
        assert_eq!(store.db.get("k").unwrap().as_deref(), Some(b"v".as_slice()));
    }

    #[test]
    fn a_data_file_of_garbage_is_begun_anew_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(open(&Settings::default(), &path).unwrap());
        fs::write(path.join("db"), vec![0x41; 600_000]).unwrap();
        assert!(open(&Settings::default(), &path).unwrap().lost);
    }

    #[test]
    fn a_store_whose_opening_panicked_is_out_of_the_way_of_the_next_start() {
        let (folder, path) = written();
        assert_eq!(rescue_from(&Mutex::new(None)), None);
        let aside = rescue_from(&Mutex::new(Some(path.clone()))).unwrap();
        assert!(aside.starts_with(folder.path()) && aside.exists() && !path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = open(&Settings::default(), &file.join("store")).unwrap_err();
        assert!(error.to_string().contains("file/store"), "{error}");
    }
}
