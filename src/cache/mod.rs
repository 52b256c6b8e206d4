//! The draft cache: drafts of models in memory and on disk, under everything that could change
//! their meaning. There is no matching by similarity: "turn on dark mode" is closer to "turn off
//! dark mode" than a true paraphrase is.

pub mod disk;
pub mod memory;
mod remote;
pub mod settings;
mod tiers;

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::cache::disk::{Drafts, StoredDrafts};
use crate::cache::memory::{CachedOutcome, Memory};
use crate::cache::remote::{RemoteDraft, RemoteDrafts};
use crate::cache::settings::CacheSettings;
use crate::command::phrase::Phrase;
use crate::command::reply::Refusal;
use crate::prompt::PromptFingerprint;
use crate::redis::Redis;
use crate::redis::drafts::Claim;
use crate::telemetry::counters::Counters;
use crate::vocabulary::action::Draft;

pub use crate::cache::tiers::{Tier, Tiers};

/// The longest phrase that is kept, in bytes: longer ones are not repeated.
const LONGEST_PHRASE: usize = 512;

/// Separates the parts of a key: a control character, which no part has.
const SEPARATOR: char = '\u{1f}';

/// Digits of the fingerprint at the beginning of a key.
const FINGERPRINT_LENGTH: usize = 16;

/// Time for which drafts of an earlier home are kept: a device that is offline for an hour brings
/// the same home back.
const GRACE: Duration = Duration::from_hours(24);

/// The most earlier homes remembered.
const MOST_FINGERPRINTS: usize = 64;

/// Drafts on disk visited by one sweep, so that no command waits for it: all of 10,000 are visited
/// within the hour.
const SWEPT_AT_ONCE: usize = 256;

/// Everything that could change the meaning of a phrase. All parts but the first, the fingerprint
/// of the home, are written out, not hashed: equal keys are equal meanings. The model is stored
/// with the draft, not in the key: a draft is used while its model is configured, and dropped when
/// the operator removes that model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

/// The cache of all tiers.
pub struct DraftCache {
    settings: CacheSettings,
    /// The configured models, whose drafts are used.
    models: Mutex<Vec<String>>,
    tiers: DraftTiers,
    fingerprints: Mutex<SeenFingerprints>,
    counters: Arc<Counters>,
}

/// The tiers, the nearest first. Each function that concerns all of them destructures this struct,
/// so the compiler rejects a new tier until it is read, filled, swept, cleared and shown.
struct DraftTiers {
    memory: Mutex<Memory<Key>>,
    /// The tier on disk; `None` without a store, and while the store fails.
    disk: Mutex<Option<Arc<Drafts>>>,
    /// The tier that several nodes share.
    remote: Option<RemoteDrafts>,
}

/// Recent homes, and the position of the sweep of the disk.
#[derive(Debug)]
struct SeenFingerprints {
    begun: Instant,
    seen: HashMap<String, Instant>,
    cursor: u64,
}

/// One entry for a phrase, for the operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// Name of the tier that has it.
    pub tier: &'static str,
    /// The draft; `None` for a refusal of the model.
    pub draft: Option<Draft>,
    /// Seconds until it expires.
    pub good_for: u64,
    /// Reason why it is not used for the command in question, or `None` if it is used.
    pub unused: Option<&'static str>,
}

impl DraftCache {
    /// Creates the cache over the drafts on `disk`. `models` are the configured ones.
    pub fn new(
        settings: &CacheSettings,
        models: Vec<String>,
        disk: Option<Drafts>,
        counters: Arc<Counters>,
    ) -> Self {
        let memory = Mutex::new(Memory::new(settings.memory_entries, settings.memory_bytes));
        let fingerprints = Mutex::new(SeenFingerprints {
            begun: Instant::now(),
            seen: HashMap::new(),
            cursor: 0,
        });
        Self {
            settings: settings.clone(),
            models: Mutex::new(models),
            tiers: DraftTiers {
                memory,
                disk: Mutex::new(disk.map(Arc::new)),
                remote: None,
            },
            fingerprints,
            counters,
        }
    }

    /// Replaces the tier on disk: `None` while the store fails.
    pub fn keep_on_disk(&self, disk: Option<Drafts>) {
        let before = std::mem::replace(&mut *self.tiers.disk.lock(), disk.map(Arc::new));
        drop(before);
    }

    /// Adds the tier in Redis, where there is one.
    #[must_use]
    pub fn with_redis(mut self, redis: Option<&Arc<Redis>>) -> Self {
        self.tiers.remote = redis.map(|redis| RemoteDrafts::new(Arc::clone(redis)));
        self
    }

    /// Returns the draft under `key` in the tier that several nodes share, or claims the request
    /// for it. Where another node is making it, waits for its draft, at most `longest`. With `None`
    /// the caller makes the request, and calls [`DraftCache::release`] after it.
    pub async fn claim(&self, key: &Key, longest: Duration) -> Option<Draft> {
        let remote = self.tiers.remote.as_ref()?;
        // Without a model no draft would be used.
        if self.models().is_empty() || key.phrase().len() > LONGEST_PHRASE {
            return None;
        }
        let (found, counter) = match remote.claim(&key.0).await {
            Claim::Answered(value) => (remote::read(&value)?, &self.counters.redis_cache_hits),
            Claim::Other => {
                let found = remote.draft_of_other(&key.0, longest).await?;
                (found, &self.counters.redis_requests_joined)
            }
            Claim::Own | Claim::Unknown => return None,
        };
        let draft = self.take_in(key, found)?;
        counter.increment();
        Some(draft)
    }

    /// Ends the claim on the request for `key`.
    pub fn release(&self, key: &Key) {
        if let Some(remote) = &self.tiers.remote {
            remote.release(&key.0);
        }
    }

    /// Checks a draft of another node, and keeps it in the nearer tiers.
    fn take_in(&self, key: &Key, found: RemoteDraft) -> Option<Draft> {
        let DraftTiers {
            memory,
            disk,
            remote: _,
        } = &self.tiers;
        let RemoteDraft { draft, model, left } = found;
        if !self.models().contains(&model) {
            return None;
        }
        let is_speech = is_in_words(&draft);
        let longest = if is_speech {
            self.settings.speech_ttl.min(self.settings.ttl)
        } else {
            self.settings.ttl
        };
        let ttl = left.min(longest);
        remember(memory, key, (&model, Ok(draft.clone())), ttl);
        if !is_speech
            && draft.question.is_none()
            && let Some(disk) = opened(disk)
            && let Err(error) = disk.put(&key.0, (&model, &draft), SystemTime::now(), ttl)
        {
            self.fault(&error);
        }
        Some(draft)
    }

    /// Forgets drafts in the tier that several nodes share, as [`DraftCache::forget`] does in the
    /// others. Returns their number; `None` where Redis does not answer.
    ///
    /// # Panics
    /// On a thread of the asynchronous runtime: it waits for Redis.
    pub fn forget_shared(&self, phrase: Option<&Phrase>) -> Option<u64> {
        let Some(remote) = &self.tiers.remote else {
            return Some(0);
        };
        let runtime = Handle::try_current().ok()?;
        let forgotten = runtime.block_on(remote.forget(phrase.map(Phrase::text)));
        forgotten.ok()
    }

    /// Changes the configured models: drafts of others are not used any more.
    pub fn only_of(&self, models: Vec<String>) {
        let DraftTiers {
            memory,
            // A draft of these is not used, and replaced by that of another model.
            disk: _,
            remote: _,
        } = &self.tiers;
        memory.lock().keep_only_of(&models);
        *self.models() = models;
    }

    /// Returns the key of `phrase` from a source of the rights `class`, for the home with this
    /// fingerprint.
    pub fn key(&self, phrase: &Phrase, fingerprint: PromptFingerprint, class: &str) -> Key {
        let area = phrase.area().unwrap_or_default();
        let language = phrase.language().unwrap_or_default();
        let parts = [class, area, language];
        let length: usize = parts.iter().map(|part| part.len() + 1).sum();
        let mut key = String::with_capacity(FINGERPRINT_LENGTH + length + 1 + phrase.text().len());
        // Writing to a string cannot fail.
        let _ = write!(key, "{fingerprint}");
        for part in parts {
            key.push(SEPARATOR);
            key.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
        key.push(SEPARATOR);
        key.push_str(phrase.text());
        Key(key.into())
    }

    /// Returns the outcome under `key`, unless it has expired. A store that cannot be read is a
    /// miss.
    pub fn said(&self, key: &Key) -> Option<CachedOutcome> {
        let DraftTiers {
            memory,
            disk,
            // It is read by `claim`.
            remote: _,
        } = &self.tiers;
        if let Some(said) = memory.lock().get(key, Instant::now()) {
            return Some(said);
        }
        let kept = match opened(disk)?.get(&key.0, SystemTime::now()) {
            Ok(kept) => kept.filter(|kept| self.models().contains(&kept.model))?,
            Err(error) => {
                self.fault(&error);
                return None;
            }
        };
        let draft = kept.draft.clone();
        remember(memory, key, (&kept.model, Ok(draft)), kept.left);
        Some(Ok(kept.draft))
    }

    /// Keeps a draft of `model`. A draft that asks back, or did not pass the gate, is kept briefly;
    /// one with a text to say is kept for a short time.
    pub fn keep(&self, key: &Key, model: &str, draft: &Draft, passed: bool) {
        // A model that was given up while it was asked has the last word once, and no longer.
        if key.phrase().len() > LONGEST_PHRASE || !self.models().iter().any(|asked| asked == model)
        {
            return;
        }
        let settings = &self.settings;
        let ttl = match draft {
            _ if !passed => settings.negative_ttl,
            Draft {
                question: Some(_), ..
            } => settings.negative_ttl,
            draft if is_in_words(draft) => settings.speech_ttl.min(settings.ttl),
            Draft { .. } => settings.ttl,
        };
        let DraftTiers {
            memory,
            disk,
            remote,
        } = &self.tiers;
        remember(memory, key, (model, Ok(draft.clone())), ttl);
        match remote {
            Some(remote) if passed && draft.question.is_none() => {
                // The draft ends the wait of other nodes; the claim on it expires by itself.
                remote.put(&key.0, (model, draft), ttl);
            }
            Some(remote) => remote.release(&key.0),
            None => {}
        }
        // What lasts for minutes only is not written to the disk.
        if passed
            && draft.question.is_none()
            && !is_in_words(draft)
            && let Some(disk) = opened(disk)
            && let Err(error) = disk.put(&key.0, (model, draft), SystemTime::now(), ttl)
        {
            self.fault(&error);
        }
    }

    /// Keeps the refusal of a model for a short time, so that it is not asked the same again. Other
    /// failures are not kept.
    pub fn keep_refusal(&self, key: &Key, refusal: &Refusal) {
        if *refusal == Refusal::Declined && key.phrase().len() <= LONGEST_PHRASE {
            let refused = ("", Err(refusal.clone()));
            remember(&self.tiers.memory, key, refused, self.settings.negative_ttl);
        }
    }

    /// Writes the drafts that wait to be written to disk.
    pub fn flush(&self) {
        let DraftTiers {
            memory: _,
            disk,
            // It is flushed with the connection to Redis.
            remote: _,
        } = &self.tiers;
        if let Some(disk) = opened(disk)
            && let Err(error) = disk.flush()
        {
            self.fault(&error);
        }
    }

    /// Drops some of the drafts that have expired or belong to homes not seen for a day. Is called
    /// from time to time with the fingerprint of the present home.
    pub fn sweep(&self, fingerprint: PromptFingerprint) {
        let DraftTiers {
            memory,
            disk,
            // Redis removes what has expired by itself.
            remote: _,
        } = &self.tiers;
        let now = Instant::now();
        memory.lock().expire(now);
        let Some(disk) = opened(disk) else { return };
        let mut fingerprints = self.fingerprints();
        fingerprints.note(fingerprint.to_string(), now);
        let cursor = std::mem::take(&mut fingerprints.cursor);
        let swept = disk.sweep_from(cursor, SWEPT_AT_ONCE, SystemTime::now(), |key| {
            fingerprints.was_seen(fingerprint_of(key), now)
        });
        match swept {
            Ok(swept) => {
                fingerprints.cursor = swept.next.unwrap_or_default();
                if swept.dropped > 0 {
                    debug!(
                        dropped = swept.dropped,
                        "dropped cached drafts that are of no more use"
                    );
                }
            }
            Err(error) => self.fault(&error),
        }
    }

    /// Forgets everything, or everything about one phrase, from every area and source. Returns the
    /// number of drafts.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget(&self, phrase: Option<&Phrase>) -> sled::Result<usize> {
        let DraftTiers {
            memory,
            disk,
            // It is cleared by `forget_shared`.
            remote: _,
        } = &self.tiers;
        let matches = |key: &str| phrase.is_none_or(|phrase| phrase_of(key) == phrase.text());
        let on_disk = opened(disk).map_or(Ok(Vec::new()), |disk| disk.remove_where(matches))?;
        let in_memory = memory.lock().remove_where(|key| matches(&key.0));
        // A draft in both tiers counts once.
        Ok(on_disk.len()
            + in_memory
                .iter()
                .filter(|key| !on_disk.iter().any(|other| **other == *key.0))
                .count())
    }

    /// Returns all entries for the phrase of `key`: first the one that is used, then the others and
    /// why they are not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trace(&self, key: &Key) -> sled::Result<Vec<Trace>> {
        let DraftTiers {
            memory,
            disk,
            // Its entries are those of other nodes.
            remote: _,
        } = &self.tiers;
        let same_phrase = |other: &str| phrase_of(other) == key.phrase();
        let in_memory = memory
            .lock()
            .find(|other| same_phrase(&other.0), Instant::now());
        let in_memory = in_memory.into_iter().map(|(other, said, left)| Traced {
            key: other.0.to_string(),
            draft: said.ok(),
            left,
            given_up: false,
        });
        let on_disk = opened(disk).map_or(Ok(Vec::new()), |disk| {
            disk.find(same_phrase, SystemTime::now())
        })?;
        let on_disk = on_disk.into_iter().map(|(other, kept)| Traced {
            key: other,
            given_up: !self.models().contains(&kept.model),
            draft: Some(kept.draft),
            left: kept.left,
        });
        let tiers = Tiers {
            memory: in_memory.collect(),
            disk: on_disk.collect(),
        };
        Ok(traces(&key.0, tiers))
    }

    /// Returns the contents of the tiers of this process.
    pub fn tiers(&self) -> Tiers<Tier> {
        let DraftTiers {
            memory,
            disk,
            remote: _,
        } = &self.tiers;
        let settings = &self.settings;
        let (entries, bytes) = memory.lock().held();
        let memory = Tier {
            entries,
            most_entries: settings.memory_entries.get(),
            bytes,
            most_bytes: settings.memory_bytes,
        };
        let StoredDrafts { entries, bytes } =
            opened(disk).map(|disk| disk.held()).unwrap_or_default();
        let disk = Tier {
            entries,
            most_entries: settings.disk_entries,
            bytes,
            most_bytes: settings.disk_bytes,
        };
        Tiers { memory, disk }
    }

    fn models(&self) -> MutexGuard<'_, Vec<String>> {
        self.models.lock()
    }

    fn fingerprints(&self) -> MutexGuard<'_, SeenFingerprints> {
        self.fingerprints.lock()
    }

    fn fault(&self, error: &sled::Error) {
        self.counters.store_errors.increment();
        warn!(%error, "the draft cache on disk cannot be read or written");
    }
}

impl Key {
    fn phrase(&self) -> &str {
        phrase_of(&self.0)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl SeenFingerprints {
    fn note(&mut self, fingerprint: String, now: Instant) {
        self.seen.insert(fingerprint, now);
        self.seen
            .retain(|_, at| now.saturating_duration_since(*at) < GRACE);
        if self.seen.len() > MOST_FINGERPRINTS {
            let oldest = self
                .seen
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(fingerprint, _)| fingerprint.clone());
            oldest.and_then(|fingerprint| self.seen.remove(&fingerprint));
        }
    }

    /// Returns whether the home was seen within the grace period. Within that period after the
    /// start, it returns true for every home, because an earlier run may have seen it.
    fn was_seen(&self, fingerprint: &str, now: Instant) -> bool {
        self.seen.contains_key(fingerprint) || now.saturating_duration_since(self.begun) < GRACE
    }
}

/// One entry for a phrase, before it is compared with the command in question.
struct Traced {
    key: String,
    /// The draft; `None` for a refusal of the model.
    draft: Option<Draft>,
    /// Its remaining time.
    left: Duration,
    /// Whether its model is not configured any more.
    given_up: bool,
}

/// Returns the entries of all tiers, those that are used first. Of two under one key the nearer is.
fn traces(wanted: &str, tiers: Tiers<Vec<Traced>>) -> Vec<Trace> {
    let mut found: Vec<(String, Trace)> = Vec::new();
    for (tier, entries) in tiers.named() {
        for entry in entries {
            if found.iter().any(|(known, _)| *known == entry.key) {
                continue;
            }
            let given_up = entry.given_up;
            let unused = difference(wanted, &entry.key)
                .or(given_up.then_some("the model that gave it is not configured any more"));
            let trace = Trace {
                tier,
                draft: entry.draft,
                good_for: entry.left.as_secs(),
                unused,
            };
            found.push((entry.key, trace));
        }
    }
    found.sort_by_key(|(other, trace)| (trace.unused.is_some(), other.clone()));
    found.into_iter().map(|(_, trace)| trace).collect()
}

/// Returns the drafts on disk. The lock is free again at once: others may replace them.
fn opened(disk: &Mutex<Option<Arc<Drafts>>>) -> Option<Arc<Drafts>> {
    disk.lock().clone()
}

/// Keeps an outcome of `model` in memory.
fn remember(
    memory: &Mutex<Memory<Key>>,
    key: &Key,
    (model, said): (&str, CachedOutcome),
    ttl: Duration,
) {
    let said = (model.into(), said);
    memory.lock().put(key.clone(), said, Instant::now(), ttl);
}

/// Returns whether a draft has a text to say and no action.
fn is_in_words(draft: &Draft) -> bool {
    draft.speech.is_some() && draft.actions.is_empty()
}

fn fingerprint_of(key: &str) -> &str {
    key.split(SEPARATOR).next().unwrap_or_default()
}

/// Returns the phrase of a key, which is its last part.
fn phrase_of(key: &str) -> &str {
    key.rsplit(SEPARATOR).next().unwrap_or_default()
}

/// Returns the first difference between two keys of the same phrase.
fn difference(wanted: &str, other: &str) -> Option<&'static str> {
    const PARTS: [&str; 4] = [
        "the home was another one",
        "it came from a source with other rights",
        "it came from another area",
        "it was in another language",
    ];
    let differs = wanted
        .split(SEPARATOR)
        .zip(other.split(SEPARATOR))
        .position(|(one, other)| one != other)?;
    PARTS.get(differs).copied()
}
