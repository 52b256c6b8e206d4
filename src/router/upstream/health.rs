//! The state of a provider as it is published in `sayso/health`.
//!
//! It only reads. The fields are the format of the message.

use std::fmt;

use serde::Serialize;

use crate::clock::now;
use crate::router::breaker::Position;
use crate::router::spend_limit::Moment;
use crate::router::unavailable::Unavailable;
use crate::router::upstream::Upstream;

/// The state of a provider as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// Calls go through.
    Up,
    /// A call is late.
    #[serde(rename = "silent")]
    Stalled,
    /// A rate limit, or a pause that the server asked for.
    Resting,
    /// The breaker is open.
    Open,
    /// The breaker is probing.
    HalfOpen,
    /// Disabled until the next try: the operator has to correct something.
    #[serde(rename = "out")]
    Disabled,
    /// A spending limit is reached.
    #[serde(rename = "spent")]
    OverBudget,
}

impl fmt::Display for ProviderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Stalled => "silent",
            Self::Resting => "resting",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Disabled => "out",
            Self::OverBudget => "spent",
        })
    }
}

/// One provider in `sayso/health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderHealth {
    /// The configured name.
    pub name: String,
    /// Name of the configured model.
    pub model: String,
    /// Availability of the provider at present.
    pub state: ProviderState,
    /// The last error and its remedy, while it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Seconds until the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
    /// The result of the aptitude test, where the model needs one: `passed`, `failed`, `not yet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aptitude: Option<&'static str>,
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls it may get in parallel, by its errors and answers so far.
    pub concurrency: usize,
    /// Calls since the start.
    pub calls: u64,
    /// Calls without a usable answer.
    pub failures: u64,
    /// Times another provider was called because this one was not available.
    #[serde(rename = "passed_over")]
    pub skipped: u64,
    /// Mean latency in milliseconds, newer calls weighing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_ms: Option<f64>,
    /// Prompt tokens since the start.
    pub input_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Answer tokens since the start.
    pub output_tokens: u64,
    /// Dollars spent since midnight in UTC; `None` where the prices are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_today: Option<f64>,
    /// Dollars spent since the first of the month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_this_month: Option<f64>,
}

impl Upstream {
    /// Returns the published state.
    pub(in crate::router) fn health(&self) -> ProviderHealth {
        let state = self.state();
        let unavailable = state.unavailable(now());
        let is_closed = matches!(state.breaker.position(), Position::Closed);
        let shown = match unavailable {
            Some(Unavailable::Disabled(_)) => ProviderState::Disabled,
            Some(
                Unavailable::RateLimited(_) | Unavailable::Exhausted(_) | Unavailable::Resting(_),
            ) => ProviderState::Resting,
            Some(Unavailable::BreakerOpen(_)) => ProviderState::Open,
            Some(Unavailable::Stalled) => ProviderState::Stalled,
            Some(Unavailable::OverBudget(_) | Unavailable::Reserved) => ProviderState::OverBudget,
            Some(Unavailable::AtCapacity) | None if is_closed => ProviderState::Up,
            Some(Unavailable::AtCapacity | Unavailable::Probing) | None => ProviderState::HalfOpen,
        };
        let disabled_why = state.disabled.as_ref().map(|disabled| disabled.why.clone());
        let why = disabled_why.or_else(|| state.last_error.clone());
        let retry_after = unavailable.and_then(Unavailable::wait);
        let is_priced = self.settings.prices.is_some();
        let spent = is_priced.then(|| self.spend[0].spent(Moment::now()));
        ProviderHealth {
            name: self.name.to_string(),
            model: self.model.to_string(),
            state: shown,
            why: why.filter(|_| shown != ProviderState::Up),
            retry_after: retry_after.map(|wait| (wait.as_secs_f64() * 10.0).ceil() / 10.0),
            aptitude: None,
            in_flight: self.in_flight(&state),
            concurrency: state.concurrency,
            calls: state.calls,
            failures: state.failures,
            skipped: state.skipped,
            mean_ms: state.mean_ms.map(f64::round),
            input_tokens: state.usage.input,
            cached_tokens: state.usage.cached,
            output_tokens: state.usage.output,
            spent_today: spent.map(|(today, _)| today.in_dollars()),
            spent_this_month: spent.map(|(_, this_month)| this_month.in_dollars()),
        }
    }
}
