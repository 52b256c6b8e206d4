//! The order of commands of one source, with `order = "source"`: each waits for the one before it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout_at;

use crate::command::Source;
use crate::command::reply::Refusal;

/// The most commands of one source that wait for the one before them.
const MAX_QUEUED: usize = 64;

/// The source's place; the next command of the source starts when it is dropped.
pub(super) type SourceTurn = OwnedMutexGuard<()>;

/// One fair lock for each source with commands in progress.
#[derive(Debug, Default)]
pub(super) struct SourceOrder(Mutex<HashMap<Source, Arc<tokio::sync::Mutex<()>>>>);

impl SourceOrder {
    /// Waits until the source's earlier commands have their replies.
    ///
    /// # Errors
    /// [`Refusal::TooLate`] when `deadline` passes first, [`Refusal::Busy`] when too many wait
    /// already.
    pub(super) async fn wait(
        &self,
        source: &Source,
        deadline: Instant,
    ) -> Result<SourceTurn, Refusal> {
        let lock = self.lock_of(source)?;
        timeout_at(deadline.into(), lock.lock_owned())
            .await
            .map_err(|_| Refusal::TooLate)
    }

    fn lock_of(&self, source: &Source) -> Result<Arc<tokio::sync::Mutex<()>>, Refusal> {
        let mut sources = self.0.lock();
        sources.retain(|_, lock| Arc::strong_count(lock) > 1);
        let lock = sources.entry(source.clone()).or_default();
        // One reference is the table's, one belongs to the command in progress.
        if Arc::strong_count(lock) > MAX_QUEUED + 2 {
            return Err(Refusal::Busy {
                retry_after: Duration::from_secs(1),
            });
        }
        Ok(Arc::clone(lock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[tokio::test(start_paused = true)]
    async fn a_command_waits_for_its_source_no_longer_than_its_own_deadline() {
        let order = SourceOrder::default();
        let panel = Source::new("panel");
        let first = order.wait(&panel, now()).await.unwrap();
        let deadline = now() + Duration::from_secs(2);
        assert_eq!(
            order.wait(&panel, deadline).await.unwrap_err(),
            Refusal::TooLate
        );
        assert!(now() - deadline < Duration::from_millis(10));
        drop(first);
        assert!(
            order
                .wait(&panel, now() + Duration::from_secs(2))
                .await
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_of_a_source_is_bounded() {
        let order = SourceOrder::default();
        let panel = Source::new("panel");
        let _first = order.wait(&panel, now()).await.unwrap();
        let deadline = now() + Duration::from_secs(1);
        let waits = (0..2 * MAX_QUEUED).map(|_| order.wait(&panel, deadline));
        let refused = futures_util::future::join_all(waits).await;
        let busy = refused
            .iter()
            .filter(|result| matches!(result, Err(Refusal::Busy { .. })))
            .count();
        assert!(busy >= MAX_QUEUED - 1, "{busy} refused as busy");
    }
}
