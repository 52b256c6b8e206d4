//! The result of a request to a model that several commands share.

use std::time::{Duration, Instant};

use crate::command::reply::Refusal;
use crate::command::{Command, Source};
use crate::router::RoutedAnswer;
use crate::vocabulary::action::Draft;

/// A request that fails with less time left than this may have failed for lack of time: the router
/// does not start an attempt that cannot end in time.
const SHORT_OF_TIME: Duration = Duration::from_secs(3);

/// The additional time with which a shared request is made again.
const WORTH_RETRYING: Duration = Duration::from_secs(1);

/// A model's answer, by the node that requested it.
#[derive(Debug, Clone)]
pub(super) enum ModelAnswer {
    /// To a request of this node.
    Own(RoutedAnswer<Draft>),
    /// To an earlier or equal request of another node, from the shared cache.
    OfOtherNode(Draft),
}

/// The result of a request, with the limits of the command that made it.
#[derive(Debug, Clone)]
pub(super) struct SharedResult {
    pub(super) result: Result<ModelAnswer, Refusal>,
    pub(super) source: Source,
    pub(super) deadline: Instant,
    pub(super) finished_at: Instant,
}

impl SharedResult {
    /// Returns whether the failure concerns only the command that made the request, so that
    /// `command` with this `deadline` should make its own: the quota of another source, or the
    /// deadline of that command.
    pub(super) fn is_personal(&self, command: &Command, deadline: Instant) -> bool {
        match &self.result {
            Err(Refusal::TooSoon { .. }) => self.source != command.source,
            Err(Refusal::TooLate | Refusal::NobodyAnswered { .. } | Refusal::Busy { .. }) => {
                let left = self.deadline.saturating_duration_since(self.finished_at);
                left < SHORT_OF_TIME && deadline > self.deadline + WORTH_RETRYING
            }
            Ok(_) | Err(_) => false,
        }
    }
}
