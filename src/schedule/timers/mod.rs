//! The set of the timers of all sources: its limits, its changes, and the records to be written.
//!
//! Pure: it knows neither the store nor the broker, and clocks are arguments. `pipeline::timed`
//! adds timers and takes those that are due; `pipeline::timer_set` takes the numbers of the records
//! that changed and writes them.

mod due_timers;
pub mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use crate::command::Source;
use crate::schedule::due::{Clocks, Due, Wait};
use crate::schedule::timer::{Repeat, StartState, Task, Timer, TimerId};

/// The most timers of all sources.
pub const MAX_TIMERS: usize = 256;

/// The most timers of one source.
pub const MAX_OF_SOURCE: usize = 64;

/// Timers of an earlier run that are remembered once they have fired: those of the commands that
/// the earlier run left without a reply are among them.
const MAX_ENDED: usize = 32;

/// The first number where the timers of an earlier run could not be read yet, so that both keep
/// their numbers.
const FIRST_UNRESTORED: TimerId = 1_000_000;

/// The same words for a time of the clock, this much apart, mean the same time: "in two days" ends
/// some seconds later the second time.
const SAID_AGAIN: Duration = Duration::from_mins(1);

/// Returns whether two timers have the same recurrence, or both are not.
fn have_same_recurrence(one: &Timer, other: &Timer) -> bool {
    match (&one.repeat, &other.repeat) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

/// Returns whether a new timer has the due time of an earlier one. The same delay in the same words
/// is begun again, also one of some days, which ends at a time of the clock. A timer of another
/// time waits beside it. The end of "for ten minutes" is always moved: a device has one.
fn have_same_due(earlier: &Timer, new: &Timer) -> bool {
    let is_said_again = earlier.text == new.text;
    match (&earlier.due, &new.due) {
        _ if matches!(new.task, Task::Revert { .. }) => true,
        // The next time of a rule depends on the moment at which it is set.
        _ if new.repeat.is_some() => true,
        (Due::State { .. }, Due::State { .. }) => true,
        (Due::Delay { .. }, Due::Delay { .. }) => is_said_again,
        (Due::At { wall_ms: earlier }, Due::At { wall_ms: new }) => {
            let apart = earlier.abs_diff(*new);
            apart == 0 || (is_said_again && u128::from(apart) < SAID_AGAIN.as_millis())
        }
        _ => false,
    }
}

/// The timers of all sources.
#[derive(Debug, Default)]
pub struct Timers {
    pending: BTreeMap<TimerId, Timer>,
    /// Timers that have been handed out to fire, and those whose command is being carried out.
    firing: BTreeMap<TimerId, Timer>,
    last: TimerId,
    /// The numbers of the records that are not on disk as they are now.
    changed: BTreeSet<TimerId>,
    /// The highest number of the earlier run.
    last_restored: TimerId,
    /// The newest timers of the earlier run that have ended since.
    ended: VecDeque<Timer>,
}

/// The reason why a timer was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooManyTimers {
    /// The source has the most it may have.
    OfSource,
    /// All sources together have.
    InTotal,
}

impl Timers {
    /// Makes the set from the timers of an earlier run.
    pub fn restored(timers: Vec<Timer>) -> Self {
        let mut restored = Self::default();
        // Occurrences that were firing are kept beside the timers that wait.
        for timer in timers.into_iter().take(3 * MAX_TIMERS) {
            restored.last = restored.last.max(timer.id);
            restored.keep_restored(timer);
        }
        restored.last_restored = restored.last;
        restored
    }

    /// Makes the set of a run that cannot read the timers of the earlier run yet.
    pub fn unrestored() -> Self {
        Self {
            last: FIRST_UNRESTORED,
            ..Self::default()
        }
    }

    fn keep_restored(&mut self, timer: Timer) {
        if timer.occurrence_of.is_some() {
            // An earlier version wrote each occurrence in a record of its own.
            self.changed.extend([timer.id, timer.record_id()]);
        }
        // The record of several timers, which is read first, is newer than one of its own.
        self.pending.entry(timer.id).or_insert(timer);
    }

    /// Adds the timers of an earlier run to those set since, under their numbers where these are
    /// free.
    pub fn add_restored(&mut self, timers: Vec<Timer>) {
        let room = MAX_TIMERS.saturating_sub(self.pending.len() + self.firing.len());
        let timers = timers.into_iter().take(room);
        let own: HashSet<TimerId> = self.ids().collect();
        if timers.clone().all(|timer| !own.contains(&timer.id)) {
            for timer in timers {
                self.last_restored = self.last_restored.max(timer.id);
                self.keep_restored(timer);
            }
            self.last = self.last.max(self.last_restored);
            return;
        }
        let mut numbers = BTreeMap::new();
        for timer in timers {
            self.last += 1;
            numbers.insert(timer.id, self.last);
            // An occurrence is newer than its repeated command, and has a higher number.
            let occurrence_of = timer
                .occurrence_of
                .map(|of| numbers.get(&of).copied().unwrap_or(of));
            let id = self.last;
            let timer = Timer {
                id,
                occurrence_of,
                written_with: None,
                ..timer
            };
            self.pending.insert(id, timer);
        }
    }

    /// Returns the numbers of all timers, also of those that are being carried out.
    pub fn ids(&self) -> impl Iterator<Item = TimerId> {
        self.pending.keys().chain(self.firing.keys()).copied()
    }

    fn with_firing(&self) -> impl Iterator<Item = &Timer> {
        self.pending.values().chain(self.firing.values())
    }

    /// Notes that these records are not on disk as they are now.
    pub fn mark_changed(&mut self, records: impl IntoIterator<Item = TimerId>) {
        self.changed.extend(records);
    }

    /// Notes that the records of all timers are to be written.
    pub fn mark_all_changed(&mut self) {
        let all: Vec<TimerId> = self.with_firing().map(Timer::record_id).collect();
        self.changed.extend(all);
    }

    /// Takes the numbers of the records that are to be written.
    pub fn take_changed(&mut self) -> BTreeSet<TimerId> {
        std::mem::take(&mut self.changed)
    }

    /// Returns the timers in a record: a repeated command with its occurrence, for example. Each
    /// record is written at once, so that a crash leaves all of a change or nothing.
    pub fn record(&self, id: TimerId) -> Vec<&Timer> {
        let mut timers: Vec<&Timer> = self
            .with_firing()
            .filter(|timer| timer.record_id() == id)
            .collect();
        timers.sort_by_key(|timer| timer.id);
        timers
    }

    /// Returns the first timer, waiting, firing or ended in this run, for which `is_it` holds.
    pub fn find(&self, is_it: impl Fn(&Timer) -> bool) -> Option<&Timer> {
        let mut all = self.with_firing().chain(&self.ended);
        all.find(|timer| timer.occurrence_of.is_none() && is_it(timer))
    }

    /// Adds a timer. One of the same source for the same actions at the same time is replaced and
    /// returned, unless it is due: it is carried out as soon as the disk allows, however soon the
    /// next one is set.
    ///
    /// # Errors
    /// When the source, or all together, have too many.
    pub fn add(
        &mut self,
        timer: Timer,
        now: &Clocks,
    ) -> Result<(TimerId, Option<TimerId>), TooManyTimers> {
        let is_due =
            |other: &Timer| other.repeat.is_none() && matches!(other.due.wait(now), Wait::Late(_));
        let is_same = |other: &Timer| {
            !is_due(other)
                && other.source == timer.source
                && other.task == timer.task
                && have_same_recurrence(other, &timer)
                && have_same_due(other, &timer)
                && other.condition == timer.condition
                && other.occurrence_of.is_none()
                && !timer.task.is_signal()
        };
        let same = self.pending.values().find(|other| is_same(other));
        let replaced = same.map(|other| other.id);
        // Written over it: a crash leaves one of the two.
        let written_with = same.map(Timer::record_id).or(timer.written_with);
        if let Some(id) = replaced {
            self.pending.remove(&id);
        }
        let of_source = self.of_source(&timer.source).count();
        if of_source >= MAX_OF_SOURCE {
            return Err(TooManyTimers::OfSource);
        }
        if self.pending.len() + self.firing.len() >= MAX_TIMERS {
            return Err(TooManyTimers::InTotal);
        }
        self.last += 1;
        let id = self.last;
        let timer = Timer {
            id,
            written_with,
            ..timer
        };
        self.changed.insert(timer.record_id());
        self.pending.insert(id, timer);
        Ok((id, replaced))
    }

    /// Takes the timer that ends an earlier occurrence of the same command, to be replaced by one
    /// that ends later: it knows the states before both.
    pub fn take_revert_of(&mut self, timer: &Timer) -> Option<Task> {
        let record = timer.record_id();
        let is_it = |other: &&Timer| {
            other.written_with == Some(record) && matches!(other.task, Task::Revert { .. })
        };
        let id = self.pending.values().find(is_it)?.id;
        self.remove(id).map(|timer| timer.task)
    }

    /// Adds the timer that ends an occurrence, in the same record. It is held.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add_revert(
        &mut self,
        task: Task,
        due: Due,
        occurrence: &Timer,
        now: &Clocks,
    ) -> Result<TimerId, TooManyTimers> {
        let revert = Timer {
            due,
            task,
            started: StartState::NotStarted,
            event: None,
            repeat: None,
            condition: None,
            occurrence_of: None,
            skipped: 0,
            written_with: Some(occurrence.record_id()),
            ..occurrence.clone()
        };
        let (id, _) = self.add(revert, now)?;
        self.hold(id);
        Ok(id)
    }

    /// Keeps a timer from firing and from being changed while its command is carried out. Returns
    /// false where it does not wait any more.
    pub fn hold(&mut self, id: TimerId) -> bool {
        let Some(timer) = self.pending.remove(&id) else {
            return false;
        };
        self.firing.insert(id, timer);
        true
    }

    /// Lets a timer wait again.
    pub fn release(&mut self, id: TimerId) {
        if let Some(timer) = self.firing.remove(&id) {
            self.pending.insert(id, timer);
        }
    }

    /// Returns the timers that a source has set, the earliest first by number.
    pub fn of_source<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a Timer> {
        let timers = self.waiting();
        timers.filter(move |timer| timer.source == *source)
    }

    /// Returns the timers that wait, without occurrences of repeated ones.
    pub fn waiting(&self) -> impl Iterator<Item = &Timer> {
        self.pending
            .values()
            .filter(|timer| timer.occurrence_of.is_none())
    }

    /// Returns a timer.
    pub fn get(&self, id: TimerId) -> Option<&Timer> {
        self.pending.get(&id)
    }

    /// Removes a timer that has not fired yet.
    pub fn remove(&mut self, id: TimerId) -> Option<Timer> {
        let timer = self.pending.remove(&id)?;
        self.changed.insert(timer.record_id());
        Some(timer)
    }

    /// Changes the due time of a timer, and its recurrence.
    pub fn reschedule(&mut self, id: TimerId, due: Due, repeat: Option<Repeat>) {
        if let Some(timer) = self.pending.get_mut(&id) {
            timer.due = due;
            timer.repeat = repeat;
            self.changed.insert(timer.record_id());
        }
    }

    /// Removes the devices that another command has changed from the reverts that wait for them. A
    /// revert without a device is due at once, so that it reports itself.
    /// Returns the numbers of reverts that changed, with the rest of each.
    pub fn commanded(&mut self, is_commanded: impl Fn(&str) -> bool, now: &Clocks) -> Vec<TimerId> {
        let mut changed = Vec::new();
        for (id, timer) in &mut self.pending {
            let record = timer.record_id();
            let Task::Revert { actions, .. } = &mut timer.task else {
                continue;
            };
            let before = actions.len();
            actions.retain(|action| !is_commanded(&action.device));
            if actions.len() == before {
                continue;
            }
            if actions.is_empty() {
                timer.due = Due::after(Duration::ZERO, now);
            }
            self.changed.insert(record);
            changed.push(*id);
        }
        changed
    }
}
