//! Understanding with a model: said before? within quota? the question, the asking, the answer as an untrusted draft.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::provider::{self, price::Limits};

pub mod admit;
pub mod ask;
pub mod breaker;
mod budget;
pub mod compose;
pub mod flight;
mod lane;
mod latency;
mod lookout;
pub mod memory;
mod purse;
mod quota;
pub mod read;
pub mod recall;
mod registry;
mod round;
mod spoken;
mod turn;
pub mod voice;

/// How drafts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallSettings {
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

impl Default for RecallSettings {
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

/// How many commands a source may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmitSettings {
    /// Questions to a model per minute and source. Commands understood here or recalled cost nothing and are not counted.
    pub per_minute: NonZeroU32,
    /// How many of these may come at once.
    pub burst: NonZeroU32,
}

impl Default for AdmitSettings {
    fn default() -> Self {
        let n = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            per_minute: n(20),
            burst: n(10),
        }
    }
}

/// Whether long answers go out in pieces while they come, where a command does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Streaming {
    /// Where the phrase asks for one.
    #[default]
    Auto,
    /// Every answer in words.
    Always,
    /// None, not even where a command asks for it.
    Never,
}

/// Which provider is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The first listed.
    #[default]
    Priority,
    /// The one that answers soonest, as far as it has shown, with what it has to do at the moment.
    Fastest,
}

/// How models are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct AskSettings {
    /// The providers, in order of priority. Empty: no model is asked.
    pub providers: Vec<provider::Settings>,
    /// The time for all attempts at all providers together.
    pub deadline: Duration,
    /// Attempts at one provider before the next, the first included.
    pub attempts: NonZeroU32,
    /// The longest pause between two attempts at one provider.
    pub longest_pause: Duration,
    /// How long a provider may be silent before the next is asked as well, unless it has shown to take longer.
    pub patience: Duration,
    /// Whether long answers go out in pieces.
    pub stream: Streaming,
    /// Who is asked first.
    pub order: Order,
    /// Whether a few questions are asked of two before the first is overdue.
    pub hedge: bool,
    /// The most to spend at all providers together.
    pub spend: Limits,
}

impl Default for AskSettings {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            deadline: Duration::from_secs(15),
            attempts: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN),
            longest_pause: Duration::from_secs(4),
            patience: Duration::from_secs(2),
            stream: Streaming::Auto,
            order: Order::Priority,
            hedge: false,
            spend: Limits::default(),
        }
    }
}

impl AskSettings {
    /// The models that may answer.
    pub fn models(&self) -> Vec<String> {
        self.providers
            .iter()
            .map(|provider| provider.model.clone())
            .collect()
    }
}
