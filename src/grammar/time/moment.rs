//! Points in time, of a day and a time of the day in any order: "tomorrow at nine", "at nine on
//! friday", "at sunset".
//!
//! In: the index of a word. Out: the point in time and the index behind it.

use crate::grammar::day_part::DayPart;
use crate::grammar::time::clock_time::exact;
use crate::grammar::time::day::on_day;
use crate::grammar::time::reader::TimeReader;
use crate::vocabulary::timing::{Day, TimeOfDay, TimePoint};

impl TimeReader<'_, '_> {
    /// Reads a point in time with its preposition, and returns the index behind it: "at nine",
    /// "tomorrow at nine", "at sunset". Returns `None` where the words are a length of time as
    /// well.
    pub(in crate::grammar) fn moment(&self, at: usize) -> Option<(TimePoint, usize)> {
        let (day, part, start) = self.leading_day(at);
        let (time, end) = self.at_sun(start).or_else(|| self.at_clock(start))?;
        let (moment, end) = self.trailing_day(day, part, time, end)?;
        // "een uur" is an hour as well as one o'clock.
        let is_length = self.span(at).is_some_and(|(_, its_end)| its_end == end);
        let is_certain = !is_length && !self.is_midnight_of_a_day(moment, start);
        is_certain.then_some((moment, end))
    }

    /// Reads a point in time without its own preposition, as it stands behind another one, and
    /// returns the index behind it: "tomorrow nine", "sunset".
    pub(in crate::grammar) fn point(&self, at: usize) -> Option<(TimePoint, usize)> {
        let (day, part, start) = self.leading_day(at);
        let (time, end) = self.sun(start).or_else(|| self.clock(start))?;
        let (moment, end) = self.trailing_day(day, part, time, end)?;
        (!self.is_midnight_of_a_day(moment, start)).then_some((moment, end))
    }

    fn leading_day(&self, at: usize) -> (Option<Day>, Option<DayPart>, usize) {
        match self.day(at) {
            Some((day, part, length)) => (Some(day), part, at + length),
            None => match self.part(at) {
                Some((part, length)) => (None, Some(part), at + length),
                None => (None, None, at),
            },
        }
    }

    /// Adds the day or the part of the day that follows a time: "in the evening", "tomorrow", "on
    /// friday".
    fn trailing_day(
        &self,
        mut day: Option<Day>,
        mut part: Option<DayPart>,
        time: TimeOfDay,
        mut end: usize,
    ) -> Option<(TimePoint, usize)> {
        for _ in 0..2 {
            if part.is_none()
                && let Some((found, length)) = self.part(end)
            {
                part = Some(found);
                end = self.optional(&self.words.sharp, end + length);
            }
            if day.is_none()
                && let Some((found, its_part, length)) = self.day(end)
            {
                if its_part.is_some() && part.is_some() {
                    return None;
                }
                day = Some(found);
                part = part.or(its_part);
                end += length;
            }
        }
        let is_this_night = part == Some(DayPart::Night) && matches!(day, None | Some(Day::In(0)));
        let time = match time {
            TimeOfDay::Clock {
                hour: 12, minute, ..
            } if is_this_night => exact(0, minute),
            time => self.words.part_hours.place(time, part)?,
        };
        // "today at nine" and "tomorrow at three" name one of two hours.
        let day = day.unwrap_or_default();
        Some((on_day(day, part, time), end))
    }

    /// Returns whether the words from `at` are midnight, and of another day than this: a day begins
    /// and ends with one.
    fn is_midnight_of_a_day(&self, moment: TimePoint, at: usize) -> bool {
        let is_named = self.phrase(&self.words.midnight, at).is_some();
        is_named && !matches!(moment.day, Day::Next | Day::In(0))
    }
}
