//! The journal on disk: the records, and apart from them the values that change at every sync, so
//! that no page of records is written for those. Writes are in order: after a power cut sled finds
//! their beginning, never their end alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::iter;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::store::Store;
use crate::store::journal::clock::ClockReading;
use crate::store::journal::record::JournalRecord;

/// Keys of the clocks and of the number of syncs.
const CLOCK: &[u8] = b"clock";
const SYNCS: &[u8] = b"syncs";

/// File with the same number of syncs: if the tree is behind it, sled has found damage and dropped
/// everything after it.
const SYNCED: &str = "synced";

/// File with the number of the command whose code runs, plus one; 0 if none does.
const RUNNING: &str = "running";

#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) store: Arc<Store>,
    records: sled::Tree,
    /// The clocks and the number of syncs.
    pulse: sled::Tree,
    /// Written in place: a new file for each number would be a write of its own each time.
    synced: Option<Arc<File>>,
    running: Option<Arc<File>>,
}

/// Everything one sync writes.
#[derive(Debug)]
pub(super) struct Pages {
    /// Ascending.
    gone: Vec<u64>,
    /// Ascending, each with the end of its text.
    records: Vec<(u64, usize)>,
    /// The records as stored, one after the other.
    texts: Vec<u8>,
    pub(super) clock: Option<ClockReading>,
    syncs: u64,
}

/// Data of an earlier run, except its records.
#[derive(Debug, Default)]
pub(super) struct LastWrite {
    pub(super) clock: Option<ClockReading>,
    pub(super) syncs: u64,
    /// Number of missing syncs.
    pub(super) missing: u64,
    /// The command whose code ran when the run ended.
    pub(super) running: Option<u64>,
}

impl Pages {
    /// Creates the pages of a sync without records. `gone` is ascending.
    pub(super) fn new(gone: Vec<u64>, syncs: u64) -> Self {
        Self {
            gone,
            records: Vec::new(),
            texts: Vec::new(),
            clock: None,
            syncs,
        }
    }

    /// Adds a record, whose number is higher than those before it.
    pub(super) fn add(&mut self, number: u64, record: &JournalRecord) {
        let begin = self.texts.len();
        if record.write_to(&mut self.texts).is_err() {
            self.texts.truncate(begin);
        }
        self.records.push((number, self.texts.len()));
    }

    fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let begins = iter::once(0).chain(self.records.iter().map(|(_, end)| *end));
        let records = self.records.iter().zip(begins);
        records.map(|((number, end), begin)| (*number, &self.texts[begin..*end]))
    }
}

impl Disk {
    pub(super) fn new(store: Arc<Store>) -> io::Result<Self> {
        let [records, pulse] =
            ["journal", "pulse"].map(|name| store.db.open_tree(name).map_err(io::Error::other));
        let open = |name| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true);
            options.open(store.path.join(name)).ok().map(Arc::new)
        };
        Ok(Self {
            records: records?,
            pulse: pulse?,
            synced: open(SYNCED),
            running: open(RUNNING),
            store,
        })
    }

    /// Returns the data of an earlier run, except its records.
    pub(super) fn last(&self) -> io::Result<LastWrite> {
        let get = |key: &[u8]| self.pulse.get(key).map_err(io::Error::other);
        let clock = get(CLOCK)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let in_tree = get(SYNCS)?
            .and_then(|count| <[u8; 8]>::try_from(count.as_ref()).ok())
            .map(u64::from_be_bytes)
            .unwrap_or_default();
        let in_file = self.read_number(SYNCED);
        Ok(LastWrite {
            clock,
            syncs: in_tree.max(in_file),
            missing: in_file.saturating_sub(in_tree),
            running: self.read_number(RUNNING).checked_sub(1),
        })
    }

    fn read_number(&self, file: &str) -> u64 {
        let text = fs::read_to_string(self.store.path.join(file));
        text.ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default()
    }

    /// Notes which command's code runs. The kernel has the note at once, so it survives the end of
    /// this process.
    pub(super) fn mark_running(&self, number: Option<u64>) {
        if let Some(file) = &self.running {
            // Without the note a crash is counted for no command.
            let number = number.map_or(0, |number| number + 1);
            let _ = file.write_all_at(format!("{number:>20}\n").as_bytes(), 0);
        }
    }

    /// Returns the records as stored; `None` for a key that is not a number.
    pub(super) fn records(&self) -> impl Iterator<Item = io::Result<(Option<u64>, sled::IVec)>> {
        let number = |key: sled::IVec| {
            <[u8; 8]>::try_from(key.as_ref())
                .map(u64::from_be_bytes)
                .ok()
                .filter(|number| *number < u64::MAX)
        };
        self.records.iter().map(move |entry| {
            entry
                .map(|(key, value)| (number(key), value))
                .map_err(io::Error::other)
        })
    }

    /// Writes and syncs; blocks until the disk has it. The number of syncs comes last: if it is
    /// found, all of its sync is.
    pub(super) fn write(&self, pages: &Pages) -> io::Result<()> {
        self.store.check_room(pages.texts.len())?;
        self.insert(pages).map_err(io::Error::other)?;
        self.store.sync()?;
        if let Some(file) = &self.synced {
            // Not synced itself: a number that is behind does no harm.
            let _ = file.write_all_at(format!("{:>20}\n", pages.syncs).as_bytes(), 0);
        }
        Ok(())
    }

    /// Flushes the database, beside a sync that does not end: in sled 0.34.7 one that waits while a
    /// write of another thread fails is not woken, except by another flush.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.store.db.flush().map(drop).map_err(io::Error::other)
    }

    /// Writes one by one: a batch would cost one more write, to mark its beginning.
    fn insert(&self, pages: &Pages) -> sled::Result<()> {
        for number in &pages.gone {
            self.records.remove(number.to_be_bytes())?;
        }
        for (number, text) in pages.records() {
            self.records.insert(number.to_be_bytes(), text)?;
        }
        if let Some(bytes) = pages
            .clock
            .as_ref()
            .and_then(|clock| serde_json::to_vec(clock).ok())
        {
            self.pulse.insert(CLOCK, bytes)?;
        }
        self.pulse
            .insert(SYNCS, &pages.syncs.to_be_bytes())
            .map(drop)
    }

    /// Removes everything.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.records
            .clear()
            .and_then(|()| self.pulse.clear())
            .map_err(io::Error::other)
    }
}
