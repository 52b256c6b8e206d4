//! Days and parts of the day: "tomorrow", "on friday", "montagabend", "in the evening".
//!
//! In: the index of a word. Out: the day or part of the day there, and its number of words. Which
//! hours a part of the day has is known in `day_part`.

use crate::grammar::day_part::DayPart;
use crate::grammar::time::reader::TimeReader;
use crate::vocabulary::timing::{Day, TimeOfDay, TimePoint};

impl TimeReader<'_, '_> {
    /// Reads a day and, where it is stated, the part of the day: "tomorrow", "on friday", "this
    /// evening".
    pub(super) fn day(&self, at: usize) -> Option<(Day, Option<DayPart>, usize)> {
        let words = self.words;
        let lists = [
            (&words.after_tomorrow, Day::In(2), None),
            (&words.tomorrow_morning, Day::In(1), Some(DayPart::Morning)),
            (
                &words.tomorrow_afternoon,
                Day::In(1),
                Some(DayPart::Afternoon),
            ),
            (&words.tomorrow_evening, Day::In(1), Some(DayPart::Evening)),
            (
                &words.tomorrow_night,
                Day::In(1),
                Some(DayPart::LateEvening),
            ),
            (&words.this_morning, Day::In(0), Some(DayPart::Morning)),
            (&words.this_afternoon, Day::In(0), Some(DayPart::Afternoon)),
            (&words.this_evening, Day::In(0), Some(DayPart::Evening)),
            (&words.tonight, Day::In(0), Some(DayPart::Night)),
            (&words.tomorrow, Day::In(1), None),
            (&words.today, Day::In(0), None),
        ];
        let of_list = lists
            .into_iter()
            .filter_map(|(list, day, part)| Some((day, part, self.phrase(list, at)?)))
            .max_by_key(|(_, _, length)| *length);
        let (day, part, length) = if let Some(found) = of_list {
            found
        } else {
            let next = (1_u8..).zip(&words.next_weekdays);
            let next = next.map(|(n, list)| (Day::NextWeekday(n), list));
            let weekdays = (1_u8..).zip(&words.weekdays);
            let weekdays = weekdays.map(|(n, list)| (Day::Weekday(n), list));
            let found = next.chain(weekdays).filter_map(|(day, list)| {
                let (part, length) = self.named_day(list, at)?;
                Some((day, part, length))
            });
            found.max_by_key(|(_, _, length)| *length)?
        };
        let (part, length) = match (part, self.part(at + length)) {
            (None, Some((part, more))) => (Some(part), length + more),
            (part, _) => (part, length),
        };
        // Of "monday night at one" it is not certain which night is meant.
        let part = match part {
            Some(DayPart::Night) if day != Day::In(0) => Some(DayPart::LateEvening),
            part => part,
        };
        Some((day, part, length))
    }

    /// Returns the number of words of the day of a list that stands at `at`, with the part of the
    /// day behind its name or joined with it: "montag abend", "montagabend".
    pub(super) fn named_day(&self, list: &[String], at: usize) -> Option<(Option<DayPart>, usize)> {
        let of_day = &self.words.of_day;
        if let Some(length) = self.phrase(list, at) {
            let behind = of_day
                .iter()
                .find_map(|(part, words)| Some((*part, self.phrase(words, at + length)?)));
            return Some(match behind {
                Some((part, more)) => (Some(part), length + more),
                None => (None, length),
            });
        }
        list.iter().find_map(|day| {
            let (part, length) = self.joined_day(day, at)?;
            Some((Some(part), length))
        })
    }

    /// Returns the part of the day whose word is joined with the name of a day at `at`, and the
    /// number of their words.
    fn joined_day(&self, day: &str, at: usize) -> Option<(DayPart, usize)> {
        // Most days begin with another letter, and are not split.
        if self.input.get(at)?.as_bytes().first() != day.as_bytes().first() {
            return None;
        }
        let mut before = day.split(' ');
        let last = before.next_back()?;
        let mut end = at;
        for word in before {
            if *self.input.get(end)? != word {
                return None;
            }
            end += 1;
        }
        let rest = self.input.get(end)?.strip_prefix(last)?;
        let is_of = |words: &[String]| words.iter().any(|word| word == rest);
        let mut parts = self.words.of_day.iter();
        let (part, _) = parts.find(|(_, words)| is_of(words))?;
        Some((*part, end + 1 - at))
    }

    /// Reads a part of the day, and returns the number of its words: "in the morning", "in the
    /// evening". Returns `None` where the words mean several parts.
    pub(in crate::grammar) fn part(&self, at: usize) -> Option<(DayPart, usize)> {
        let words = self.words;
        let lists = [
            (&words.morning, DayPart::Morning),
            (&words.small_hours, DayPart::SmallHours),
            (&words.afternoon, DayPart::Afternoon),
            (&words.evening, DayPart::Evening),
            (&words.second_half, DayPart::SecondHalf),
            (&words.night, DayPart::Night),
        ];
        let mut found = lists
            .into_iter()
            .filter_map(|(list, part)| Some((part, self.phrase(list, at)?)));
        let first = found.next()?;
        // A word of two parts names none of them.
        found.next().is_none().then_some(first)
    }
}

/// Returns a time of a day. "Tonight at one" is one of the next day.
pub(super) fn on_day(day: Day, part: Option<DayPart>, time: TimeOfDay) -> TimePoint {
    let is_after_midnight = part == Some(DayPart::Night)
        && day == Day::In(0)
        && matches!(time, TimeOfDay::Clock { hour: 0..6, .. });
    let day = if is_after_midnight { Day::Next } else { day };
    TimePoint { day, time }
}
