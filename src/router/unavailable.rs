//! Reasons why a provider cannot be called now, and which of them a call may ignore.
//!
//! Pure values. They do not know how a provider came to this state: `upstream` finds the reason,
//! and `failover` decides by it whether to wait, to skip the provider or to call it nevertheless.

use std::fmt;
use std::time::Duration;

use crate::router::spend_limit::SpendDenial;

/// The wait where only reservations of calls in flight stand in the way: each of their ends may
/// free enough.
const RESERVATION_WAIT: Duration = Duration::from_millis(250);

/// Obstacles that a call ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Override {
    Nothing,
    /// Late calls in flight, because no other provider is left.
    Stall,
    /// Late calls, and the limits that the service stated with its last answer: its refusal would
    /// say more.
    StatedLimit,
    /// Late calls, an open breaker, a pause after a server error and a disabled provider, but not
    /// stated limits: an unlikely answer is better than none.
    Breaker,
}

/// Reasons why a provider cannot be called now, with the time until it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// All slots are taken.
    AtCapacity,
    /// A rate limit, its own or a configured one.
    RateLimited(Duration),
    /// The limits that the service stated with its last answer are used up.
    Exhausted(Duration),
    /// The server asked for a pause after an error.
    Resting(Duration),
    /// Another call is late.
    Stalled,
    /// The breaker is open for this time.
    BreakerOpen(Duration),
    /// The breaker is half-open, and its probe is in flight.
    Probing,
    /// A spending limit is reached.
    OverBudget(Duration),
    /// What calls in flight have reserved fills a spending limit.
    Reserved,
    /// The operator has to correct something.
    Disabled(Duration),
}

impl From<SpendDenial> for Unavailable {
    fn from(denial: SpendDenial) -> Self {
        match denial {
            SpendDenial::Spent(wait) => Self::OverBudget(wait),
            SpendDenial::Reserved => Self::Reserved,
        }
    }
}

impl Unavailable {
    /// Returns whether [`Override::Breaker`] ignores it.
    pub(super) fn can_be_forced(self) -> bool {
        matches!(
            self,
            Self::BreakerOpen(_) | Self::Resting(_) | Self::Disabled(_)
        )
    }

    /// Returns whether calls of other commands stand in the way.
    pub(super) fn is_crowd(self) -> bool {
        matches!(self, Self::AtCapacity | Self::Stalled | Self::Reserved)
    }

    /// Returns the time until the provider is available again, where that is known.
    pub(super) fn wait(self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait)
            | Self::Exhausted(wait)
            | Self::Resting(wait)
            | Self::BreakerOpen(wait)
            | Self::OverBudget(wait)
            | Self::Disabled(wait) => Some(wait),
            Self::Reserved => Some(RESERVATION_WAIT),
            Self::AtCapacity | Self::Stalled | Self::Probing => None,
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtCapacity => "at capacity",
            Self::RateLimited(_) => "rate limited",
            Self::Exhausted(_) => "at the limit it stated with its last answer",
            Self::Resting(_) => "resting",
            Self::Stalled => "stalled",
            Self::BreakerOpen(_) => "breaker open",
            Self::Probing => "being probed",
            Self::OverBudget(_) => "over budget",
            Self::Reserved => "at its spending limit with the calls in flight",
            Self::Disabled(_) => "disabled",
        })?;
        match self.wait() {
            Some(wait) => write!(f, " for {:.1} s", wait.as_secs_f64()),
            None => Ok(()),
        }
    }
}
