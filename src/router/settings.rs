//! Settings of the router, validated by `config`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::provider;
use crate::provider::price::Limits;

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
pub enum ProviderOrder {
    /// The first listed.
    #[default]
    Priority,
    /// The one that answers soonest, as far as it has shown, with what it has to do at the moment.
    Fastest,
}

/// How models are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterSettings {
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
    pub order: ProviderOrder,
    /// Whether a few questions are asked of two before the first is overdue.
    pub hedge: bool,
    /// The most to spend at all providers together.
    pub spend: Limits,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            deadline: Duration::from_secs(15),
            attempts: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN),
            longest_pause: Duration::from_secs(4),
            patience: Duration::from_secs(2),
            stream: Streaming::Auto,
            order: ProviderOrder::Priority,
            hedge: false,
            spend: Limits::default(),
        }
    }
}

impl RouterSettings {
    /// The models that may answer.
    pub fn models(&self) -> Vec<String> {
        self.providers
            .iter()
            .map(|provider| provider.model.clone())
            .collect()
    }
}
