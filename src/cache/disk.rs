//! The disk tier. A draft that cannot be read is dropped and requested again. Writes are not
//! flushed: the journal's next sync does that, and losing the last few costs one request each.
//!
//! Drafts are stored by age, several in each page: so writing one costs little, and the oldest are
//! dropped page by page. A renewed draft is written to a new page, and then removed from the page
//! of the earlier one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreTree};
use crate::vocabulary::action::Draft;

/// The name of the sled tree, whose keys are the numbers of the pages.
const TREE: &str = "draft_pages";

/// The tree of earlier versions, with the keys of the drafts as its own.
const TREE_BY_KEY: &str = "drafts";

/// The most drafts in a page.
const PAGE_DRAFTS: usize = 16;

/// Bytes from which a page takes no more drafts.
const PAGE_BYTES: usize = 8 << 10;

/// Smallest number of pages for which the limits have room, so that one page is not too large a
/// share of the drafts to drop.
const PAGES: usize = 8;

/// Longest time a draft waits for others of its page, if others come: each write of a page costs as
/// much as all drafts in it. In milliseconds.
const GATHER_MS: u64 = 100;

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
    /// Draft as the model gave it, before the permission gate has decided on it.
    pub draft: Draft,
    /// Name of the model that gave it.
    pub model: String,
    /// Its remaining time.
    pub left: Duration,
}

/// The stored form of a draft. Times are in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct DraftRecord<'a> {
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    at: u64,
    until: u64,
    model: Cow<'a, str>,
    draft: Cow<'a, Draft>,
}

/// The part of a record that is read without the draft.
#[derive(Debug, Deserialize)]
struct DraftHeader<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    until: u64,
}

/// The drafts on disk.
#[derive(Debug)]
pub struct Drafts {
    tree: StoreTree,
    limits: DiskLimits,
    /// Index of the drafts. It is locked for one draft or one page at a time, so that a visit of
    /// all drafts does not delay commands.
    pages: Mutex<DraftPages>,
}

/// Index of the drafts on disk: 16 bytes for each, without its key.
#[derive(Debug, Default)]
struct DraftPages {
    /// The page of a draft, by the hash of its key. Of two keys with the same hash the older one is
    /// forgotten.
    page_of: HashMap<u64, u64>,
    hasher: RandomState,
    /// Bytes of all pages.
    bytes: usize,
    /// No page has a lower number.
    oldest: u64,
    /// The number of the page that takes drafts.
    open: u64,
    /// Its records, each a line.
    lines: Vec<u8>,
    /// Their number.
    line_count: usize,
    /// Time of its last write, in milliseconds since 1970.
    written_at: u64,
    /// Whether it is to be written.
    is_changed: bool,
}

/// The contents of the tree in numbers; counting them again would read all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredDrafts {
    /// Drafts.
    pub entries: usize,
    /// Bytes, of keys and drafts.
    pub bytes: usize,
}

/// The result of a sweep over a part of the drafts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepResult {
    /// The page at which the next sweep continues; `None` after the last one.
    pub next: Option<u64>,
    /// The number of drafts dropped.
    pub dropped: usize,
}

impl DraftPages {
    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns whether the draft under `key` is in this page, and not in a newer one.
    fn is_in(&self, page: u64, key: &str) -> bool {
        self.page_of.get(&self.hash(key)) == Some(&page)
    }

    /// Notes a draft in a page. Returns the other page that had it.
    fn note(&mut self, page: u64, key: &str) -> Option<u64> {
        let hash = self.hash(key);
        let before = self.page_of.insert(hash, page);
        before.filter(|before| *before != page)
    }

    /// Forgets a draft, if it is in this page. Returns whether it was.
    fn forget(&mut self, page: u64, key: &str) -> bool {
        let is_here = self.is_in(page, key);
        if is_here {
            let hash = self.hash(key);
            self.page_of.remove(&hash);
        }
        is_here
    }

    fn is_over(&self, limits: DiskLimits) -> bool {
        self.page_of.len() > limits.entries || self.bytes > limits.bytes
    }

    /// Returns whether the open page takes no more drafts.
    fn is_full(&self, limits: DiskLimits) -> bool {
        let drafts = PAGE_DRAFTS.min(limits.entries / PAGES).max(1);
        let bytes = PAGE_BYTES.min(limits.bytes / PAGES);
        self.line_count >= drafts || self.lines.len() >= bytes
    }

    /// Adds a record to the open page, in the place of an earlier one with the same key. Returns
    /// the other page that had it.
    fn add(&mut self, key: &str, line: &[u8]) -> Option<u64> {
        if self.is_in(self.open, key) {
            let before = std::mem::take(&mut self.lines);
            self.bytes -= before.len();
            self.line_count = 0;
            let is_other = |line: &&[u8]| DraftHeader::of(line).is_some_and(|it| it.key != key);
            for line in records(&before).filter(is_other) {
                self.push(line);
            }
        }
        self.push(line);
        self.note(self.open, key)
    }

    fn push(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        self.line_count += 1;
        self.bytes += line.len() + 1;
        self.is_changed = true;
    }

    /// Begins the next page.
    fn begin_next_page(&mut self) {
        self.open += 1;
        self.line_count = 0;
        self.lines.clear();
        self.lines.shrink_to(PAGE_BYTES);
    }
}

impl Drafts {
    /// Opens the drafts of a store, and drops those that have expired or cannot be read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: &Store, limits: DiskLimits, now: SystemTime) -> io::Result<Self> {
        let drafts = Self {
            tree: store.tree(TREE)?,
            limits,
            pages: Mutex::default(),
        };
        drafts.read_pages(millis(now)).map_err(io::Error::other)?;
        drafts
            .migrate_by_key(store, now)
            .map_err(io::Error::other)?;
        Ok(drafts)
    }

    /// Returns the draft under `key`, unless it has expired.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, key: &str, now: SystemTime) -> sled::Result<Option<KeptDraft>> {
        let mut pages = self.pages.lock();
        let Some(page) = pages.page_of.get(&pages.hash(key)).copied() else {
            return Ok(None);
        };
        let now = millis(now);
        let found = if page == pages.open {
            draft_of(&pages.lines, key, now)
        } else {
            let lines = self.stored(page)?;
            draft_of(&lines.unwrap_or_default(), key, now)
        };
        if found.is_none() {
            pages.forget(page, key);
            self.rewrite(&mut pages, page)?;
        }
        Ok(found)
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
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let record = DraftRecord {
            key: key.into(),
            at,
            until: at.saturating_add(ttl),
            model: model.into(),
            draft: Cow::Borrowed(draft),
        };
        self.add(&record, at)
    }

    /// Writes the drafts that wait for others of their page.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn flush(&self) -> sled::Result<()> {
        self.write_open(&mut self.pages.lock())
    }

    /// Returns the number of drafts and bytes; none once the store has failed.
    pub fn held(&self) -> StoredDrafts {
        if self.tree.get().is_none() {
            return StoredDrafts::default();
        }
        let pages = self.pages.lock();
        StoredDrafts {
            entries: pages.page_of.len(),
            bytes: pages.bytes,
        }
    }

    /// Visits at least `most` drafts, if there are, from page `from` on, and drops those that have
    /// expired or are not `of_use`.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn sweep_from(
        &self,
        from: u64,
        most: usize,
        now: SystemTime,
        of_use: impl Fn(&str) -> bool,
    ) -> sled::Result<SweepResult> {
        self.flush()?;
        let (now, mut visited, mut dropped) = (millis(now), 0, 0);
        for page in self.stored_pages(from) {
            let (page, lines) = page?;
            if visited >= most {
                let next = Some(page);
                return Ok(SweepResult { next, dropped });
            }
            visited += records(&lines).count();
            let is_dropped = |header: &DraftHeader| header.until <= now || !of_use(&header.key);
            dropped += self.remove_from(page, &lines, is_dropped)?.len();
        }
        let next = None;
        Ok(SweepResult { next, dropped })
    }

    /// Removes the drafts whose key matches, and returns their keys.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn remove_where(&self, matches: impl Fn(&str) -> bool) -> sled::Result<Vec<String>> {
        self.flush()?;
        let mut removed = Vec::new();
        for page in self.stored_pages(0) {
            let (page, lines) = page?;
            removed.extend(self.remove_from(page, &lines, |header| matches(&header.key))?);
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
        self.flush()?;
        let (now, mut found) = (millis(now), Vec::new());
        for page in self.stored_pages(0) {
            let (page, lines) = page?;
            for header in records(&lines).filter_map(DraftHeader::of) {
                if matches(&header.key) && self.pages.lock().is_in(page, &header.key) {
                    let kept = draft_of(&lines, &header.key, now);
                    found.extend(kept.map(|kept| (header.key.into_owned(), kept)));
                }
            }
        }
        Ok(found)
    }

    fn stored(&self, page: u64) -> sled::Result<Option<sled::IVec>> {
        let tree = self.tree.get();
        tree.map_or(Ok(None), |tree| tree.get(page.to_be_bytes()))
    }

    /// Returns the pages on disk from `from` on; none once the store has failed.
    fn stored_pages(&self, from: u64) -> impl Iterator<Item = sled::Result<(u64, sled::IVec)>> {
        let range = self.tree.get().map(|tree| tree.range(from.to_be_bytes()..));
        let pages = range.into_iter().flatten();
        pages.filter_map(|page| match page {
            Ok((key, lines)) => {
                let number = key.as_ref().try_into().map(u64::from_be_bytes);
                number.ok().map(|number| Ok((number, lines)))
            }
            Err(error) => Some(Err(error)),
        })
    }

    /// Adds a record to the open page, and writes the page where it is time.
    fn add(&self, record: &DraftRecord, now: u64) -> sled::Result<()> {
        let Ok(line) = serde_json::to_vec(record) else {
            return Ok(());
        };
        if self.limits.entries == 0 || line.len() >= self.limits.bytes {
            return Ok(());
        }
        let mut pages = self.pages.lock();
        if let Some(before) = pages.add(&record.key, &line) {
            self.rewrite(&mut pages, before)?;
        }
        let is_full = pages.is_full(self.limits);
        // After the clock was set back as well.
        if is_full || now.abs_diff(pages.written_at) >= GATHER_MS {
            pages.written_at = now;
            self.write_open(&mut pages)?;
        }
        if is_full {
            pages.begin_next_page();
        }
        self.drop_oldest(&mut pages)
    }

    fn write_open(&self, pages: &mut DraftPages) -> sled::Result<()> {
        if pages.is_changed {
            self.write(pages.open, &pages.lines)?;
            pages.is_changed = false;
        }
        Ok(())
    }

    /// Writes a page; one without records is removed.
    fn write(&self, page: u64, lines: &[u8]) -> sled::Result<()> {
        let Some(tree) = self.tree.to_write() else {
            return Ok(());
        };
        let key = page.to_be_bytes();
        if lines.is_empty() {
            tree.remove(key).map(drop)
        } else {
            tree.insert(key, lines).map(drop)
        }
    }

    /// Removes some of the drafts in a page that has these records. Returns their keys.
    fn remove_from(
        &self,
        page: u64,
        lines: &[u8],
        is_dropped: impl Fn(&DraftHeader) -> bool,
    ) -> sled::Result<Vec<String>> {
        let headers = records(lines).filter_map(DraftHeader::of);
        let mut dropped: Vec<_> = headers.filter(is_dropped).collect();
        let mut pages = self.pages.lock();
        dropped.retain(|header| pages.forget(page, &header.key));
        self.rewrite(&mut pages, page)?;
        let keys = dropped.into_iter().map(|header| header.key.into_owned());
        Ok(keys.collect())
    }

    /// Writes a page without the records that were forgotten, that a newer one replaces, or that
    /// cannot be read.
    fn rewrite(&self, pages: &mut DraftPages, page: u64) -> sled::Result<()> {
        self.write_open(pages)?;
        let Some(before) = self.stored(page)? else {
            return Ok(());
        };
        let (mut lines, mut line_count) = (Vec::new(), 0);
        let is_kept = |line: &&[u8]| {
            DraftHeader::of(line).is_some_and(|header| pages.is_in(page, &header.key))
        };
        for line in records(&before).filter(is_kept) {
            lines.extend_from_slice(line);
            lines.push(b'\n');
            line_count += 1;
        }
        if lines.len() == before.len() {
            return Ok(());
        }
        pages.bytes = pages.bytes.saturating_sub(before.len() - lines.len());
        self.write(page, &lines)?;
        if page == pages.open {
            (pages.lines, pages.line_count) = (lines, line_count);
        }
        Ok(())
    }

    /// Drops the oldest pages until the limits are kept. The open page alone is never above them.
    fn drop_oldest(&self, pages: &mut DraftPages) -> sled::Result<()> {
        while pages.is_over(self.limits) {
            let Some(oldest) = self.stored_pages(pages.oldest).next() else {
                break;
            };
            let (page, lines) = oldest?;
            if page == pages.open {
                break;
            }
            self.write(page, &[])?;
            for header in records(&lines).filter_map(DraftHeader::of) {
                pages.forget(page, &header.key);
            }
            pages.bytes = pages.bytes.saturating_sub(lines.len());
            pages.oldest = page + 1;
        }
        Ok(())
    }

    /// Reads where the drafts are. Of two with the same key the newer one is kept: the program may
    /// have ended before the older one was removed.
    fn read_pages(&self, now: u64) -> sled::Result<()> {
        let mut pages = self.pages.lock();
        let mut replaced = Vec::new();
        for page in self.stored_pages(0) {
            let (page, lines) = page?;
            pages.open = page.saturating_add(1);
            pages.bytes += lines.len();
            let mut is_useless = true;
            for header in records(&lines).filter_map(DraftHeader::of) {
                if header.until > now {
                    replaced.extend(pages.note(page, &header.key));
                    is_useless = false;
                }
            }
            if is_useless {
                self.write(page, &[])?;
                pages.bytes -= lines.len();
            }
        }
        for page in replaced {
            self.rewrite(&mut pages, page)?;
        }
        self.drop_oldest(&mut pages)
    }

    /// Moves the drafts of an earlier version here, in the order of their times.
    fn migrate_by_key(&self, store: &Store, now: SystemTime) -> sled::Result<()> {
        let mut names = store.db.tree_names().into_iter();
        if !names.any(|name| name.as_ref() == TREE_BY_KEY.as_bytes()) {
            return Ok(());
        }
        let earlier = store.db.open_tree(TREE_BY_KEY)?;
        let mut by_age = Vec::new();
        for entry in &earlier {
            let (key, value) = entry?;
            if let Ok(record) = serde_json::from_slice::<DraftRecord>(&value)
                && record.until > millis(now)
            {
                by_age.push((record.at, key));
            }
        }
        by_age.sort_unstable();
        for (_, key) in by_age {
            let value = earlier.get(&key)?.unwrap_or_default();
            if let Ok(text) = str::from_utf8(&key)
                && let Ok(mut record) = serde_json::from_slice::<DraftRecord>(&value)
            {
                record.key = text.into();
                self.add(&record, millis(now))?;
            }
        }
        self.flush()?;
        drop(earlier);
        store.db.drop_tree(TREE_BY_KEY).map(drop)
    }
}

impl<'a> DraftHeader<'a> {
    /// Reads the header of a record; `None` where it is none.
    fn of(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Returns the records of a page.
fn records(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let records = lines.split(|byte| *byte == b'\n');
    records.filter(|line| !line.is_empty())
}

/// Returns the draft under `key` in a page, unless it has expired at `now`.
fn draft_of(lines: &[u8], key: &str, now: u64) -> Option<KeptDraft> {
    let is_wanted = |line: &&[u8]| DraftHeader::of(line).is_some_and(|header| header.key == key);
    let line = records(lines).find(is_wanted)?;
    let record = serde_json::from_slice::<DraftRecord>(line).ok()?;
    let left = record.until.checked_sub(now).filter(|left| *left > 0)?;
    Some(KeptDraft {
        draft: record.draft.into_owned(),
        model: record.model.into_owned(),
        left: Duration::from_millis(left),
    })
}

impl Drop for Drafts {
    fn drop(&mut self) {
        // Without the last drafts each of them costs a request.
        let _ = self.flush();
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
        for key in ["lamp on", "lamp off"] {
            drafts.put(key, ("m", &draft("ok")), start(), HOUR).unwrap();
        }
        drafts.flush().unwrap();
        let tree = db.tree(TREE).unwrap().get().unwrap();
        let lines = tree.get(0_u64.to_be_bytes()).unwrap().unwrap();
        let broken = String::from_utf8(lines.to_vec())
            .unwrap()
            .replacen("\"until\"", "\"unt", 1);
        tree.insert(0_u64.to_be_bytes(), broken.as_bytes()).unwrap();
        drop(drafts);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        assert_eq!(drafts.get("lamp on", start()).unwrap(), None);
        assert!(drafts.get("lamp off", start()).unwrap().is_some());
        assert_eq!(drafts.held().entries, 1);
        tree.insert(0_u64.to_be_bytes(), "garbage").unwrap();
        assert_eq!(drafts.get("lamp off", start()).unwrap(), None);
        assert!(tree.is_empty());
    }

    #[test]
    fn another_key_with_the_same_hash_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(&db(&folder), ROOMY, start()).unwrap();
        drafts
            .put("lamp on", ("m", &draft("ok")), start(), HOUR)
            .unwrap();
        drafts.pages.lock().note(0, "lamp off");
        assert_eq!(drafts.get("lamp off", start()).unwrap(), None);
        assert!(drafts.get("lamp on", start()).unwrap().is_some());
    }

    #[test]
    fn a_draft_renewed_in_its_page_replaces_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        for (speech, ttl) in [("early", HOUR), ("late", HOUR * 3)] {
            for key in ["lamp on", "lamp off"] {
                drafts
                    .put(key, ("m", &draft(speech)), start(), ttl)
                    .unwrap();
            }
        }
        let is_late = |drafts: &Drafts| {
            let kept = drafts.get("lamp on", start() + HOUR * 2).unwrap();
            kept.is_some_and(|kept| kept.draft == draft("late"))
        };
        assert!(is_late(&drafts));
        let swept = drafts.sweep_from(0, 4, start() + HOUR * 2, |_| true);
        assert_eq!(swept.unwrap().dropped, 0);
        assert!(is_late(&drafts));
        let held = drafts.held();
        drop(drafts);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        assert!(is_late(&drafts) && drafts.held() == held);
    }

    #[test]
    fn a_forgotten_draft_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let limits = DiskLimits {
            entries: 40,
            ..ROOMY
        };
        let open = || Drafts::open(&db, limits, start()).unwrap();
        let (mut drafts, mut newest) = (open(), HashMap::new());
        let (mut hits, mut random) = (0, 1_u64);
        for n in 0..4000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005) | 1;
            random = random.wrapping_add(n << 32);
            let key = format!("phrase {}", (random >> 40) % 50);
            let now = start() + Duration::from_millis(n * 20);
            match (random >> 33) % 16 {
                0 => {
                    drafts = {
                        drop(drafts);
                        open()
                    }
                }
                1 => {
                    drafts.remove_where(|other| other == key).unwrap();
                    newest.remove(&key);
                }
                2 => drop(drafts.sweep_from(0, 40, now, |_| true).unwrap()),
                3..8 => {
                    drafts
                        .put(&key, ("m", &draft(&n.to_string())), now, HOUR)
                        .unwrap();
                    newest.insert(key, n.to_string());
                }
                _ => {
                    let found = drafts.get(&key, now).unwrap();
                    let found = found.and_then(|kept| kept.draft.speech);
                    assert!(found.is_none() || found.as_ref() == newest.get(&key), "{n}");
                    hits += usize::from(found.is_some());
                }
            }
            assert!(drafts.held().entries <= 40);
        }
        assert!(hits > 1000, "{hits}");
    }

    #[test]
    fn a_visit_of_all_drafts_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = Drafts::open(&db(&folder), ROOMY, start()).unwrap();
        for n in 0..40 {
            let key = n.to_string();
            drafts
                .put(&key, ("m", &draft("ok")), start(), HOUR)
                .unwrap();
        }
        let is_free = |_: &str| {
            assert!(drafts.pages.try_lock().is_some());
            true
        };
        assert_eq!(drafts.find(is_free, start()).unwrap().len(), 40);
        let swept = drafts.sweep_from(0, 40, start(), is_free).unwrap();
        assert_eq!(swept.dropped, 0);
        assert_eq!(drafts.remove_where(is_free).unwrap().len(), 40);
    }

    #[test]
    fn many_drafts_are_found_again_and_the_oldest_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let limits = DiskLimits {
            entries: 400,
            ..ROOMY
        };
        let drafts = Drafts::open(&db, limits, start()).unwrap();
        let key = |n: u64| format!("phrase {}", n % 700);
        for n in 0..1000 {
            let now = start() + Duration::from_millis(n);
            drafts
                .put(&key(n), ("m", &draft(&n.to_string())), now, HOUR)
                .unwrap();
            assert!(drafts.held().entries <= 400);
        }
        let held = drafts.held();
        assert!(held.entries > 400 - 2 * PAGE_DRAFTS, "{held:?}");
        drop(drafts);
        let drafts = Drafts::open(&db, limits, start()).unwrap();
        assert_eq!(drafts.held(), held);
        let oldest = 1000 - held.entries as u64;
        for n in oldest..1000 {
            let kept = drafts.get(&key(n), start()).unwrap();
            assert_eq!(kept.unwrap().draft, draft(&n.to_string()), "{n}");
        }
        assert_eq!(drafts.get(&key(oldest - 1), start()).unwrap(), None);
        assert_eq!(drafts.remove_where(|_| true).unwrap().len(), held.entries);
        assert_eq!(drafts.held(), StoredDrafts::default());
        assert!(db.tree(TREE).unwrap().get().unwrap().is_empty());
    }

    #[test]
    fn a_draft_that_was_renewed_is_not_among_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let limits = DiskLimits {
            entries: 3,
            ..ROOMY
        };
        let drafts = Drafts::open(&db(&folder), limits, start()).unwrap();
        for key in ["a", "b", "c", "a", "d"] {
            drafts.put(key, ("m", &draft(key)), start(), HOUR).unwrap();
        }
        let is_kept = |key: &&str| drafts.get(key, start()).unwrap().is_some();
        let kept: Vec<_> = ["a", "b", "c", "d"].into_iter().filter(is_kept).collect();
        assert_eq!(kept, ["a", "c", "d"]);
        assert_eq!(drafts.held().entries, 3);
    }

    #[test]
    fn drafts_of_an_earlier_version_are_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder);
        let earlier = db.db.open_tree(TREE_BY_KEY).unwrap();
        let until = millis(start() + HOUR);
        for (age, key) in ["newest", "middle", "oldest"].into_iter().enumerate() {
            let at = millis(start()) - age as u64;
            let draft = format!(r#"{{"actions":[],"speech":"{key}"}}"#);
            let record = format!(r#"{{"at":{at},"until":{until},"model":"m","draft":{draft}}}"#);
            earlier.insert(key, record.as_bytes()).unwrap();
        }
        earlier.insert("broken", "{").unwrap();
        drop(earlier);
        let limits = DiskLimits {
            entries: 2,
            ..ROOMY
        };
        let drafts = Drafts::open(&db, limits, start()).unwrap();
        let kept = drafts.find(|_| true, start()).unwrap();
        let kept: Vec<_> = kept.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(kept, ["middle", "newest"]);
        assert_eq!(
            drafts.get("newest", start()).unwrap().unwrap().draft,
            draft("newest")
        );
        assert!(
            !db.db
                .tree_names()
                .iter()
                .any(|name| name.as_ref() == TREE_BY_KEY.as_bytes())
        );
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
        assert_eq!(there, [vec![false; 1], vec![true; 10]].concat());
        assert_eq!(drafts.held().entries, 10);
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
            assert!(drafts.held().bytes <= 8 << 10);
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
        // Two in each page.
        let limits = DiskLimits {
            entries: 2 * PAGES,
            ..ROOMY
        };
        let drafts = Drafts::open(&db(&folder), limits, start()).unwrap();
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
        let sweep = |from: u64| {
            drafts
                .sweep_from(from, 4, start() + HOUR, |key| key.starts_with("new"))
                .unwrap()
        };
        let first = sweep(0);
        assert_eq!((first.dropped, first.next), (2, Some(2)));
        let second = sweep(first.next.unwrap());
        let third = sweep(second.next.unwrap());
        assert_eq!(
            (second.dropped, third.dropped, third.next),
            (3, 1, None),
            "those of no more use, and the one out of its time"
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
        let held = drafts.held();
        drop(drafts);
        let drafts = Drafts::open(&db, ROOMY, start()).unwrap();
        assert_eq!(drafts.held(), held);
        let kept = drafts.get("long", start()).unwrap().unwrap();
        assert_eq!(kept.draft, draft("better"));
        drop(drafts);
        assert_eq!(
            Drafts::open(&db, ROOMY, start() + HOUR * 2)
                .unwrap()
                .held()
                .entries,
            1
        );
    }
}
