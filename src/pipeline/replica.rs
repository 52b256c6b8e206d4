//! The other node of a pair, as the pipeline sees it.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use crate::schedule::timer::TimerId;
use crate::store::journal::PlannedPublish;

/// Publishes the progress of commands and timers for the other node of a pair. Messages leave in
/// the order of these calls, before those of the actions that follow.
pub trait Replica: Send + Sync {
    /// Admits a command if so few others are begun and without a reply that its actions may be
    /// begun at once. Returns whether it was admitted, now or before.
    fn try_admit(&self, seq: u64) -> bool;

    /// Waits until a command is admitted that has waited since this moment; not for long.
    fn admitted(&self, seq: u64, since: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Notes that the messages of a command follow. Returns false where that cannot be published:
    /// then they must not be published either.
    fn begun(&self, seq: u64, planned: Vec<PlannedPublish>) -> bool;

    /// Returns whether an earlier leader may have begun the actions of a command that is processed
    /// again: then an action that does harm twice must not be published.
    fn may_have_begun(&self, seq: u64) -> bool;

    /// Notes the record of a timer, or its removal. Returns false where that cannot be published.
    fn timer(&self, id: TimerId, record: Option<&[u8]>) -> bool;
}
