//! Permission for a call: every limit is checked, and what the call needs is reserved.
//!
//! It does not make calls. A slot and a permit leave it, or the obstacle; `call_outcome` settles
//! what a permit has reserved.

use std::time::Duration;

use crate::clock::now;
use crate::command::Source;
use crate::provider::price::Money;
use crate::provider::{Prompt, Usage};
use crate::router::breaker::{BreakerPermit, Position, Verdict};
use crate::router::slots::CallSlot;
use crate::router::spend_limit::{Moment, SpendDenial};
use crate::router::unavailable::{Override, Unavailable};
use crate::router::upstream::Upstream;

/// Time after which the next provider is called in parallel with a probe of a failed one, so that
/// no command waits long for the probe.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// Permission for one call, with its reservations.
#[derive(Debug, Clone, Copy)]
pub(in crate::router) struct CallPermit {
    /// Number of the call at its provider.
    pub(super) id: u64,
    pub(super) breaker: BreakerPermit,
    /// Estimated tokens: of the prompt, and the most of the answer.
    pub(super) estimate: Usage,
    /// Reserved of the tokens per minute.
    pub(in crate::router) tokens: u32,
    /// Reserved of the spending limits.
    pub(in crate::router) cost: Money,
    /// Number of the call in Redis, once it was reserved there.
    pub(in crate::router) shared_call: Option<u64>,
    /// Time after which the call is late.
    pub(in crate::router) patience: Duration,
    /// Whether the call probes a provider that kept failing.
    pub(in crate::router) is_probe: bool,
}

impl Upstream {
    /// Waits for a slot for a command of `source`.
    pub(in crate::router) async fn slot(&self, source: Option<&Source>) -> CallSlot {
        self.slots.take(source).await
    }

    /// Returns a slot and permission for one call with `prompt`, for a command of `source`.
    pub(in crate::router) fn enter(
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
    pub(in crate::router) fn permit(
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

    /// Returns the time until it is called with `prompt` where no other provider is left; `None` if
    /// that is now or not known. `may_force` is whether such a call ignores what it can.
    pub(in crate::router) fn wait_for(&self, prompt: &Prompt, may_force: bool) -> Option<Duration> {
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
}
