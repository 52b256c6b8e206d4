//! The end of a request that no provider answered: its refusal, and the log of the causes.
//!
//! It only reads the errors and obstacles that the request has met.

use std::time::Duration;

use crate::command::reply::Refusal;
use crate::provider::ProviderError;
use crate::router::answer::refusal_of;
use crate::router::failover::Failover;
use crate::router::unavailable::Unavailable;

/// The shortest time after which a command that found all slots taken is to be repeated.
const SHORTEST_BUSY: Duration = Duration::from_secs(1);

impl<T: Send + 'static> Failover<'_, T> {
    /// Logs why no provider answered: the errors, or without any the obstacles.
    pub(super) fn report(&self) {
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
    pub(super) fn failure(&self) -> Refusal {
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
