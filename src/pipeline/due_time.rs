//! The due time of a command with a time: computed from its timing, the clocks and the place of the
//! home.
//!
//! It does not know devices or drafts, and stores nothing. A timing goes in; a due time comes out,
//! or the fault that the speaker is asked or informed about.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Zoned};

use crate::clock::{uptime, wall};
use crate::pipeline::handle::Pipeline;
use crate::schedule::due::{Clocks, Due};
use crate::schedule::moment::{self, HomeLocation, MOST_DAYS, TimeFault};
use crate::schedule::recurrence::{DayRule, SHORTEST_INTERVAL};
use crate::schedule::timer::Repeat;
use crate::vocabulary::condition::Condition;
use crate::vocabulary::timing::{Recurrence, Span, TimePoint, Timing};

/// A due time, with the wall clock where it is known.
pub(super) struct DueTime {
    pub(super) due: Due,
    pub(super) wall: Option<Zoned>,
    /// The time from now.
    pub(super) wait: Duration,
    /// The recurrence, where it is the first one of several.
    pub(super) repeat: Option<Repeat>,
    /// The state to wait for, where it is no time.
    pub(super) condition: Option<Condition>,
}

impl Pipeline {
    /// Returns all clocks.
    pub(super) fn clocks(&self) -> Clocks {
        let boot = self.services.boot.to_string();
        let wall = Timestamp::try_from(wall()).unwrap_or(Timestamp::UNIX_EPOCH);
        Clocks::new(wall, uptime(), boot)
    }
}

/// Returns the due time of a command, by the clocks and the place.
pub(super) fn due_time(
    timing: &Timing,
    clocks: &Clocks,
    location: &HomeLocation,
) -> Result<DueTime, TimeFault> {
    let wall = clocks.wall.map(|at| at.to_zoned(location.zone.clone()));
    match timing {
        Timing::After(Span { days: 0, seconds }) | Timing::For(Span { days: 0, seconds }) => {
            let wait = Duration::from_secs(u64::from(*seconds));
            let longest = Duration::from_hours(24 * MOST_DAYS.unsigned_abs());
            if wait > longest {
                return Err(TimeFault::TooFar);
            }
            let due = Due::after(wait, clocks);
            let at = due.wall().map(|at| at.to_zoned(location.zone.clone()));
            Ok(DueTime {
                due,
                wall: at,
                wait,
                repeat: None,
                condition: None,
            })
        }
        Timing::Every(recurrence) => first_of(*recurrence, clocks, location),
        Timing::After(span) | Timing::For(span) => {
            let now = wall.ok_or(TimeFault::ClockUnset)?;
            Ok(at_wall(moment::after(*span, &now)?, &now))
        }
        Timing::At(point) | Timing::Until(point) => {
            let now = wall.ok_or(TimeFault::ClockUnset)?;
            Ok(at_wall(moment::next(*point, &now, location)?, &now))
        }
    }
}

/// Returns the first due time of a repeated command.
fn first_of(
    recurrence: Recurrence,
    clocks: &Clocks,
    location: &HomeLocation,
) -> Result<DueTime, TimeFault> {
    let wall = clocks.wall.map(|at| at.to_zoned(location.zone.clone()));
    let end_of = |until: TimePoint| {
        let now = wall.clone().ok_or(TimeFault::ClockUnset)?;
        moment::next(until, &now, location)
    };
    match recurrence {
        Recurrence::Days { days, time } => {
            let now = wall.ok_or(TimeFault::ClockUnset)?;
            let next = DayRule { days, time }.next_after(now.timestamp(), location)?;
            let at = next.to_zoned(location.zone.clone());
            Ok(DueTime {
                repeat: Some(Repeat::new(recurrence, None)),
                ..at_wall(at, &now)
            })
        }
        Recurrence::Interval { seconds, until } => {
            if seconds < SHORTEST_INTERVAL {
                return Err(TimeFault::TooOften);
            }
            let delay = Span { days: 0, seconds };
            let first = due_time(&Timing::After(delay), clocks, location)?;
            let end = until.map(end_of).transpose()?;
            if let (Some(end), Some(first)) = (&end, &first.wall)
                && end < first
            {
                return Err(TimeFault::Past);
            }
            let end_ms = end.map(|end| end.timestamp().as_millisecond());
            Ok(DueTime {
                repeat: Some(Repeat::new(recurrence, end_ms)),
                ..first
            })
        }
    }
}

pub(super) fn at_wall(at: Zoned, now: &Zoned) -> DueTime {
    let wait = at.duration_since(now).max(SignedDuration::ZERO);
    DueTime {
        due: Due::At {
            wall_ms: at.timestamp().as_millisecond(),
        },
        wait: wait.unsigned_abs(),
        wall: Some(at),
        repeat: None,
        condition: None,
    }
}
