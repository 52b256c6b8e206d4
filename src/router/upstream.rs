//! One provider as the one who asks sees it: whether it may be asked now, what came of it, and how it stands.
//! Every attempt goes through the same door, [`Upstream::enter`]; what comes of it is booked when its [`UpstreamCall`] ends.

use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::clock::now;
use crate::provider::http::{Endpoint, InvalidEndpoint};
use crate::provider::price::{Money, cost};
use crate::provider::{Prompt, Settings, Usage};
use crate::router::RouterShared;
use crate::router::attempt::{CallPermit, UpstreamCall};
use crate::router::breaker::{Breaker, Position, Verdict};
use crate::router::latency::Latencies;
use crate::router::rate_limit::RateLimit;
use crate::router::spend_limit::SpendLimit;
use crate::store::spending::Spending;

/// How long the silence of a provider that is tried again after a fault is waited out: whoever asks must not pay for the trial.
const TRIAL_PATIENCE: Duration = Duration::from_millis(500);

/// Calls a provider is given at the same time before it has shown how many it bears.
const AT_FIRST: usize = 4;

/// A provider with its limits and its record.
pub(super) struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) model: Arc<str>,
    /// As the operator wants it: where nothing of this changes, the lane outlives a reload.
    pub(super) settings: Settings,
    pub(super) endpoint: Endpoint,
    slots: Arc<Semaphore>,
    pub(super) quota: RateLimit,
    /// Its own, and that of all providers.
    pub(super) purses: [Arc<SpendLimit>; 2],
    /// Tells those who show it that how it stands has changed.
    pub(super) standing: Arc<watch::Sender<()>>,
    record: Mutex<UpstreamState>,
}

/// What is known of a provider. Locked for moments only, never while waiting.
#[derive(Debug, Default)]
pub(super) struct UpstreamState {
    pub(super) breaker: Breaker,
    pub(super) rests_until: Option<Instant>,
    /// Why it is out until the next start or reload.
    pub(super) benched: Option<String>,
    pub(super) last_error: Option<String>,
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) passed_over: u64,
    pub(super) mean_ms: Option<f64>,
    pub(super) latencies: Latencies,
    pub(super) usage: Usage,
    /// The shortest silence that is out of the ordinary.
    patience: Duration,
    /// When the silence of each call on its way is out of the ordinary.
    pub(super) overdue: Vec<(u64, Instant)>,
    /// Calls it may be given at the same time: more while it answers, fewer when it is too much for it.
    places: usize,
    /// Names the calls.
    begun: u64,
}

/// A place for one call, taken.
pub(super) type CallSlot = OwnedSemaphorePermit;

/// What does not keep a question away from a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Override {
    Nothing,
    /// That it does not answer others just now: nobody else is left.
    Silence,
    /// Its open breaker too: an improbable answer is better than none.
    Breaker,
}

/// Why a provider cannot be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// As many calls as it takes are on their way.
    Full,
    /// It, or a limit of ours, wants us to wait so long.
    Resting(Duration),
    /// It has left another question without an answer for longer than it ever takes.
    Silent,
    /// Its breaker is open for so long.
    Open(Duration),
    /// What may be spent is spent, for so long.
    Spent(Duration),
    /// Out until the next start or reload.
    Benched,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, wait) = match self {
            Self::Full => ("full", None),
            Self::Silent => ("silent", None),
            Self::Benched => ("out", None),
            Self::Resting(wait) => ("resting", Some(wait)),
            Self::Open(wait) => ("open", Some(wait)),
            Self::Spent(wait) => ("spent", Some(wait)),
        };
        f.write_str(what)?;
        wait.map_or(Ok(()), |wait| write!(f, " for {:.1} s", wait.as_secs_f64()))
    }
}

/// How one provider stands, for `sayso/health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderHealth {
    /// What the operator calls it.
    pub name: String,
    /// Its model.
    pub model: String,
    /// `up`, `silent`, `resting`, `open`, `half_open` or `out`.
    pub state: &'static str,
    /// What it last failed with, while it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// After how many seconds it is asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
    /// Calls on their way.
    pub in_flight: usize,
    /// Calls it may be given at the same time, by what it has shown to bear.
    pub concurrency: usize,
    /// Calls since start.
    pub calls: u64,
    /// Of these, without a usable answer.
    pub failures: u64,
    /// How often another was asked in its place, for it could not be.
    pub passed_over: u64,
    /// The mean time of an answer, newer ones weighing more, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_ms: Option<f64>,
    /// Tokens of all prompts since start.
    pub input_tokens: u64,
    /// Of these, read from the provider's cache.
    pub cached_tokens: u64,
    /// Tokens of all answers since start.
    pub output_tokens: u64,
    /// Dollars spent since midnight in UTC; none where its prices are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_today: Option<f64>,
    /// The same since the first of the month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_this_month: Option<f64>,
}

impl Upstream {
    /// `purses` are its own, and that of all providers.
    pub(super) fn new(
        settings: &Settings,
        patience: Duration,
        purses: [Arc<SpendLimit>; 2],
        lasting: &RouterShared,
    ) -> Result<Self, InvalidEndpoint> {
        let places = settings.concurrency.get().min(AT_FIRST);
        Ok(Self {
            name: settings.name.as_str().into(),
            model: settings.model.as_str().into(),
            settings: settings.clone(),
            endpoint: Endpoint::new(settings, lasting.trust.clone())?,
            slots: Arc::new(Semaphore::new(places)),
            quota: RateLimit::new(settings),
            purses,
            standing: Arc::clone(&lasting.standing),
            record: Mutex::new(UpstreamState {
                patience,
                places,
                ..UpstreamState::default()
            }),
        })
    }

    /// Goes on under what the operator wants now: whatever put it out may have been mended.
    pub(super) fn take_over(&self, patience: Duration) {
        self.purses[0].limit(self.settings.spend);
        let mut record = self.record();
        (record.benched, record.patience) = (None, patience);
    }

    /// Its share, where the one after it is the same model by another key or host, and both have one.
    pub(super) fn share_with(&self, other: &Self) -> bool {
        let (one, other) = (&self.settings, &other.settings);
        one.weight.is_some()
            && other.weight.is_some()
            && one.model == other.model
            && one.api == other.api
    }

    /// Its share among those alike.
    pub(super) fn weight(&self) -> f64 {
        self.settings
            .weight
            .map_or(1.0, |weight| f64::from(weight.get()))
    }

    /// What asking it now costs in time.
    pub(super) fn cost_in_time(&self) -> f64 {
        let record = self.record();
        let under_way = record.places.saturating_sub(self.slots.available_permits());
        record.latencies.cost(under_way, now())
    }

    /// The time within which nearly all its answers came, once that is known well enough.
    pub(super) fn hedge(&self) -> Option<Duration> {
        self.record().latencies.hedge()
    }

    /// It answered while all places were taken: it may have one more. Source: additive increase, as TCP does it.
    pub(super) fn widen(&self) {
        let mut record = self.record();
        if self.slots.available_permits() == 0 && record.places < self.settings.concurrency.get() {
            record.places += 1;
            self.slots.add_permits(1);
        }
    }

    /// It was too much for it: one place less, but never none.
    pub(super) fn narrow(&self, slot: &mut Option<CallSlot>) {
        let mut record = self.record();
        if record.places > 1
            && let Some(slot) = slot.take()
        {
            slot.forget();
            record.places -= 1;
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, UpstreamState> {
        self.record.lock()
    }

    /// Leave for one call of `prompt`, or why not.
    pub(super) fn enter(
        self: &Arc<Self>,
        prompt: &Prompt,
        despite: Override,
    ) -> Result<UpstreamCall, Closed> {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => self.enter_with(slot, prompt, despite),
            Err(_) => Err(self.record().closed(now()).unwrap_or(Closed::Full)),
        }
    }

    /// A place, once there is one.
    pub(super) async fn slot(&self) -> CallSlot {
        Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("the places of a provider are never closed")
    }

    /// The same as [`Upstream::enter`], with a place that was waited for.
    pub(super) fn enter_with(
        self: &Arc<Self>,
        slot: CallSlot,
        prompt: &Prompt,
        despite: Override,
    ) -> Result<UpstreamCall, Closed> {
        let now = now();
        let (input, output) = self.quota.estimate(prompt, self.settings.max_output_tokens);
        let tokens = input.saturating_add(output);
        let mut record = self.record();
        match record.closed(now) {
            Some(Closed::Silent) if despite != Override::Nothing => {}
            Some(Closed::Open(_)) | None => {}
            Some(closed) => return Err(closed),
        }
        let told = self.endpoint.limited_for(u64::from(tokens));
        if !told.is_zero() {
            return Err(Closed::Resting(told));
        }
        let forced = despite == Override::Breaker;
        let pass = if forced {
            record.breaker.force()
        } else {
            record
                .breaker
                .admit(now)
                .map_err(|until| Closed::Open(until - now))?
        };
        if let Err(wait) = self.quota.reserve(tokens, now) {
            record.breaker.settle(pass, Verdict::Unknown, now, 0.0);
            return Err(Closed::Resting(wait));
        }
        let cost = self.cost(Usage {
            input: input.into(),
            output: output.into(),
            ..Usage::default()
        });
        if let Err(wait) = self.hold(cost) {
            record.breaker.settle(pass, Verdict::Unknown, now, 0.0);
            self.quota.give_back(tokens, now);
            return Err(Closed::Spent(wait));
        }
        let usual = record.latencies.patience(record.patience);
        let on_trial = !forced && matches!(record.breaker.position(), Position::HalfOpen { .. });
        let patience = if on_trial {
            usual.min(TRIAL_PATIENCE)
        } else {
            usual
        };
        record.begun += 1;
        let id = record.begun;
        record.overdue.push((id, now + patience));
        drop(record);
        Ok(UpstreamCall::new(
            Arc::clone(self),
            CallPermit {
                id,
                pass,
                input,
                tokens,
                cost,
                patience,
            },
            slot,
        ))
    }

    /// How many tokens its limits take a call for.
    pub(super) fn counted(&self, usage: Usage) -> u64 {
        let input = if self.settings.api.counts_cached() {
            usage.input
        } else {
            usage.input.saturating_sub(usage.cached)
        };
        input + usage.output
    }

    /// What so many tokens cost here; nothing where that is not known.
    pub(super) fn cost(&self, usage: Usage) -> Money {
        self.settings
            .prices
            .map_or(Money(0), |prices| cost(usage, &prices))
    }

    fn hold(&self, cost: Money) -> Result<(), Duration> {
        let at = SystemTime::now();
        let [own, all] = &self.purses;
        // What costs nothing may always be asked.
        if cost == Money(0) {
            return Ok(());
        }
        own.hold(cost, at)?;
        all.hold(cost, at)
            .inspect_err(|_| own.settle(cost, Money(0), at))
    }

    /// A call that `held` was held back for has cost so much.
    pub(super) fn paid(&self, held: Money, cost: Money) {
        for purse in &self.purses {
            purse.settle(held, cost, SystemTime::now());
        }
    }

    /// Keeps on disk what is spent.
    pub(super) fn keep_spending(&self, disk: Option<&Spending>) {
        self.purses[0].keep_in(disk);
    }

    /// Whether it could be asked now, as far as its record tells.
    pub(super) fn is_ready(&self) -> bool {
        self.record().closed(now()).is_none()
    }

    /// After what time it may be asked again; `None` where that is now, or never.
    pub(super) fn closed_for(&self) -> Option<Duration> {
        match self.record().closed(now()) {
            Some(Closed::Resting(wait) | Closed::Open(wait)) => Some(wait),
            Some(Closed::Benched | Closed::Full | Closed::Silent | Closed::Spent(_)) | None => None,
        }
    }

    /// How long it wants to be left alone; `None` where it does not.
    pub(super) fn rests_for(&self) -> Option<Duration> {
        match self.record().closed(now()) {
            Some(Closed::Resting(wait)) => Some(wait),
            _ => None,
        }
    }

    /// True while its breaker is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.record().closed(now()), Some(Closed::Open(_)))
    }

    /// True when it is out until the next start or reload.
    pub(super) fn is_benched(&self) -> bool {
        self.record().benched.is_some()
    }

    /// How it stands.
    pub(super) fn health(&self) -> ProviderHealth {
        let (now, record) = (now(), self.record());
        let (state, wait) = match record.closed(now) {
            Some(Closed::Benched) => ("out", None),
            Some(Closed::Resting(wait)) => ("resting", Some(wait)),
            Some(Closed::Open(wait)) => ("open", Some(wait)),
            Some(Closed::Silent) => ("silent", None),
            Some(Closed::Spent(wait)) => ("spent", Some(wait)),
            Some(Closed::Full) | None if matches!(record.breaker.position(), Position::Closed) => {
                ("up", None)
            }
            Some(Closed::Full) | None => ("half_open", None),
        };
        let why = record
            .benched
            .clone()
            .or_else(|| record.last_error.clone())
            .filter(|_| state != "up");
        ProviderHealth {
            name: self.name.to_string(),
            model: self.model.to_string(),
            state,
            why,
            retry_after: wait.map(|wait| (wait.as_secs_f64() * 10.0).ceil() / 10.0),
            in_flight: record.places.saturating_sub(self.slots.available_permits()),
            concurrency: record.places,
            calls: record.calls,
            failures: record.failures,
            passed_over: record.passed_over,
            mean_ms: record.mean_ms.map(f64::round),
            input_tokens: record.usage.input,
            cached_tokens: record.usage.cached,
            output_tokens: record.usage.output,
            spent_today: self
                .settings
                .prices
                .map(|_| self.purses[0].spent(SystemTime::now()).0.as_dollars()),
            spent_this_month: self
                .settings
                .prices
                .map(|_| self.purses[0].spent(SystemTime::now()).1.as_dollars()),
        }
    }
}

impl UpstreamState {
    fn closed(&self, now: Instant) -> Option<Closed> {
        if self.benched.is_some() {
            return Some(Closed::Benched);
        }
        if let Some(until) = self.rests_until.filter(|until| *until > now) {
            return Some(Closed::Resting(until - now));
        }
        match self.breaker.position() {
            Position::Open { until } if until > now => Some(Closed::Open(until - now)),
            _ if self.overdue.iter().any(|(_, at)| *at <= now) => Some(Closed::Silent),
            Position::Open { .. } | Position::Closed | Position::HalfOpen { .. } => None,
        }
    }
}
