//! The providers that were skipped because they were not available: waiting until one is, and
//! calling one in spite of its obstacle when no other is left.
//!
//! It does not know why a call failed. It starts a call or a wait of the request, or finds that
//! there is nothing to wait for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::time::{sleep, timeout_at};

use crate::router::attempt::UpstreamCall;
use crate::router::failover::{Failover, MARGIN, Reason, SHORTEST_CALL};
use crate::router::slots::CallSlot;
use crate::router::unavailable::{Override, Unavailable};
use crate::router::upstream::Upstream;

impl<T: Send + 'static> Failover<'_, T> {
    /// Starts to wait for the first free provider, where providers were skipped because they were
    /// busy or being probed; stalled ones are waited for only if there are no others. Returns
    /// whether there is any to wait for.
    pub(super) fn wait_for_slot(&mut self) -> bool {
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
    pub(super) fn wait_for_rest(&mut self, longest: Duration) -> bool {
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
    pub(super) fn force(&mut self) -> bool {
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
    pub(super) fn exceed_stated_limit(&mut self) -> bool {
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
    pub(super) fn call_free(&mut self, upstream: &Arc<Upstream>, slot: Option<CallSlot>) {
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
}
