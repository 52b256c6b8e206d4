//! Times of the clock: "at nine", "7:30", "half past nine", "zehn vor halb neun", "at noon".
//!
//! In: the index of a word. Out: the time and the index behind it, and whether the half of the day
//! is certain. It knows no days.

use crate::grammar::time::reader::TimeReader;
use crate::vocabulary::timing::{Half, TimeOfDay};

impl TimeReader<'_, '_> {
    /// Reads a time of the clock with its preposition: "at nine". Without "at", only words that
    /// cannot mean anything else are accepted: "7:30", "7 am".
    pub(super) fn at_clock(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        if let Some(length) = self.phrase(&self.words.at, at)
            && let Some(found) = self.clock(at + length)
        {
            return Some(found);
        }
        if let Some(found) = self.named_hour(at) {
            return Some(found);
        }
        let [after, _] = &self.words.before_clock;
        let start = self.optional(after, at);
        let (time, end) = self.clock(start)?;
        let is_digits = digits(self.input[start]).is_some();
        let mut taken = start..end;
        let has_part = (start..=end).any(|i| self.part(i).is_some());
        let has_o_clock = taken.any(|i| self.phrase(&self.words.o_clock, i).is_some());
        // "après 8 heures" may be a delay, "après 22 heures" is none.
        let is_certain = start == at
            || has_part
            || is_exact(time)
            || self
                .long_span(start)
                .is_none_or(|(_, its_end)| its_end < end);
        (is_certain && (is_digits || has_part || has_o_clock)).then_some((time, end))
    }

    /// Reads an hour with a name, and a half or a quarter behind it: "at noon", "at midnight".
    fn named_hour(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        let (hour, length) = match self.phrase(&self.words.noon, at) {
            Some(length) => (12, length),
            None => (0, self.phrase(&self.words.midnight, at)?),
        };
        let end = at + length;
        let words = self.words;
        let behind = [
            (&words.half_behind, hour, 30),
            (&words.quarter_behind, hour, 15),
            (&words.quarter_less_behind, (hour + 23) % 24, 45),
        ];
        let found = behind
            .into_iter()
            .find_map(|(list, hour, minute)| Some((hour, minute, self.phrase(list, end)?)));
        let (hour, minute, more) = found.unwrap_or((hour, 0, 0));
        let end = self.optional(&words.sharp, end + more);
        Some((exact(hour, minute), end))
    }

    /// Reads a time of the clock without its preposition. "Twelve pm" is noon, and "twelve am"
    /// midnight.
    pub(super) fn clock(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        let (time, end) = self.hour_of_twelve(at)?;
        let TimeOfDay::Clock {
            hour: 12, minute, ..
        } = time
        else {
            return Some((time, self.optional(&self.words.sharp, end)));
        };
        let [noon, midnight] = &self.words.twelve;
        if let Some(length) = self.phrase(noon, end) {
            return Some((exact(12, minute), end + length));
        }
        match self.phrase(midnight, end) {
            Some(length) => Some((exact(0, minute), end + length)),
            None => Some((time, end)),
        }
    }

    /// Reads a time of the clock like [`clock`](Self::clock), but without the words behind "twelve"
    /// that distinguish noon from midnight.
    fn hour_of_twelve(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        if let Some(found) = self.named_hour(at) {
            return Some(found);
        }
        let words = self.words;
        if let Some((hour, minute)) = self.input.get(at).and_then(|word| digits(word)) {
            let end = self.optional(&words.o_clock, at + 1);
            return Some((self.written(at, hour, minute), end));
        }
        if let Some((hour, minute)) = self.input.get(at).and_then(|word| dotted(word))
            && !self.is_unit_but_o_clock(at + 1)
        {
            let end = self.optional(&words.o_clock, at + 1);
            return Some((self.written(at, hour, minute), end));
        }
        let before_hour = [
            (&words.half_past, 30_i16),
            (&words.quarter_past, 15),
            (&words.quarter_to, -15),
            (&words.half_before, -30),
        ];
        for (list, minutes) in before_hour {
            if let Some(length) = self.phrase(list, at) {
                let (hour, end) = self.hour(at + length)?;
                return Some((shifted(hour, minutes)?, end));
            }
        }
        if let Some(found) = self.minutes_and_hour(at) {
            return Some(found);
        }
        self.hour_and_minutes(at)
    }

    /// Returns the time that is written with minutes: of "06:30" the half of the day is certain.
    fn written(&self, at: usize, hour: u8, minute: u8) -> TimeOfDay {
        let is_noon = hour == 12 && self.words.noon_is_twelve;
        let is_certain = hour == 0 || hour > 12 || is_noon || self.input[at].starts_with('0');
        let half = if is_certain {
            Half::Exact
        } else {
            Half::Either
        };
        TimeOfDay::Clock { hour, minute, half }
    }

    /// Reads minutes before an hour: "ten past nine", "twenty minutes to nine", "zehn vor halb
    /// neun".
    fn minutes_and_hour(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        let words = self.words;
        let (minutes, length) = self.whole(at, 29.0)?;
        let minutes = i16::from(minutes);
        let end = self.optional(&words.minutes, at + length);
        let links = [
            (&words.before_half, -30 - minutes),
            (&words.past_half, -30 + minutes),
            (&words.past, minutes),
            (&words.to, -minutes),
        ];
        for (list, shift) in links {
            if let Some(length) = self.phrase(list, end)
                && let Some((hour, end)) = self.hour(end + length)
            {
                return Some((shifted(hour, shift)?, end));
            }
        }
        None
    }

    /// Reads an hour, with the minutes behind it where they are stated: "nine", "nine thirty",
    /// "neun uhr dreissig", "neuf heures et demie".
    fn hour_and_minutes(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        let words = self.words;
        let (hour, length) = self.whole(at, 24.0)?;
        let after_hour = at + length;
        let named = self.optional(&words.o_clock, after_hour);
        if words.needs_o_clock && named == after_hour {
            return None;
        }
        let behind = [
            (&words.half_behind, 30_i16),
            (&words.quarter_behind, 15),
            (&words.quarter_less_behind, -15),
        ];
        for (list, minutes) in behind {
            if let Some(length) = self.phrase(list, named) {
                return Some((shifted(hour, minutes)?, named + length));
            }
        }
        for (list, sign) in [(&words.plus, 1), (&words.minus, -1)] {
            if let Some(length) = self.phrase(list, named)
                && let Some((minutes, more)) = self.whole(named + length, 59.0)
            {
                return Some((
                    shifted(hour, sign * i16::from(minutes))?,
                    named + length + more,
                ));
            }
        }
        // "07 h 30" is in the morning.
        let is_morning = self.input[at].starts_with('0') && length == 1 && hour > 0;
        let is_noon = hour == 12 && named > after_hour && self.words.noon_is_twelve;
        let found = |minute: u8| {
            let time = shifted(hour, i16::from(minute))?;
            Some(if is_morning || is_noon {
                self.written(at, hour, minute)
            } else {
                time
            })
        };
        if let Some((minute, end)) = self.minutes_behind(after_hour, named) {
            return Some((found(minute)?, end));
        }
        if self.is_unit(named) {
            // "at 9 percent", "at 21 degrees"
            return None;
        }
        Some((found(0)?, named))
    }

    /// Reads the minutes behind an hour, or behind its "o'clock": "9 15", "20 h 05", "20 h 30 min".
    fn minutes_behind(&self, after_hour: usize, named: usize) -> Option<(u8, usize)> {
        let (minute, more) = self.whole(named, 59.0)?;
        let has_o_clock = named > after_hour;
        let is_written = self.input[named].len() == 2 && self.input[named].starts_with('0');
        // "um neun Uhr ein" ends with a verb.
        let may_be_minutes = minute >= 10 || (has_o_clock && (minute > 1 || is_written));
        if !may_be_minutes {
            return None;
        }
        let end = named + more;
        // Where "20 h" is a length of time as well, so is "20 h 30 min".
        let is_length_too = has_o_clock && self.phrase(&self.words.hours, after_hour).is_some();
        match self.phrase(&self.words.minutes, end) {
            Some(length) if is_length_too => Some((minute, end + length)),
            _ => (!self.is_unit(end)).then_some((minute, end)),
        }
    }

    /// Reads an hour from 0 to 24, with "o'clock" if it is there.
    fn hour(&self, at: usize) -> Option<(u8, usize)> {
        let (hour, length) = self.whole(at, 24.0)?;
        Some((hour, self.optional(&self.words.o_clock, at + length)))
    }
}

/// Returns hour and minute of a word such as `7:30`.
pub(super) fn digits(word: &str) -> Option<(u8, u8)> {
    let (hour, minute) = word.split_once(':')?;
    if minute.len() != 2 || hour.len() > 2 {
        return None;
    }
    let hour: u8 = hour.parse().ok()?;
    let minute: u8 = minute.parse().ok()?;
    (hour < 24 && minute < 60).then_some((hour, minute))
}

/// Returns hour and minute of a word such as `7.30`, which is a number elsewhere.
pub(super) fn dotted(word: &str) -> Option<(u8, u8)> {
    let (hour, minute) = word.split_once('.')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(hour) || !is_digits(minute) {
        return None;
    }
    digits(&format!("{hour}:{minute}"))
}

/// Returns a time of which the half of the day is certain.
pub(super) fn exact(hour: u8, minute: u8) -> TimeOfDay {
    let half = Half::Exact;
    TimeOfDay::Clock { hour, minute, half }
}

/// Returns whether the half of the day is certain.
fn is_exact(time: TimeOfDay) -> bool {
    !matches!(
        time,
        TimeOfDay::Clock {
            half: Half::Either,
            ..
        }
    )
}

/// Returns the time this number of minutes after an hour, or before it if negative.
fn shifted(hour: u8, minutes: i16) -> Option<TimeOfDay> {
    if hour > 24 {
        return None;
    }
    let either = (1..=12).contains(&hour);
    let total = i16::from(hour % 24) * 60 + minutes;
    let total = total.rem_euclid(24 * 60);
    let minute = u8::try_from(total % 60).ok()?;
    let hour = u8::try_from(total / 60).ok()?;
    if !either {
        return Some(exact(hour, minute));
    }
    // Of twelve hours: "quarter to one" is 12:45.
    let hour = match hour % 12 {
        0 => 12,
        hour => hour,
    };
    let half = Half::Either;
    Some(TimeOfDay::Clock { hour, minute, half })
}
