//! Commands that wait for their time, on disk. The records are opaque here.

use std::fs::File;
use std::io;
use std::sync::Arc;

use tokio::task::JoinHandle;
#[cfg(not(test))]
use tokio::task::spawn_blocking as begin;

#[cfg(test)]
use crate::store::journal::simulated_disk::begin;
use crate::store::{Store, check_room};

/// The most records that are read at the start.
const MAX_RECORDS: usize = 1024;

/// The most bytes of one record, which may have several timers. sled would give a page of more than
/// 128 KiB a file of its own.
pub const MAX_RECORD_BYTES: usize = 96 << 10;

/// The records of waiting timers. A record has one timer, or several that change together.
#[derive(Debug, Clone)]
pub struct TimerRecords {
    tree: sled::Tree,
    /// The file of the database, for checks of the room on its disk.
    file: Arc<File>,
    #[cfg(test)]
    kill: Arc<crate::store::timer_kill::SimulatedKill>,
}

/// Records to write, by number; those that are `None` are removed.
pub type ChangedRecords = Vec<(u64, Option<Vec<u8>>)>;

/// Begins to write records, and to sync the store. The write continues if its caller no longer
/// waits for it.
pub fn begin_write(store: Arc<Store>, records: ChangedRecords) -> JoinHandle<io::Result<()>> {
    begin(move || {
        TimerRecords::open(&store)?.write(records)?;
        store.sync()
    })
}

impl TimerRecords {
    /// Opens the records in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: &Store) -> io::Result<Self> {
        let tree = store.db.open_tree("timers").map_err(io::Error::other)?;
        let file = Arc::clone(&store.file);
        Ok(Self {
            tree,
            file,
            #[cfg(test)]
            kill: Arc::clone(&store.timer_kill),
        })
    }

    /// Returns all records, in the order of their numbers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn all(&self) -> io::Result<Vec<Vec<u8>>> {
        let values = self.tree.iter().values().take(MAX_RECORDS);
        let values = values.map(|value| value.map(|bytes| bytes.to_vec()));
        values.collect::<Result<_, _>>().map_err(io::Error::other)
    }

    /// Returns the numbers of all records.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ids(&self) -> io::Result<Vec<u64>> {
        let keys = self.tree.iter().keys().take(MAX_RECORDS);
        let keys = keys.collect::<sled::Result<Vec<_>>>();
        let keys = keys.map_err(io::Error::other)?;
        let number = |key: &sled::IVec| key.as_ref().try_into().ok().map(u64::from_be_bytes);
        Ok(keys.iter().filter_map(number).collect())
    }

    /// Writes records, then removes those that are `None`. They are on disk after the next sync of
    /// the store. A crash may leave some written and others not: values that must change together
    /// are in one record. Not as a batch of sled 0.34.7: it waits for all flushes of the process,
    /// also for one of a failed store that never ends.
    ///
    /// # Errors
    /// When a record is too large, the disk has no room, or the store cannot be written.
    pub fn write(&self, records: ChangedRecords) -> io::Result<()> {
        let sizes = records.iter().flat_map(|(_, record)| record).map(Vec::len);
        if sizes.clone().any(|size| size > MAX_RECORD_BYTES) {
            return Err(io::Error::other("the record is too large"));
        }
        check_room(&self.file, sizes.sum())?;
        let mut gone = Vec::new();
        for (id, record) in records {
            match record {
                Some(record) => self.insert(id, record)?,
                None => gone.push(id),
            }
        }
        for id in gone {
            #[cfg(test)]
            self.kill.before_write();
            let removed = self.tree.remove(id.to_be_bytes());
            removed.map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn insert(&self, id: u64, record: Vec<u8>) -> io::Result<()> {
        #[cfg(test)]
        self.kill.before_write();
        let inserted = self.tree.insert(id.to_be_bytes(), record);
        inserted.map(drop).map_err(io::Error::other)
    }
}
