//! One provider as the one who asks sees it: whether it may be asked now, what came of it, and how it stands.
//! Every attempt goes through the same door, [`Lane::enter`]; what comes of it is booked when its [`Turn`] ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};
use tracing::{debug, info, warn};

use super::breaker::{Breaker, Change, Pass, Position, Verdict};
use super::quota::{Quota, estimate};
use super::read::read;
use crate::home::action::Draft;
use crate::provider::http::{Endpoint, Trust, Unfit};
use crate::provider::{Disposition, Prompt, ProviderError, Settings, Usage};

/// How long a provider rests that limits us without saying for how long.
const USUAL_REST: Duration = Duration::from_secs(10);

/// The weight of the newest call in the mean time of an answer.
const NEWEST: f64 = 0.2;

/// A provider with its limits and its record.
pub(super) struct Lane {
    pub(super) name: Arc<str>,
    model: String,
    endpoint: Endpoint,
    most_output: u32,
    slots: Semaphore,
    most_at_once: usize,
    quota: Quota,
    record: Mutex<Record>,
}

/// What is known of a provider. Locked for moments only, never while waiting.
#[derive(Debug, Default)]
struct Record {
    breaker: Breaker,
    rests_until: Option<Instant>,
    /// Why it is out until the next start or reload.
    benched: Option<String>,
    last_error: Option<String>,
    calls: u64,
    failures: u64,
    mean_ms: Option<f64>,
    usage: Usage,
}

/// Why a provider cannot be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// As many calls as it takes are on their way.
    Full,
    /// It, or a limit of ours, wants us to wait so long.
    Resting(Duration),
    /// Its breaker is open for so long.
    Open(Duration),
    /// Out until the next start or reload.
    Benched,
}

/// How one provider stands, for `sayso/health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderHealth {
    /// What the operator calls it.
    pub name: String,
    /// Its model.
    pub model: String,
    /// `up`, `resting`, `open`, `half_open` or `out`.
    pub state: &'static str,
    /// What it last failed with, while it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// After how many seconds it is asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
    /// Calls on their way.
    pub in_flight: usize,
    /// Calls since start.
    pub calls: u64,
    /// Of these, without a usable answer.
    pub failures: u64,
    /// The mean time of an answer, newer ones weighing more, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_ms: Option<f64>,
    /// Tokens of all prompts since start.
    pub input_tokens: u64,
    /// Of these, read from the provider's cache.
    pub cached_tokens: u64,
    /// Tokens of all answers since start.
    pub output_tokens: u64,
}

impl Lane {
    pub(super) fn new(settings: &Settings, trust: Trust) -> Result<Self, Unfit> {
        Ok(Self {
            name: settings.name.as_str().into(),
            model: settings.model.clone(),
            endpoint: Endpoint::new(settings, trust)?,
            most_output: settings.max_output_tokens,
            slots: Semaphore::new(settings.concurrency.get()),
            most_at_once: settings.concurrency.get(),
            quota: Quota::new(settings),
            record: Mutex::default(),
        })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave for one call of `prompt`, or why not.
    pub(super) fn enter(&self, prompt: &Prompt) -> Result<Turn<'_>, Closed> {
        match self.slots.try_acquire() {
            Ok(slot) => self.enter_with(slot, prompt, false),
            Err(TryAcquireError::NoPermits) => Err(self.record().closed(now()).unwrap_or(Closed::Full)),
            Err(TryAcquireError::Closed) => Err(Closed::Benched),
        }
    }

    /// The same once there is room.
    pub(super) async fn enter_when_free(&self, prompt: &Prompt) -> Result<Turn<'_>, Closed> {
        let slot = self.slots.acquire().await.map_err(|_| Closed::Benched)?;
        self.enter_with(slot, prompt, false)
    }

    /// The same past an open breaker, where there is nobody else to ask.
    pub(super) fn enter_by_force(&self, prompt: &Prompt) -> Result<Turn<'_>, Closed> {
        let slot = self.slots.try_acquire().map_err(|_| Closed::Full)?;
        self.enter_with(slot, prompt, true)
    }

    fn enter_with<'a>(&'a self, slot: SemaphorePermit<'a>, prompt: &Prompt, force: bool) -> Result<Turn<'a>, Closed> {
        let now = now();
        let tokens = estimate(prompt, self.most_output);
        let mut record = self.record();
        if let Some(closed @ (Closed::Benched | Closed::Resting(_))) = record.closed(now) {
            return Err(closed);
        }
        let told = self.endpoint.limited_for(u64::from(tokens));
        if !told.is_zero() {
            return Err(Closed::Resting(told));
        }
        let pass = if force { record.breaker.force() } else { record.breaker.admit(now).map_err(|until| Closed::Open(until - now))? };
        if let Err(wait) = self.quota.reserve(tokens) {
            record.breaker.settle(pass, Verdict::Unknown, now, 0.0);
            return Err(Closed::Resting(wait));
        }
        Ok(Turn { lane: self, pass, tokens, settled: false, _slot: slot })
    }

    /// Whether it could be asked now, as far as its record tells.
    pub(super) fn is_ready(&self) -> bool {
        self.record().closed(now()).is_none()
    }

    /// After what time it may be asked again; `None` where that is now, or never.
    pub(super) fn closed_for(&self) -> Option<Duration> {
        match self.record().closed(now()) {
            Some(Closed::Resting(wait) | Closed::Open(wait)) => Some(wait),
            Some(Closed::Benched | Closed::Full) | None => None,
        }
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
            Some(Closed::Full) | None if matches!(record.breaker.position(), Position::Closed) => ("up", None),
            Some(Closed::Full) | None => ("half_open", None),
        };
        let why = record.benched.clone().or_else(|| record.last_error.clone()).filter(|_| state != "up");
        ProviderHealth {
            name: self.name.to_string(),
            model: self.model.clone(),
            state,
            why,
            retry_after: wait.map(|wait| (wait.as_secs_f64() * 10.0).ceil() / 10.0),
            in_flight: self.most_at_once.saturating_sub(self.slots.available_permits()),
            calls: record.calls,
            failures: record.failures,
            mean_ms: record.mean_ms.map(f64::round),
            input_tokens: record.usage.input,
            cached_tokens: record.usage.cached,
            output_tokens: record.usage.output,
        }
    }
}

impl Record {
    fn closed(&self, now: Instant) -> Option<Closed> {
        if self.benched.is_some() {
            return Some(Closed::Benched);
        }
        if let Some(until) = self.rests_until.filter(|until| *until > now) {
            return Some(Closed::Resting(until - now));
        }
        match self.breaker.position() {
            Position::Open { until } if until > now => Some(Closed::Open(until - now)),
            Position::Open { .. } | Position::Closed | Position::HalfOpen { .. } => None,
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Leave for one call. Dropped before its end, it counts neither for nor against the provider.
pub(super) struct Turn<'a> {
    lane: &'a Lane,
    pass: Pass,
    /// Reserved of the tokens per minute.
    tokens: u32,
    settled: bool,
    _slot: SemaphorePermit<'a>,
}

impl Turn<'_> {
    /// Makes the call and reads the answer. An answer that cannot be read is the provider's fault.
    pub(super) async fn ask(mut self, prompt: &Prompt, within: Duration) -> Result<(Draft, Usage), ProviderError> {
        let lane = self.lane;
        debug!(provider = &*lane.name, ?within, "asking");
        let begun = now();
        let called = lane.endpoint.call(prompt, within).await;
        let used = called.as_ref().map_or(Usage::default(), |completion| completion.usage);
        let answer = called.and_then(|completion| {
            let draft = read(&completion.body).map_err(|error| ProviderError::Malformed { why: error.to_string() })?;
            Ok((draft, completion.usage))
        });
        self.settled = true;
        self.book(&answer, used, begun);
        answer
    }

    fn book(&self, answer: &Result<(Draft, Usage), ProviderError>, used: Usage, begun: Instant) {
        let (lane, now) = (self.lane, now());
        // Where the API does not count, or there was no answer, what was reserved is taken as used.
        if used.input + used.output > 0 {
            lane.quota.give_back(self.tokens, used.input + used.output);
        }
        let mut record = lane.record();
        record.calls += 1;
        record.usage.input += used.input;
        record.usage.cached += used.cached;
        record.usage.output += used.output;
        let verdict = match answer {
            Ok(_) => {
                let ms = now.saturating_duration_since(begun).as_secs_f64() * 1e3;
                record.mean_ms = Some(record.mean_ms.map_or(ms, |mean| mean * (1.0 - NEWEST) + ms * NEWEST));
                record.last_error = None;
                Verdict::Good
            }
            Err(error) => {
                record.failures += 1;
                record.last_error = Some(error.to_string());
                lane.book_error(&mut record, error, now)
            }
        };
        let change = record.breaker.settle(self.pass, verdict, now, rand::random());
        drop(record);
        match change {
            Some(Change::Opened(open_for)) => {
                let why = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
                warn!(provider = &*lane.name, why, seconds = open_for.as_secs(), "provider keeps failing, left alone for a while");
            }
            Some(Change::Closed) => info!(provider = &*lane.name, "provider works again"),
            None => {}
        }
    }
}

impl Lane {
    fn book_error(&self, record: &mut Record, error: &ProviderError, now: Instant) -> Verdict {
        match error.disposition() {
            Disposition::Retry { after } => {
                record.rests_until = after.map(|after| now + after).or(record.rests_until);
                Verdict::Bad
            }
            Disposition::Next { rest } => {
                let rest = rest.unwrap_or(USUAL_REST);
                if !rest.is_zero() {
                    info!(provider = &*self.name, ?rest, "provider limits us, rests");
                    record.rests_until = Some(now + rest);
                }
                Verdict::Unknown
            }
            Disposition::Bench => {
                if record.benched.is_none() {
                    warn!(provider = &*self.name, why = %error, "provider is out until this is mended and sayso restarted");
                }
                record.benched = Some(error.to_string());
                Verdict::Unknown
            }
            Disposition::GiveUp => Verdict::Good,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.lane.record().breaker.settle(self.pass, Verdict::Unknown, now(), 0.0);
        }
    }
}
