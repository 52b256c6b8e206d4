//! Routes requests to language models: which provider is called when, with retries, failover, rate
//! and spending limits.
//!
//! Knows neither homes nor drafts: the caller passes a prompt and a function that reads an answer.
//! `failover` is the path of one request, `upstream` the state of one provider, and `provider`
//! decides the meaning of an error.

mod answer;
pub mod answer_stream;
mod attempt;
mod breaker;
mod failover;
mod health_probe;
mod latency;
mod partial_answer;
mod rate_limit;
mod retry_budget;
pub mod settings;
mod shared;
mod shared_limit;
mod slots;
mod spend_limit;
mod unavailable;
mod upstream;

use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::clock::now;
use crate::command::reply::Refusal;
use crate::provider;
use crate::provider::http::InvalidEndpoint;
use crate::provider::model_size::stated_in;
use crate::provider::{Prompt, ProviderError};
use crate::redis::Redis;
use crate::router::failover::{Failover, RouterParts};
use crate::router::settings::{ProviderOrder, RouterSettings, Streaming};
use crate::router::shared::RouterShared;
use crate::router::spend_limit::{Moment, SpendLimit};
use crate::router::upstream::Upstream;
use crate::store::spending::Spending;
use crate::telemetry::counters::Counters;

pub use crate::router::answer::{Requester, RoutedAnswer};
pub use crate::router::attempt::ReadAnswer;
pub use crate::router::retry_budget::RetryBudgetView;
pub use crate::router::upstream::health::{ProviderHealth, ProviderState};

/// All providers, in order of priority.
pub struct Router {
    settings: RouterSettings,
    upstreams: Vec<Arc<Upstream>>,
    shared: Arc<RouterShared>,
}

impl Router {
    /// Creates the router; no connection is made yet.
    ///
    /// # Errors
    /// When a provider's address or key cannot be used.
    pub fn new(settings: RouterSettings, counters: Arc<Counters>) -> Result<Self, InvalidEndpoint> {
        Self::with_redis(settings, counters, None)
    }

    /// Creates the router with limits that `redis` holds for several nodes together.
    ///
    /// # Errors
    /// When a provider's address or key cannot be used.
    pub fn with_redis(
        settings: RouterSettings,
        counters: Arc<Counters>,
        redis: Option<Arc<Redis>>,
    ) -> Result<Self, InvalidEndpoint> {
        let spend = SpendLimit::new("all".to_owned(), settings.spend);
        let shared = Arc::new(RouterShared::new(spend, counters, redis));
        Self::with(settings, &[], shared)
    }

    /// Returns the connection to Redis, where there is one.
    pub fn redis(&self) -> Option<&Arc<Redis>> {
        self.shared.redis.as_ref()
    }

    /// Creates the router for changed settings. A provider of which nothing changed, its key
    /// included, keeps its state: breaker, limits, counts, latencies and calls in flight.
    ///
    /// # Errors
    /// When a provider's address or key cannot be used.
    pub fn renewed(&self, settings: RouterSettings) -> Result<Self, InvalidEndpoint> {
        Self::with(settings, &self.upstreams, Arc::clone(&self.shared))
    }

    /// Puts the settings of this router into effect for the shared state. Providers that were
    /// disabled are called again.
    pub fn apply_settings(&self) {
        self.shared.spend.set_limits(self.settings.spend);
        for upstream in &self.upstreams {
            upstream.apply_reload(self.settings.patience);
        }
    }

    fn with(
        settings: RouterSettings,
        known: &[Arc<Upstream>],
        shared: Arc<RouterShared>,
    ) -> Result<Self, InvalidEndpoint> {
        let upstream = |provider: &provider::Settings| {
            let before = known
                .iter()
                .find(|known| known.settings.name == provider.name);
            let spend = match before {
                Some(same) if same.settings == *provider => return Ok(Arc::clone(same)),
                // What was spent counts, whatever the provider is now.
                Some(other) => other.spend.clone(),
                None => {
                    let name = format!("provider {}", provider.name);
                    let own = Arc::new(SpendLimit::new(name, provider.spend));
                    [own, Arc::clone(&shared.spend)]
                }
            };
            Upstream::new(provider, settings.patience, spend, &shared).map(Arc::new)
        };
        let upstreams = settings.providers.iter().map(upstream);
        let upstreams = upstreams.collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            upstreams,
            shared,
        })
    }

    /// Returns whether no provider is configured.
    pub fn is_empty(&self) -> bool {
        self.upstreams.is_empty()
    }

    /// Returns whether any provider has a small model, which gets the narrow variant of prompts.
    pub fn has_small_model(&self) -> bool {
        let mut upstreams = self.upstreams.iter();
        upstreams.any(|upstream| upstream.settings.is_small)
    }

    /// Forgets every reason not to call providers: all, or the one of this name. Returns their
    /// names.
    pub fn reset(&self, name: Option<&str>) -> Vec<String> {
        let is_meant = |upstream: &&Arc<Upstream>| name.is_none_or(|name| *upstream.name == *name);
        let meant = self.upstreams.iter().filter(is_meant);
        meant
            .map(|upstream| {
                upstream.reset();
                upstream.name.to_string()
            })
            .collect()
    }

    /// Adds the spending of earlier runs, and keeps spending on disk; in memory where there is
    /// none.
    pub fn keep_spending(&self, disk: Option<&Spending>) {
        self.shared.spend.keep_in(disk);
        for upstream in &self.upstreams {
            upstream.keep_spending(disk);
        }
    }

    /// Returns the dollars spent today and this month at all providers, as far as their prices are
    /// known.
    pub fn spent(&self) -> (f64, f64) {
        let (today, this_month) = self.shared.spend.spent(Moment::now());
        (today.in_dollars(), this_month.in_dollars())
    }

    /// Returns which answers are published in parts.
    pub fn streaming(&self) -> Streaming {
        self.settings.stream
    }

    /// Returns the time after which another provider is called in parallel.
    pub fn patience(&self) -> Duration {
        self.settings.patience
    }

    /// Returns the state of each provider.
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.upstreams
            .iter()
            .map(|upstream| upstream.health())
            .collect()
    }

    /// Returns the first usable answer before `deadline` and within the time for all attempts.
    /// `read` reads the text of an answer; one that it rejects counts as a failure of its provider.
    /// An answer in words is passed to the stream of `requester` while it comes.
    ///
    /// # Errors
    /// When no provider answers in time, or a model declines.
    pub async fn complete<T: Send + 'static>(
        &self,
        prompt: &Prompt,
        deadline: Instant,
        requester: Requester,
        read: ReadAnswer<T>,
    ) -> Result<RoutedAnswer<T>, Refusal> {
        if self.is_empty() {
            return Err(Refusal::NoModel);
        }
        let parts = RouterParts {
            settings: &self.settings,
            shared: &self.shared,
        };
        let end = deadline.min(now() + self.settings.deadline);
        let failover = Failover::new(parts, self.order(), prompt, end, read);
        let failover = failover.on_behalf_of(requester);
        if !failover.has_time() {
            return Err(Refusal::TooLate);
        }
        self.shared.counters.model_requests.increment();
        self.shared.count_request();
        let mut result = failover.run().await;
        if let Err(Refusal::NobodyAnswered { retry_after, .. }) = &mut result {
            *retry_after = self.retry_after(prompt);
        }
        result
    }

    /// Returns the settings from which the router was built.
    pub fn settings(&self) -> &RouterSettings {
        &self.settings
    }

    /// Returns the settings of the provider `name`.
    pub fn settings_of(&self, name: &str) -> Option<&provider::Settings> {
        Some(&self.upstream(name)?.settings)
    }

    fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        let mut upstreams = self.upstreams.iter();
        upstreams.find(|upstream| &*upstream.name == name)
    }

    /// Returns the parameters of the model of the provider `name`, where its name or its server's
    /// list states them. The list is requested only where free requests are allowed.
    ///
    /// # Errors
    /// When the list does not come.
    pub async fn model_size(&self, name: &str) -> Result<Option<u64>, ProviderError> {
        let Some(upstream) = self.upstream(name) else {
            return Ok(None);
        };
        let settings = &upstream.settings;
        match stated_in(&settings.model) {
            None if settings.probe => upstream.endpoint.listed_size().await,
            stated => Ok(stated),
        }
    }

    /// Returns an answer of the provider `name` alone, within the limits of every request.
    ///
    /// # Errors
    /// When it does not answer in time, or the model declines.
    pub async fn complete_at<T: Send + 'static>(
        &self,
        name: &str,
        prompt: &Prompt,
        read: ReadAnswer<T>,
    ) -> Result<RoutedAnswer<T>, Refusal> {
        let only: VecDeque<_> = self.upstream(name).cloned().into_iter().collect();
        let parts = RouterParts {
            settings: &self.settings,
            shared: &self.shared,
        };
        let end = now() + self.settings.deadline;
        let failover = Failover::new(parts, only, prompt, end, read);
        self.shared.counters.model_requests.increment();
        self.shared.count_request();
        failover.run().await
    }

    /// Returns the time until the first provider is called with `prompt`; `None` where that is now.
    /// The next command also calls one whose pause, breaker or fault stands in the way, as long as
    /// the retry budget allows it.
    fn retry_after(&self, prompt: &Prompt) -> Option<Duration> {
        let retries = self.shared.retries();
        let may_force = retries.spent < retries.most;
        let waits = self
            .upstreams
            .iter()
            .map(|upstream| upstream.wait_for(prompt, may_force));
        let waits: Option<Vec<Duration>> = waits.collect();
        waits?.into_iter().min()
    }

    /// Returns all providers in the order to call them: as configured, or the fastest first.
    /// Neighbours that share their work are drawn by weight.
    fn order(&self) -> VecDeque<Arc<Upstream>> {
        let mut upstreams = self.upstreams.clone();
        match self.settings.order {
            ProviderOrder::Fastest => {
                upstreams.sort_by(|a, b| a.expected_latency().total_cmp(&b.expected_latency()));
            }
            ProviderOrder::Priority => {
                for group in upstreams.chunk_by_mut(|a, b| a.shares_with(b)) {
                    if group.len() > 1 {
                        // Efraimidis and Spirakis, "Weighted random sampling with a reservoir",
                        // 2006.
                        group.sort_by_cached_key(|upstream| {
                            let draw = rand::random::<f64>().powf(1.0 / upstream.weight());
                            Reverse(WeightedDraw(draw))
                        });
                    }
                }
            }
        }
        upstreams.into()
    }

    /// Returns a signal that changes with the state of a provider. It outlives a reload.
    pub fn state_changes(&self) -> watch::Receiver<()> {
        self.shared.state_changes.subscribe()
    }

    /// Returns the balance of the retry budget.
    pub fn retries(&self) -> RetryBudgetView {
        self.shared.retries()
    }

    /// Probes providers that are not available, for as long as it is polled.
    pub async fn probe_providers(&self) {
        let probed = self.upstreams.iter().filter(|u| u.settings.probe);
        join_all(probed.map(|upstream| health_probe::watch(upstream))).await;
        std::future::pending::<()>().await;
    }
}

/// A random number, ordered for sorting.
#[derive(PartialEq)]
struct WeightedDraw(f64);

impl Eq for WeightedDraw {}

impl PartialOrd for WeightedDraw {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WeightedDraw {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
