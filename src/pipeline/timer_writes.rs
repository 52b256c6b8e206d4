//! The write of timers in progress, and the time since it began.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::schedule::timer::TimerId;

/// The writes of timers, one after the other.
#[derive(Debug, Default)]
pub(super) struct TimerWrites {
    /// The write in progress. It stays here where nobody waits for it any more, so that the next
    /// one does not pass it.
    pub(super) current: Mutex<Option<TimerWrite>>,
    /// Whether the last write failed.
    has_failed: AtomicBool,
    /// Time at which the write in progress began.
    began: watch::Sender<Option<Instant>>,
}

/// A write in progress, and its timers.
#[derive(Debug)]
pub(super) struct TimerWrite {
    task: JoinHandle<io::Result<()>>,
    pub(super) timers: Vec<TimerId>,
}

impl TimerWrites {
    /// Notes that a write has begun.
    pub(super) fn begin(
        &self,
        task: JoinHandle<io::Result<()>>,
        timers: Vec<TimerId>,
    ) -> TimerWrite {
        self.began.send_replace(Some(Instant::now()));
        TimerWrite { task, timers }
    }

    /// Waits for the end of a write. Cancel safe.
    pub(super) async fn end(&self, write: &mut TimerWrite) -> io::Result<()> {
        let written = (&mut write.task).await;
        self.began.send_replace(None);
        written.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Notes whether the last write failed; returns whether the one before it did.
    pub(super) fn note_failed(&self, has_failed: bool) -> bool {
        self.has_failed.swap(has_failed, Relaxed)
    }

    /// Returns whether the last write failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Relaxed)
    }

    /// Waits until the write in progress has taken longer than this.
    pub(super) async fn overdue(&self, limit: Duration) {
        let mut began = self.began.subscribe();
        loop {
            let since = *began.borrow_and_update();
            let is_overdue = async {
                match since {
                    Some(since) => sleep_until(since + limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = is_overdue => return,
                // The sender lives in `self`, so this cannot fail.
                _ = began.changed() => {}
            }
        }
    }
}
