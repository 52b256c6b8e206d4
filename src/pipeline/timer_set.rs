//! The set of timers as a whole: restored from the disk, passed between the nodes of a pair, listed
//! and cancelled.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value as Json, json};
use tracing::{info, warn};

use crate::pipeline::condition_speech::missing_devices;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::time_speech::rfc3339_at;
use crate::schedule::timer::{Task, Timer, TimerId};
use crate::schedule::timers::Timers;
use crate::store::Store;
use crate::store::journal::Health;
use crate::store::timers::TimerRecords;

impl Pipeline {
    /// Reads the timers of an earlier run.
    pub(super) fn restore_timers(&self) {
        if let Some(store) = self.services.journal.store() {
            *self.shared.timers() = Timers::restored(read_timers(&store));
            self.shared.timers_restored.store(true, Relaxed);
        } else if *self.services.journal.health().borrow() == Health::Failing {
            *self.shared.timers() = Timers::unrestored();
        }
    }

    /// Returns whether there may be timers of an earlier run that cannot be read.
    pub(super) fn has_unread_timers(&self) -> bool {
        let is_restored = self.shared.timers_restored.load(Relaxed);
        !is_restored && *self.services.journal.health().borrow() == Health::Failing
    }

    /// Keeps the timers in this store, which works again after a failure. Where it could not be
    /// read at the start, the timers in it are restored now.
    pub fn keep_timers_in(&self, store: &Store) {
        let is_first_time = !self.shared.timers_restored.swap(true, Relaxed);
        let on_disk = TimerRecords::open(store).and_then(|records| records.ids());
        // What cannot be read cannot be removed either.
        let on_disk = on_disk.unwrap_or_default();
        let earlier = if is_first_time {
            read_timers(store)
        } else {
            Vec::new()
        };
        let mut timers = self.shared.timers();
        timers.add_restored(earlier);
        timers.mark_changed(on_disk);
        timers.mark_all_changed();
        drop(timers);
        self.shared.timers_changed.notify_one();
    }

    /// Lets timers fire, once the devices and the broker are there.
    pub fn start_timers(&self) {
        self.shared.timers_started.send_replace(true);
        self.shared.timers_changed.notify_one();
    }

    /// Keeps timers from firing: another node of the pair fires them.
    pub fn stop_timers(&self) {
        self.shared.timer_stops.fetch_add(1, Relaxed);
        self.shared.timers_started.send_replace(false);
        self.shared.timers_changed.notify_one();
    }

    /// Replaces the timers by those whose records the other node of the pair has published.
    pub fn replace_timers(&self, records: &[Vec<u8>]) {
        let mut timers = self.shared.timers();
        timers.mark_all_changed();
        let before = timers.take_changed();
        *timers = Timers::restored(parsed(records));
        timers.mark_changed(before);
        timers.mark_all_changed();
        drop(timers);
        self.shared.timers_changed.notify_one();
    }

    /// Publishes the records of all timers for the other node of the pair.
    pub fn publish_timers(&self) {
        self.shared.timers().mark_all_changed();
        self.shared.timers_changed.notify_one();
    }

    /// Returns the timers that wait as one document, for `<prefix>/timers`.
    pub fn timers_document(&self) -> Json {
        let home = self.home();
        let timers = self.shared.timers();
        let entry = |timer: &Timer| {
            let due = timer.due.wall();
            let condition = timer.condition.as_ref();
            let missing = condition.map(|condition| missing_devices(condition, &home));
            json!({
                "timer": timer.id.to_string(),
                "condition": timer.condition,
                "missing": missing.filter(|devices| !devices.is_empty()),
                "repeats": timer.repeat.as_ref().map(|repeat| repeat.recurrence),
                "source": timer.source,
                "id": timer.command_id,
                "text": timer.text,
                "due": due.map(|due| rfc3339_at(due, &self.services.location)),
                "actions": timer.task.actions(),
                "revert": matches!(timer.task, Task::Revert { .. }),
            })
        };
        Json::Array(timers.waiting().map(entry).collect())
    }

    /// Cancels one timer, or all. Returns the numbers of those cancelled; the records are removed
    /// by the task that fires timers.
    pub(super) fn cancel_timers(&self, only: Option<TimerId>) -> Vec<TimerId> {
        let chosen: Vec<TimerId> = match only {
            Some(id) => vec![id],
            None => self.shared.timers().waiting().map(|t| t.id).collect(),
        };
        let cancelled = self.remove_timers(&chosen);
        self.shared.timers_changed.notify_one();
        cancelled.iter().map(|timer| timer.id).collect()
    }

    /// Removes timers from the set, and returns those that waited. The change is not written here.
    pub(super) fn remove_timers(&self, ids: &[TimerId]) -> Vec<Timer> {
        let mut timers = self.shared.timers();
        ids.iter().filter_map(|id| timers.remove(*id)).collect()
    }
}

/// Reads the timers of an earlier run.
fn read_timers(store: &Store) -> Vec<Timer> {
    let records = TimerRecords::open(store).and_then(|records| records.all());
    let records = match records {
        Ok(records) => records,
        Err(error) => {
            warn!(%error, "the timers of the earlier run cannot be read from the store");
            return Vec::new();
        }
    };
    let timers = parsed(&records);
    if !timers.is_empty() {
        info!(timers = timers.len(), "timers restored");
    }
    timers
}

/// Returns the timers of these records.
fn parsed(records: &[Vec<u8>]) -> Vec<Timer> {
    let mut timers = Vec::new();
    let mut dropped = 0_u32;
    for record in records {
        let read = if record.starts_with(b"[") {
            serde_json::from_slice::<Vec<Timer>>(record)
        } else {
            serde_json::from_slice(record).map(|timer| vec![timer])
        };
        match read {
            Ok(read) => timers.extend(read),
            Err(_) => dropped += 1,
        }
    }
    if dropped > 0 {
        warn!(dropped, "timers that could not be read were dropped");
    }
    timers
}
