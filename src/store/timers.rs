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

    /// Writes a record. It is on disk after the next sync of the store.
    ///
    /// # Errors
    /// When the record is too large, or the store cannot be written.
    pub fn put(&self, id: u64, record: &[u8]) -> io::Result<()> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(io::Error::other("the record is too large"));
        }
        let put = self.tree.insert(id.to_be_bytes(), record);
        put.map(drop).map_err(io::Error::other)
    }

    /// Removes a record.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove(&self, id: u64) -> io::Result<()> {
        let removed = self.tree.remove(id.to_be_bytes());
        removed.map(drop).map_err(io::Error::other)
    }
}
