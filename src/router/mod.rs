//! Asks the models: who there is, and what is said when nobody answers. The way of one question is `round`; who may be asked
//! now is `lane`'s to say; what an error means is the provider's.

pub mod answer_stream;
pub mod attempt;
pub mod breaker;
pub mod failover;
pub mod health_probe;
pub mod latency;
pub mod partial_answer;
pub mod rate_limit;
pub mod retry_budget;
pub mod settings;
pub mod spend_limit;
pub mod upstream;
use parking_lot::{Mutex, MutexGuard};
use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::now;
use crate::command::reply::Refusal;
use crate::provider;
use crate::provider::http::{InvalidEndpoint, Trust};
use crate::provider::{Prompt, ProviderError, Usage};
use crate::router::answer_stream::AnswerStream;
use crate::router::failover::{Failover, TriedCall};
use crate::router::retry_budget::RetryBudget;
use crate::router::settings::{ProviderOrder, RouterSettings, Streaming};
use crate::router::spend_limit::SpendLimit;
use crate::router::upstream::Upstream;
use crate::store::spending::Spending;
use crate::telemetry::counters::Counters;
use crate::vocabulary::action::Draft;

pub use crate::router::retry_budget::RetryBudgetView;
pub use crate::router::upstream::ProviderHealth;

/// One question in so many may be asked of two before the first is overdue. Source: J. Dean and L. A. Barroso, "The Tail at Scale", 2013.
const HEDGED: u64 = 20;

/// What a model meant, and who it was.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedAnswer {
    /// What was meant, not yet believed.
    pub draft: Draft,
    /// The provider's name.
    pub provider: Arc<str>,
    /// The model that said so.
    pub model: Arc<str>,
    /// What it cost.
    pub usage: Usage,
}

/// All providers, in order of priority.
pub struct Router {
    pub(super) settings: RouterSettings,
    lanes: Vec<Arc<Upstream>>,
    lasting: Arc<RouterShared>,
    pub(super) counters: Arc<Counters>,
}

/// What all providers share, and a reload leaves as it is.
pub(super) struct RouterShared {
    pub(super) trust: Trust,
    /// Tells those who show it that a provider stands otherwise.
    pub(super) standing: Arc<watch::Sender<()>>,
    /// What may be spent at all of them.
    purse: Arc<SpendLimit>,
    budget: Mutex<RetryBudget>,
    /// Questions, and those of them asked of two before the first was overdue.
    hedges: Mutex<(u64, u64)>,
    /// Calls whose question was answered by somebody else: they end by themselves, and tell how slow or dead their provider is.
    stragglers: Mutex<JoinSet<()>>,
}

impl Router {
    /// Gets ready to ask; connects to nobody yet.
    ///
    /// # Errors
    /// When a provider's address or key cannot be used.
    pub fn new(settings: RouterSettings, counters: Arc<Counters>) -> Result<Self, InvalidEndpoint> {
        let (trust, purse) = (
            Trust::default(),
            Arc::new(SpendLimit::new("all".to_owned(), settings.spend)),
        );
        let lasting = RouterShared {
            trust,
            standing: Arc::default(),
            purse,
            budget: Mutex::default(),
            hedges: Mutex::default(),
            stragglers: Mutex::default(),
        };
        Self::with(settings, &[], Arc::new(lasting), counters)
    }

    /// Those who are asked as these settings want it. A provider of which nothing changed, its key included, goes on with all that
    /// is known of it: breaker, limits, counts, how long it takes, and the calls under way.
    ///
    /// # Errors
    /// When a provider's address or key cannot be used.
    pub fn renewed(&self, settings: RouterSettings) -> Result<Self, InvalidEndpoint> {
        Self::with(
            settings,
            &self.lanes,
            Arc::clone(&self.lasting),
            Arc::clone(&self.counters),
        )
    }

    /// From now on these are asked, and what the settings say of what is shared holds. The operator has had a hand in it: whoever
    /// was out until the next reload may be asked again.
    pub fn take_over(&self) {
        self.lasting.purse.limit(self.settings.spend);
        for lane in &self.lanes {
            lane.take_over(self.settings.patience);
        }
    }

    fn with(
        settings: RouterSettings,
        known: &[Arc<Upstream>],
        lasting: Arc<RouterShared>,
        counters: Arc<Counters>,
    ) -> Result<Self, InvalidEndpoint> {
        let lane = |provider: &provider::Settings| match known
            .iter()
            .find(|lane| lane.settings.name == provider.name)
        {
            Some(same) if same.settings == *provider => Ok(Arc::clone(same)),
            // What was spent is spent, whatever the provider is now.
            Some(other) => {
                Upstream::new(provider, settings.patience, other.purses.clone(), &lasting)
                    .map(Arc::new)
            }
            None => {
                let own = Arc::new(SpendLimit::new(
                    format!("provider {}", provider.name),
                    provider.spend,
                ));
                Upstream::new(
                    provider,
                    settings.patience,
                    [own, Arc::clone(&lasting.purse)],
                    &lasting,
                )
                .map(Arc::new)
            }
        };
        let lanes = settings
            .providers
            .iter()
            .map(lane)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            lanes,
            lasting,
            counters,
        })
    }

    /// True where there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Goes on with what was spent before, and keeps it there; without a disk in memory alone.
    pub fn keep_spending(&self, disk: Option<&Spending>) {
        self.lasting.purse.keep_in(disk);
        for lane in &self.lanes {
            lane.keep_spending(disk);
        }
    }

    /// Dollars spent today and this month at all providers together, as far as their prices are known.
    pub fn spent(&self) -> (f64, f64) {
        let (today, this_month) = self.lasting.purse.spent(SystemTime::now());
        (today.as_dollars(), this_month.as_dollars())
    }

    /// Whether long answers go out in pieces.
    pub fn streaming(&self) -> Streaming {
        self.settings.stream
    }

    /// How each provider stands.
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.lanes.iter().map(|lane| lane.health()).collect()
    }

    /// The first usable answer, before `deadline` and within the time for all attempts. Where there is a voice, an answer in
    /// words is spoken while it comes.
    ///
    /// # Errors
    /// When nobody gives one in time, or the question itself is at fault.
    pub async fn first(
        &self,
        prompt: &Prompt,
        deadline: Instant,
        voice: Option<Arc<AnswerStream>>,
    ) -> Result<RoutedAnswer, Refusal> {
        if self.is_empty() {
            return Err(Refusal::NoModel);
        }
        let round = Failover::new(
            self,
            prompt,
            deadline.min(now() + self.settings.deadline),
            voice,
        );
        if !round.is_worth_while() {
            return Err(Refusal::TooLate);
        }
        self.counters.model_requests.increment();
        self.hedges().0 += 1;
        self.budget().earn(now());
        round.run().await
    }

    /// All providers in the order to ask them in: as listed, or the fastest first; of those alike next to each other, one
    /// drawn by its weight first.
    fn in_order(&self) -> VecDeque<Arc<Upstream>> {
        let mut lanes = self.lanes.clone();
        match self.settings.order {
            ProviderOrder::Fastest => {
                lanes.sort_by(|a, b| a.cost_in_time().total_cmp(&b.cost_in_time()));
            }
            ProviderOrder::Priority => {
                for alike in lanes
                    .chunk_by_mut(|a, b| a.share_with(b))
                    .filter(|alike| alike.len() > 1)
                {
                    // Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
                    alike.sort_by_cached_key(|lane| {
                        Reverse(WeightedOrder(
                            rand::random::<f64>().powf(1.0 / lane.weight()),
                        ))
                    });
                }
            }
        }
        lanes.into()
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.lasting.budget.lock()
    }

    /// Changes when a provider stands otherwise than before: open, back, resting, out. Outlives a reload.
    pub fn standing(&self) -> watch::Receiver<()> {
        self.lasting.standing.subscribe()
    }

    /// How the budget for retries stands.
    pub fn retries(&self) -> RetryBudgetView {
        self.budget().stand(now())
    }

    fn hedges(&self) -> MutexGuard<'_, (u64, u64)> {
        self.lasting.hedges.lock()
    }

    /// Whether one question more may be asked of two: of a hundred five may.
    pub(super) fn may_hedge(&self) -> bool {
        let (asked, hedged) = *self.hedges();
        self.settings.hedge && (hedged + 1) * HEDGED <= asked
    }

    /// A question was asked of two.
    pub(super) fn hedged(&self) {
        self.hedges().1 += 1;
    }

    /// Takes one retry out of the budget, where there is one.
    pub(super) fn may_retry(&self) -> bool {
        self.budget().spend(now())
    }

    /// A retry was not made after all.
    pub(super) fn did_not_retry(&self) {
        self.budget().give_back();
    }

    /// Lets calls end that nobody waits for any more. Each keeps its place at its provider, so there are never many.
    fn leave(&self, calls: impl Iterator<Item = TriedCall>) {
        let mut stragglers = self.lasting.stragglers.lock();
        while stragglers.try_join_next().is_some() {}
        for call in calls {
            stragglers.spawn(async move { drop(call.await) });
        }
    }

    /// Why nobody answered: `last` is the last error, `limited` the lanes found to be over a limit, and for how long.
    fn nobody(
        &self,
        last: Option<&ProviderError>,
        limited: &[(Arc<Upstream>, Duration)],
        spent: Option<Duration>,
    ) -> Refusal {
        if let (None, Some(retry_after)) = (last, spent) {
            return Refusal::OverBudget { retry_after };
        }
        if let Some(error @ (ProviderError::Malformed { .. } | ProviderError::Truncated)) = last {
            return refusal(error);
        }
        let all_out = self.lanes.iter().all(|lane| lane.is_benched());
        let nobody_asked = if all_out {
            "every provider is out, see the log"
        } else {
            "every provider is resting"
        };
        let why = last.map_or_else(|| nobody_asked.to_owned(), ToString::to_string);
        let limited = |lane: &Arc<Upstream>| {
            limited
                .iter()
                .find(|(other, _)| Arc::ptr_eq(other, lane))
                .map(|(_, wait)| *wait)
        };
        let usable = self.lanes.iter().filter(|lane| !lane.is_benched());
        // None as soon as one of them could be asked again at once.
        let waits: Option<Vec<Duration>> = usable
            .map(|lane| lane.closed_for().or_else(|| limited(lane)))
            .collect();
        Refusal::NobodyAnswered {
            why,
            retry_after: waits.and_then(|waits| waits.into_iter().min()),
        }
    }
}

/// A number drawn, for sorting.
#[derive(PartialEq)]
struct WeightedOrder(f64);

impl Eq for WeightedOrder {}

impl PartialOrd for WeightedOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WeightedOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What an error that nobody else would mend tells the speaker.
pub(super) fn refusal(error: &ProviderError) -> Refusal {
    match error {
        ProviderError::Declined => Refusal::Declined,
        other => Refusal::NotUnderstood {
            why: other.to_string(),
        },
    }
}
