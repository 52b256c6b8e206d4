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
    /// Again and again: "every weekday at seven".
    Every(Recurrence),
}

/// The rule of a command that is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recurrence {
    /// On some days of the week.
    Days {
        /// Days of the week.
        days: Weekdays,
        /// The time of each of them.
        time: TimeOfDay,
    },
    /// After each interval; the first time after one.
    Interval {
        /// The length of the interval.
        seconds: u32,
        /// The last moment, where there is one.
        #[serde(default)]
        until: Option<TimePoint>,
    },
}

/// A set of days of the week; 1 is Monday and 7 is Sunday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub struct Weekdays(u8);

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);
    /// Monday to Friday.
    pub const WORKDAYS: Self = Self(0b001_1111);
    /// Saturday and Sunday.
    pub const WEEKENDS: Self = Self(0b110_0000);

    /// Makes the set of one day. A day that does not exist makes an empty set.
    pub fn one(day: u8) -> Self {
        match day {
            1..=7 => Self(1 << (day - 1)),
            _ => Self(0),
        }
    }

    /// Returns the days of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether a day is in the set.
    pub fn contains(self, day: u8) -> bool {
        self.0 & Self::one(day).0 != 0
    }

    /// Returns the days, from Monday to Sunday.
    pub fn days(self) -> impl Iterator<Item = u8> {
        (1..=7).filter(move |day| self.contains(*day))
    }
}

impl From<Vec<u8>> for Weekdays {
    fn from(days: Vec<u8>) -> Self {
        let sets = days.into_iter().map(Self::one);
        sets.fold(Self::default(), Self::and)
    }
}

impl From<Weekdays> for Vec<u8> {
    fn from(days: Weekdays) -> Self {
        days.days().collect()
    }
}

/// A length of time. Days are calendar days, which may have 23 or 25 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Calendar days.
    #[serde(default)]
    pub days: u16,
    /// Seconds, in addition to the days.
    #[serde(default)]
    pub seconds: u32,
}

/// A moment, relative to the day on which it is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimePoint {
    /// Day, relative to the one on which the sentence is spoken.
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
    /// The next such day of the week, from 1 for Monday to 7 for Sunday, on which the time is still
    /// to come; it may be today.
    Weekday(u8),
    /// The next such day of the week after today.
    NextWeekday(u8),
}

/// Time of a day, by the clock or by the sun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeOfDay {
    /// A time of the clock.
    Clock {
        /// 0 to 23; 1 to 12 where `half` is `Either`.
        hour: u8,
        /// 0 to 59.
        minute: u8,
        /// Half of the day, as far as it is certain.
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
