//! The time at which a timer fires, and the time left until then. Pure: the clocks are arguments.
//!
//! A delay runs by the time since the kernel started, so that setting the clock does not change it;
//! a time of the day runs by the wall clock. It does not know timers: a due time and the clocks go
//! in, the wait comes out.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::EARLIEST_BELIEVABLE;

/// The clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock; `None` where it was never set.
    pub wall: Option<Timestamp>,
    /// The time since the kernel started, with suspend.
    pub uptime: Duration,
    /// The boot id of the kernel.
    pub boot: String,
}

impl Clocks {
    /// Makes the clocks from a wall clock that may not be set.
    pub fn new(wall: Timestamp, uptime: Duration, boot: String) -> Self {
        let believable = EARLIEST_BELIEVABLE.as_secs().cast_signed();
        Self {
            wall: (wall.as_second() >= believable).then_some(wall),
            uptime,
            boot,
        }
    }
}

/// The time at which a timer fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// After a delay.
    Delay {
        /// The wall clock then, in milliseconds since 1970, if the clock was set.
        wall_ms: Option<i64>,
        /// The boot in which it was set.
        boot: String,
        /// The time since that boot, in milliseconds.
        uptime_ms: u64,
    },
    /// At a time of the wall clock, in milliseconds since 1970.
    At {
        /// The time.
        wall_ms: i64,
    },
    /// Due as soon as its condition becomes true.
    State {
        /// The last moment, in milliseconds since 1970, if there is one.
        end_ms: Option<i64>,
    },
}

/// The time left until a timer fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    For(Duration),
    /// It should have fired this long ago.
    Late(Duration),
    /// The wall clock is not set yet.
    ClockUnset,
    /// It was set while the clock was not, and the gateway has restarted since.
    Unknown,
    /// It waits for a state.
    ForState,
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn between(due_ms: i64, now_ms: i64) -> Wait {
    match u64::try_from(due_ms.saturating_sub(now_ms)) {
        Ok(left) if left > 0 => Wait::For(Duration::from_millis(left)),
        _ => Wait::Late(Duration::from_millis(
            now_ms.saturating_sub(due_ms).unsigned_abs(),
        )),
    }
}

impl Due {
    /// Returns the due time of a delay.
    pub fn after(delay: Duration, now: &Clocks) -> Self {
        let wall = now.wall.map(Timestamp::as_millisecond);
        let delay_ms = millis(delay);
        let more = i64::try_from(delay_ms).unwrap_or(i64::MAX);
        Self::Delay {
            wall_ms: wall.map(|wall| wall.saturating_add(more)),
            boot: now.boot.clone(),
            uptime_ms: millis(now.uptime).saturating_add(delay_ms),
        }
    }

    /// Returns the time left.
    pub fn wait(&self, now: &Clocks) -> Wait {
        let wall_now = now.wall.map(Timestamp::as_millisecond);
        match self {
            Self::Delay {
                boot, uptime_ms, ..
            } if *boot == now.boot && !boot.is_empty() => {
                let uptime = i64::try_from(millis(now.uptime)).unwrap_or(i64::MAX);
                between(i64::try_from(*uptime_ms).unwrap_or(i64::MAX), uptime)
            }
            Self::State { .. } => Wait::ForState,
            Self::Delay { wall_ms: None, .. } => Wait::Unknown,
            Self::Delay {
                wall_ms: Some(due), ..
            }
            | Self::At { wall_ms: due } => match wall_now {
                Some(now) => between(*due, now),
                None => Wait::ClockUnset,
            },
        }
    }

    /// Returns the due time moved back by `less`, at the earliest now, or `None` for a state.
    pub fn moved_back(&self, less: Duration, now: &Clocks) -> Option<Self> {
        let Wait::For(left) = self.wait(now) else {
            return None;
        };
        let less = i64::try_from(millis(less.min(left))).unwrap_or(i64::MAX);
        match self {
            Self::At { wall_ms } => Some(Self::At {
                wall_ms: wall_ms.saturating_sub(less),
            }),
            Self::Delay {
                wall_ms,
                boot,
                uptime_ms,
            } => Some(Self::Delay {
                wall_ms: wall_ms.map(|wall| wall.saturating_sub(less)),
                boot: boot.clone(),
                uptime_ms: uptime_ms.saturating_sub(less.unsigned_abs()),
            }),
            Self::State { .. } => None,
        }
    }

    /// Returns the due time moved on by `more`, or `None` for a state.
    pub fn moved_on(&self, more: Duration) -> Option<Self> {
        let is_state = matches!(self, Self::State { .. });
        (!is_state).then(|| self.later(millis(more)))
    }

    /// Returns the due time moved on by this number of milliseconds.
    pub(super) fn later(&self, more_ms: u64) -> Self {
        let more = i64::try_from(more_ms).unwrap_or(i64::MAX);
        match self {
            Self::At { wall_ms } => Self::At {
                wall_ms: wall_ms.saturating_add(more),
            },
            Self::Delay {
                wall_ms,
                boot,
                uptime_ms,
            } => Self::Delay {
                wall_ms: wall_ms.map(|wall| wall.saturating_add(more)),
                boot: boot.clone(),
                uptime_ms: uptime_ms.saturating_add(more_ms),
            },
            Self::State { end_ms } => Self::State { end_ms: *end_ms },
        }
    }

    /// Returns the time until a rule ends, or `None` where it has no end or the clock is not set.
    pub(super) fn until_end(&self, now: &Clocks) -> Option<Duration> {
        let Self::State { end_ms: Some(end) } = self else {
            return None;
        };
        match between(*end, now.wall?.as_millisecond()) {
            Wait::For(left) => Some(left),
            _ => Some(Duration::ZERO),
        }
    }

    /// Returns the due time by the wall clock, where it is known.
    pub fn wall(&self) -> Option<Timestamp> {
        let wall_ms = match self {
            Self::Delay { wall_ms, .. } => (*wall_ms)?,
            Self::At { wall_ms } => *wall_ms,
            Self::State { .. } => return None,
        };
        Timestamp::from_millisecond(wall_ms).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::examples::{SET, now, seconds};

    #[test]
    fn a_delay_runs_by_uptime_and_after_a_restart_by_the_wall_clock() {
        let due = Due::after(seconds(100), &now(SET, 50, "a"));
        // The clock is set back by a day: the delay does not change.
        assert_eq!(
            due.wait(&now(SET - 86_400, 90, "a")),
            Wait::For(seconds(60))
        );
        assert_eq!(due.wait(&now(SET + 70, 5, "b")), Wait::For(seconds(30)));
        assert_eq!(due.wait(&now(1000, 5, "b")), Wait::ClockUnset);
        let unset = Due::after(seconds(100), &now(1000, 50, "a"));
        assert_eq!(unset.wait(&now(SET, 149, "a")), Wait::For(seconds(1)));
        assert_eq!(unset.wait(&now(SET, 149, "b")), Wait::Unknown);
    }

    #[test]
    fn a_time_of_the_day_runs_by_the_wall_clock_and_waits_until_it_is_set() {
        let due = Due::At {
            wall_ms: SET * 1000,
        };
        assert_eq!(due.wait(&now(5, 5, "a")), Wait::ClockUnset);
        assert_eq!(due.wait(&now(SET - 60, 5, "a")), Wait::For(seconds(60)));
        assert_eq!(due.wait(&now(SET + 60, 5, "a")), Wait::Late(seconds(60)));
    }
}
