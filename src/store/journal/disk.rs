//! The journal's place on disk: the records, and beside them what changes at every sync, so that a record's page is not written
//! anew for it. What is written is written in order: sled finds the beginning of it again after a cut, never the end alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::store::Store;
use crate::store::journal::clock::ClockReading;

/// Where the clocks lie, and the count of syncs.
const CLOCK: &[u8] = b"clock";
const SYNCS: &[u8] = b"syncs";

/// The same count in a file of its own: where the tree is behind it, sled has met something damaged and has taken what came
/// before for the whole.
const SYNCED: &str = "synced";

#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) store: Arc<Store>,
    records: sled::Tree,
    /// The clocks and the count.
    pulse: sled::Tree,
    /// Written in place: a new file for each count would be a write of its own each time.
    synced: Option<Arc<File>>,
}

/// What one sync writes.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Ascending.
    pub(super) gone: Vec<u64>,
    /// Ascending.
    pub(super) records: Vec<(u64, Vec<u8>)>,
    pub(super) clock: Option<ClockReading>,
    pub(super) syncs: u64,
}

/// What an earlier life left, besides records.
#[derive(Debug, Default)]
pub(super) struct LastWrite {
    pub(super) clock: Option<ClockReading>,
    pub(super) syncs: u64,
    /// How many syncs are missing.
    pub(super) missing: u64,
}

impl Disk {
    pub(super) fn new(store: Arc<Store>) -> io::Result<Self> {
        let [records, pulse] =
            ["journal", "pulse"].map(|name| store.db.open_tree(name).map_err(io::Error::other));
        let synced = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(store.path.join(SYNCED));
        Ok(Self {
            records: records?,
            pulse: pulse?,
            synced: synced.ok().map(Arc::new),
            store,
        })
    }

    pub(super) fn last(&self) -> io::Result<LastWrite> {
        let clock = self
            .pulse
            .get(CLOCK)
            .map_err(io::Error::other)?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let found = self
            .pulse
            .get(SYNCS)
            .map_err(io::Error::other)?
            .and_then(|count| Some(u64::from_be_bytes(count.as_ref().try_into().ok()?)))
            .unwrap_or_default();
        let synced = fs::read_to_string(self.store.path.join(SYNCED))
            .ok()
            .and_then(|count| count.trim().parse::<u64>().ok())
            .unwrap_or_default();
        Ok(LastWrite {
            clock,
            syncs: found.max(synced),
            missing: synced.saturating_sub(found),
        })
    }

    /// The records as they lie there; `None` for a number that is none.
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

    /// Blocks until it is on disk for good. The count comes last: where it is found, all of its sync is.
    pub(super) fn write(&self, pages: &Pages) -> io::Result<()> {
        self.insert(pages).map_err(io::Error::other)?;
        self.store.sync()?;
        if let Some(file) = &self.synced {
            // Not synced itself: one that is behind does no harm.
            let _ = file.write_all_at(format!("{:>20}\n", pages.syncs).as_bytes(), 0);
        }
        Ok(())
    }

    /// One by one: as a batch they would cost a write of their own before the first, to mark it.
    fn insert(&self, pages: &Pages) -> sled::Result<()> {
        for number in &pages.gone {
            self.records.remove(number.to_be_bytes())?;
        }
        for (number, bytes) in &pages.records {
            self.records
                .insert(number.to_be_bytes(), bytes.as_slice())?;
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

    /// Forgets everything.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.records
            .clear()
            .and_then(|()| self.pulse.clear())
            .map_err(io::Error::other)
    }
}
