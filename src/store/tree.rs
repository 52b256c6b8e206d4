//! Trees of the store that others than the journal use. The store releases them when it fails, so
//! that it can be opened again while others still hold them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

/// A tree of the store. May be kept: once the store has failed, it has no content any more.
#[derive(Debug, Clone)]
pub struct StoreTree {
    name: &'static str,
    /// `None` once the store has released it. Locked only while the handle is copied or removed,
    /// never while the disk is used.
    tree: Arc<Mutex<Option<sled::Tree>>>,
    /// Whether something was written to the store since its last sync.
    is_written: Arc<AtomicBool>,
}

impl StoreTree {
    pub(super) fn new(name: &'static str, tree: sled::Tree, is_written: Arc<AtomicBool>) -> Self {
        Self {
            name,
            tree: Arc::new(Mutex::new(Some(tree))),
            is_written,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the tree for one operation, or `None` once the store has released it. The value must
    /// not be kept: as long as it exists, the store cannot be opened again.
    pub fn get(&self) -> Option<sled::Tree> {
        self.tree.lock().clone()
    }

    /// Returns the tree like [`StoreTree::get`], for a change that the journal's next sync takes to
    /// the disk.
    pub fn to_write(&self) -> Option<sled::Tree> {
        let tree = self.get();
        self.is_written.store(true, Relaxed);
        tree
    }

    pub(super) fn release(&self) {
        // Not dropped under the lock: the last handle of a store flushes it.
        let released = self.tree.lock().take();
        drop(released);
    }
}
