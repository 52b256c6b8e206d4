//! The path of one request from provider to provider: in order, each a few times, within the
//! deadline. When a provider exceeds its usual latency, the next one is called in parallel; the
//! first usable answer wins. A request fails only when every provider was called, a model declined,
//! or time ran out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::time::{sleep, sleep_until, timeout_at};
use tracing::debug;

use crate::backoff::Backoff;
use crate::clock::now;
use crate::command::Source;
use crate::command::reply::Refusal;
use crate::provider::{Disposition, Prompt, ProviderError};
use crate::router::answer::{Requester, RoutedAnswer, refusal_of};
use crate::router::answer_stream::AnswerStream;
use crate::router::attempt::{CallTime, ChunkTap, ReadAnswer, ReadCompletion, UpstreamCall};
use crate::router::settings::{ProviderOrder, RouterSettings};
use crate::router::shared::RouterShared;
use crate::router::slots::CallSlot;
use crate::router::unavailable::{Override, Unavailable};
use crate::router::upstream::Upstream;

/// Time kept for publishing the answer.
const MARGIN: Duration = Duration::from_millis(50);

/// With less time left no call is made.
const SHORTEST_CALL: Duration = Duration::from_millis(250);

/// The shortest time after which a command that found all slots taken is to be repeated.
const SHORTEST_BUSY: Duration = Duration::from_secs(1);

/// Duration from which a failed call is not repeated at the same provider while another is
/// available.
const SLOW_FAILURE: Duration = Duration::from_secs(2);

/// A longer pause before another attempt is not waited for while another provider is available.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// The first pause is drawn from zero to this, and doubles for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A call in flight.
type CallFuture<T> = Pin<Box<dyn Future<Output = CallResult<T>> + Send>>;

/// The end of a call, with the reason where it was not made or not repeated.
enum CallResult<T> {
    Answered(ReadCompletion<T>),
    Failed(ProviderError),
    /// The call was not repeated, because its provider is not available any more; this was the
    /// failure before.
    NotRepeated(ProviderError),
    /// The call was not made, because the limits of all nodes together do not allow it.
    Denied(Unavailable),
}

/// The calls of one request to one provider, of which one is in flight.
struct ProviderCalls<T> {
    upstream: Arc<Upstream>,
    /// Attempts left at this provider, the one in flight included.
    attempts_left: u32,
    /// The provider's rest was waited for. That happens once, or a provider that always asks for a
    /// moment more would be called for ever.
    was_waited_for: bool,
    backoff: Backoff,
    /// Time at which the call begins: in the future, for one that is repeated after a pause.
    begins: Instant,
    /// Time from which the call is late, and the next provider is called in parallel.
    late_at: Instant,
    /// The next provider may be called before the call is late.
    is_hedged: bool,
    /// Set once a part of the answer came.
    has_begun: Arc<AtomicBool>,
    call: CallFuture<T>,
}

impl<T> ProviderCalls<T> {
    /// Returns whether the call is not late, or its answer has begun.
    fn may_answer(&self) -> bool {
        self.late_at > now() || self.has_begun.load(Ordering::Relaxed)
    }
}

/// A wait for a slot, for the end of a probe or for the end of a rest.
type PendingCall = Pin<Box<dyn Future<Output = Option<(Arc<Upstream>, Option<CallSlot>)>> + Send>>;

enum CallEvent<T> {
    Ended(usize, CallResult<T>),
    /// There is a slot at this provider, or its rest or probe has ended.
    Free(Arc<Upstream>, Option<CallSlot>),
    /// No provider became free in time.
    NoneFree,
    /// A call became late.
    Late,
}

/// Reason why a provider is called, for the log.
#[derive(Clone, Copy)]
struct Reason {
    text: &'static str,
    was_waited_for: bool,
}

/// The parts of the router that a request needs.
#[derive(Clone, Copy)]
pub(super) struct RouterParts<'a> {
    pub(super) settings: &'a RouterSettings,
    pub(super) shared: &'a RouterShared,
}

/// One request under way.
pub(super) struct Failover<'a, T> {
    parts: RouterParts<'a>,
    prompt: Arc<Prompt>,
    read: ReadAnswer<T>,
    end: Instant,
    untried: VecDeque<Arc<Upstream>>,
    in_progress: Vec<ProviderCalls<T>>,
    pending: Option<PendingCall>,
    /// Providers that were not available, and why.
    skipped: Vec<(Arc<Upstream>, Unavailable)>,
    /// Providers that were given up, and why, in order.
    errors: Vec<(Arc<Upstream>, ProviderError)>,
    /// A provider was called beyond the limits it stated.
    has_exceeded: bool,
    /// Receives the answer while it comes, where it is published in parts.
    stream: Option<Arc<AnswerStream>>,
    /// The sender of the command, with whom slots are shared fairly.
    source: Option<Source>,
    /// Number of the newest call.
    newest_call: u64,
}

impl<'a, T: Send + 'static> Failover<'a, T> {
    pub(super) fn new(
        parts: RouterParts<'a>,
        order: VecDeque<Arc<Upstream>>,
        prompt: &Prompt,
        end: Instant,
        read: ReadAnswer<T>,
    ) -> Self {
        Self {
            parts,
            prompt: Arc::new(prompt.clone()),
            read,
            end,
            untried: order,
            in_progress: Vec::new(),
            pending: None,
            skipped: Vec::new(),
            errors: Vec::new(),
            has_exceeded: false,
            stream: None,
            source: None,
            newest_call: 0,
        }
    }

    /// Passes the spoken part of answers to the stream of `requester` while they come, and waits
    /// for slots in its place.
    pub(super) fn on_behalf_of(mut self, requester: Requester) -> Self {
        self.stream = requester.stream;
        self.source = requester.source;
        self
    }

    /// Returns whether there is time for another call.
    pub(super) fn has_time(&self) -> bool {
        self.time_left() >= SHORTEST_CALL
    }

    /// Calls providers until one has answered or none is left.
    pub(super) async fn run(mut self) -> Result<RoutedAnswer<T>, Refusal> {
        loop {
            let may_get_answer =
                self.pending.is_some() || self.in_progress.iter().any(ProviderCalls::may_answer);
            if !may_get_answer && !self.call_next() && self.in_progress.is_empty() {
                self.report();
                return Err(self.failure());
            }
            match self.event().await {
                CallEvent::Ended(index, result) => {
                    let calls = self.in_progress.swap_remove(index);
                    if let Some(end) = self.handle_end(calls, result) {
                        if let Some(stream) = &self.stream {
                            stream.seal();
                        }
                        self.leave_late_calls();
                        return end;
                    }
                }
                CallEvent::Free(upstream, slot) => self.call_free(&upstream, slot),
                CallEvent::NoneFree | CallEvent::Late => {}
            }
        }
    }

    async fn event(&mut self) -> CallEvent<T> {
        let now = now();
        let late_times = self.in_progress.iter().map(|calls| calls.late_at);
        let late_at = late_times.filter(|at| *at > now).min();
        let in_progress = &mut self.in_progress;
        let pending = &mut self.pending;
        let free = async {
            match pending {
                Some(pending) => pending.await,
                None => std::future::pending().await,
            }
        };
        let late = async {
            match late_at {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            (result, index) = first_end(in_progress) => CallEvent::Ended(index, result),
            free = free => {
                self.pending = None;
                match free {
                    Some((upstream, slot)) => CallEvent::Free(upstream, slot),
                    None => CallEvent::NoneFree,
                }
            }
            () = late => CallEvent::Late,
        }
    }

    /// Calls one more provider. False where there is none to call or to wait for.
    fn call_next(&mut self) -> bool {
        if !self.has_time() {
            return false;
        }
        while let Some(upstream) = self.next_untried() {
            match upstream.enter(&self.prompt, self.source.as_ref(), Override::Nothing) {
                Ok((slot, permit)) => {
                    let reason = self.reason();
                    let call = UpstreamCall::new(Arc::clone(&upstream), slot, permit);
                    self.start(upstream, call, reason);
                    return true;
                }
                Err(obstacle) => self.skip(upstream, obstacle),
            }
        }
        if self.wait_for_slot() {
            return true;
        }
        let short_rest = self.parts.settings.longest_pause;
        self.in_progress.is_empty()
            && (self.wait_for_rest(short_rest)
                || self.force()
                || self.wait_for_rest(self.time_left())
                || self.exceed_stated_limit())
    }

    /// Takes the next provider that usually answers in the time left. One that needs more is called
    /// only where no other is left or in flight.
    fn next_untried(&mut self) -> Option<Arc<Upstream>> {
        let time_left = self.time_left();
        let is_quick = |upstream: &Arc<Upstream>| {
            let typical = upstream.typical_latency();
            typical.is_none_or(|typical| typical <= time_left)
        };
        match self.untried.iter().position(is_quick) {
            Some(index) => self.untried.remove(index),
            None if self.in_progress.is_empty() => self.untried.pop_front(),
            None => None,
        }
    }

    fn skip(&mut self, upstream: Arc<Upstream>, obstacle: Unavailable) {
        upstream.count_skipped();
        self.skipped.push((upstream, obstacle));
    }

    /// Starts to wait for the first free provider, where providers were skipped because they were
    /// busy or being probed; stalled ones are waited for only if there are no others. Returns
    /// whether there is any to wait for.
    fn wait_for_slot(&mut self) -> bool {
        let is_busy = |obstacle: Unavailable| {
            matches!(obstacle, Unavailable::AtCapacity | Unavailable::Probing)
        };
        let is_stalled = |obstacle: Unavailable| obstacle == Unavailable::Stalled;
        let mut candidates = self.skipped_where(is_busy);
        if candidates.is_empty() {
            candidates = self.skipped_where(is_stalled);
        }
        if candidates.is_empty() {
            return false;
        }
        // They stay skipped: the first that is free may be over a limit or fail, and then the
        // others are still there.
        let latest = tokio::time::Instant::from_std(self.end) - MARGIN - SHORTEST_CALL;
        let source = self.source.clone();
        self.pending = Some(Box::pin(async move {
            let waits = candidates.into_iter().map(|(upstream, obstacle)| {
                let source = source.clone();
                Box::pin(async move {
                    if obstacle == Unavailable::Probing {
                        upstream.probe_end().await;
                        return (upstream, None);
                    }
                    let slot = upstream.slot(source.as_ref()).await;
                    (upstream, Some(slot))
                })
            });
            let (free, _, _) = timeout_at(latest, select_all(waits)).await.ok()?;
            Some(free)
        }));
        true
    }

    fn skipped_where(
        &self,
        matches: impl Fn(Unavailable) -> bool,
    ) -> Vec<(Arc<Upstream>, Unavailable)> {
        self.skipped
            .iter()
            .filter(|(_, obstacle)| matches(*obstacle))
            .cloned()
            .collect()
    }

    /// Waits for the shortest rate limit to end, where that is within `longest` and in time.
    fn wait_for_rest(&mut self, longest: Duration) -> bool {
        let rests = self.skipped.iter().enumerate();
        let rests = rests.filter_map(|(index, (_, obstacle))| match obstacle {
            Unavailable::RateLimited(_) | Unavailable::Exhausted(_) | Unavailable::Reserved => {
                Some((obstacle.wait()?, index))
            }
            _ => None,
        });
        let Some((wait, index)) = rests.min() else {
            return false;
        };
        if wait > longest || wait + SHORTEST_CALL > self.time_left() {
            return false;
        }
        let (upstream, _) = self.skipped.swap_remove(index);
        self.pending = Some(Box::pin(async move {
            sleep(wait).await;
            Some((upstream, None))
        }));
        true
    }

    /// Calls the provider that would be available soonest although it is not, as far as the retry
    /// budget goes: when all are down, a crowd of requests keeps them down.
    fn force(&mut self) -> bool {
        let forcible = self.skipped.iter().enumerate();
        let forcible = forcible.filter(|(_, (_, obstacle))| obstacle.can_be_forced());
        let soonest = forcible.min_by_key(|(_, (_, obstacle))| obstacle.wait());
        let Some(index) = soonest.map(|(index, _)| index) else {
            return false;
        };
        if !self.parts.shared.may_retry() {
            return false;
        }
        let reason = Reason {
            text: "no other provider is left, although this one is not available",
            was_waited_for: true,
        };
        let Err(obstacle) = self.call_skipped(index, Override::Breaker, reason) else {
            return true;
        };
        self.parts.shared.refund_retry();
        // Another request probes it now, or its limits do not allow the call.
        !obstacle.can_be_forced() && self.wait_for_slot()
    }

    /// Calls the skipped provider at this index in spite of its obstacle.
    ///
    /// # Errors
    /// With another obstacle, for which it is skipped again.
    fn call_skipped(
        &mut self,
        index: usize,
        ignored: Override,
        reason: Reason,
    ) -> Result<(), Unavailable> {
        let (upstream, _) = self.skipped.swap_remove(index);
        match upstream.enter(&self.prompt, self.source.as_ref(), ignored) {
            Ok((slot, permit)) => {
                let call = UpstreamCall::new(Arc::clone(&upstream), slot, permit);
                self.start(upstream, call, reason);
                Ok(())
            }
            Err(obstacle) => {
                self.skipped.push((upstream, obstacle));
                Err(obstacle)
            }
        }
    }

    /// Calls the provider whose stated limits are free soonest although they are used up, once in a
    /// request: they were true when the last answer came, and a refusal now says more.
    fn exceed_stated_limit(&mut self) -> bool {
        let exhausted = self.skipped.iter().enumerate();
        let exhausted = exhausted.filter_map(|(index, (_, obstacle))| match obstacle {
            Unavailable::Exhausted(wait) => Some((*wait, index)),
            _ => None,
        });
        let Some((_, index)) = exhausted.min().filter(|_| !self.has_exceeded) else {
            return false;
        };
        self.has_exceeded = true;
        let reason = Reason {
            text: "no other provider is left, although its stated limit is used up",
            was_waited_for: false,
        };
        let called = self.call_skipped(index, Override::StatedLimit, reason);
        called.is_ok() || self.wait_for_slot()
    }

    /// Calls a provider that has a slot now, or whose rest or probe has ended.
    fn call_free(&mut self, upstream: &Arc<Upstream>, slot: Option<CallSlot>) {
        self.skipped
            .retain(|(other, _)| !Arc::ptr_eq(other, upstream));
        let (permitted, text) = match slot {
            Some(slot) => {
                let permit = upstream.permit(&self.prompt, Override::Stall);
                (permit.map(|permit| (slot, permit)), "it has a slot now")
            }
            None => (
                upstream.enter(&self.prompt, self.source.as_ref(), Override::Stall),
                "its rest or probe has ended",
            ),
        };
        match permitted {
            Ok((slot, permit)) => {
                let call = UpstreamCall::new(Arc::clone(upstream), slot, permit);
                let reason = Reason {
                    text,
                    was_waited_for: true,
                };
                self.start(Arc::clone(upstream), call, reason);
            }
            Err(obstacle) => self.skip(Arc::clone(upstream), obstacle),
        }
    }

    /// Returns why the next provider in order is called.
    fn reason(&self) -> Reason {
        let text = if self.in_progress.iter().any(|calls| calls.is_hedged) {
            "hedged"
        } else if !self.in_progress.is_empty() {
            "the provider before it is late"
        } else if !self.errors.is_empty() {
            "the provider before it failed"
        } else if !self.skipped.is_empty() {
            "the providers before it are not available"
        } else {
            match self.parts.settings.order {
                ProviderOrder::Priority => "first in order",
                ProviderOrder::Fastest => "fastest",
            }
        };
        Reason {
            text,
            was_waited_for: false,
        }
    }

    fn start(&mut self, upstream: Arc<Upstream>, call: UpstreamCall, reason: Reason) {
        let time = self.call_time(Duration::ZERO);
        let begins = now();
        let permit = call.permit();
        self.log_start(&upstream, &call, &reason);
        let is_parallel = !self.in_progress.is_empty();
        if is_parallel {
            self.parts.shared.counters.provider_failovers.increment();
        }
        if self.in_progress.iter().any(|calls| calls.is_hedged) {
            self.parts.shared.count_hedge();
        }
        let hedge_after = upstream.hedge_after().filter(|after| {
            let is_enabled = self.parts.settings.hedge && !is_parallel;
            is_enabled && *after < permit.patience && self.parts.shared.may_hedge()
        });
        let prompt = Arc::clone(&self.prompt);
        let read = self.read;
        let (has_begun, tap) = self.tap();
        let call = Box::pin(async move { make(call, &prompt, time, tap, read).await });
        self.in_progress.push(ProviderCalls {
            upstream,
            attempts_left: self.parts.settings.attempts.get(),
            was_waited_for: reason.was_waited_for,
            backoff: Backoff::new(FIRST_PAUSE, self.parts.settings.longest_pause),
            begins,
            late_at: begins + hedge_after.unwrap_or(permit.patience),
            is_hedged: hedge_after.is_some(),
            has_begun,
            call,
        });
    }

    fn log_start(&self, upstream: &Upstream, call: &UpstreamCall, reason: &Reason) {
        let skipped = || {
            let skipped = self.skipped.iter();
            let lines: Vec<String> = skipped
                .map(|(upstream, obstacle)| format!("{} {obstacle}", upstream.name))
                .collect();
            lines.join(", ")
        };
        let permit = call.permit();
        debug!(
            provider = &*upstream.name,
            because = reason.text,
            skipped = (!self.skipped.is_empty()).then(skipped),
            beside = self.in_progress.first().map(|first| &*first.upstream.name),
            after = self.last_error().map(tracing::field::display),
            within = ?self.time_left(),
            patience = ?permit.patience,
            probe = permit.is_probe.then_some(true),
            "calling provider"
        );
    }

    /// Ends the request, repeats the call, or gives the provider up.
    fn handle_end(
        &mut self,
        mut calls: ProviderCalls<T>,
        result: CallResult<T>,
    ) -> Option<Result<RoutedAnswer<T>, Refusal>> {
        let error = match result {
            CallResult::Answered(ReadCompletion { answer, usage }) => {
                return Some(Ok(RoutedAnswer {
                    answer,
                    provider: Arc::clone(&calls.upstream.name),
                    origin: Arc::clone(&calls.upstream.draft_origin),
                    usage,
                    trusted: calls.upstream.settings.trusted,
                    is_small: calls.upstream.settings.is_small,
                }));
            }
            CallResult::NotRepeated(error) => {
                self.parts.shared.refund_retry();
                self.give_up(calls, error);
                return None;
            }
            CallResult::Denied(obstacle) => {
                self.skip(calls.upstream, obstacle);
                return None;
            }
            CallResult::Failed(error) => error,
        };
        if matches!(error, ProviderError::Malformed { .. }) {
            self.parts.shared.counters.invalid_answers.increment();
        }
        let after = match error.disposition() {
            Disposition::Retry { after } => after.unwrap_or_default(),
            Disposition::GiveUp => return Some(Err(refusal_of(&error))),
            Disposition::Rest { .. }
            | Disposition::Unfit
            | Disposition::Skip
            | Disposition::Doubt
            | Disposition::Disable => {
                self.give_up(calls, error);
                return None;
            }
        };
        calls.attempts_left -= 1;
        let pause = after.max(calls.backoff.next_jittered());
        if self.should_repeat(&calls, pause) && self.parts.shared.may_retry() {
            self.repeat(calls, pause, error);
        } else {
            self.give_up(calls, error);
        }
        None
    }

    fn should_repeat(&self, calls: &ProviderCalls<T>, pause: Duration) -> bool {
        let took = now().saturating_duration_since(calls.begins);
        let is_slow = took >= SLOW_FAILURE || pause > LONG_PAUSE;
        let has_other = !self.in_progress.is_empty() || self.is_any_available();
        let is_open = matches!(
            calls.upstream.unavailable(),
            Some(Unavailable::BreakerOpen(_))
        );
        calls.attempts_left > 0
            && !(is_slow && has_other)
            && !is_open
            && pause + SHORTEST_CALL <= self.time_left()
    }

    fn repeat(&mut self, mut calls: ProviderCalls<T>, pause: Duration, error: ProviderError) {
        debug!(provider = &*calls.upstream.name, %error, ?pause, "calling provider again");
        let upstream = Arc::clone(&calls.upstream);
        let prompt = Arc::clone(&self.prompt);
        let counters = Arc::clone(&self.parts.shared.counters);
        let time = self.call_time(pause);
        let read = self.read;
        let source = self.source.clone();
        let (has_begun, tap) = self.tap();
        calls.has_begun = has_begun;
        calls.begins = now() + pause;
        calls.late_at = calls.begins + self.parts.settings.patience;
        calls.call = Box::pin(async move {
            sleep(pause).await;
            match upstream.enter(&prompt, source.as_ref(), Override::Stall) {
                Ok((slot, permit)) => {
                    counters.provider_retries.increment();
                    let call = UpstreamCall::new(upstream, slot, permit);
                    make(call, &prompt, time, tap, read).await
                }
                Err(_) => CallResult::NotRepeated(error),
            }
        });
        self.in_progress.push(calls);
    }

    /// Returns the receiver of the next call's parts, and the flag it sets.
    fn tap(&mut self) -> (Arc<AtomicBool>, Option<ChunkTap>) {
        self.newest_call += 1;
        let has_begun = Arc::<AtomicBool>::default();
        let tap = self.stream.clone().map(|stream| ChunkTap {
            stream,
            call: self.newest_call,
            has_begun: Arc::clone(&has_begun),
        });
        (has_begun, tap)
    }

    fn give_up(&mut self, calls: ProviderCalls<T>, error: ProviderError) {
        debug!(provider = &*calls.upstream.name, %error, "provider given up for this request");
        if self.is_any_available() {
            self.parts.shared.counters.provider_failovers.increment();
        }
        let obstacle = calls.upstream.unavailable();
        if let Some(limit @ Unavailable::RateLimited(_)) = obstacle
            && !calls.was_waited_for
        {
            self.skipped.push((Arc::clone(&calls.upstream), limit));
        }
        self.errors.push((calls.upstream, error));
    }

    fn last_error(&self) -> Option<&ProviderError> {
        self.errors.last().map(|(_, error)| error)
    }

    fn is_any_available(&self) -> bool {
        self.untried
            .iter()
            .any(|upstream| upstream.unavailable().is_none())
    }

    /// Lets calls that have begun end by themselves.
    fn leave_late_calls(&mut self) {
        let now = now();
        let begun = self.in_progress.drain(..).filter(|call| call.begins <= now);
        let calls: Vec<_> = begun
            .map(|calls| async move { drop(calls.call.await) })
            .collect();
        self.parts.shared.finish_in_background(calls);
    }

    /// Returns the time left for calls.
    fn time_left(&self) -> Duration {
        self.end
            .saturating_duration_since(now())
            .saturating_sub(MARGIN)
    }

    /// Returns the time limits of a call that begins after `pause`.
    fn call_time(&self, pause: Duration) -> CallTime {
        let deadline = self.parts.settings.deadline;
        CallTime {
            within: self.time_left().saturating_sub(pause),
            longest: deadline.saturating_sub(MARGIN + SHORTEST_CALL),
        }
    }

    /// Logs why no provider answered: the errors, or without any the obstacles.
    fn report(&self) {
        for (upstream, error) in &self.errors {
            upstream.report_error(error);
        }
        if self.errors.is_empty() {
            for (upstream, obstacle) in &self.skipped {
                upstream.report_obstacle(*obstacle);
            }
        }
    }

    /// Returns whether a provider could not be called because of the calls of other commands.
    fn is_crowded(&self) -> bool {
        let mut skipped = self.skipped.iter();
        skipped.any(|(_, obstacle)| obstacle.is_crowd())
    }

    /// Returns the time after which one of the other commands' calls has probably ended.
    fn time_until_free(&self) -> Duration {
        let crowded = self.skipped.iter().filter(|(_, why)| why.is_crowd());
        let typical = crowded.filter_map(|(upstream, _)| upstream.typical_latency());
        let usual = self.parts.settings.patience;
        typical.min().unwrap_or(usual).max(SHORTEST_BUSY)
    }

    /// Returns why no provider answered.
    fn failure(&self) -> Refusal {
        let over_budget = self
            .skipped
            .iter()
            .filter_map(|(_, obstacle)| match obstacle {
                Unavailable::OverBudget(wait) => Some(*wait),
                _ => None,
            });
        match (self.last_error(), over_budget.min()) {
            (None, Some(retry_after)) => return Refusal::OverBudget { retry_after },
            (None, None) if self.is_crowded() => {
                return Refusal::Busy {
                    retry_after: self.time_until_free(),
                };
            }
            (
                Some(
                    error @ (ProviderError::Malformed { .. }
                    | ProviderError::Truncated { .. }
                    | ProviderError::Rejected { .. }),
                ),
                _,
            ) => return refusal_of(error),
            _ => {}
        }
        let why = if let Some(error) = self.last_error() {
            error.to_string()
        } else {
            let lines = self.skipped.iter();
            let lines = lines.map(|(upstream, why)| format!("{} is {why}", upstream.name));
            lines.collect::<Vec<_>>().join(", ")
        };
        Refusal::NobodyAnswered {
            why,
            retry_after: None,
        }
    }
}

/// Waits for the first call that ends; for ever where there is none.
async fn first_end<T>(in_progress: &mut [ProviderCalls<T>]) -> (CallResult<T>, usize) {
    if in_progress.is_empty() {
        return std::future::pending().await;
    }
    let calls = in_progress.iter_mut().map(|calls| &mut calls.call);
    let (result, index, _) = select_all(calls).await;
    (result, index)
}

async fn make<T>(
    mut call: UpstreamCall,
    prompt: &Prompt,
    time: CallTime,
    tap: Option<ChunkTap>,
    read: ReadAnswer<T>,
) -> CallResult<T> {
    if let Err(obstacle) = call.acquire().await {
        return CallResult::Denied(obstacle);
    }
    match call.make(prompt, time, tap.as_ref(), read).await {
        Ok(completion) => CallResult::Answered(completion),
        Err(error) => {
            if let Some(tap) = tap {
                tap.stream.abort(tap.call);
            }
            CallResult::Failed(error)
        }
    }
}
