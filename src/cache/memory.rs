//! The memory tier: bounded in number and in bytes, the least recently used draft goes first. Time
//! is an argument.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::command::reply::Refusal;
use crate::vocabulary::action::Draft;

/// A cached outcome: a draft, or the model's refusal.
pub type CachedOutcome = Result<Draft, Refusal>;

/// Bytes of an entry beside its texts: its slots in the two maps, the times, the vectors.
const OVERHEAD: usize = 256;

/// The drafts used last.
#[derive(Debug)]
pub(super) struct Memory<K> {
    entries: HashMap<K, Entry>,
    /// The keys by their last use.
    by_use: BTreeMap<u64, K>,
    max_entries: NonZeroUsize,
    max_bytes: usize,
    bytes: usize,
    /// Number of uses so far: the clock of "least recently used".
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    outcome: CachedOutcome,
    /// The model that gave it.
    model: Arc<str>,
    until: Instant,
    used: u64,
    bytes: usize,
}

impl<K: Hash + Eq + Clone + AsRef<str>> Memory<K> {
    pub(super) fn new(max_entries: NonZeroUsize, max_bytes: usize) -> Self {
        Self {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            max_entries,
            max_bytes,
            bytes: 0,
            uses: 0,
        }
    }

    pub(super) fn get(&mut self, key: &K, now: Instant) -> Option<CachedOutcome> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        if entry.until <= now {
            self.remove(key);
            return None;
        }
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(entry.outcome.clone())
    }

    /// Keeps an outcome of `model` for `ttl`; not at all where it alone exceeds the limit.
    pub(super) fn put(
        &mut self,
        key: K,
        (model, outcome): (Arc<str>, CachedOutcome),
        now: Instant,
        ttl: Duration,
    ) {
        self.remove(&key);
        let bytes =
            OVERHEAD + key.as_ref().len() + model.len() + outcome.as_ref().map_or(0, weight);
        if ttl.is_zero() || bytes > self.max_bytes {
            return;
        }
        while self.entries.len() >= self.max_entries.get() || self.bytes + bytes > self.max_bytes {
            let Some(least_used) = self.by_use.values().next().cloned() else {
                break;
            };
            self.remove(&least_used);
        }
        self.uses += 1;
        self.bytes += bytes;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(
            key,
            Entry {
                outcome,
                model,
                until: now + ttl,
                used: self.uses,
                bytes,
            },
        );
    }

    /// Drops expired entries.
    pub(super) fn expire(&mut self, now: Instant) {
        let expired: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &expired {
            self.remove(key);
        }
    }

    /// Drops the outcomes of other models than these.
    pub(super) fn keep_only_of(&mut self, models: &[String]) {
        let expired: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| !models.iter().any(|model| **model == *entry.model))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &expired {
            self.remove(key);
        }
    }

    pub(super) fn remove_where(&mut self, matches: impl Fn(&K) -> bool) -> Vec<K> {
        let expired: Vec<K> = self
            .entries
            .keys()
            .filter(|key| matches(key))
            .cloned()
            .collect();
        for key in &expired {
            self.remove(key);
        }
        expired
    }

    /// Returns the entries whose key matches and that are not expired, with their remaining time.
    pub(super) fn find(
        &self,
        matches: impl Fn(&K) -> bool,
        now: Instant,
    ) -> Vec<(K, CachedOutcome, Duration)> {
        let good = self
            .entries
            .iter()
            .filter(|(key, entry)| matches(key) && entry.until > now);
        good.map(|(key, entry)| (key.clone(), entry.outcome.clone(), entry.until - now))
            .collect()
    }

    /// Returns the number of entries and of bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.by_use.remove(&entry.used);
        }
    }
}

/// Returns the approximate size of a draft in bytes: that of its JSON.
fn weight(draft: &Draft) -> usize {
    serde_json::to_vec(draft).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: usize = 3;

    #[derive(Debug, Clone)]
    enum Use {
        Put(String),
        Get(String),
        Remove(String),
    }

    fn uses() -> impl Strategy<Value = Vec<Use>> {
        let key = "[a-e]";
        let one = prop_oneof![
            key.prop_map(Use::Put),
            key.prop_map(Use::Get),
            key.prop_map(Use::Remove),
        ];
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        /// Checks the memory against a list in the order of use.
        #[test]
        fn the_drafts_used_last_are_kept(uses in uses()) {
            let now = Instant::now();
            let mut memory = Memory::new(NonZeroUsize::new(ROOM).unwrap(), 1 << 20);
            let mut expected: Vec<String> = Vec::new();
            for one in uses {
                match one {
                    Use::Put(key) => {
                        let draft = (Arc::from("m"), Ok(Draft::default()));
                        memory.put(key.clone(), draft, now, Duration::from_secs(1));
                        expected.retain(|kept| *kept != key);
                        expected.push(key);
                        if expected.len() > ROOM {
                            expected.remove(0);
                        }
                    }
                    Use::Get(key) => {
                        let is_kept = expected.contains(&key);
                        prop_assert_eq!(memory.get(&key, now).is_some(), is_kept);
                        if is_kept {
                            expected.retain(|kept| *kept != key);
                            expected.push(key);
                        }
                    }
                    Use::Remove(key) => {
                        memory.remove_where(|kept| *kept == key);
                        expected.retain(|kept| *kept != key);
                    }
                }
                let by_use: Vec<&String> = memory.by_use.values().collect();
                prop_assert_eq!(by_use, expected.iter().collect::<Vec<_>>());
                prop_assert_eq!(memory.entries.len(), expected.len());
            }
        }
    }
}
