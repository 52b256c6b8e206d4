//! Said before? Drafts are kept in memory and on disk, under everything that could change their meaning. No matching by
//! similarity: "turn on dark mode" is closer to "turn off dark mode" than a true paraphrase is.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::warn;

use super::RecallSettings;
use super::compose::{rights_class, wording};
use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::home::action::Draft;
use crate::store::drafts::Drafts;
use crate::telemetry::tally::Tally;

/// How long an answer in words is kept: what was true of the world ten minutes ago is likely still.
pub const SPEECH_TTL: Duration = Duration::from_mins(10);

/// Longer phrases are not kept: nobody says them twice.
const LONGEST_PHRASE: usize = 512;

/// All that could change what a phrase means. Written out, not hashed: equal keys are equal meanings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

/// The drafts kept.
#[derive(Debug)]
pub struct Recall {
    ttl: Duration,
    /// The models that may have given a draft: others may mean another thing.
    family: String,
    memory: Mutex<Memory>,
    disk: Option<Drafts>,
    tally: Arc<Tally>,
}

impl Recall {
    /// Nothing in memory yet; on disk what `disk` holds. `family` names the models that are asked.
    pub fn new(settings: &RecallSettings, family: &str, disk: Option<Drafts>, tally: Arc<Tally>) -> Self {
        Self { ttl: settings.ttl, family: family.to_owned(), memory: Mutex::new(Memory::new(settings.memory_entries)), disk, tally }
    }

    /// The key of `phrase`, said by `source` in `home`.
    pub fn key(&self, phrase: &Phrase, home: &Home, source: &str) -> Key {
        let class = rights_class(home.rights(), source);
        let (area, language) = (phrase.area().unwrap_or_default(), phrase.language().unwrap_or_default());
        // No part but the phrase, which is last, can have the separator: it is a control character.
        let parts = [&format!("{:x}", home.revision()), &format!("{:x}", wording()), self.family.as_str(), class, area, language];
        let plain = parts.map(|part| part.replace(char::is_control, " "));
        Key(format!("{}\u{1f}{}", plain.join("\u{1f}"), phrase.text()).into())
    }

    /// The draft kept under `key`, while it is good. A store that cannot be read is a miss.
    pub fn draft(&self, key: &Key) -> Option<Draft> {
        let now = Instant::now();
        if let Some(draft) = self.memory().get(key, now) {
            return Some(draft);
        }
        let kept = match self.disk.as_ref()?.get(&key.0, SystemTime::now()) {
            Ok(kept) => kept?,
            Err(error) => {
                self.fault(&error);
                return None;
            }
        };
        self.memory().put(key.clone(), kept.draft.clone(), now, kept.left);
        Some(kept.draft)
    }

    /// Keeps a draft. One that asks back is not kept, one that speaks only for a short time.
    pub fn keep(&self, key: &Key, draft: &Draft) {
        if draft.question.is_some() || key.0.len() > LONGEST_PHRASE + self.family.len() {
            return;
        }
        let ttl = if draft.speech.is_some() { self.ttl.min(SPEECH_TTL) } else { self.ttl };
        self.memory().put(key.clone(), draft.clone(), Instant::now(), ttl);
        // What is good for minutes only does not wear the disk.
        if draft.speech.is_none()
            && let Some(disk) = &self.disk
            && let Err(error) = disk.put(&key.0, draft, SystemTime::now(), ttl)
        {
            self.fault(&error);
        }
    }

    /// How many drafts are in memory and on disk.
    pub fn len(&self) -> (usize, usize) {
        (self.memory().drafts.len(), self.disk.as_ref().map_or(0, Drafts::len))
    }

    /// True where nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, error: &sled::Error) {
        self.tally.store_fault();
        warn!(%error, "kept drafts cannot be read or written");
    }
}

/// The drafts used last. Finding the one to drop takes a look at all: at 512 a few microseconds, once per question to a model.
#[derive(Debug)]
struct Memory {
    drafts: HashMap<Key, Remembered>,
    most: NonZeroUsize,
    /// Counts uses, so that what was used last is known.
    uses: u64,
}

#[derive(Debug)]
struct Remembered {
    draft: Draft,
    at: Instant,
    ttl: Duration,
    used: u64,
}

impl Memory {
    fn new(most: NonZeroUsize) -> Self {
        Self { drafts: HashMap::new(), most, uses: 0 }
    }

    fn get(&mut self, key: &Key, now: Instant) -> Option<Draft> {
        self.uses += 1;
        let known = self.drafts.get_mut(key)?;
        if now.saturating_duration_since(known.at) >= known.ttl {
            self.drafts.remove(key);
            return None;
        }
        known.used = self.uses;
        Some(known.draft.clone())
    }

    fn put(&mut self, key: Key, draft: Draft, now: Instant, ttl: Duration) {
        self.uses += 1;
        if self.drafts.len() >= self.most.get() && !self.drafts.contains_key(&key) {
            let least_used = self.drafts.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            least_used.and_then(|key| self.drafts.remove(&key));
        }
        self.drafts.insert(key, Remembered { draft, at: now, ttl, used: self.uses });
    }
}
