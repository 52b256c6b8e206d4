//! What was said last, in memory: bounded in number and in bytes, what was used least recently goes first. The time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::command::reply::Refusal;
use crate::vocabulary::action::Draft;

/// What a model made of a phrase: a draft, or that it would not answer.
pub type CachedOutcome = Result<Draft, Refusal>;

/// What an entry takes beside its texts, in bytes: the map's slot, the times, the vectors.
const OVERHEAD: usize = 256;

/// The drafts used last. Finding the one to drop takes a look at all: at 512 a few microseconds, once per question to a model.
#[derive(Debug)]
pub(super) struct Memory<K> {
    said: HashMap<K, Remembered>,
    most: NonZeroUsize,
    most_bytes: usize,
    bytes: usize,
    /// Counts uses, so that what was used last is known.
    uses: u64,
}

#[derive(Debug)]
struct Remembered {
    said: CachedOutcome,
    /// The model that said so.
    model: Arc<str>,
    until: Instant,
    used: u64,
    bytes: usize,
}

impl<K: Hash + Eq + Clone + AsRef<str>> Memory<K> {
    pub(super) fn new(most: NonZeroUsize, most_bytes: usize) -> Self {
        Self {
            said: HashMap::new(),
            most,
            most_bytes,
            bytes: 0,
            uses: 0,
        }
    }

    pub(super) fn get(&mut self, key: &K, now: Instant) -> Option<CachedOutcome> {
        self.uses += 1;
        let known = self.said.get_mut(key)?;
        if known.until <= now {
            self.remove(key);
            return None;
        }
        known.used = self.uses;
        Some(known.said.clone())
    }

    /// Keeps what `model` said for `ttl`; not at all where it alone is larger than all may be.
    pub(super) fn put(
        &mut self,
        key: K,
        (model, said): (Arc<str>, CachedOutcome),
        now: Instant,
        ttl: Duration,
    ) {
        self.remove(&key);
        let bytes = OVERHEAD + key.as_ref().len() + model.len() + said.as_ref().map_or(0, weight);
        if ttl.is_zero() || bytes > self.most_bytes {
            return;
        }
        while self.said.len() >= self.most.get() || self.bytes + bytes > self.most_bytes {
            let least_used = self
                .said
                .iter()
                .min_by_key(|(_, known)| known.used)
                .map(|(key, _)| key.clone());
            let Some(least_used) = least_used else { break };
            self.remove(&least_used);
        }
        self.uses += 1;
        self.bytes += bytes;
        self.said.insert(
            key,
            Remembered {
                said,
                model,
                until: now + ttl,
                used: self.uses,
                bytes,
            },
        );
    }

    /// Drops what is no longer good.
    pub(super) fn expire(&mut self, now: Instant) {
        let gone: Vec<K> = self
            .said
            .iter()
            .filter(|(_, known)| known.until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.remove(key);
        }
    }

    /// Drops what other models said than these.
    pub(super) fn keep_only_of(&mut self, models: &[String]) {
        let gone: Vec<K> = self
            .said
            .iter()
            .filter(|(_, known)| !models.iter().any(|model| **model == *known.model))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.remove(key);
        }
    }

    pub(super) fn remove_where(&mut self, is_it: impl Fn(&K) -> bool) -> Vec<K> {
        let gone: Vec<K> = self.said.keys().filter(|key| is_it(key)).cloned().collect();
        for key in &gone {
            self.remove(key);
        }
        gone
    }

    /// Those that are it and still good, and for how long they are.
    pub(super) fn find(
        &self,
        is_it: impl Fn(&K) -> bool,
        now: Instant,
    ) -> Vec<(K, CachedOutcome, Duration)> {
        let good = self
            .said
            .iter()
            .filter(|(key, known)| is_it(key) && known.until > now);
        good.map(|(key, known)| (key.clone(), known.said.clone(), known.until - now))
            .collect()
    }

    /// How many, and how many bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.said.len(), self.bytes)
    }

    fn remove(&mut self, key: &K) {
        if let Some(known) = self.said.remove(key) {
            self.bytes -= known.bytes;
        }
    }
}

/// About what a draft takes: as much as it would written out.
fn weight(draft: &Draft) -> usize {
    serde_json::to_vec(draft).map_or(0, |text| text.len())
}
