//! The way of one question from provider to provider: in order, each a few times, within the time there is. Whoever is silent
//! for longer than usual is waited for no more than by the way: the next is asked as well, and the first valid answer wins.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::time::{sleep, sleep_until, timeout_at};
use tokio_retry::strategy::ExponentialBackoff;
use tracing::debug;

use crate::clock::now;
use crate::command::reply::Refusal;
use crate::provider::{Disposition, Prompt, ProviderError, Usage};
use crate::router::answer_stream::AnswerStream;
use crate::router::attempt::{ChunkTap, UpstreamCall};
use crate::router::settings::ProviderOrder;
use crate::router::upstream::{CallSlot, Closed, Override, Upstream};
use crate::router::{RoutedAnswer, Router, refusal};
use crate::vocabulary::action::Draft;

/// Kept back for acting on the answer.
const MARGIN: Duration = Duration::from_millis(50);

/// With less than this left nothing is begun any more.
const LEAST: Duration = Duration::from_millis(250);

/// A failure that took so long is not repeated at the same provider while another could be asked.
const SLOW: Duration = Duration::from_secs(2);

/// A longer pause before another attempt is not waited for while another provider could be asked.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// The first pause is drawn from zero to this (full jitter); doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A call on its way.
pub(super) type TriedCall = Pin<Box<dyn Future<Output = CallResult> + Send>>;

/// What came of a call.
pub(super) enum CallResult {
    Answered(Draft, Usage),
    Failed(ProviderError),
    /// It was not made again, for its provider has closed; this was the failure before.
    ShutOut(ProviderError),
}

/// One provider being asked.
struct Attempt {
    lane: Arc<Upstream>,
    /// Left at this provider, the one under way included.
    attempts: u32,
    /// It was waited for. That is not done twice, or a provider that always wants a moment more would be asked for ever.
    waited_for: bool,
    pauses: ExponentialBackoff,
    /// When the call begins: a moment ahead, for one that is tried again.
    begins: Instant,
    /// When its silence is out of the ordinary.
    overdue: Instant,
    /// Another may be asked beside it before its silence is out of the ordinary.
    hedged: bool,
    /// True once a piece of the answer came.
    heard: Arc<AtomicBool>,
    call: TriedCall,
}

/// Waiting for room, or for a rest to end.
type PendingAttempts =
    Pin<Box<dyn Future<Output = Option<(Arc<Upstream>, Option<CallSlot>)>> + Send>>;

enum AttemptEvent {
    Ended(usize, CallResult),
    /// There is room at this provider, or its rest is over.
    Free(Arc<Upstream>, Option<CallSlot>),
    /// Nobody was free in time.
    NobodyFree,
    /// A silence is out of the ordinary from now on.
    Overdue,
}

/// One question under way.
pub(super) struct Failover<'a> {
    ask: &'a Router,
    prompt: Arc<Prompt>,
    end: Instant,
    untried: VecDeque<Arc<Upstream>>,
    legs: Vec<Attempt>,
    waiting: Option<PendingAttempts>,
    /// Providers that could not be asked, and why.
    passed_over: Vec<(Arc<Upstream>, Closed)>,
    /// For how long providers were found to be over a limit.
    limited: Vec<(Arc<Upstream>, Duration)>,
    /// After what time there is something to spend again, at the first of those where there is nothing.
    spent: Option<Duration>,
    last: Option<ProviderError>,
    /// Who speaks while the answer comes, where somebody does.
    voice: Option<Arc<AnswerStream>>,
    /// Names the calls.
    calls: u64,
}

impl<'a> Failover<'a> {
    pub(super) fn new(
        ask: &'a Router,
        prompt: &Prompt,
        end: Instant,
        voice: Option<Arc<AnswerStream>>,
    ) -> Self {
        let untried = ask.in_order();
        let (legs, passed_over, limited) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            ask,
            prompt: Arc::new(prompt.clone()),
            end,
            untried,
            legs,
            waiting: None,
            passed_over,
            limited,
            spent: None,
            last: None,
            voice,
            calls: 0,
        }
    }

    /// Whether there is time for an answer.
    pub(super) fn is_worth_while(&self) -> bool {
        self.left() >= LEAST
    }

    /// Asks until somebody has answered, or nobody is left.
    pub(super) async fn run(mut self) -> Result<RoutedAnswer, Refusal> {
        loop {
            let somebody_may_answer =
                self.waiting.is_some() || self.legs.iter().any(Attempt::may_answer);
            if !somebody_may_answer && !self.ask_next() && self.legs.is_empty() {
                return Err(self
                    .ask
                    .nobody(self.last.as_ref(), &self.limited, self.spent));
            }
            match self.event().await {
                AttemptEvent::Ended(index, called) => {
                    let leg = self.legs.swap_remove(index);
                    if let Some(end) = self.ended(leg, called) {
                        if let Some(voice) = &self.voice {
                            voice.hush();
                        }
                        self.leave();
                        return end;
                    }
                }
                AttemptEvent::Free(lane, slot) => self.take_seat(&lane, slot),
                AttemptEvent::NobodyFree | AttemptEvent::Overdue => {}
            }
        }
    }

    async fn event(&mut self) -> AttemptEvent {
        let now = now();
        let overdue = self
            .legs
            .iter()
            .map(|leg| leg.overdue)
            .filter(|overdue| *overdue > now)
            .min();
        let (legs, waiting) = (&mut self.legs, &mut self.waiting);
        tokio::select! {
            biased;
            (called, index) = ended(legs) => AttemptEvent::Ended(index, called),
            free = async { match waiting { Some(waiting) => waiting.await, None => std::future::pending().await } } => {
                self.waiting = None;
                free.map_or(AttemptEvent::NobodyFree, |(lane, slot)| AttemptEvent::Free(lane, slot))
            }
            () = async { match overdue { Some(at) => sleep_until(at.into()).await, None => std::future::pending().await } } => AttemptEvent::Overdue,
        }
    }

    /// Asks one provider more. False where there is none to ask, or to wait for.
    fn ask_next(&mut self) -> bool {
        if self.left() < LEAST {
            return false;
        }
        while let Some(lane) = self.untried.pop_front() {
            match lane.enter(&self.prompt, Override::Nothing) {
                Ok(turn) => {
                    let because = self.why_next();
                    self.set_out(lane, turn, (because, false));
                    return true;
                }
                Err(closed) => self.pass_over(lane, closed),
            }
        }
        self.wait_for_room() || (self.legs.is_empty() && (self.wait_for_rest() || self.force()))
    }

    fn pass_over(&mut self, lane: Arc<Upstream>, closed: Closed) {
        lane.record().passed_over += 1;
        match closed {
            Closed::Resting(wait) => self.limited.push((Arc::clone(&lane), wait)),
            Closed::Spent(wait) => {
                self.spent = Some(self.spent.map_or(wait, |other| other.min(wait)));
            }
            _ => {}
        }
        self.passed_over.push((lane, closed));
    }

    /// Where providers were passed over only because they were busy, the first that has room is asked; those that answer before those
    /// that are silent.
    fn wait_for_room(&mut self) -> bool {
        for wanted in [Closed::Full, Closed::Silent] {
            // They stay passed over: the first that has room may be over a limit, or fail, and then the others are still there.
            let busy: Vec<Arc<Upstream>> = self
                .passed_over
                .iter()
                .filter(|(_, closed)| *closed == wanted)
                .map(|(lane, _)| Arc::clone(lane))
                .collect();
            if busy.is_empty() {
                continue;
            }
            let latest = tokio::time::Instant::from_std(self.end) - MARGIN - LEAST;
            self.waiting = Some(Box::pin(async move {
                let slots = select_all(busy.iter().map(|lane| Box::pin(lane.slot())));
                let (slot, index, _) = timeout_at(latest, slots).await.ok()?;
                Some((Arc::clone(&busy[index]), Some(slot)))
            }));
            return true;
        }
        false
    }

    /// Where the shortest rest is over soon it is waited for.
    fn wait_for_rest(&mut self) -> bool {
        let resting = |(index, (_, closed)): (usize, &(Arc<Upstream>, Closed))| match closed {
            Closed::Resting(wait) => Some((*wait, index)),
            _ => None,
        };
        let Some((wait, index)) = self
            .passed_over
            .iter()
            .enumerate()
            .filter_map(resting)
            .min()
        else {
            return false;
        };
        if wait > self.ask.settings.longest_pause || wait + LEAST > self.left() {
            return false;
        }
        let (lane, _) = self.passed_over.swap_remove(index);
        self.waiting = Some(Box::pin(async move {
            sleep(wait).await;
            Some((lane, None))
        }));
        true
    }

    /// At the very last the provider whose breaker opens soonest is asked all the same, as far as the budget for retries goes:
    /// when all are down, a crowd at the door keeps them down.
    fn force(&mut self) -> bool {
        let open = self
            .passed_over
            .extract_if(.., |(_, closed)| matches!(closed, Closed::Open(_)));
        let soonest = open.min_by_key(|(_, closed)| {
            if let Closed::Open(wait) = closed {
                *wait
            } else {
                Duration::MAX
            }
        });
        let Some((lane, _)) = soonest.filter(|_| self.ask.may_retry()) else {
            return false;
        };
        let Ok(turn) = lane.enter(&self.prompt, Override::Breaker) else {
            self.ask.did_not_retry();
            return false;
        };
        self.set_out(
            lane,
            turn,
            ("nobody else is left, though its breaker is open", true),
        );
        true
    }

    /// A place has come free, or a rest is over.
    fn take_seat(&mut self, lane: &Arc<Upstream>, slot: Option<CallSlot>) {
        self.passed_over
            .retain(|(other, _)| !Arc::ptr_eq(other, lane));
        let (turn, because) = match slot {
            Some(slot) => (
                lane.enter_with(slot, &self.prompt, Override::Silence),
                "all were busy, and it has room now",
            ),
            None => (
                lane.enter(&self.prompt, Override::Silence),
                "its rest is over",
            ),
        };
        match turn {
            Ok(turn) => self.set_out(Arc::clone(lane), turn, (because, true)),
            // It has closed for another reason meanwhile; whoever is full or silent again has had its chance.
            Err(closed) if !matches!(closed, Closed::Full | Closed::Silent) => {
                self.pass_over(Arc::clone(lane), closed);
            }
            Err(_) => {}
        }
    }

    /// Why the next in order is asked.
    fn why_next(&self) -> &'static str {
        match self.ask.settings.order {
            _ if self.legs.iter().any(|leg| leg.hedged) => "a few are asked of two",
            _ if !self.legs.is_empty() => "the one before is silent for longer than usual",
            _ if self.last.is_some() => "the one before failed",
            _ if !self.passed_over.is_empty() => "those before it cannot be asked now",
            ProviderOrder::Priority => "it is the first in order",
            ProviderOrder::Fastest => "it is the fastest",
        }
    }

    fn set_out(
        &mut self,
        lane: Arc<Upstream>,
        turn: UpstreamCall,
        (because, waited_for): (&str, bool),
    ) {
        let (within, begins) = (self.left(), now());
        let beside = self.legs.first().map(|leg| &*leg.lane.name);
        let passed_over = || {
            self.passed_over
                .iter()
                .map(|(lane, closed)| format!("{} {closed}", lane.name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        debug!(
            provider = &*lane.name,
            because,
            passed_over = (!self.passed_over.is_empty()).then(passed_over),
            beside,
            after = self.last.as_ref().map(tracing::field::display),
            ?within,
            patience = ?turn.patience(),
            on_trial = turn.is_on_trial().then_some(true),
            "asking"
        );
        if beside.is_some() {
            self.ask.counters.provider_failovers.increment();
        }
        let hedge = lane
            .hedge()
            .filter(|hedge| beside.is_none() && *hedge < turn.patience() && self.ask.may_hedge());
        if self.legs.iter().any(|leg| leg.hedged) {
            self.ask.hedged();
        }
        let (overdue, prompt) = (
            begins + hedge.unwrap_or(turn.patience()),
            Arc::clone(&self.prompt),
        );
        let (heard, ear) = self.ear();
        let call = Box::pin(async move { called(turn, &prompt, within, ear).await });
        let (attempts, pauses) = (
            self.ask.settings.attempts.get(),
            backoff(self.ask.settings.longest_pause),
        );
        self.legs.push(Attempt {
            lane,
            attempts,
            waited_for,
            pauses,
            begins,
            overdue,
            hedged: hedge.is_some(),
            heard,
            call,
        });
    }

    /// What to do after a call: end, try again, or leave it at that.
    fn ended(
        &mut self,
        mut leg: Attempt,
        called: CallResult,
    ) -> Option<Result<RoutedAnswer, Refusal>> {
        let error = match called {
            CallResult::Answered(draft, usage) => {
                let (provider, model) = (Arc::clone(&leg.lane.name), Arc::clone(&leg.lane.model));
                return Some(Ok(RoutedAnswer {
                    draft,
                    provider,
                    model,
                    usage,
                }));
            }
            CallResult::ShutOut(error) => {
                self.ask.did_not_retry();
                self.move_on(leg, error);
                return None;
            }
            CallResult::Failed(error) => error,
        };
        if matches!(error, ProviderError::Malformed { .. }) {
            self.ask.counters.invalid_answers.increment();
        }
        let after = match error.disposition() {
            Disposition::Retry { after } => after.unwrap_or_default(),
            Disposition::Next { .. } | Disposition::Bench => {
                self.move_on(leg, error);
                return None;
            }
            Disposition::GiveUp => return Some(Err(refusal(&error))),
        };
        leg.attempts -= 1;
        let pause = after.max(full_jitter(leg.pauses.next().unwrap_or_default()));
        let too_slow = now().saturating_duration_since(leg.begins) >= SLOW || pause > LONG_PAUSE;
        let elsewhere = too_slow && (!self.legs.is_empty() || self.is_anybody_ready());
        if leg.attempts == 0
            || elsewhere
            || leg.lane.is_open()
            || pause + LEAST > self.left()
            || !self.ask.may_retry()
        {
            self.move_on(leg, error);
        } else {
            self.try_again(leg, pause, error);
        }
        None
    }

    fn try_again(&mut self, mut leg: Attempt, pause: Duration, error: ProviderError) {
        debug!(provider = &*leg.lane.name, %error, ?pause, "asking again");
        let (lane, prompt, counters) = (
            Arc::clone(&leg.lane),
            Arc::clone(&self.prompt),
            Arc::clone(&self.ask.counters),
        );
        let within = self.left().saturating_sub(pause);
        let (heard, ear) = self.ear();
        leg.heard = heard;
        leg.begins = now() + pause;
        leg.overdue = leg.begins + self.ask.settings.patience;
        leg.call = Box::pin(async move {
            sleep(pause).await;
            match lane.enter(&prompt, Override::Silence) {
                Ok(turn) => {
                    counters.provider_retries.increment();
                    called(turn, &prompt, within, ear).await
                }
                Err(_) => CallResult::ShutOut(error),
            }
        });
        self.legs.push(leg);
    }

    /// Who listens to the next call.
    fn ear(&mut self) -> (Arc<AtomicBool>, Option<ChunkTap>) {
        self.calls += 1;
        let (call, heard) = (self.calls, Arc::<AtomicBool>::default());
        (
            Arc::clone(&heard),
            self.voice
                .clone()
                .map(|voice| ChunkTap { voice, call, heard }),
        )
    }

    fn move_on(&mut self, leg: Attempt, error: ProviderError) {
        debug!(provider = &*leg.lane.name, %error, "gave up on");
        if self.is_anybody_ready() {
            self.ask.counters.provider_failovers.increment();
        }
        if let Some(wait) = leg.lane.rests_for().filter(|_| !leg.waited_for) {
            self.passed_over.push((leg.lane, Closed::Resting(wait)));
        }
        self.last = Some(error);
    }

    fn is_anybody_ready(&self) -> bool {
        self.untried.iter().any(|lane| lane.is_ready())
    }

    /// Calls that have begun end by themselves.
    fn leave(&mut self) {
        let now = now();
        let under_way = self
            .legs
            .drain(..)
            .filter(|leg| leg.begins <= now)
            .map(|leg| leg.call);
        let mut under_way = under_way.peekable();
        if under_way.peek().is_some() {
            self.ask.leave(under_way);
        }
    }

    /// The time left for asking.
    fn left(&self) -> Duration {
        self.end
            .saturating_duration_since(now())
            .saturating_sub(MARGIN)
    }
}

/// The first call that ends; for ever where there is none.
async fn ended(legs: &mut [Attempt]) -> (CallResult, usize) {
    if legs.is_empty() {
        return std::future::pending().await;
    }
    let (called, index, _) = select_all(legs.iter_mut().map(|leg| &mut leg.call)).await;
    (called, index)
}

async fn called(
    turn: UpstreamCall,
    prompt: &Prompt,
    within: Duration,
    ear: Option<ChunkTap>,
) -> CallResult {
    match turn.ask(prompt, within, ear.as_ref()).await {
        Ok((draft, usage)) => CallResult::Answered(draft, usage),
        Err(error) => {
            if let Some(ear) = ear {
                ear.voice.cut(ear.call);
            }
            CallResult::Failed(error)
        }
    }
}

impl Attempt {
    /// It is not silent for longer than usual, or has begun to answer.
    fn may_answer(&self) -> bool {
        self.overdue > now() || self.heard.load(Ordering::Relaxed)
    }
}

/// 200 ms, 400 ms, 800 ms, ... up to `longest`.
fn backoff(longest: Duration) -> ExponentialBackoff {
    let first = u64::try_from(FIRST_PAUSE.as_millis()).unwrap_or(u64::MAX);
    ExponentialBackoff::from_millis(2)
        .factor(first / 2)
        .max_delay(longest)
}

/// Drawn evenly from zero to `pause`. Source: M. Brooker, "Exponential Backoff And Jitter", AWS 2015.
fn full_jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::random())
}
