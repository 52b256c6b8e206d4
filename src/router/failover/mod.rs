//! The path of one request from provider to provider: in order, each a few times, within the
//! deadline. When a provider exceeds its usual latency, the next one is called in parallel; the
//! first usable answer wins. A request fails only when every provider was called, a model declined,
//! or time ran out.
//!
//! Here is the way of the request; `provider_calls` has the calls in flight, `skipped` the waits
//! for providers that are not available, and `failure` the refusal when none answered. It does not
//! know what the request is about.

mod failure;
mod provider_calls;
mod skipped;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};
use tracing::debug;

use crate::backoff::Backoff;
use crate::clock::now;
use crate::command::Source;
use crate::command::reply::Refusal;
use crate::provider::{Disposition, Prompt, ProviderError};
use crate::router::answer::{Requester, RoutedAnswer, refusal_of};
use crate::router::answer_stream::AnswerStream;
use crate::router::attempt::{CallTime, ChunkTap, ReadAnswer, ReadCompletion, UpstreamCall};
use crate::router::failover::provider_calls::{CallResult, ProviderCalls, first_end, make};
use crate::router::settings::{ProviderOrder, RouterSettings};
use crate::router::shared::RouterShared;
use crate::router::slots::CallSlot;
use crate::router::unavailable::{Override, Unavailable};
use crate::router::upstream::Upstream;

/// Time kept for publishing the answer.
const MARGIN: Duration = Duration::from_millis(50);

/// With less time left no call is made.
const SHORTEST_CALL: Duration = Duration::from_millis(250);

/// Duration from which a failed call is not repeated at the same provider while another is
/// available.
const SLOW_FAILURE: Duration = Duration::from_secs(2);

/// A longer pause before another attempt is not waited for while another provider is available.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// The first pause is drawn from zero to this, and doubles for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

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
}
