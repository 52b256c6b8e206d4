//! The drafts models gave, kept on disk. A kept draft is a convenience: one that cannot be read is dropped and asked for anew.
//! Writes are not flushed: sled does so by itself within half a second, and the loss of the last few costs a question each.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::home::action::Draft;

/// The name of the tree.
const TREE: &str = "drafts";

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most drafts.
    pub entries: usize,
    /// The most bytes, of keys and values.
    pub bytes: usize,
}

/// A draft, and until when it is good.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The draft.
    pub draft: Draft,
    /// How long it is still good for.
    pub left: Duration,
}

/// A value on disk. Times are in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    at: u64,
    until: u64,
    draft: Draft,
}

/// The drafts on disk.
#[derive(Debug)]
pub struct Drafts {
    tree: sled::Tree,
    limits: Limits,
    held: Mutex<Held>,
}

/// What the tree holds; counting anew would read all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    entries: usize,
    bytes: usize,
}

impl Drafts {
    /// Opens the drafts of a store, and drops what is no longer good or readable.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(db: &sled::Db, limits: Limits, now: SystemTime) -> sled::Result<Self> {
        let drafts = Self { tree: db.open_tree(TREE)?, limits, held: Mutex::default() };
        drafts.sweep(millis(now))?;
        Ok(drafts)
    }

    /// The draft kept under `key`, while it is good.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, key: &str, now: SystemTime) -> sled::Result<Option<Kept>> {
        let Some(value) = self.tree.get(key)? else { return Ok(None) };
        let now = millis(now);
        match serde_json::from_slice::<Entry>(&value) {
            Ok(entry) if entry.until > now => Ok(Some(Kept { draft: entry.draft, left: Duration::from_millis(entry.until - now) })),
            Ok(_) | Err(_) => {
                self.remove(key.as_bytes())?;
                Ok(None)
            }
        }
    }

    /// Keeps a draft for `ttl`. Where there is no room the oldest go.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put(&self, key: &str, draft: &Draft, now: SystemTime, ttl: Duration) -> sled::Result<()> {
        let at = millis(now);
        let until = at.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let Ok(value) = serde_json::to_vec(&Entry { at, until, draft: draft.clone() }) else { return Ok(()) };
        let size = key.len() + value.len();
        if self.limits.entries == 0 || size > self.limits.bytes {
            return Ok(());
        }
        let before = self.tree.insert(key, value)?;
        let full = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            match &before {
                Some(old) => held.bytes = held.bytes.saturating_sub(key.len() + old.len()),
                None => held.entries += 1,
            }
            held.bytes += size;
            held.entries > self.limits.entries || held.bytes > self.limits.bytes
        };
        if full { self.sweep(at) } else { Ok(()) }
    }

    /// How many drafts are kept.
    pub fn len(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).entries
    }

    /// True where none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn remove(&self, key: &[u8]) -> sled::Result<()> {
        if let Some(old) = self.tree.remove(key)? {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.entries = held.entries.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(key.len() + old.len());
        }
        Ok(())
    }

    /// Drops what is no longer good; and, over the limits, the oldest until a tenth of the room is free,
    /// so that it is not swept again at every write.
    fn sweep(&self, now: u64) -> sled::Result<()> {
        let mut ages = Vec::new();
        let mut held = Held::default();
        for item in &self.tree {
            let (key, value) = item?;
            match serde_json::from_slice::<Entry>(&value) {
                Ok(entry) if entry.until > now => {
                    ages.push((entry.at, key.len() + value.len()));
                    held.entries += 1;
                    held.bytes += key.len() + value.len();
                }
                Ok(_) | Err(_) => {
                    self.tree.remove(&key)?;
                }
            }
        }
        if held.entries > self.limits.entries || held.bytes > self.limits.bytes {
            let oldest_kept = self.oldest_kept(ages, held);
            for item in &self.tree {
                let (key, value) = item?;
                if serde_json::from_slice::<Entry>(&value).is_ok_and(|entry| entry.at < oldest_kept) {
                    self.tree.remove(&key)?;
                    held.entries -= 1;
                    held.bytes -= key.len() + value.len();
                }
            }
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }

    /// The age from which on drafts stay, so that they fit with a tenth to spare.
    fn oldest_kept(&self, mut ages: Vec<(u64, usize)>, held: Held) -> u64 {
        let room = Held { entries: self.limits.entries - self.limits.entries / 10, bytes: self.limits.bytes - self.limits.bytes / 10 };
        ages.sort_unstable();
        let mut left = held;
        for (at, size) in ages {
            if left.entries <= room.entries && left.bytes <= room.bytes {
                return at;
            }
            left.entries -= 1;
            left.bytes -= size;
        }
        u64::MAX
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const ROOMY: Limits = Limits { entries: 1000, bytes: 1 << 20 };

    fn db(folder: &tempfile::TempDir) -> sled::Db {
        sled::Config::new().path(folder.path()).cache_capacity(1 << 20).open().unwrap()
    }

    fn draft(speech: &str) -> Draft {
        Draft { speech: Some(speech.to_owned()), ..Draft::default() }
    }

    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    #[test]
    fn a_draft_is_good_for_its_time_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(&db(&folder), ROOMY, start()).unwrap();
        drafts.put("lamp on", &draft("ok"), start(), HOUR).unwrap();
        let kept = drafts.get("lamp on", start() + HOUR / 4).unwrap().unwrap();
        assert_eq!(kept, Kept { draft: draft("ok"), left: HOUR * 3 / 4 });
        assert_eq!(drafts.get("lamp on", start() + HOUR).unwrap(), None);
        assert!(drafts.is_empty(), "the stale one is gone from the disk");
    }

    #[test]
    fn a_corrupt_value_is_a_miss_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        drafts.put("lamp on", &draft("ok"), start(), HOUR).unwrap();
        let tree = db.open_tree(TREE).unwrap();
        tree.insert("lamp on", &b"{\"at\":1,\"unt"[..]).unwrap();
        assert_eq!(drafts.get("lamp on", start()).unwrap(), None);
        assert!(tree.is_empty());
    }

    #[test]
    fn over_the_entries_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(&db(&folder), Limits { entries: 10, ..ROOMY }, start()).unwrap();
        for n in 0..11 {
            drafts.put(&format!("phrase {n}"), &draft("ok"), start() + Duration::from_secs(n), HOUR).unwrap();
        }
        let now = start() + Duration::from_secs(11);
        let there: Vec<bool> = (0..11).map(|n| drafts.get(&format!("phrase {n}"), now).unwrap().is_some()).collect();
        assert_eq!(there, [vec![false; 2], vec![true; 9]].concat());
        assert_eq!(drafts.len(), 9);
    }

    #[test]
    fn over_the_bytes_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(&db(&folder), Limits { bytes: 8 << 10, ..ROOMY }, start()).unwrap();
        for n in 0..100 {
            drafts.put(&format!("phrase {n}"), &draft(&"x".repeat(1000)), start() + Duration::from_secs(n), HOUR).unwrap();
            assert!(drafts.held.lock().unwrap().bytes <= 8 << 10);
        }
        let now = start() + Duration::from_secs(100);
        assert!(drafts.get("phrase 99", now).unwrap().is_some());
        assert!(drafts.get("phrase 0", now).unwrap().is_none());
        drafts.put("too long", &draft(&"x".repeat(9000)), now, HOUR).unwrap();
        assert!(drafts.get("too long", now).unwrap().is_none());
    }

    #[test]
    fn opening_counts_what_is_there_and_drops_what_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        drafts.put("short", &draft("ok"), start(), HOUR).unwrap();
        drafts.put("long", &draft("ok"), start(), HOUR * 3).unwrap();
        drafts.put("long", &draft("better"), start(), HOUR * 3).unwrap();
        let held = *drafts.held.lock().unwrap();
        drop(drafts);
        assert_eq!(held, *Drafts::open(&db, ROOMY, start()).unwrap().held.lock().unwrap());
        assert_eq!(Drafts::open(&db, ROOMY, start() + HOUR * 2).unwrap().len(), 1);
    }
}
