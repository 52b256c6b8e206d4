//! The part of the day that a sentence names, and the hours it has.

use serde::Deserialize;

use crate::vocabulary::timing::{Half, TimeOfDay};

/// Last hour of the afternoon where a language does not name another.
const AFTERNOON_UNTIL: u8 = 18;

/// First hour of the evening: "five in the evening".
const EVENING_FROM: u8 = 17;

/// First hour of the night before midnight where a language does not name another.
const NIGHT_FROM: u8 = 21;

/// The part of the day that a sentence names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DayPart {
    Morning,
    /// The hours behind midnight: "de la madrugada".
    SmallHours,
    Afternoon,
    Evening,
    /// Any hour from noon on: "pm".
    SecondHalf,
    /// The evening of "tomorrow night", whose small hours may be of either day.
    LateEvening,
    Night,
}

/// The hours that parts of the day have in a language: "las nueve de la tarde" is at 21:00.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PartHours {
    /// Last hour of the afternoon, from 12 to 23.
    afternoon_until: u8,
    /// First hour of the night before midnight, from 18 to 23.
    night_from: u8,
}

impl Default for PartHours {
    fn default() -> Self {
        Self {
            afternoon_until: AFTERNOON_UNTIL,
            night_from: NIGHT_FROM,
        }
    }
}

impl PartHours {
    /// Returns the time in the named part of the day, or `None` if they contradict each other:
    /// there is no "one in the evening".
    pub(super) fn place(self, time: TimeOfDay, part: Option<DayPart>) -> Option<TimeOfDay> {
        let (Some(part), TimeOfDay::Clock { hour, minute, half }) = (part, time) else {
            return Some(time);
        };
        let hour = match (half, part) {
            // "twelve in the morning" may be noon, and "twelve in the evening" is midnight, and
            // which one is not certain.
            (Half::Either, _) if hour == 12 => return None,
            (Half::Exact, _) | (Half::Either, DayPart::Morning | DayPart::SmallHours) => hour,
            // "tonight at five" may be in the evening where the night begins at six.
            (Half::Either, DayPart::Night) if hour < 6 && hour + 13 != self.night_from => hour,
            (Half::Either, DayPart::Night) if hour + 12 < self.night_from => return None,
            (Half::Either, _) => hour + 12,
        };
        let fits = match part {
            DayPart::Morning => hour < 12,
            DayPart::SmallHours => hour < 7,
            DayPart::Afternoon => (12..=self.afternoon_until).contains(&hour),
            DayPart::Evening => hour >= EVENING_FROM,
            DayPart::SecondHalf => hour >= 12,
            DayPart::LateEvening => hour >= 18,
            DayPart::Night => !(6..18).contains(&hour),
        };
        let half = Half::Exact;
        fits.then_some(TimeOfDay::Clock { hour, minute, half })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour_of(part: DayPart, hour: u8) -> Option<u8> {
        let time = TimeOfDay::Clock {
            hour,
            minute: 0,
            half: Half::Either,
        };
        match PartHours::default().place(time, Some(part))? {
            TimeOfDay::Clock { hour, .. } => Some(hour),
            _ => None,
        }
    }

    #[test]
    fn an_hour_is_placed_only_in_a_part_of_the_day_that_has_it() {
        for (part, hour, placed) in [
            (DayPart::Evening, 8, Some(20)),
            (DayPart::Evening, 1, None),
            (DayPart::Evening, 4, None),
            (DayPart::Evening, 12, None),
            (DayPart::Afternoon, 1, Some(13)),
            (DayPart::Afternoon, 11, None),
            (DayPart::SecondHalf, 1, Some(13)),
            (DayPart::SecondHalf, 11, Some(23)),
            (DayPart::Morning, 1, Some(1)),
            (DayPart::Morning, 11, Some(11)),
            (DayPart::SmallHours, 6, Some(6)),
            (DayPart::SmallHours, 11, None),
            (DayPart::Night, 1, Some(1)),
            (DayPart::Night, 11, Some(23)),
            (DayPart::Night, 7, None),
            (DayPart::LateEvening, 9, Some(21)),
            (DayPart::LateEvening, 1, None),
        ] {
            assert_eq!(hour_of(part, hour), placed, "{part:?} {hour}");
        }
    }

    #[test]
    fn the_hour_before_the_night_is_not_placed_in_it() {
        let early = PartHours {
            night_from: 18,
            ..PartHours::default()
        };
        let at = |hour| TimeOfDay::Clock {
            hour,
            minute: 0,
            half: Half::Either,
        };
        assert_eq!(early.place(at(5), Some(DayPart::Night)), None);
        assert!(early.place(at(4), Some(DayPart::Night)).is_some());
        assert!(early.place(at(6), Some(DayPart::Night)).is_some());
    }
}
