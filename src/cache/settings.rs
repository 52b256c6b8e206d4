//! Settings of the draft cache.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Limits in time and number on the drafts that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Time to live of a draft.
    pub ttl: Duration,
    /// Time to live of an answer in words: a fact of ten minutes ago is likely still true. Zero
    /// keeps none.
    pub speech_ttl: Duration,
    /// Time to live of a draft that led to nothing: a question, an action that is not permitted, a
    /// refusal of the model. Zero keeps none.
    pub negative_ttl: Duration,
    /// The most drafts kept in memory.
    pub memory_entries: NonZeroUsize,
    /// The most bytes of drafts in memory.
    pub memory_bytes: usize,
    /// The most drafts kept on disk; 0 keeps none there.
    pub disk_entries: usize,
    /// The most bytes of drafts on disk.
    pub disk_bytes: usize,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_hours(720),
            speech_ttl: Duration::from_mins(10),
            negative_ttl: Duration::from_mins(1),
            memory_entries: NonZeroUsize::new(512).unwrap_or(NonZeroUsize::MIN),
            memory_bytes: 1 << 20,
            disk_entries: 10_000,
            disk_bytes: 8 << 20,
        }
    }
}
