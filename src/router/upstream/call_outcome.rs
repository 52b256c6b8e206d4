//! The end of a call: what it had reserved is settled, and its result changes the state of the
//! provider.
//!
//! It does not decide whether a call is repeated or another provider is called. A permit and an
//! outcome enter; breaker, rest, latencies and counts change, and a change is logged and signalled.

use std::fmt;
use std::mem::discriminant;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::now;
use crate::provider::price::Money;
use crate::provider::{Disposition, ProviderError, Usage};
use crate::redis::Settlement;
use crate::router::breaker::{Change, Verdict};
use crate::router::spend_limit::Moment;
use crate::router::unavailable::Unavailable;
use crate::router::upstream::Upstream;
use crate::router::upstream::call_permit::CallPermit;
use crate::router::upstream::state::{Disabled, LossCause, Rest, UpstreamState};

/// Rest after a rate limit without a stated wait.
const USUAL_REST: Duration = Duration::from_secs(10);

/// The shortest rest after a rate limit, where the stated wait is zero or has passed.
const SHORTEST_REST: Duration = Duration::from_millis(250);

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

/// The result of one call, as far as its provider is concerned.
pub(in crate::router) struct CallOutcome<'a> {
    /// Token counts by the API; zeros where it did not count.
    pub(in crate::router) usage: Usage,
    /// Until the answer, or its first part.
    pub(in crate::router) took: Duration,
    /// Reason why there is no answer.
    pub(in crate::router) error: Option<&'a ProviderError>,
}

impl Upstream {
    /// Returns the tokens of a call as its rate limits count them.
    fn counted(&self, usage: Usage) -> u64 {
        let input = if self.settings.api.counts_cached {
            usage.input
        } else {
            usage.input.saturating_sub(usage.cached)
        };
        input + usage.output
    }

    /// Notes that the first part of an answer came: the call is not late any more.
    pub(in crate::router) fn note_first_part(&self, permit: CallPermit) {
        self.state().late_at.retain(|(id, _)| *id != permit.id);
    }

    /// Records a call that was never sent.
    pub(in crate::router) fn record_unsent(&self, permit: CallPermit) {
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
    pub(in crate::router) fn record_abandoned(&self, permit: CallPermit) {
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
    pub(in crate::router) fn record(&self, permit: CallPermit, outcome: &CallOutcome<'_>) {
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

    pub(super) fn disable(&self, state: &mut UpstreamState, error: &ProviderError, now: Instant) {
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
    pub(in crate::router) fn report_error(&self, error: &ProviderError) {
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
    pub(in crate::router) fn report_obstacle(&self, obstacle: Unavailable) {
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
}
