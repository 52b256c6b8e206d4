//! The disk tier. A draft that cannot be read is dropped and requested again. Writes are not
//! flushed: sled does so within half a second, and losing the last few costs one request each.

use std::borrow::Cow;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreTree};
use crate::vocabulary::action::Draft;

/// The name of the sled tree.
const TREE: &str = "drafts";

/// Limits of the disk tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// The most drafts.
    pub entries: usize,
    /// The most bytes, of keys and values.
    pub bytes: usize,
}

/// A draft on disk that has not expired.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptDraft {
    /// The draft.
    pub draft: Draft,
    /// The model that gave it.
    pub model: String,
    /// Its remaining time.
    pub left: Duration,
}

/// The stored form of a draft. Times are in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct DraftRecord<'a> {
    at: u64,
    until: u64,
    model: Cow<'a, str>,
    draft: Cow<'a, Draft>,
}

/// The times of a stored draft, read without the draft.
#[derive(Debug, Deserialize)]
struct DraftTimes {
    at: u64,
    until: u64,
}

impl DraftTimes {
    /// Reads the times of a record; `None` where it is none.
    fn of(record: &[u8]) -> Option<Self> {
        serde_json::from_slice(record).ok()
    }
}

/// The drafts on disk.
#[derive(Debug)]
pub struct Drafts {
    tree: StoreTree,
    limits: DiskLimits,
    held: Mutex<StoredDrafts>,
}

/// The contents of the tree in numbers; counting them again would read all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredDrafts {
    /// Drafts.
    pub entries: usize,
    /// Bytes, of keys and values.
    pub bytes: usize,
}

/// The result of a sweep over a part of the drafts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepResult {
    /// Where the next sweep continues; `None` after the last draft.
    pub next: Option<Vec<u8>>,
    /// The number of drafts dropped.
    pub dropped: usize,
}

impl Drafts {
    /// Opens the drafts of a store, and drops those that have expired or whose times cannot be read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: &Store, limits: DiskLimits, now: SystemTime) -> io::Result<Self> {
        let drafts = Self {
            tree: store.tree(TREE)?,
            limits,
            held: Mutex::default(),
        };
        drafts.sweep(millis(now)).map_err(io::Error::other)?;
        Ok(drafts)
    }

    /// Returns the draft under `key`, unless it has expired.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, key: &str, now: SystemTime) -> sled::Result<Option<KeptDraft>> {
        let Some(tree) = self.tree.get() else {
            return Ok(None);
        };
        let Some(value) = tree.get(key)? else {
            return Ok(None);
        };
        let now = millis(now);
        match serde_json::from_slice::<DraftRecord>(&value) {
            Ok(entry) if entry.until > now => Ok(Some(KeptDraft {
                draft: entry.draft.into_owned(),
                model: entry.model.into_owned(),
                left: Duration::from_millis(entry.until - now),
            })),
            Ok(_) | Err(_) => {
                self.remove(key.as_bytes())?;
                Ok(None)
            }
        }
    }

    /// Keeps a draft of `model` for `ttl`. Over the limits the oldest are dropped.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put(
        &self,
        key: &str,
        (model, draft): (&str, &Draft),
        now: SystemTime,
        ttl: Duration,
    ) -> sled::Result<()> {
        let at = millis(now);
        let until = at.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let Ok(value) = serde_json::to_vec(&DraftRecord {
            at,
            until,
            model: model.into(),
            draft: Cow::Borrowed(draft),
        }) else {
            return Ok(());
        };
        let size = key.len() + value.len();
        if self.limits.entries == 0 || size > self.limits.bytes {
            return Ok(());
        }
        let Some(tree) = self.tree.to_write() else {
            return Ok(());
        };
        let before = tree.insert(key, value)?;
        let full = {
            let mut held = self.held.lock();
            match &before {
                Some(old) => held.bytes = held.bytes.saturating_sub(key.len() + old.len()),
                None => held.entries += 1,
            }
            held.bytes += size;
            held.entries > self.limits.entries || held.bytes > self.limits.bytes
        };
        if full { self.sweep(at) } else { Ok(()) }
    }

    /// Returns the number of drafts and bytes; none once the store has failed.
    pub fn held(&self) -> StoredDrafts {
        if self.tree.get().is_some() {
            *self.held.lock()
        } else {
            StoredDrafts::default()
        }
    }

    /// Visits the next `most` drafts from `from` on, and drops those that have expired or are not
    /// `of_use`.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn sweep_from(
        &self,
        from: &[u8],
        most: usize,
        now: SystemTime,
        of_use: impl Fn(&str) -> bool,
    ) -> sled::Result<SweepResult> {
        let (now, mut dropped) = (millis(now), 0);
        let Some(tree) = self.tree.get() else {
            return Ok(SweepResult {
                next: None,
                dropped,
            });
        };
        let mut items = tree.range(from..);
        for item in items.by_ref().take(most) {
            let (key, value) = item?;
            let stays = str::from_utf8(&key).is_ok_and(&of_use)
                && DraftTimes::of(&value).is_some_and(|times| times.until > now);
            if !stays {
                self.remove(&key)?;
                dropped += 1;
            }
        }
        let next = items.next().transpose()?.map(|(key, _)| key.to_vec());
        Ok(SweepResult { next, dropped })
    }

    /// Removes the drafts whose key matches, and returns their keys.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn remove_where(&self, matches: impl Fn(&str) -> bool) -> sled::Result<Vec<String>> {
        let Some(tree) = self.tree.get() else {
            return Ok(Vec::new());
        };
        let keys = tree.iter().keys().collect::<sled::Result<Vec<_>>>()?;
        let mut removed = Vec::new();
        for key in keys {
            if let Some(text) = str::from_utf8(&key).ok().filter(|text| matches(text)) {
                self.remove(&key)?;
                removed.push(text.to_owned());
            }
        }
        Ok(removed)
    }

    /// Returns the drafts whose key matches and that have not expired.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(
        &self,
        matches: impl Fn(&str) -> bool,
        now: SystemTime,
    ) -> sled::Result<Vec<(String, KeptDraft)>> {
        let mut found = Vec::new();
        let Some(tree) = self.tree.get() else {
            return Ok(found);
        };
        for key in tree.iter().keys() {
            let key = key?;
            if let Some(text) = str::from_utf8(&key).ok().filter(|text| matches(text))
                && let Some(kept) = self.get(text, now)?
            {
                found.push((text.to_owned(), kept));
            }
        }
        Ok(found)
    }

    fn remove(&self, key: &[u8]) -> sled::Result<()> {
        let Some(tree) = self.tree.to_write() else {
            return Ok(());
        };
        if let Some(old) = tree.remove(key)? {
            let mut held = self.held.lock();
            held.entries = held.entries.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(key.len() + old.len());
        }
        Ok(())
    }

    /// Drops expired drafts, and over the limits the oldest until a tenth is free, so that not
    /// every write sweeps again.
    fn sweep(&self, now: u64) -> sled::Result<()> {
        let mut ages = Vec::new();
        let mut held = StoredDrafts::default();
        let Some(tree) = self.tree.get() else {
            return Ok(());
        };
        for item in &tree {
            let (key, value) = item?;
            match DraftTimes::of(&value) {
                Some(times) if times.until > now => {
                    ages.push((times.at, key.len() + value.len()));
                    held.entries += 1;
                    held.bytes += key.len() + value.len();
                }
                Some(_) | None => {
                    tree.remove(&key)?;
                }
            }
        }
        if held.entries > self.limits.entries || held.bytes > self.limits.bytes {
            let oldest_kept = self.oldest_kept(ages, held);
            for item in &tree {
                let (key, value) = item?;
                if DraftTimes::of(&value).is_some_and(|times| times.at < oldest_kept) {
                    tree.remove(&key)?;
                    held.entries -= 1;
                    held.bytes -= key.len() + value.len();
                }
            }
        }
        *self.held.lock() = held;
        Ok(())
    }

    /// Returns the time from which on drafts stay, so that they fit with a tenth to spare.
    fn oldest_kept(&self, mut ages: Vec<(u64, usize)>, held: StoredDrafts) -> u64 {
        let target = StoredDrafts {
            entries: self.limits.entries - self.limits.entries / 10,
            bytes: self.limits.bytes - self.limits.bytes / 10,
        };
        ages.sort_unstable();
        let mut left = held;
        for (at, size) in ages {
            if left.entries <= target.entries && left.bytes <= target.bytes {
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
    const ROOMY: DiskLimits = DiskLimits {
        entries: 1000,
        bytes: 1 << 20,
    };

    fn db(folder: &tempfile::TempDir) -> Store {
        let settings = crate::store::Settings::default();
        crate::store::open(&settings, &folder.path().join("store")).unwrap()
    }

    fn draft(speech: &str) -> Draft {
        Draft {
            speech: Some(speech.to_owned()),
            ..Draft::default()
        }
    }

    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    #[test]
    fn a_draft_expires_after_its_time_to_live() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(&db(&folder), ROOMY, start()).unwrap();
        drafts
            .put("lamp on", ("m", &draft("ok")), start(), HOUR)
            .unwrap();
        let kept = drafts.get("lamp on", start() + HOUR / 4).unwrap().unwrap();
        assert_eq!(
            kept,
            KeptDraft {
                draft: draft("ok"),
                model: "m".to_owned(),
                left: HOUR * 3 / 4
            }
        );
        assert_eq!(drafts.get("lamp on", start() + HOUR).unwrap(), None);
        assert_eq!(
            drafts.held(),
            StoredDrafts::default(),
            "the stale one is gone from the disk"
        );
    }

    #[test]
    fn a_corrupt_value_is_a_miss_and_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        drafts
            .put("lamp on", ("m", &draft("ok")), start(), HOUR)
            .unwrap();
        let tree = db.tree(TREE).unwrap().get().unwrap();
        tree.insert("lamp on", &b"{\"at\":1,\"unt"[..]).unwrap();
        assert_eq!(drafts.get("lamp on", start()).unwrap(), None);
        assert!(tree.is_empty());
    }

    #[test]
    fn over_the_entry_limit_the_oldest_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(
            &db(&folder),
            DiskLimits {
                entries: 10,
                ..ROOMY
            },
            start(),
        )
        .unwrap();
        for n in 0..11 {
            drafts
                .put(
                    &format!("phrase {n}"),
                    ("m", &draft("ok")),
                    start() + Duration::from_secs(n),
                    HOUR,
                )
                .unwrap();
        }
        let now = start() + Duration::from_secs(11);
        let there: Vec<bool> = (0..11)
            .map(|n| drafts.get(&format!("phrase {n}"), now).unwrap().is_some())
            .collect();
        assert_eq!(there, [vec![false; 2], vec![true; 9]].concat());
        assert_eq!(drafts.held().entries, 9);
    }

    #[test]
    fn over_the_byte_limit_the_oldest_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(
            &db(&folder),
            DiskLimits {
                bytes: 8 << 10,
                ..ROOMY
            },
            start(),
        )
        .unwrap();
        for n in 0..100 {
            drafts
                .put(
                    &format!("phrase {n}"),
                    ("m", &draft(&"x".repeat(1000))),
                    start() + Duration::from_secs(n),
                    HOUR,
                )
                .unwrap();
            assert!(drafts.held.lock().bytes <= 8 << 10);
        }
        let now = start() + Duration::from_secs(100);
        assert!(drafts.get("phrase 99", now).unwrap().is_some());
        assert!(drafts.get("phrase 0", now).unwrap().is_none());
        drafts
            .put("too long", ("m", &draft(&"x".repeat(9000))), now, HOUR)
            .unwrap();
        assert!(drafts.get("too long", now).unwrap().is_none());
    }

    #[test]
    fn a_sweep_continues_where_the_last_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(&db(&folder), ROOMY, start()).unwrap();
        for n in 0..10 {
            let ttl = if n == 4 { HOUR } else { HOUR * 3 };
            drafts
                .put(
                    &format!("{} {n}", if n % 2 == 0 { "new" } else { "old" }),
                    ("m", &draft("ok")),
                    start(),
                    ttl,
                )
                .unwrap();
        }
        let sweep = |from: &[u8]| {
            drafts
                .sweep_from(from, 4, start() + HOUR, |key| key.starts_with("new"))
                .unwrap()
        };
        let first = sweep(&[]);
        assert_eq!(
            (first.dropped, first.next.as_deref()),
            (1, Some(&b"new 8"[..])),
            "the one out of its time"
        );
        let second = sweep(&first.next.unwrap());
        let third = sweep(&second.next.unwrap());
        assert_eq!(
            (second.dropped, third.dropped, third.next),
            (3, 2, None),
            "those of no more use"
        );
        assert_eq!(drafts.held().entries, 4);
        assert_eq!(
            drafts
                .find(|key| key.ends_with('6'), start())
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            drafts.remove_where(|key| key.ends_with('6')).unwrap(),
            ["new 6"]
        );
        assert_eq!(drafts.remove_where(|_| true).unwrap().len(), 3);
        assert_eq!(drafts.held(), StoredDrafts::default());
    }

    #[test]
    fn opening_counts_the_drafts_and_drops_expired_ones() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        drafts
            .put("short", ("m", &draft("ok")), start(), HOUR)
            .unwrap();
        drafts
            .put("long", ("m", &draft("ok")), start(), HOUR * 3)
            .unwrap();
        drafts
            .put("long", ("m", &draft("better")), start(), HOUR * 3)
            .unwrap();
        let held = *drafts.held.lock();
        drop(drafts);
        assert_eq!(
            held,
            *Drafts::open(&db, ROOMY, start()).unwrap().held.lock()
        );
        assert_eq!(
            Drafts::open(&db, ROOMY, start() + HOUR * 2)
                .unwrap()
                .held()
                .entries,
            1
        );
    }
}
