//! State of one upstream provider, shared by all requests: breaker, rate limits, spending,
//! latencies and calls in flight.
//!
//! `Upstream::enter` is the one way to a call (`call_permit`), and `Upstream::record` the one
//! writer of its result (`call_outcome`). It does not know the request behind a call, nor other
//! providers.

pub(super) mod call_outcome;
pub(super) mod call_permit;
pub mod health;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tracing::info;

use crate::clock::now;
use crate::provider::http::{Endpoint, InvalidEndpoint};
use crate::provider::price::{Money, cost};
use crate::provider::{ProviderError, Settings, Usage};
use crate::redis::Redis;
use crate::router::breaker::Breaker;
use crate::router::rate_limit::RateLimit;
use crate::router::shared::RouterShared;
use crate::router::slots::{CallSlot, FairSlots};
use crate::router::spend_limit::SpendLimit;
use crate::router::unavailable::Unavailable;
use crate::router::upstream::state::UpstreamState;
use crate::store::spending::Spending;

/// Calls in parallel before a provider has shown how many it bears.
const INITIAL_CONCURRENCY: usize = 4;

/// One provider with its limits and state.
pub(super) struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) model: Arc<str>,
    /// The origin under which its drafts are cached.
    pub(super) draft_origin: Arc<str>,
    /// As configured: a reload that changes nothing of it keeps the state.
    pub(super) settings: Settings,
    pub(super) endpoint: Endpoint,
    slots: Arc<FairSlots>,
    pub(super) rate_limit: RateLimit,
    /// Holds the limits of all nodes, where there are several.
    pub(super) redis: Option<Arc<Redis>>,
    /// The provider's own spending limit, and that of all providers.
    pub(super) spend: [Arc<SpendLimit>; 2],
    /// Signals that the state changed, to those who publish it.
    pub(super) state_changes: Arc<watch::Sender<()>>,
    /// Signals the end of each call, to requests that wait for a probe.
    call_ends: watch::Sender<()>,
    state: Mutex<UpstreamState>,
}

impl Upstream {
    /// Creates an upstream that has not been called. `spend` are the provider's own spending limit
    /// and that of all providers.
    pub(super) fn new(
        settings: &Settings,
        patience: Duration,
        spend: [Arc<SpendLimit>; 2],
        shared: &RouterShared,
    ) -> Result<Self, InvalidEndpoint> {
        let concurrency = settings.concurrency.get().min(INITIAL_CONCURRENCY);
        Ok(Self {
            name: settings.name.as_str().into(),
            model: settings.model.as_str().into(),
            draft_origin: settings.draft_origin().into(),
            settings: settings.clone(),
            endpoint: Endpoint::new(settings, shared.trust.clone())?,
            slots: Arc::new(FairSlots::new(concurrency)),
            rate_limit: RateLimit::new(settings),
            redis: shared.redis.clone(),
            spend,
            state_changes: Arc::clone(&shared.state_changes),
            call_ends: watch::Sender::new(()),
            state: Mutex::new(UpstreamState {
                patience,
                concurrency,
                ..UpstreamState::default()
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, UpstreamState> {
        self.state.lock()
    }

    /// Applies a reload: the operator may have corrected the cause of an error, or restarted a
    /// server that asked for a pause. Rate limits stay in force.
    pub(super) fn apply_reload(&self, patience: Duration) {
        self.spend[0].set_limits(self.settings.spend);
        let mut state = self.state();
        state.disabled = None;
        state.rest = state.rest.filter(|rest| rest.is_rate_limit);
        state.patience = patience;
    }

    /// Forgets every reason not to call the provider, but for spending and configured limits.
    pub(super) fn reset(&self) {
        let mut state = self.state();
        state.disabled = None;
        state.rest = None;
        state.breaker = Breaker::default();
        state.last_error = None;
        state.losses.clear();
        drop(state);
        self.state_changes.send_replace(());
        self.call_ends.send_replace(());
    }

    /// Returns whether it shares its work with `other` by weight: the same model with another key
    /// or host, and both have a weight.
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        let one = &self.settings;
        let other = &other.settings;
        one.weight.is_some()
            && other.weight.is_some()
            && one.model == other.model
            && one.api == other.api
    }

    /// Returns its share among providers that share their work.
    pub(super) fn weight(&self) -> f64 {
        self.settings
            .weight
            .map_or(1.0, |weight| f64::from(weight.get()))
    }

    /// Returns the expected latency in seconds at the present load.
    pub(super) fn expected_latency(&self) -> f64 {
        let state = self.state();
        state.latencies.cost(self.in_flight(&state), now())
    }

    /// Returns the number of calls in flight.
    pub(super) fn calls_in_flight(&self) -> usize {
        self.in_flight(&self.state())
    }

    fn in_flight(&self, state: &UpstreamState) -> usize {
        state.concurrency.saturating_sub(self.slots.free())
    }

    /// Returns the 95th percentile of its latencies, once it is known.
    pub(super) fn hedge_after(&self) -> Option<Duration> {
        self.state().latencies.hedge_after()
    }

    /// Returns the median of its latencies, once it is known.
    pub(super) fn typical_latency(&self) -> Option<Duration> {
        self.state().latencies.typical()
    }

    /// Allows one more call in parallel after an answer that came while all slots were taken
    /// (additive increase, as in TCP).
    pub(super) fn widen(&self) {
        let mut state = self.state();
        let may_grow = state.concurrency < self.settings.concurrency.get();
        if self.slots.free() == 0 && may_grow {
            state.concurrency += 1;
            self.slots.add();
        }
    }

    /// Allows one call fewer in parallel, but at least one, because the provider is overloaded.
    pub(super) fn narrow(&self, slot: &mut Option<CallSlot>) {
        let mut state = self.state();
        if state.concurrency > 1
            && let Some(slot) = slot.take()
        {
            slot.forget();
            state.concurrency -= 1;
        }
    }

    /// Waits until the probe in flight has ended.
    pub(super) async fn probe_end(&self) {
        let mut call_ends = self.call_ends.subscribe();
        while self.state().unavailable(now()) == Some(Unavailable::Probing) {
            // The sender lives in self, so this cannot fail.
            let _ = call_ends.changed().await;
        }
    }

    /// Returns the cost of tokens; nothing where the prices are not known.
    fn cost(&self, usage: Usage) -> Money {
        self.settings
            .prices
            .map_or(Money(0), |prices| cost(usage, &prices))
    }

    /// Records that another provider was called because this one was not available.
    pub(super) fn count_skipped(&self) {
        self.state().skipped += 1;
    }

    /// Keeps spending on disk.
    pub(super) fn keep_spending(&self, disk: Option<&Spending>) {
        self.spend[0].keep_in(disk);
    }

    /// Returns why it cannot be called now, as far as its own state shows that.
    pub(super) fn unavailable(&self) -> Option<Unavailable> {
        self.state().unavailable(now())
    }

    /// Returns the number of the change that opened the breaker, while it is open.
    pub(super) fn breaker_opened(&self) -> Option<u64> {
        self.state().breaker.opened()
    }

    /// Records that a free probe found the server back; a command may try it now.
    pub(super) fn note_back(&self) {
        self.state().breaker.allow_probe(now());
        self.state_changes.send_replace(());
    }

    /// Records that a free probe found the server away, and when the next probe comes.
    pub(super) fn note_away(&self, next: Instant) {
        self.state().breaker.keep_open(next);
    }

    /// Takes the error of a call that was denied without a stated cause since the last time.
    pub(super) fn take_doubt(&self) -> Option<ProviderError> {
        self.state().doubt.take()
    }

    /// Disables the provider for this error, which a free probe has confirmed.
    pub(super) fn confirm_doubt(&self, error: &ProviderError) {
        self.disable(&mut self.state(), error, now());
        self.state_changes.send_replace(());
    }

    /// Returns when a disabled provider is tried next.
    pub(super) fn disabled_until(&self) -> Option<Instant> {
        let state = self.state();
        state.disabled.as_ref().map(|disabled| disabled.until)
    }

    /// Enables a disabled provider after a free probe succeeded.
    pub(super) fn enable(&self) {
        if self.state().disabled.take().is_some() {
            info!(provider = &*self.name, "provider is enabled again");
            self.state_changes.send_replace(());
        }
    }

    /// Leaves a provider disabled for twice as long, because a free probe shows the same error.
    pub(super) fn keep_disabled(&self) {
        if let Some(disabled) = &mut self.state().disabled {
            disabled.until = now() + disabled.backoff.next_delay();
        }
        self.state_changes.send_replace(());
    }
}
