//! The tiers by name: the one table that health, metrics, `sayso cache` and its requests iterate.

use serde::Serialize;

/// One value for each tier of this process. The tier in Redis belongs to several nodes, and is
/// reported as `redis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tiers<T> {
    /// The value of the tier in memory.
    pub memory: T,
    /// The value of the tier on disk.
    pub disk: T,
}

impl<T> Tiers<T> {
    /// Returns each value with the name of its tier, in the order in which they are searched.
    pub fn named(self) -> [(&'static str, T); 2] {
        // A new tier does not compile until it has a name here.
        let Self { memory, disk } = self;
        [("memory", memory), ("disk", disk)]
    }
}

/// Contents and limits of one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// Drafts.
    pub entries: usize,
    /// Limit of drafts.
    pub most_entries: usize,
    /// Bytes, of keys and drafts.
    pub bytes: usize,
    /// Limit of bytes.
    pub most_bytes: usize,
}
