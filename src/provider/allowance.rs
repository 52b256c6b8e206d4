//! The rest of a service's own rate limits, as its headers state it. Pure.

use std::time::Duration;

/// The rest of a provider's own limits; empty where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Requests that may still be made.
    pub requests: Option<Allowance>,
    /// Tokens that may still be used.
    pub tokens: Option<Allowance>,
}

/// The rest of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The amount that may still be used.
    pub left: u64,
    /// The whole amount, where it was stated.
    pub limit: Option<u64>,
    /// Time until the whole amount is available again.
    pub reset: Duration,
}

impl Allowance {
    /// Returns the time until `wanted` is available, assuming it comes back evenly; zero where it
    /// is available now.
    pub fn wait_for(&self, wanted: u64) -> Duration {
        if self.left >= wanted {
            return Duration::ZERO;
        }
        let missing = wanted - self.left;
        match self.limit.map(|limit| limit.saturating_sub(self.left)) {
            Some(used) if used > missing => self.reset.mul_f64(to_f64(missing) / to_f64(used)),
            _ => self.reset,
        }
    }
}

/// Converts a count for ratios, where the last digits do not matter.
pub(super) fn to_f64(n: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of a limit: the last digits do not matter"
    )]
    {
        n as f64
    }
}

impl Remaining {
    /// Returns the time until a request of `tokens` fits.
    pub fn wait_for(&self, tokens: u64) -> Duration {
        let requests = self.requests.map_or(Duration::ZERO, |a| a.wait_for(1));
        requests.max(self.tokens.map_or(Duration::ZERO, |a| a.wait_for(tokens)))
    }

    /// Returns the time until the limits that are used up are available again; `None` where none
    /// is.
    pub(super) fn exhausted_for(&self) -> Option<Duration> {
        let limits = [self.requests, self.tokens].into_iter().flatten();
        limits
            .filter(|limit| limit.left == 0)
            .map(|limit| limit.reset)
            .max()
    }
}
