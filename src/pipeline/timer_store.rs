//! Writes timers to the disk, one write after the other.
//!
//! A disk that hangs is waited for only for a short time: an alarm that rings again after a crash
//! is better than one that does not ring, and a command has its reply.

use std::time::Duration;

use tracing::{info, warn};

use crate::pipeline::handle::Pipeline;
use crate::pipeline::timer_writes::TimerWrite;
use crate::schedule::timer::{Timer, TimerId};
use crate::store::timers::{ChangedRecords, begin_write};

/// Time after which a timer that is due no longer waits for a write.
const PATIENCE_OF_DUE: Duration = Duration::from_secs(2);

/// Time after which a command no longer waits for a write: as long as it would wait for the
/// journal.
const PATIENCE_OF_COMMANDS: Duration = Duration::from_secs(5);

/// Time after which a write that failed is repeated.
const REPEAT_WRITE: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Writes the timers that have changed to the disk. Without a store they are in memory only, as
    /// commands are. Cancel safe.
    pub async fn write_timers(&self) {
        let mut current = self.shared.timer_writes.current.lock().await;
        self.end_write(&mut current).await;
        if self.replica.is_some() && !self.fires_timers() {
            // The timers are those of the other node, which leads: its records are not replaced.
            return;
        }
        let records = self.take_changed_records();
        if records.is_empty() {
            return;
        }
        let timers: Vec<TimerId> = records.iter().map(|(id, _)| *id).collect();
        if let Some(replica) = &self.replica {
            for (id, record) in &records {
                if !replica.timer(*id, record.as_deref()) {
                    warn!(
                        timer = id,
                        "a timer could not be sent to the other node, which would not fire \
                        it after a takeover: too many messages wait for the broker"
                    );
                }
            }
        }
        let Some(store) = self.services.journal.store() else {
            return;
        };
        let task = begin_write(store, records);
        *current = Some(self.shared.timer_writes.begin(task, timers));
        self.end_write(&mut current).await;
    }

    /// Writes like [`Pipeline::write_timers`], but waits for no write that takes longer than
    /// `patience`. Returns false where one does: then [`Pipeline::write_timers`] has to be called
    /// once more.
    pub(super) async fn write_timers_within(&self, patience: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.write_timers() => true,
            () = self.shared.timer_writes.overdue(patience) => false,
        }
    }

    /// Waits until timers that could not be written are to be written again: for ever where there
    /// are none.
    pub async fn until_write_is_repeated(&self) {
        if self.shared.timer_writes.has_failed() {
            tokio::time::sleep(REPEAT_WRITE).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Writes the timers that have changed, for a timer that is due; returns whether that is done.
    pub async fn write_due_timers(&self) -> bool {
        self.write_timers_within(PATIENCE_OF_DUE).await
    }

    /// Writes the timers that a command has changed.
    pub(super) async fn store_changes(&self) {
        if !self.write_timers_within(PATIENCE_OF_COMMANDS).await {
            warn!("the disk hangs: what a command does to timers may not survive a restart");
        }
        self.shared.timers_changed.notify_one();
    }

    /// Waits for the end of a write, if one is in progress. Cancel safe.
    async fn end_write(&self, current: &mut Option<TimerWrite>) {
        let Some(write) = current else {
            return;
        };
        let writes = &self.shared.timer_writes;
        match writes.end(write).await {
            Ok(()) if writes.note_failed(false) => info!("the changed timers are written"),
            Ok(()) => {}
            Err(error) => {
                if !writes.note_failed(true) {
                    warn!(
                        %error,
                        "changed timers could not be written, and the write is repeated until it \
                        succeeds: after a restart before that, new ones are missing, and cancelled \
                        or finished ones are back"
                    );
                }
                self.shared.timers().mark_changed(write.timers.drain(..));
            }
        }
        *current = None;
    }

    fn take_changed_records(&self) -> ChangedRecords {
        let mut timers = self.shared.timers();
        let changed = timers.take_changed();
        let record = |id: &TimerId| (*id, encoded(&timers.record(*id)));
        changed.iter().map(record).collect()
    }
}

/// Returns a record: one timer, or the list of those that change together.
fn encoded(timers: &[&Timer]) -> Option<Vec<u8>> {
    match timers {
        [] => None,
        [timer] => serde_json::to_vec(timer).ok(),
        several => serde_json::to_vec(several).ok(),
    }
}
