//! Said before? Drafts are kept in memory and on disk, under everything that could change their meaning. No matching by
//! similarity: "turn on dark mode" is closer to "turn off dark mode" than a true paraphrase is.

pub mod disk;
pub mod memory;
pub mod settings;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::cache::disk::{Drafts, StoredDrafts};
use crate::cache::memory::{CachedOutcome, Memory};
use crate::cache::settings::CacheSettings;
use crate::command::phrase::Phrase;
use crate::command::reply::Refusal;
use crate::prompt::PromptFingerprint;
use crate::telemetry::counters::Counters;
use crate::vocabulary::action::Draft;

/// Longer phrases are not kept: nobody says them twice.
const LONGEST_PHRASE: usize = 512;

/// Between the parts of a key: a control character, which no part has.
const BETWEEN: char = '\u{1f}';

/// For how long drafts of a home that is no more are kept: a device that is away for an hour brings the same home back.
const GRACE: Duration = Duration::from_hours(24);

/// The most homes remembered as having been, within the grace.
const MOST_WORLDS: usize = 64;

/// Drafts on disk looked at in one sweep, so that no command waits for it: all of 10,000 are seen within the hour.
const SWEPT_AT_ONCE: usize = 256;

/// All that could change what a phrase means. But for the first part, the home as models are shown it, it is written out, not
/// hashed: equal keys are equal meanings. The model is written beside what it said, not here: a draft is good for as long as
/// its model is one of those that are asked, whoever else is and in whatever order, and goes when the operator gives that model up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

/// The drafts kept.
#[derive(Debug)]
pub struct DraftCache {
    settings: CacheSettings,
    /// The models whose drafts are of use: those that would be asked. What one misread ends with it.
    models: Mutex<Vec<String>>,
    memory: Mutex<Memory<Key>>,
    disk: Option<Drafts>,
    worlds: Mutex<HomeGenerations>,
    counters: Arc<Counters>,
}

/// Which homes there were of late, and how far the sweep of the disk is.
#[derive(Debug)]
struct HomeGenerations {
    begun: Instant,
    seen: HashMap<String, Instant>,
    cursor: Vec<u8>,
}

/// What one tier holds, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// Drafts.
    pub entries: usize,
    /// The most of them.
    pub most_entries: usize,
    /// Bytes, of keys and drafts.
    pub bytes: usize,
    /// The most of them.
    pub most_bytes: usize,
}

/// What is kept of one phrase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// `memory` or `disk`.
    pub tier: &'static str,
    /// What would be used; none where a model would not answer.
    pub draft: Option<Draft>,
    /// For how many seconds it is still good.
    pub good_for: u64,
    /// Why it is not used for what was asked about; none where it is.
    pub unused: Option<&'static str>,
}

impl DraftCache {
    /// Nothing in memory yet; on disk what `disk` holds. `models` are those that are asked.
    pub fn new(
        settings: &CacheSettings,
        models: Vec<String>,
        disk: Option<Drafts>,
        counters: Arc<Counters>,
    ) -> Self {
        let memory = Mutex::new(Memory::new(settings.memory_entries, settings.memory_bytes));
        let worlds = Mutex::new(HomeGenerations {
            begun: Instant::now(),
            seen: HashMap::new(),
            cursor: Vec::new(),
        });
        Self {
            settings: settings.clone(),
            models: Mutex::new(models),
            memory,
            disk,
            worlds,
            counters,
        }
    }

    /// From now on these models are asked: what others said is of no more use.
    pub fn only_of(&self, models: Vec<String>) {
        self.memory().keep_only_of(&models);
        *self.models() = models;
    }

    /// The key of `phrase`, said by somebody with the rights of `class`, where models are shown `edition` of the home.
    pub fn key(&self, phrase: &Phrase, edition: PromptFingerprint, class: &str) -> Key {
        let (area, language) = (
            phrase.area().unwrap_or_default(),
            phrase.language().unwrap_or_default(),
        );
        let plain = [class, area, language].map(|part| part.replace(char::is_control, " "));
        let parts = [edition.to_string()]
            .into_iter()
            .chain(plain)
            .chain([phrase.text().to_owned()]);
        Key(parts.collect::<Vec<_>>().join("\u{1f}").into())
    }

    /// What is kept under `key`, while it is good. A store that cannot be read is a miss.
    pub fn said(&self, key: &Key) -> Option<CachedOutcome> {
        let now = Instant::now();
        if let Some(said) = self.memory().get(key, now) {
            return Some(said);
        }
        let kept = match self.disk.as_ref()?.get(&key.0, SystemTime::now()) {
            Ok(kept) => kept.filter(|kept| self.models().contains(&kept.model))?,
            Err(error) => {
                self.fault(&error);
                return None;
            }
        };
        self.remember(key, &kept.model, Ok(kept.draft.clone()), kept.left);
        Some(Ok(kept.draft))
    }

    /// Keeps a draft of `model`. One that asks back, or did not pass the gate, is kept briefly, one that speaks for a short time.
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
            draft if in_words(draft) => settings.speech_ttl.min(settings.ttl),
            Draft { .. } => settings.ttl,
        };
        self.remember(key, model, Ok(draft.clone()), ttl);
        // What is good for minutes only does not wear the disk.
        if passed
            && draft.question.is_none()
            && !in_words(draft)
            && let Some(disk) = &self.disk
            && let Err(error) = disk.put(&key.0, (model, draft), SystemTime::now(), ttl)
        {
            self.fault(&error);
        }
    }

    /// A model would not answer: for a short while it is not asked the same again. Other failures pass, and are not kept.
    pub fn keep_refusal(&self, key: &Key, refusal: &Refusal) {
        if *refusal == Refusal::Declined && key.phrase().len() <= LONGEST_PHRASE {
            self.remember(key, "", Err(refusal.clone()), self.settings.negative_ttl);
        }
    }

    /// Drops a little of what is no longer good, or belongs to homes that were not there for a day. To be called
    /// now and then; `edition` is of the home that is there now.
    pub fn sweep(&self, edition: PromptFingerprint) {
        let now = Instant::now();
        self.memory().expire(now);
        let Some(disk) = &self.disk else { return };
        let mut worlds = self.worlds();
        worlds.there_is(edition.to_string(), now);
        let cursor = std::mem::take(&mut worlds.cursor);
        let swept = disk.sweep_from(&cursor, SWEPT_AT_ONCE, SystemTime::now(), |key| {
            worlds.was_there(world_of(key), now)
        });
        match swept {
            Ok(swept) => {
                worlds.cursor = swept.next.unwrap_or_default();
                if swept.dropped > 0 {
                    debug!(
                        dropped = swept.dropped,
                        "kept drafts that are of no more use are dropped"
                    );
                }
            }
            Err(error) => self.fault(&error),
        }
    }

    /// Forgets everything, or everything about one phrase, wherever and by whomever it was said. Gives how much that was.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget(&self, phrase: Option<&Phrase>) -> sled::Result<usize> {
        let is_it = |key: &str| phrase.is_none_or(|phrase| phrase_of(key) == phrase.text());
        let on_disk = self
            .disk
            .as_ref()
            .map_or(Ok(Vec::new()), |disk| disk.remove_where(is_it))?;
        let in_memory = self.memory().remove_where(|key| is_it(&key.0));
        // One that is in both tiers is one.
        Ok(on_disk.len()
            + in_memory
                .iter()
                .filter(|key| !on_disk.iter().any(|other| **other == *key.0))
                .count())
    }

    /// What is kept of a phrase, the one that `key` would use first; and for each of the others why it is not used.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trace(&self, key: &Key) -> sled::Result<Vec<Trace>> {
        let same_phrase = |other: &str| phrase_of(other) == key.phrase();
        let in_memory = self
            .memory()
            .find(|other| same_phrase(&other.0), Instant::now());
        let on_disk = self.disk.as_ref().map_or(Ok(Vec::new()), |disk| {
            disk.find(same_phrase, SystemTime::now())
        })?;
        let mut found: Vec<(String, Trace)> = Vec::new();
        for (other, said, left) in in_memory {
            let trace = Trace {
                tier: "memory",
                draft: said.ok(),
                good_for: left.as_secs(),
                unused: difference(&key.0, &other.0),
            };
            found.push((other.0.to_string(), trace));
        }
        for (other, kept) in on_disk {
            if !found.iter().any(|(known, _)| *known == other) {
                let given_up = !self.models().contains(&kept.model);
                let unused = difference(&key.0, &other)
                    .or(given_up.then_some("the model that said so is not asked any more"));
                found.push((
                    other,
                    Trace {
                        tier: "disk",
                        draft: Some(kept.draft),
                        good_for: kept.left.as_secs(),
                        unused,
                    },
                ));
            }
        }
        found.sort_by_key(|(other, trace)| (trace.unused.is_some(), other.clone()));
        Ok(found.into_iter().map(|(_, trace)| trace).collect())
    }

    /// What is in memory, and on disk.
    pub fn tiers(&self) -> (Tier, Tier) {
        let (entries, bytes) = self.memory().held();
        let settings = &self.settings;
        let memory = Tier {
            entries,
            most_entries: settings.memory_entries.get(),
            bytes,
            most_bytes: settings.memory_bytes,
        };
        let StoredDrafts { entries, bytes } =
            self.disk.as_ref().map(Drafts::held).unwrap_or_default();
        (
            memory,
            Tier {
                entries,
                most_entries: settings.disk_entries,
                bytes,
                most_bytes: settings.disk_bytes,
            },
        )
    }

    fn remember(&self, key: &Key, model: &str, said: CachedOutcome, ttl: Duration) {
        self.memory()
            .put(key.clone(), (model.into(), said), Instant::now(), ttl);
    }

    fn models(&self) -> MutexGuard<'_, Vec<String>> {
        self.models.lock()
    }

    fn memory(&self) -> MutexGuard<'_, Memory<Key>> {
        self.memory.lock()
    }

    fn worlds(&self) -> MutexGuard<'_, HomeGenerations> {
        self.worlds.lock()
    }

    fn fault(&self, error: &sled::Error) {
        self.counters.store_errors.increment();
        warn!(%error, "kept drafts cannot be read or written");
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

impl HomeGenerations {
    fn there_is(&mut self, world: String, now: Instant) {
        self.seen.insert(world, now);
        self.seen
            .retain(|_, at| now.saturating_duration_since(*at) < GRACE);
        if self.seen.len() > MOST_WORLDS {
            let oldest = self
                .seen
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(world, _)| world.clone());
            oldest.and_then(|world| self.seen.remove(&world));
        }
    }

    /// True where it was there within the grace; what was there before we began may have been.
    fn was_there(&self, world: &str, now: Instant) -> bool {
        self.seen.contains_key(world) || now.saturating_duration_since(self.begun) < GRACE
    }
}

/// An answer in words alone. What a chatty model says beside its actions is as good as these.
fn in_words(draft: &Draft) -> bool {
    draft.speech.is_some() && draft.actions.is_empty()
}

fn world_of(key: &str) -> &str {
    key.split(BETWEEN).next().unwrap_or_default()
}

/// The phrase, which is last: no part of a key has the separator, for it is a control character.
fn phrase_of(key: &str) -> &str {
    key.rsplit(BETWEEN).next().unwrap_or_default()
}

/// The first thing in which a key of the same phrase differs.
fn difference(wanted: &str, other: &str) -> Option<&'static str> {
    const PARTS: [&str; 4] = [
        "the home was another one",
        "it was said by a source with other rights",
        "it was said in another area",
        "it was said in another language",
    ];
    let differs = wanted
        .split(BETWEEN)
        .zip(other.split(BETWEEN))
        .position(|(one, other)| one != other)?;
    PARTS.get(differs).copied()
}
