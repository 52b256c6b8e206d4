//! Settings of the draft cache.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How drafts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long a draft is good for.
    pub ttl: Duration,
    /// How long an answer in words is: what was true of the world ten minutes ago is likely still. Zero keeps none.
    pub speech_ttl: Duration,
    /// How long one is that came to nothing: a question back, what may not be, what a model would not answer. Zero keeps none.
    pub negative_ttl: Duration,
    /// The most drafts kept in memory.
    pub memory_entries: NonZeroUsize,
    /// The most bytes of them in memory.
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
