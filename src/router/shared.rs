//! State shared by all providers, which a reload does not replace.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::now;
use crate::provider::http::Trust;
use crate::redis::Redis;
use crate::router::retry_budget::{RetryBudget, RetryBudgetView};
use crate::router::spend_limit::SpendLimit;
use crate::telemetry::counters::Counters;

/// Number of requests of which one may be sent to two providers before the first is late. Source:
/// J. Dean and L. A. Barroso, "The Tail at Scale", 2013.
const HEDGE_INTERVAL: u64 = 20;

/// State shared by all providers.
pub(super) struct RouterShared {
    pub(super) trust: Trust,
    /// Signals that the state of a provider changed.
    pub(super) state_changes: Arc<watch::Sender<()>>,
    /// The spending limit of all providers together.
    pub(super) spend: Arc<SpendLimit>,
    pub(super) counters: Arc<Counters>,
    /// Holds the limits of all nodes, where there are several.
    pub(super) redis: Option<Arc<Redis>>,
    retry_budget: Mutex<RetryBudget>,
    hedges: Mutex<HedgeCount>,
    /// Calls that lost against another provider's answer: they end by themselves and record how
    /// slow their provider is.
    late_calls: Mutex<JoinSet<()>>,
}

/// Counts for the share of hedged requests.
#[derive(Debug, Default)]
struct HedgeCount {
    requests: u64,
    hedged: u64,
}

impl RouterShared {
    pub(super) fn new(
        spend: SpendLimit,
        counters: Arc<Counters>,
        redis: Option<Arc<Redis>>,
    ) -> Self {
        Self {
            trust: Trust::default(),
            state_changes: Arc::default(),
            spend: Arc::new(spend),
            counters,
            redis,
            retry_budget: Mutex::default(),
            hedges: Mutex::default(),
            late_calls: Mutex::default(),
        }
    }

    /// Records one request.
    pub(super) fn count_request(&self) {
        self.hedges.lock().requests += 1;
        self.retry_budget.lock().deposit(now());
    }

    /// Returns whether one more request may be hedged.
    pub(super) fn may_hedge(&self) -> bool {
        let hedges = self.hedges.lock();
        (hedges.hedged + 1) * HEDGE_INTERVAL <= hedges.requests
    }

    /// Records a hedged request.
    pub(super) fn count_hedge(&self) {
        self.hedges.lock().hedged += 1;
    }

    /// Takes one retry out of the budget; false where there is none.
    pub(super) fn may_retry(&self) -> bool {
        self.retry_budget.lock().withdraw(now())
    }

    /// Returns a retry that was not made.
    pub(super) fn refund_retry(&self) {
        self.retry_budget.lock().refund();
    }

    /// Returns the balance of the retry budget.
    pub(super) fn retries(&self) -> RetryBudgetView {
        self.retry_budget.lock().balance(now())
    }

    /// Lets calls end in the background. Each keeps its slot at its provider, so there are never
    /// many.
    pub(super) fn finish_in_background<F>(&self, calls: Vec<F>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if calls.is_empty() {
            return;
        }
        let mut late_calls = self.late_calls.lock();
        while late_calls.try_join_next().is_some() {}
        for call in calls {
            late_calls.spawn(call);
        }
    }
}
