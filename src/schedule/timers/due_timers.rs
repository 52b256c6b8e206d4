//! The timers that are due: when the next one is, and how it is taken, begun, finished and
//! forgotten.
//!
//! A repeated command stays in the set, and one occurrence of it is handed out. It does not know
//! what is done with a timer that was taken: the caller reports its progress.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::due::{Clocks, Due, Wait, millis};
use crate::schedule::grace::PUNCTUAL;
use crate::schedule::moment::HomeLocation;
use crate::schedule::occurrence::{earlier_after_step, occurrence};
use crate::schedule::timer::{Repeat, StartState, Timer, TimerId};
use crate::schedule::timers::{MAX_ENDED, Timers};

impl Timers {
    /// Corrects the times at which delays end by the wall clock, after that was set. Returns
    /// whether there were any to correct.
    pub fn follow_clock(&mut self, now: &Clocks) -> bool {
        let Some(wall_now) = now.wall.map(Timestamp::as_millisecond) else {
            return false;
        };
        let mut is_corrected = false;
        for timer in self.pending.values_mut() {
            let Wait::For(left) = timer.due.wait(now) else {
                continue;
            };
            let record = timer.record_id();
            let Due::Delay { wall_ms, boot, .. } = &mut timer.due else {
                continue;
            };
            let left = i64::try_from(millis(left)).unwrap_or(i64::MAX);
            let ends = wall_now.saturating_add(left);
            let is_right =
                wall_ms.is_some_and(|wall| u128::from(wall.abs_diff(ends)) <= PUNCTUAL.as_millis());
            if *boot == now.boot && !is_right {
                *wall_ms = Some(ends);
                self.changed.insert(record);
                is_corrected = true;
            }
        }
        is_corrected
    }

    /// Returns the time until the next timer may fire, at most `most` where one waits for the wall
    /// clock, which may be set at any time. `None` where nothing waits.
    pub fn next_wait(&self, now: &Clocks, most: Duration) -> Option<Duration> {
        let busy = self.with_occurrences();
        self.pending
            .values()
            .filter(|timer| timer.repeat.is_none() || !busy.contains(&timer.id))
            .filter_map(|timer| match (timer.due.wait(now), &timer.due) {
                (Wait::For(left), Due::Delay { boot, .. }) if *boot == now.boot => Some(left),
                (Wait::For(left), _) => Some(left.min(most)),
                (Wait::ClockUnset, _) => Some(most),
                (Wait::Late(_) | Wait::Unknown, _) => Some(Duration::ZERO),
                (Wait::ForState, due) => due.until_end(now).map(|left| left.min(most)),
            })
            .min()
    }

    /// Returns the repeated commands of which an earlier occurrence waits or is being carried out.
    fn with_occurrences(&self) -> HashSet<TimerId> {
        let all = self.firing.values().chain(self.pending.values());
        all.filter_map(|timer| timer.occurrence_of).collect()
    }

    /// Returns whether an occurrence of the timer waits or is being carried out.
    pub(super) fn has_occurrence(&self, id: TimerId) -> bool {
        let mut others = self.firing.values().chain(self.pending.values());
        others.any(|other| other.occurrence_of == Some(id))
    }

    /// Takes the timers that are due, in the order of their due times, each with its lateness if
    /// that is known. They count as firing until [`Timers::forget`]. A repeated command continues
    /// to wait for its next occurrence.
    pub fn take_due(
        &mut self,
        now: &Clocks,
        place: &HomeLocation,
    ) -> Vec<(Timer, Option<Duration>)> {
        self.follow_clock(now);
        self.drop_overtaken(now);
        let mut due = Vec::new();
        let busy = self.with_occurrences();
        let ids: Vec<TimerId> = self.pending.keys().copied().collect();
        for id in ids {
            let Some(timer) = self.pending.get(&id) else {
                continue;
            };
            if timer.repeat.is_some() && busy.contains(&id) {
                continue;
            }
            let late = match timer.due.wait(now) {
                Wait::Late(late) => Some(late),
                Wait::Unknown => None,
                Wait::For(left) => {
                    if let Some(due_time) = earlier_after_step(timer, left, now, place) {
                        self.reschedule(id, due_time, timer.repeat.clone());
                    }
                    continue;
                }
                Wait::ClockUnset => continue,
                Wait::ForState => {
                    if timer.due.until_end(now) == Some(Duration::ZERO) {
                        self.remove(id);
                    }
                    continue;
                }
            };
            due.extend(self.take(id, late, now, place));
        }
        let order =
            |(timer, late): &(Timer, Option<Duration>)| (std::cmp::Reverse(*late), timer.id);
        due.sort_by_key(order);
        for (timer, _) in &due {
            self.firing.insert(timer.id, timer.clone());
        }
        due
    }

    /// Removes the occurrences that were not begun before the next one of the same command is due;
    /// they count as missed.
    fn drop_overtaken(&mut self, now: &Clocks) {
        let is_due = |id: &TimerId| {
            let timer = self.pending.get(id);
            timer.is_some_and(|timer| matches!(timer.due.wait(now), Wait::Late(_)))
        };
        let overtaken: Vec<(TimerId, TimerId, u32)> = self
            .pending
            .values()
            .filter(|timer| timer.started == StartState::NotStarted && timer.event.is_none())
            .filter_map(|timer| Some((timer.id, timer.occurrence_of?, timer.skipped)))
            .filter(|(_, parent, _)| is_due(parent))
            .collect();
        for (id, parent, skipped) in overtaken {
            self.remove(id);
            if let Some(timer) = self.pending.get_mut(&parent) {
                timer.skipped = timer.skipped.saturating_add(skipped).saturating_add(1);
            }
        }
    }

    /// Removes a timer that is due, or, if it is repeated, moves it to its next time. Returns the
    /// timer that is to be carried out.
    fn take(
        &mut self,
        id: TimerId,
        late: Option<Duration>,
        now: &Clocks,
        place: &HomeLocation,
    ) -> Option<(Timer, Option<Duration>)> {
        let timer = self.remove(id)?;
        let Some(repeat) = &timer.repeat else {
            return Some((timer, late));
        };
        let occurrence = occurrence(&timer.due, repeat, late, now, place);
        if let Some(next) = occurrence.next {
            let waiting = Timer {
                due: next,
                skipped: 0,
                repeat: Some(Repeat {
                    last_ms: occurrence.due.wall().map(Timestamp::as_millisecond),
                    ..repeat.clone()
                }),
                ..timer.clone()
            };
            self.pending.insert(id, waiting);
        }
        self.last += 1;
        let single = Timer {
            id: self.last,
            due: occurrence.due,
            repeat: None,
            occurrence_of: Some(id),
            skipped: timer.skipped.saturating_add(occurrence.skipped),
            ..timer
        };
        self.changed.insert(single.record_id());
        Some((single, occurrence.late))
    }

    /// Notes that the messages of a timer are about to be published.
    pub fn mark_started(&mut self, id: TimerId, started: StartState) {
        if let Some(timer) = self.firing.get_mut(&id) {
            timer.started = started;
            self.changed.insert(timer.record_id());
        }
    }

    /// Notes that a timer has been carried out, and the event that is still to be delivered.
    pub fn mark_finished(&mut self, id: TimerId, event: serde_json::Value) {
        if let Some(timer) = self.firing.get_mut(&id) {
            timer.event = Some(event);
            self.changed.insert(timer.record_id());
        }
    }

    /// Forgets a timer that has fired, or whose command was not carried out.
    pub fn forget(&mut self, id: TimerId) {
        let Some(timer) = self.firing.remove(&id) else {
            return;
        };
        self.changed.insert(timer.record_id());
        if id <= self.last_restored {
            self.ended.push_back(timer);
            if self.ended.len() > MAX_ENDED {
                self.ended.pop_front();
            }
        }
    }
}
