//! Expressions of repeated times: "every weekday at seven", "at sunset every evening", "every two
//! hours until ten".
//!
//! In: the index of a word. Out: the rule of the repetition and the index behind it. A single moment
//! is read in `moment`.

use crate::grammar::day_part::DayPart;
use crate::grammar::time::cut::{Cut, joined};
use crate::grammar::time::reader::TimeReader;
use crate::vocabulary::timing::{Day, Recurrence, TimeOfDay, Timing, Weekdays};

/// Days of the week with the part of the day they name, and the end of their words.
type Days = (Weekdays, Option<DayPart>, usize);

/// Returns the part of the day on certain days: of "every friday night at one" it is not certain
/// which night is meant.
fn of_certain_days(days: Weekdays, part: Option<DayPart>) -> Option<DayPart> {
    match part {
        Some(DayPart::Night) if days != Weekdays::ALL => Some(DayPart::LateEvening),
        part => part,
    }
}

impl TimeReader<'_, '_> {
    /// Returns the rule at `at`, and its end.
    pub(super) fn recurrence(&self, at: usize) -> Option<(Recurrence, usize)> {
        self.interval(at)
            .or_else(|| self.days_with_time(at))
            .or_else(|| self.time_with_days(at))
    }

    /// Reads an interval, with an end behind it where one is stated: "every two hours", "hourly",
    /// "every hour until ten".
    fn interval(&self, at: usize) -> Option<(Recurrence, usize)> {
        let fixed = self.fixed_length(&self.words.intervals, at);
        let (seconds, end) = if let Some((seconds, length)) = fixed {
            (seconds, at + length)
        } else {
            let start = at + self.phrase(&self.words.every, at)?;
            let (span, end) = self.span(start)?;
            (span.seconds, end)
        };
        // "every two days" is none of the forms.
        if seconds == 0 {
            return None;
        }
        let (until, end) = match self.until(end) {
            Some((Timing::Until(point), end)) => (Some(point), end),
            _ => (None, end),
        };
        Some((Recurrence::Interval { seconds, until }, end))
    }

    /// Reads the days before the time: "every weekday at seven".
    fn days_with_time(&self, at: usize) -> Option<(Recurrence, usize)> {
        let (days, part, end) = self.days(at)?;
        let (time, end) = self.at_sun(end).or_else(|| self.at_clock(end))?;
        self.with_trailing_part(days, part, time, end)
    }

    /// Reads the days behind the time: "at seven every weekday".
    fn time_with_days(&self, at: usize) -> Option<(Recurrence, usize)> {
        let (time, end) = self.at_sun(at).or_else(|| self.at_clock(at))?;
        let (part, end) = match self.part(end) {
            Some((part, length)) => (Some(part), end + length),
            None => (None, end),
        };
        let (days, own_part, end) = self.days(end)?;
        if part.is_some() && own_part.is_some() {
            return None;
        }
        self.with_trailing_part(days, part.or(own_part), time, end)
    }

    fn with_trailing_part(
        &self,
        days: Weekdays,
        part: Option<DayPart>,
        time: TimeOfDay,
        end: usize,
    ) -> Option<(Recurrence, usize)> {
        let (part, end) = match self.part(end) {
            Some((own, length)) if part.is_none_or(|part| part == own) => (Some(own), end + length),
            Some(_) => return None,
            None => (part, end),
        };
        let time = self.words.part_hours.place(time, part)?;
        Some((Recurrence::Days { days, time }, end))
    }

    /// Reads recurring days and, where it is stated, the part of the day: "every evening", "on
    /// mondays and fridays", "every weekday morning".
    fn days(&self, at: usize) -> Option<Days> {
        let words = self.words;
        let lists = [
            (&words.every_day, Weekdays::ALL, None),
            (&words.every_morning, Weekdays::ALL, Some(DayPart::Morning)),
            (
                &words.every_afternoon,
                Weekdays::ALL,
                Some(DayPart::Afternoon),
            ),
            (&words.every_evening, Weekdays::ALL, Some(DayPart::Evening)),
            (&words.every_night, Weekdays::ALL, Some(DayPart::Night)),
            (&words.workdays, Weekdays::WORKDAYS, None),
            (&words.weekends, Weekdays::WEEKENDS, None),
        ];
        let of_list = lists
            .into_iter()
            .filter_map(|(list, days, part)| Some((days, part, self.phrase(list, at)?)))
            .max_by_key(|(_, _, length)| *length);
        let (mut days, part, length) = if let Some(found) = of_list {
            found
        } else {
            let (day, part, length) = self.day_in(&words.weekly, at)?;
            (Weekdays::one(day), part, length)
        };
        let mut end = at + length;
        while days != Weekdays::ALL
            && let Some((day, next)) = self.further_day(end)
        {
            days = days.and(Weekdays::one(day));
            end = next;
        }
        let (part, end) = match self.part(end) {
            Some((own, length)) if part.is_none() => (Some(own), end + length),
            _ => (part, end),
        };
        Some((days, of_certain_days(days, part), end))
    }

    /// Returns a day behind others: "and fridays", ", wednesday".
    fn further_day(&self, at: usize) -> Option<(u8, usize)> {
        let comma = usize::from(self.input.get(at) == Some(&","));
        let and = self.phrase(&self.words.and, at + comma).unwrap_or(0);
        if comma + and == 0 {
            return None;
        }
        let at = at + comma + and;
        let words = self.words;
        let named = [&words.weekly, &words.day_names, &words.weekdays];
        let found = named.into_iter().find_map(|lists| self.day_in(lists, at));
        let (day, part, length) = found?;
        part.is_none().then_some((day, at + length))
    }

    fn day_in(&self, lists: &[Vec<String>], at: usize) -> Option<(u8, Option<DayPart>, usize)> {
        let mut days = (1_u8..).zip(lists);
        days.find_map(|(day, list)| {
            let (part, length) = self.named_day(list, at)?;
            Some((day, part, length))
        })
    }

    /// Returns the ways to join a time with days elsewhere in the sentence: "every evening turn on
    /// the lamp at nine".
    pub(super) fn with_distant_days(
        &self,
        timing: &Timing,
        (front, back): (&[&str], &[&str]),
        is_bare: bool,
    ) -> Vec<Cut> {
        let Timing::At(point) = timing else {
            return Vec::new();
        };
        if point.day != Day::Next {
            return Vec::new();
        }
        let behind = self.input.len() - back.len();
        let range = (front.len(), behind);
        let mut found = Vec::new();
        for at in 0..self.input.len() {
            let Some((days, part, end)) = self.days(at) else {
                continue;
            };
            let rest = if end <= front.len() {
                joined(&[&front[..at], &front[end..]].concat(), back)
            } else if at >= behind {
                joined(
                    front,
                    &[&self.input[behind..at], &self.input[end..]].concat(),
                )
            } else {
                continue;
            };
            let Some(time) = self.words.part_hours.place(point.time, part) else {
                continue;
            };
            found.push(Cut {
                timing: Timing::Every(Recurrence::Days { days, time }),
                is_bare,
                is_bare_length: false,
                may_be_clock: false,
                range,
                rest,
            });
        }
        found
    }
}
