//! Asks the models: in order of priority, each a few times, within the time there is.
//! Who may be asked now is `lane`'s to say; what an error means is the provider's; here is only what to do next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout_at};
use tokio_retry::strategy::ExponentialBackoff;
use tracing::debug;

use super::AskSettings;
use super::budget::Budget;
use super::lane::{Closed, Lane, Turn};
use crate::command::reply::Refusal;
use crate::home::action::Draft;
use crate::provider::http::{Trust, Unfit};
use crate::provider::{Disposition, Prompt, ProviderError, Usage};
use crate::telemetry::tally::Tally;

pub use super::lane::ProviderHealth;

/// Kept back for acting on the answer.
const MARGIN: Duration = Duration::from_millis(50);

/// No attempt is given less, unless less is left: a share too short for any model is a share wasted.
const USEFUL: Duration = Duration::from_secs(2);

/// With less than this left nothing is begun any more.
const LEAST: Duration = Duration::from_millis(250);

/// A failure that took so long is not repeated at the same provider while another could be asked.
const SLOW: Duration = Duration::from_secs(2);

/// The first pause is drawn from zero to this (full jitter); doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a model meant, and who it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was meant, not yet believed.
    pub draft: Draft,
    /// The provider's name.
    pub provider: Arc<str>,
    /// What it cost.
    pub usage: Usage,
}

/// All providers, in order of priority.
pub struct Ask {
    settings: AskSettings,
    lanes: Vec<Lane>,
    budget: Mutex<Budget>,
    tally: Arc<Tally>,
}

/// What came of one provider.
enum Step {
    Answered(Answer),
    /// Somebody else may do better.
    Next(ProviderError),
    /// Nobody will.
    Stop(Refusal),
}

/// One question on its way from provider to provider.
struct Round<'a> {
    ask: &'a Ask,
    prompt: &'a Prompt,
    end: Instant,
    last: Option<ProviderError>,
    /// Providers that could not be asked, and why.
    passed_over: Vec<(&'a Lane, Closed)>,
    /// For how long providers were found to be over a limit.
    waits: Vec<(&'a Lane, Duration)>,
}

impl Ask {
    /// Gets ready to ask; connects to nobody yet.
    ///
    /// # Errors
    /// When a provider's address or key cannot be used.
    pub fn new(settings: AskSettings, tally: Arc<Tally>) -> Result<Self, Unfit> {
        let trust = Trust::default();
        let lanes = settings.providers.iter().map(|provider| Lane::new(provider, trust.clone())).collect::<Result<_, _>>()?;
        Ok(Self { settings, lanes, budget: Mutex::default(), tally })
    }

    /// True where there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How each provider stands.
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.lanes.iter().map(Lane::health).collect()
    }

    /// The first usable answer, before `deadline` and within the time for all attempts.
    ///
    /// # Errors
    /// When nobody gives one in time, or the question itself is at fault.
    pub async fn first(&self, prompt: &Prompt, deadline: Instant) -> Result<Answer, Refusal> {
        if self.is_empty() {
            return Err(Refusal::NoModel);
        }
        let end = deadline.min(now() + self.settings.deadline);
        let mut round = Round { ask: self, prompt, end, last: None, passed_over: Vec::new(), waits: Vec::new() };
        if round.left() < LEAST {
            return Err(Refusal::TooLate);
        }
        self.tally.asked();
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).earn(now());
        match round.everybody().await {
            Some(answer) => answer,
            None => match round.whoever_is_left().await {
                Some(answer) => answer,
                None => Err(round.nobody()),
            },
        }
    }
}

impl<'a> Round<'a> {
    /// Asks everybody who is ready, in order. `None`: nobody answered.
    async fn everybody(&mut self) -> Option<Result<Answer, Refusal>> {
        let ask = self.ask;
        for (index, lane) in ask.lanes.iter().enumerate() {
            if self.left() < LEAST {
                return None;
            }
            match lane.enter(self.prompt) {
                Ok(turn) => {
                    let others = ask.lanes[index + 1..].iter().filter(|other| other.is_ready()).count();
                    if let Some(end) = self.visit(lane, turn, others).await {
                        return Some(end);
                    }
                }
                Err(closed) => {
                    debug!(provider = &*lane.name, ?closed, "passed over");
                    if let Closed::Resting(wait) = closed {
                        self.waits.push((lane, wait));
                    }
                    self.passed_over.push((lane, closed));
                }
            }
        }
        None
    }

    /// Asks those who were passed over, where waiting a little is enough; and at the very last
    /// the one whose breaker opens soonest, for an improbable answer is better than none.
    async fn whoever_is_left(&mut self) -> Option<Result<Answer, Refusal>> {
        let mut passed_over = std::mem::take(&mut self.passed_over);
        passed_over.sort_by_key(|(_, closed)| match *closed {
            Closed::Full => (0, Duration::ZERO),
            Closed::Resting(wait) => (1, wait),
            Closed::Open(wait) => (2, wait),
            Closed::Benched => (3, Duration::ZERO),
        });
        for (lane, closed) in passed_over {
            let Some(turn) = self.second_chance(lane, closed).await else { continue };
            if let Some(end) = self.visit(lane, turn, 0).await {
                return Some(end);
            }
            if matches!(closed, Closed::Open(_)) {
                return None;
            }
        }
        None
    }

    async fn second_chance(&self, lane: &'a Lane, closed: Closed) -> Option<Turn<'a>> {
        match closed {
            Closed::Full => {
                let latest = tokio::time::Instant::from_std(self.end) - MARGIN - LEAST;
                timeout_at(latest, lane.enter_when_free(self.prompt)).await.ok()?.ok()
            }
            Closed::Resting(wait) if wait <= self.ask.settings.longest_pause && wait + LEAST < self.left() => {
                sleep(wait).await;
                lane.enter(self.prompt).ok()
            }
            Closed::Open(_) if self.left() >= LEAST => lane.enter_by_force(self.prompt).ok(),
            Closed::Open(_) | Closed::Resting(_) | Closed::Benched => None,
        }
    }

    async fn visit(&mut self, lane: &'a Lane, turn: Turn<'a>, others: usize) -> Option<Result<Answer, Refusal>> {
        match self.at(lane, turn, others).await {
            Step::Answered(answer) => Some(Ok(answer)),
            Step::Stop(refusal) => Some(Err(refusal)),
            Step::Next(error) => {
                debug!(provider = &*lane.name, %error, "gave up on");
                if others > 0 {
                    self.ask.tally.failed_over();
                }
                if let (Disposition::Next { .. }, Some(wait)) = (error.disposition(), lane.closed_for()) {
                    self.passed_over.push((lane, Closed::Resting(wait)));
                }
                self.last = Some(error);
                None
            }
        }
    }

    /// Asks one provider until it answers, its attempts are used up, or another should be asked.
    async fn at(&self, lane: &'a Lane, mut turn: Turn<'a>, others: usize) -> Step {
        let settings = &self.ask.settings;
        let mut pauses = backoff(settings.longest_pause);
        let mut attempts = settings.attempts.get();
        loop {
            let begun = now();
            let error = match turn.ask(self.prompt, self.share(attempts, others)).await {
                Ok((draft, usage)) => return Step::Answered(Answer { draft, provider: Arc::clone(&lane.name), usage }),
                Err(error) => error,
            };
            attempts -= 1;
            if matches!(error, ProviderError::Malformed { .. }) {
                self.ask.tally.misread();
            }
            let after = match error.disposition() {
                Disposition::Retry { after } => after.unwrap_or_default(),
                Disposition::Next { .. } | Disposition::Bench => return Step::Next(error),
                Disposition::GiveUp => return Step::Stop(refusal(&error)),
            };
            let pause = after.max(full_jitter(pauses.next().unwrap_or_default()));
            let slow = others > 0 && now().saturating_duration_since(begun) >= SLOW;
            if attempts == 0 || slow || pause + LEAST > self.left() || !self.may_retry() {
                return Step::Next(error);
            }
            sleep(pause).await;
            turn = match lane.enter(self.prompt) {
                Ok(turn) => turn,
                Err(_) => return Step::Next(error),
            };
            self.ask.tally.retried();
        }
    }

    fn may_retry(&self) -> bool {
        self.ask.budget.lock().unwrap_or_else(PoisonError::into_inner).spend(now())
    }

    /// The time left for asking.
    fn left(&self) -> Duration {
        self.end.saturating_duration_since(now()).saturating_sub(MARGIN)
    }

    /// The time one attempt may take, so that the others still have theirs.
    fn share(&self, attempts_here: u32, others: usize) -> Duration {
        let shares = attempts_here.saturating_add(u32::try_from(others).unwrap_or(u32::MAX)).max(1);
        (self.left() / shares).max(USEFUL.min(self.left()))
    }

    fn nobody(self) -> Refusal {
        let all_out = self.ask.lanes.iter().all(Lane::is_benched);
        let nobody_asked = if all_out { "every provider is out, see the log" } else { "every provider is resting" };
        let why = self.last.as_ref().map_or_else(|| nobody_asked.to_owned(), ToString::to_string);
        if let Some(error @ (ProviderError::Malformed { .. } | ProviderError::Truncated)) = &self.last {
            return refusal(error);
        }
        let limited = |lane: &Lane| self.waits.iter().find(|(other, _)| std::ptr::eq(*other, lane)).map(|(_, wait)| *wait);
        let usable = self.ask.lanes.iter().filter(|lane| !lane.is_benched());
        // None as soon as one of them could be asked again at once.
        let waits: Option<Vec<Duration>> = usable.map(|lane| lane.closed_for().or_else(|| limited(lane))).collect();
        Refusal::NobodyAnswered { why, retry_after: waits.and_then(|waits| waits.into_iter().min()) }
    }
}

fn refusal(error: &ProviderError) -> Refusal {
    match error {
        ProviderError::Declined => Refusal::Declined,
        other => Refusal::NotUnderstood { why: other.to_string() },
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// 200 ms, 400 ms, 800 ms, ... up to `longest`.
fn backoff(longest: Duration) -> ExponentialBackoff {
    let first = u64::try_from(FIRST_PAUSE.as_millis()).unwrap_or(u64::MAX);
    ExponentialBackoff::from_millis(2).factor(first / 2).max_delay(longest)
}

/// Drawn evenly from zero to `pause`. Source: M. Brooker, "Exponential Backoff And Jitter", AWS 2015.
fn full_jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::random())
}
