//! Settings of the router, validated by `config`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::provider;
use crate::provider::price::Limits;

/// Answers that are published in parts while they come, unless a command states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Streaming {
    /// Those to phrases that request a long text.
    #[default]
    Auto,
    /// Every answer in words.
    Always,
    /// None, not even where a command requests it.
    Never,
}

/// Order in which the providers are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProviderOrder {
    /// The first in the configuration.
    #[default]
    Priority,
    /// The one with the lowest expected latency at its present load.
    Fastest,
}

/// Settings of the calls to models.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterSettings {
    /// The providers, in order of priority. Empty: no model is called.
    pub providers: Vec<provider::Settings>,
    /// Time limit of all attempts at all providers together.
    pub deadline: Duration,
    /// Attempts at one provider before the next, the first included.
    pub attempts: NonZeroU32,
    /// The longest backoff between two attempts at one provider.
    pub longest_pause: Duration,
    /// Time a provider may take before the next is called in parallel, unless it usually takes
    /// longer.
    pub patience: Duration,
    /// Answers that are published in parts.
    pub stream: Streaming,
    /// Order in which the providers are called.
    pub order: ProviderOrder,
    /// Whether a few requests are sent to two providers before the first is late.
    pub hedge: bool,
    /// Spending limits of all providers together.
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
    /// Returns the origins of the drafts that may be used.
    pub fn models(&self) -> Vec<String> {
        self.providers
            .iter()
            .map(provider::Settings::draft_origin)
            .collect()
    }
}
