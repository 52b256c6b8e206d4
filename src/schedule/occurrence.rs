//! The occurrences of a repeated command: the one that is due, those missed before it, and the
//! next.
//!
//! Pure. It knows the rule of one timer and the clocks, not the set of timers, which asks when a
//! repeated command is due and after the clock was set back.

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::due::{Clocks, Due, millis};
use crate::schedule::moment::HomeLocation;
use crate::schedule::recurrence::DayRule;
use crate::schedule::timer::{Repeat, Timer};
use crate::vocabulary::timing::Recurrence;

/// The longest wait of a rule of days that is not looked into: a week, and a clock that is set back
/// by a week. Only the sun of polar regions pauses for longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(14 * 24);

/// One occurrence of a repeated command, and the next one.
pub(super) struct Occurrence {
    /// Due time of the occurrence.
    pub(super) due: Due,
    /// Its lateness, if that is known.
    pub(super) late: Option<Duration>,
    /// Number of occurrences before it that were missed.
    pub(super) skipped: u32,
    /// Due time of the next one, unless the recurrence is over.
    pub(super) next: Option<Due>,
}

/// Returns an earlier due time of a repeated command that waits for longer than a rule of days
/// allows: the wall clock was far ahead when it was computed, and has been set back.
pub(super) fn earlier_after_step(
    timer: &Timer,
    left: Duration,
    now: &Clocks,
    place: &HomeLocation,
) -> Option<Due> {
    let Some(Repeat {
        recurrence: Recurrence::Days { days, time },
        ..
    }) = &timer.repeat
    else {
        return None;
    };
    if left <= LONGEST_PAUSE {
        return None;
    }
    let rule = DayRule {
        days: *days,
        time: *time,
    };
    let wall = now.wall?;
    // Not again after a step back by some days; an occurrence far ahead was of a wrong clock.
    let last = timer.repeat.as_ref().and_then(|repeat| repeat.last_ms);
    let is_near = |last: &i64| {
        let ahead = last.saturating_sub(wall.as_millisecond());
        u64::try_from(ahead).unwrap_or_default() <= millis(LONGEST_PAUSE)
    };
    let last = last
        .filter(is_near)
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let next = rule
        .next_after(wall.max(last.unwrap_or(wall)), place)
        .ok()?;
    let wall_ms = next.as_millisecond();
    (timer.due != Due::At { wall_ms }).then_some(Due::At { wall_ms })
}

/// Returns the occurrence of a repeated command that is due: the last one until now.
pub(super) fn occurrence(
    due: &Due,
    repeat: &Repeat,
    late: Option<Duration>,
    now: &Clocks,
    place: &HomeLocation,
) -> Occurrence {
    let is_over = |next: &Due| match (repeat.end_ms, next.wall()) {
        (Some(end), Some(next)) => next.as_millisecond() > end,
        _ => false,
    };
    // Occurrences after the end do not count.
    let beyond = match (repeat.end_ms, now.wall) {
        (Some(end), Some(wall)) => {
            let beyond = wall.as_millisecond().saturating_sub(end);
            Duration::from_millis(u64::try_from(beyond).unwrap_or_default())
        }
        _ => Duration::ZERO,
    };
    match repeat.recurrence {
        Recurrence::Days { days, time } => {
            let rule = DayRule { days, time };
            let now_wall = now.wall.unwrap_or_default();
            let due_wall = due.wall().unwrap_or(now_wall);
            let last =
                now_wall.checked_sub(jiff::SignedDuration::try_from(beyond).unwrap_or_default());
            let last = last.unwrap_or(now_wall).max(due_wall);
            let (latest, skipped) = rule.latest(due_wall, last, place);
            let at = |at: Timestamp| Due::At {
                wall_ms: at.as_millisecond(),
            };
            let next = rule.next_after(now_wall.max(latest), place).ok().map(at);
            Occurrence {
                due: at(latest),
                late: u64::try_from(now_wall.as_millisecond() - latest.as_millisecond())
                    .ok()
                    .map(Duration::from_millis),
                skipped,
                next: next.filter(|next| !is_over(next)),
            }
        }
        Recurrence::Interval { seconds, .. } => {
            let every = u64::from(seconds.max(1)) * 1000;
            let total = millis(late.unwrap_or_default());
            let counted = total.saturating_sub(millis(beyond));
            let skipped = counted / every;
            let next = Due::after(Duration::from_millis(every - total % every), now);
            Occurrence {
                due: due.later(skipped * every),
                late: late.map(|_| Duration::from_millis(total - skipped * every)),
                skipped: u32::try_from(skipped).unwrap_or(u32::MAX),
                next: (!is_over(&next)).then_some(next),
            }
        }
    }
}
