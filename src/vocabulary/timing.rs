//! When a command is to be carried out, as its sentence says it: free of the present time, so that
//! a draft can be cached.

use serde::{Deserialize, Serialize};

/// The time of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// After a delay: "in 20 minutes".
    After(Span),
    /// Now, and back after a while: "for 10 minutes".
    For(Span),
    /// At a moment: "at nine".
    At(TimePoint),
    /// Now, and back at a moment: "until nine".
    Until(TimePoint),
}

/// A length of time. Days are calendar days, which may have 23 or 25 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Calendar days.
    #[serde(default)]
    pub days: u16,
    /// Seconds, besides the days.
    #[serde(default)]
    pub seconds: u32,
}

/// A moment, relative to the day on which it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimePoint {
    /// The day.
    #[serde(default)]
    pub day: Day,
    /// The time of the day.
    pub time: TimeOfDay,
}

/// The day of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// The first day on which the time is still to come.
    #[default]
    Next,
    /// So many days from now; 0 is today.
    In(u16),
    /// The next such day of the week, from 1 for Monday to 7 for Sunday; not today.
    Weekday(u8),
}

/// The time of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeOfDay {
    /// A time of the clock.
    Clock {
        /// 0 to 23; 1 to 12 where `half` is `Either`.
        hour: u8,
        /// 0 to 59.
        minute: u8,
        /// Whether the hour is certain.
        #[serde(default)]
        half: Half,
    },
    /// So many minutes after sunrise; before it where negative.
    Sunrise(i16),
    /// So many minutes after sunset; before it where negative.
    Sunset(i16),
}

/// The half of the day of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The hour is one of 24.
    #[default]
    Exact,
    /// The hour is one of 12, and may be in the morning or in the evening.
    Either,
}
