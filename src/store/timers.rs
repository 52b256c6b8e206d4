//! Commands that wait for their time, on disk. The records are opaque here.

use std::io;

use crate::store::Store;

/// The most records that are read at the start.
const MAX_RECORDS: usize = 1024;

/// The most bytes of one record.
pub const MAX_RECORD_BYTES: usize = 64 << 10;

/// The records of waiting timers.
#[derive(Debug, Clone)]
pub struct TimerRecords {
    tree: sled::Tree,
}

impl TimerRecords {
    /// Opens the records in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: &Store) -> io::Result<Self> {
        let tree = store.db.open_tree("timers").map_err(io::Error::other)?;
        Ok(Self { tree })
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

    /// Writes and removes records, all or none of them. They are on disk after the next sync of the
    /// store.
    ///
    /// # Errors
    /// When a record is too large, or the store cannot be written.
    pub fn write(&self, records: Vec<(u64, Option<Vec<u8>>)>) -> io::Result<()> {
        let mut batch = sled::Batch::default();
        for (id, record) in records {
            match record {
                Some(record) if record.len() > MAX_RECORD_BYTES => {
                    return Err(io::Error::other("the record is too large"));
                }
                Some(record) => batch.insert(&id.to_be_bytes(), record),
                None => batch.remove(&id.to_be_bytes()),
            }
        }
        self.tree.apply_batch(batch).map_err(io::Error::other)
    }
}
