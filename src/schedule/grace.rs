//! How late a timer may fire, by the harm of firing late.
//!
//! Pure. It knows neither timers nor devices: `pipeline::firing` chooses the grace of a timer from
//! the risk of its actions, and asks with the lateness.

use std::time::Duration;

/// A timer that fires so little late is not late.
pub(super) const PUNCTUAL: Duration = Duration::from_secs(2);

/// Limit on how late a timer may fire, by the harm of firing late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// Only on time: it opens or locks something, or starts something that heats.
    None,
    /// Five minutes.
    Short,
    /// A day: it switches something off.
    Day,
}

impl Grace {
    /// Returns whether a timer that is so late still fires. `None` is an unknown time.
    pub fn allows(self, late: Option<Duration>) -> bool {
        let Some(late) = late else {
            return false;
        };
        match self {
            Self::None => late <= PUNCTUAL,
            Self::Short | Self::Day => late <= self.longest(),
        }
    }

    /// Returns the time within which its messages must reach the broker.
    pub fn longest(self) -> Duration {
        match self {
            Self::None => Duration::from_mins(1),
            Self::Short => Duration::from_mins(5),
            Self::Day => Duration::from_hours(24),
        }
    }
}

/// Returns whether a delay is worth mentioning.
pub fn is_late(late: Option<Duration>) -> bool {
    late.is_none_or(|late| late > PUNCTUAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::examples::seconds;

    #[test]
    fn what_is_late_depends_on_the_harm() {
        let hour = Some(Duration::from_hours(1));
        assert!(Grace::Day.allows(hour) && !Grace::Short.allows(hour));
        assert!(Grace::Short.allows(Some(seconds(300))) && !Grace::None.allows(Some(seconds(3))));
        assert!(
            !Grace::Day.allows(None),
            "an unknown time is never within the grace period"
        );
    }
}
