//! State of one upstream provider, shared by all requests: breaker, rate limits, spending,
//! latencies and calls in flight.
//!
//! `Upstream::enter` is the one way to a call, and `Upstream::record` the one writer of its result.

use std::fmt;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::now;
use crate::command::Source;
use crate::provider::http::{Endpoint, InvalidEndpoint};
use crate::provider::price::{Money, cost};
use crate::provider::{Disposition, Prompt, ProviderError, Settings, Usage};
use crate::redis::{Redis, Settlement};
use crate::router::breaker::{Breaker, BreakerDenial, BreakerPermit, Change, Position, Verdict};
use crate::router::latency::Latencies;
use crate::router::rate_limit::RateLimit;
use crate::router::shared::RouterShared;
use crate::router::slots::{CallSlot, FairSlots};
use crate::router::spend_limit::{Moment, SpendDenial, SpendLimit};
use crate::store::spending::Spending;

/// Time after which the next provider is called in parallel with a probe of a failed one, so that
/// no command waits long for the probe.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// Calls in parallel before a provider has shown how many it bears.
const INITIAL_CONCURRENCY: usize = 4;

/// Rest after a rate limit without a stated wait.
const USUAL_REST: Duration = Duration::from_secs(10);

/// The shortest rest after a rate limit, where the stated wait is zero or has passed.
const SHORTEST_REST: Duration = Duration::from_millis(250);

/// The wait where only reservations of calls in flight stand in the way: each of their ends may
/// free enough.
const RESERVATION_WAIT: Duration = Duration::from_millis(250);

/// Time for which a provider is disabled the first time; doubled each further time.
const FIRST_DISABLED: Duration = Duration::from_mins(1);

/// The longest time it is disabled.
const LONGEST_DISABLED: Duration = Duration::from_hours(1);

/// The causes of lost requests that are remembered as logged.
const MOST_LOSSES: usize = 8;

/// A cause is logged again after an answer, but not sooner than this.
const LOSS_PAUSE: Duration = Duration::from_mins(1);

/// The weight of the newest call in the mean latency.
const NEWEST: f64 = 0.2;

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

/// State of a provider. Locked for moments only, never while waiting.
#[derive(Debug, Default)]
struct UpstreamState {
    breaker: Breaker,
    rest: Option<Rest>,
    disabled: Option<Disabled>,
    /// A call was denied, and it is not known whether others would be.
    doubt: Option<ProviderError>,
    last_error: Option<String>,
    /// The causes of lost requests that are logged, and when.
    losses: Vec<(LossCause, Instant)>,
    calls: u64,
    failures: u64,
    skipped: u64,
    mean_ms: Option<f64>,
    latencies: Latencies,
    usage: Usage,
    /// The shortest time after which the next provider is called in parallel.
    patience: Duration,
    /// Time from which each call in flight is late.
    late_at: Vec<(u64, Instant)>,
    /// Calls it may get in parallel: more while it answers, fewer when it is overloaded.
    concurrency: usize,
    /// Number of the newest call.
    newest_call: u64,
}

/// A pause that the server asked for.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    /// A rate limit is respected; other pauses are cut short where no other provider is left.
    is_rate_limit: bool,
}

/// A provider that the operator has to correct: not called until the next try.
#[derive(Debug)]
struct Disabled {
    why: String,
    until: Instant,
    backoff: Backoff,
}

/// Reasons why a request was lost, as far as the log distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LossCause {
    /// The kind of error, and its HTTP status.
    Error(Discriminant<ProviderError>, Option<u16>),
    Obstacle(Discriminant<Unavailable>),
}

/// Obstacles that a call ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Override {
    Nothing,
    /// Late calls in flight, because no other provider is left.
    Stall,
    /// Late calls, and the limits that the service stated with its last answer: its refusal would
    /// say more.
    StatedLimit,
    /// Late calls, an open breaker, a pause after a server error and a disabled provider, but not
    /// stated limits: an unlikely answer is better than none.
    Breaker,
}

/// Reasons why a provider cannot be called now, with the time until it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// All slots are taken.
    AtCapacity,
    /// A rate limit, its own or a configured one.
    RateLimited(Duration),
    /// The limits that the service stated with its last answer are used up.
    Exhausted(Duration),
    /// The server asked for a pause after an error.
    Resting(Duration),
    /// Another call is late.
    Stalled,
    /// The breaker is open for this time.
    BreakerOpen(Duration),
    /// The breaker is half-open, and its probe is in flight.
    Probing,
    /// A spending limit is reached.
    OverBudget(Duration),
    /// What calls in flight have reserved fills a spending limit.
    Reserved,
    /// The operator has to correct something.
    Disabled(Duration),
}

impl From<SpendDenial> for Unavailable {
    fn from(denial: SpendDenial) -> Self {
        match denial {
            SpendDenial::Spent(wait) => Self::OverBudget(wait),
            SpendDenial::Reserved => Self::Reserved,
        }
    }
}

impl Unavailable {
    /// Returns whether [`Override::Breaker`] ignores it.
    pub(super) fn can_be_forced(self) -> bool {
        matches!(
            self,
            Self::BreakerOpen(_) | Self::Resting(_) | Self::Disabled(_)
        )
    }

    /// Returns whether calls of other commands stand in the way.
    pub(super) fn is_crowd(self) -> bool {
        matches!(self, Self::AtCapacity | Self::Stalled | Self::Reserved)
    }

    /// Returns the time until the provider is available again, where that is known.
    pub(super) fn wait(self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait)
            | Self::Exhausted(wait)
            | Self::Resting(wait)
            | Self::BreakerOpen(wait)
            | Self::OverBudget(wait)
            | Self::Disabled(wait) => Some(wait),
            Self::Reserved => Some(RESERVATION_WAIT),
            Self::AtCapacity | Self::Stalled | Self::Probing => None,
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtCapacity => "at capacity",
            Self::RateLimited(_) => "rate limited",
            Self::Exhausted(_) => "at the limit it stated with its last answer",
            Self::Resting(_) => "resting",
            Self::Stalled => "stalled",
            Self::BreakerOpen(_) => "breaker open",
            Self::Probing => "being probed",
            Self::OverBudget(_) => "over budget",
            Self::Reserved => "at its spending limit with the calls in flight",
            Self::Disabled(_) => "disabled",
        })?;
        match self.wait() {
            Some(wait) => write!(f, " for {:.1} s", wait.as_secs_f64()),
            None => Ok(()),
        }
    }
}

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

/// Permission for one call, with its reservations.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallPermit {
    /// Number of the call at its provider.
    id: u64,
    breaker: BreakerPermit,
    /// Estimated tokens: of the prompt, and the most of the answer.
    estimate: Usage,
    /// Reserved of the tokens per minute.
    pub(super) tokens: u32,
    /// Reserved of the spending limits.
    pub(super) cost: Money,
    /// Number of the call in Redis, once it was reserved there.
    pub(super) shared_call: Option<u64>,
    /// Time after which the call is late.
    pub(super) patience: Duration,
    /// Whether the call probes a provider that kept failing.
    pub(super) is_probe: bool,
}

/// The result of one call, as far as its provider is concerned.
pub(super) struct CallOutcome<'a> {
    /// Token counts by the API; zeros where it did not count.
    pub(super) usage: Usage,
    /// Until the answer, or its first part.
    pub(super) took: Duration,
    /// Reason why there is no answer.
    pub(super) error: Option<&'a ProviderError>,
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

    /// Waits for a slot for a command of `source`.
    pub(super) async fn slot(&self, source: Option<&Source>) -> CallSlot {
        self.slots.take(source).await
    }

    /// Waits until the probe in flight has ended.
    pub(super) async fn probe_end(&self) {
        let mut call_ends = self.call_ends.subscribe();
        while self.state().unavailable(now()) == Some(Unavailable::Probing) {
            // The sender lives in self, so this cannot fail.
            let _ = call_ends.changed().await;
        }
    }

    /// Returns a slot and permission for one call with `prompt`, for a command of `source`.
    pub(super) fn enter(
        &self,
        prompt: &Prompt,
        source: Option<&Source>,
        ignore: Override,
    ) -> Result<(CallSlot, CallPermit), Unavailable> {
        let Some(slot) = self.slots.try_take(source) else {
            let unavailable = self.state().unavailable(now());
            return Err(unavailable.unwrap_or(Unavailable::AtCapacity));
        };
        let permit = self.permit(prompt, ignore)?;
        Ok((slot, permit))
    }

    /// Returns permission for one call, for a slot that was waited for.
    pub(super) fn permit(
        &self,
        prompt: &Prompt,
        ignore: Override,
    ) -> Result<CallPermit, Unavailable> {
        let now = now();
        let max_output = self.settings.max_output_tokens;
        let (input, output) = self.rate_limit.estimate(prompt, max_output);
        let tokens = input.saturating_add(output);
        let mut state = self.state();
        let obstacle = state.unavailable(now);
        match obstacle {
            Some(Unavailable::Stalled) if ignore != Override::Nothing => {}
            Some(obstacle) if obstacle.can_be_forced() && ignore == Override::Breaker => {}
            Some(obstacle) => return Err(obstacle),
            None => {}
        }
        let stated = self.endpoint.limited_for(u64::from(tokens));
        if !stated.is_zero() && ignore != Override::StatedLimit {
            return Err(Unavailable::Exhausted(stated));
        }
        let is_forced = ignore == Override::Breaker;
        let breaker = state.admit(now, is_forced)?;
        if let Err(wait) = self.rate_limit.reserve(tokens, now) {
            state.breaker.settle(breaker, Verdict::Unknown, now, 0.0);
            return Err(Unavailable::RateLimited(wait));
        }
        let estimate = Usage {
            input: input.into(),
            output: output.into(),
            ..Usage::default()
        };
        let cost = self.cost(estimate);
        if let Err(denial) = self.reserve_cost(cost) {
            state.breaker.settle(breaker, Verdict::Unknown, now, 0.0);
            self.rate_limit.release(tokens, now);
            return Err(denial.into());
        }
        let is_half_open = matches!(state.breaker.position(), Position::HalfOpen { .. });
        let is_probe = is_half_open || state.disabled.is_some();
        let usual = state.latencies.patience(state.patience);
        let patience = if is_probe && !is_forced {
            usual.min(PROBE_PATIENCE)
        } else {
            usual
        };
        state.newest_call += 1;
        let id = state.newest_call;
        state.late_at.push((id, now + patience));
        Ok(CallPermit {
            id,
            breaker,
            estimate,
            tokens,
            cost,
            shared_call: None,
            patience,
            is_probe,
        })
    }

    /// Returns the tokens of a call as its rate limits count them.
    fn counted(&self, usage: Usage) -> u64 {
        let input = if self.settings.api.counts_cached {
            usage.input
        } else {
            usage.input.saturating_sub(usage.cached)
        };
        input + usage.output
    }

    /// Returns the cost of tokens; nothing where the prices are not known.
    fn cost(&self, usage: Usage) -> Money {
        self.settings
            .prices
            .map_or(Money(0), |prices| cost(usage, &prices))
    }

    fn reserve_cost(&self, cost: Money) -> Result<(), SpendDenial> {
        // A call that costs nothing is always within the limits.
        if cost == Money(0) {
            return Ok(());
        }
        let now = Moment::now();
        let [own, all] = &self.spend;
        own.reserve(cost, now)?;
        all.reserve(cost, now)
            .inspect_err(|_| own.commit(cost, Money(0), now))
    }

    /// Notes that the first part of an answer came: the call is not late any more.
    pub(super) fn note_first_part(&self, permit: CallPermit) {
        self.state().late_at.retain(|(id, _)| *id != permit.id);
    }

    /// Records a call that was never sent.
    pub(super) fn record_unsent(&self, permit: CallPermit) {
        self.rate_limit.release(permit.tokens, now());
        self.commit_cost(permit, Money(0));
        self.settle_shared(permit, None, Money(0));
        self.end_without_verdict(permit);
    }

    /// Ends a call that shows nothing about the health of the provider.
    fn end_without_verdict(&self, permit: CallPermit) {
        let mut state = self.state();
        state.late_at.retain(|(id, _)| *id != permit.id);
        state
            .breaker
            .settle(permit.breaker, Verdict::Unknown, now(), 0.0);
        drop(state);
        self.call_ends.send_replace(());
    }

    /// Reports the end of a call to Redis: its tokens, if it was made, and its cost.
    fn settle_shared(&self, permit: CallPermit, tokens: Option<u64>, cost: Money) {
        let (Some(redis), Some(call)) = (&self.redis, permit.shared_call) else {
            return;
        };
        redis.settle(Settlement {
            provider: self.name.to_string(),
            call,
            was_made: tokens.is_some(),
            tokens: tokens.unwrap_or_default(),
            cost: cost.0,
        });
    }

    /// Records a call that was abandoned. It may have been sent, and then the provider counts and
    /// bills it.
    pub(super) fn record_abandoned(&self, permit: CallPermit) {
        self.rate_limit
            .settle(permit.tokens, permit.tokens.into(), now());
        self.commit_cost(permit, permit.cost);
        self.settle_shared(permit, Some(permit.tokens.into()), permit.cost);
        self.end_without_verdict(permit);
    }

    fn commit_cost(&self, permit: CallPermit, cost: Money) {
        for limit in &self.spend {
            limit.commit(permit.cost, cost, Moment::now());
        }
    }

    /// Records the result of a call.
    pub(super) fn record(&self, permit: CallPermit, outcome: &CallOutcome<'_>) {
        let now = now();
        let usage = outcome.usage;
        // Where the API does not count, or there was no answer, the reservation is taken as used.
        let mut tokens = u64::from(permit.tokens);
        if usage.is_known() {
            let estimated = u32::try_from(permit.estimate.input).unwrap_or(u32::MAX);
            self.rate_limit.correct(estimated, usage.input);
            tokens = self.counted(usage);
        }
        self.rate_limit.settle(permit.tokens, tokens, now);
        let billed = match outcome.error {
            None => Some(usage.or_reserved(permit.estimate)),
            Some(error) => error.billed(permit.estimate),
        };
        let cost = billed.map_or(Money(0), |billed| self.cost(billed));
        self.commit_cost(permit, cost);
        self.settle_shared(permit, Some(tokens), cost);
        let mut state = self.state();
        state.late_at.retain(|(id, _)| *id != permit.id);
        state.calls += 1;
        state.usage.input += usage.input;
        state.usage.cached += usage.cached;
        state.usage.output += usage.output;
        let verdict = match outcome.error {
            None => {
                self.record_answer(&mut state, outcome.took, now);
                Verdict::Good
            }
            Some(ProviderError::CutOff { .. }) => Verdict::Unknown,
            Some(error) => {
                state.failures += 1;
                state.latencies.fail(outcome.took, now);
                self.record_error(&mut state, error, now)
            }
        };
        let change = state
            .breaker
            .settle(permit.breaker, verdict, now, rand::random());
        drop(state);
        self.announce(change, outcome.error);
    }

    fn record_answer(&self, state: &mut UpstreamState, took: Duration, now: Instant) {
        let ms = took.as_secs_f64() * 1e3;
        state.latencies.add(took, now);
        let mean = state.mean_ms.unwrap_or(ms);
        state.mean_ms = Some(mean * (1.0 - NEWEST) + ms * NEWEST);
        state.last_error = None;
        state.doubt = None;
        let is_recent = |at: Instant| now.saturating_duration_since(at) < LOSS_PAUSE;
        state.losses.retain(|(_, at)| is_recent(*at));
        state.rest = None;
        if state.disabled.take().is_some() {
            info!(provider = &*self.name, "provider is enabled again");
            self.state_changes.send_replace(());
        }
    }

    /// Records an error in the state of the provider.
    fn record_error(
        &self,
        state: &mut UpstreamState,
        error: &ProviderError,
        now: Instant,
    ) -> Verdict {
        let text = error.to_string();
        let is_new = state.last_error.as_ref() != Some(&text);
        state.last_error = Some(text);
        match error.disposition() {
            Disposition::Retry { after } => {
                if let Some(after) = after.filter(|after| !after.is_zero()) {
                    state.rest = Some(Rest {
                        until: now + after,
                        is_rate_limit: false,
                    });
                }
                Verdict::Bad
            }
            Disposition::Unfit => Verdict::Bad,
            Disposition::Rest { rest } => {
                let rest = rest.unwrap_or(USUAL_REST).max(SHORTEST_REST);
                info!(
                    provider = &*self.name,
                    seconds = rest.as_secs_f64(),
                    "provider is rate limited"
                );
                state.rest = Some(Rest {
                    until: now + rest,
                    is_rate_limit: true,
                });
                Verdict::Unknown
            }
            Disposition::Disable => {
                self.disable(state, error, now);
                Verdict::Unknown
            }
            Disposition::Skip | Disposition::Doubt => {
                if is_new {
                    warn!(
                        provider = &*self.name,
                        why = %error,
                        "provider did not accept a request"
                    );
                }
                if error.disposition() == Disposition::Doubt {
                    state.doubt = Some(error.clone());
                }
                Verdict::Good
            }
            Disposition::GiveUp => {
                if is_new {
                    info!(provider = &*self.name, why = %error, "provider refused a request");
                }
                Verdict::Good
            }
        }
    }

    fn disable(&self, state: &mut UpstreamState, error: &ProviderError, now: Instant) {
        // A call that was made before its time, because no other provider is left, does not
        // lengthen it.
        if let Some(disabled) = &mut state.disabled
            && disabled.until > now
        {
            disabled.why = error.to_string();
            return;
        }
        let mut backoff = match state.disabled.take() {
            Some(disabled) => disabled.backoff,
            None => Backoff::new(FIRST_DISABLED, LONGEST_DISABLED),
        };
        let wait = backoff.next_delay();
        warn!(
            provider = &*self.name,
            why = %error,
            seconds = wait.as_secs(),
            "provider is disabled until the next try"
        );
        state.disabled = Some(Disabled {
            why: error.to_string(),
            until: now + wait,
            backoff,
        });
    }

    /// Logs and signals a change.
    fn announce(&self, change: Option<Change>, error: Option<&ProviderError>) {
        self.call_ends.send_replace(());
        let disposition = error.map(ProviderError::disposition);
        let is_visible = matches!(
            disposition,
            Some(Disposition::Rest { .. } | Disposition::Doubt | Disposition::Disable)
        );
        if change.is_some() || is_visible {
            self.state_changes.send_replace(());
        }
        match change {
            Some(Change::Opened(open_for)) => warn!(
                provider = &*self.name,
                why = error.map(tracing::field::display),
                seconds = open_for.as_secs(),
                "provider keeps failing, it is not called for a while"
            ),
            Some(Change::Closed) => info!(provider = &*self.name, "provider works again"),
            None => {}
        }
    }

    /// Logs the error because of which a request is lost.
    pub(super) fn report_error(&self, error: &ProviderError) {
        let status = match error {
            // These are logged when they happen.
            ProviderError::Unusable { .. }
            | ProviderError::Rejected { .. }
            | ProviderError::Truncated { .. } => return,
            ProviderError::ServerError { status, .. } => Some(*status),
            _ => None,
        };
        self.report_loss(LossCause::Error(discriminant(error), status), error);
    }

    /// Logs the obstacle because of which a request is lost.
    pub(super) fn report_obstacle(&self, obstacle: Unavailable) {
        self.report_loss(LossCause::Obstacle(discriminant(&obstacle)), &obstacle);
    }

    /// Logs each cause once until the provider answers again.
    fn report_loss(&self, cause: LossCause, why: &dyn fmt::Display) {
        let mut state = self.state();
        let is_known = state.losses.iter().any(|(known, _)| *known == cause);
        if is_known || state.losses.len() >= MOST_LOSSES {
            return;
        }
        state.losses.push((cause, now()));
        drop(state);
        warn!(provider = &*self.name, %why, "a request failed because no provider answered");
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

    /// Returns the time until it is called with `prompt` where no other provider is left; `None` if
    /// that is now or not known. `may_force` is whether such a call ignores what it can.
    pub(super) fn wait_for(&self, prompt: &Prompt, may_force: bool) -> Option<Duration> {
        if let Some(obstacle) = self.unavailable() {
            let is_forced = may_force && obstacle.can_be_forced();
            return obstacle.wait().filter(|_| !is_forced);
        }
        let max_output = self.settings.max_output_tokens;
        let (input, output) = self.rate_limit.estimate(prompt, max_output);
        let tokens = input.saturating_add(output);
        let stated = self.endpoint.limited_for(u64::from(tokens));
        let wait = stated.max(self.rate_limit.wait_for(tokens, now()));
        (!wait.is_zero()).then_some(wait)
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

    /// Returns the published state.
    pub(super) fn health(&self) -> ProviderHealth {
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

impl UpstreamState {
    fn unavailable(&self, now: Instant) -> Option<Unavailable> {
        if let Some(disabled) = self.disabled.as_ref().filter(|d| d.until > now) {
            return Some(Unavailable::Disabled(disabled.until - now));
        }
        if let Some(rest) = self.rest.filter(|rest| rest.until > now) {
            let wait = rest.until - now;
            return Some(if rest.is_rate_limit {
                Unavailable::RateLimited(wait)
            } else {
                Unavailable::Resting(wait)
            });
        }
        match self.breaker.position() {
            Position::Open { until } if until > now => Some(Unavailable::BreakerOpen(until - now)),
            Position::HalfOpen { probing: true, .. } => Some(Unavailable::Probing),
            _ if self.late_at.iter().any(|(_, at)| *at <= now) => Some(Unavailable::Stalled),
            _ => None,
        }
    }

    fn admit(&mut self, now: Instant, is_forced: bool) -> Result<BreakerPermit, Unavailable> {
        if is_forced {
            return Ok(self.breaker.force());
        }
        self.breaker.admit(now).map_err(|denial| match denial {
            BreakerDenial::Open(until) => Unavailable::BreakerOpen(until - now),
            BreakerDenial::Probing => Unavailable::Probing,
        })
    }
}
