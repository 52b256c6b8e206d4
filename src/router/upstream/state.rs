//! The part of a provider's state that changes with each call, behind the lock of its `Upstream`.
//!
//! It knows neither prices nor limits per minute, which have locks of their own. Calls write it,
//! and the reason why the provider is not available is read from it.

use std::mem::Discriminant;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::provider::{ProviderError, Usage};
use crate::router::breaker::{Breaker, BreakerDenial, BreakerPermit, Position};
use crate::router::latency::Latencies;
use crate::router::unavailable::Unavailable;

/// State of a provider. Locked for moments only, never while waiting.
#[derive(Debug, Default)]
pub(super) struct UpstreamState {
    pub(super) breaker: Breaker,
    pub(super) rest: Option<Rest>,
    pub(super) disabled: Option<Disabled>,
    /// A call was denied, and it is not known whether others would be.
    pub(super) doubt: Option<ProviderError>,
    pub(super) last_error: Option<String>,
    /// The causes of lost requests that are logged, and when.
    pub(super) losses: Vec<(LossCause, Instant)>,
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) skipped: u64,
    pub(super) mean_ms: Option<f64>,
    pub(super) latencies: Latencies,
    pub(super) usage: Usage,
    /// The shortest time after which the next provider is called in parallel.
    pub(super) patience: Duration,
    /// Time from which each call in flight is late.
    pub(super) late_at: Vec<(u64, Instant)>,
    /// Calls it may get in parallel: more while it answers, fewer when it is overloaded.
    pub(super) concurrency: usize,
    /// Number of the newest call.
    pub(super) newest_call: u64,
}

/// A pause that the server asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    pub(super) until: Instant,
    /// A rate limit is respected; other pauses are cut short where no other provider is left.
    pub(super) is_rate_limit: bool,
}

/// A provider that the operator has to correct: not called until the next try.
#[derive(Debug)]
pub(super) struct Disabled {
    pub(super) why: String,
    pub(super) until: Instant,
    pub(super) backoff: Backoff,
}

/// Reasons why a request was lost, as far as the log distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossCause {
    /// The kind of error, and its HTTP status.
    Error(Discriminant<ProviderError>, Option<u16>),
    Obstacle(Discriminant<Unavailable>),
}

impl UpstreamState {
    pub(super) fn unavailable(&self, now: Instant) -> Option<Unavailable> {
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

    pub(super) fn admit(
        &mut self,
        now: Instant,
        is_forced: bool,
    ) -> Result<BreakerPermit, Unavailable> {
        if is_forced {
            return Ok(self.breaker.force());
        }
        self.breaker.admit(now).map_err(|denial| match denial {
            BreakerDenial::Open(until) => Unavailable::BreakerOpen(until - now),
            BreakerDenial::Probing => Unavailable::Probing,
        })
    }
}
