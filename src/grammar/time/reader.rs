//! The words of a sentence, in which the files beside this one look for times: phrases of a list,
//! numbers and units at one word. It knows no expression of time.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::grammar::lexicon::Lexicon;
use crate::grammar::number::{may_begin_number, number};
use crate::grammar::sense::Sense;
use crate::grammar::time_words::TimeWords;
use crate::grammar::tokens::phrase;
use crate::vocabulary::timing::{Half, Span, TimeOfDay};

/// Longest delay, in seconds, that an expression can name: a year. The limits of requests are
/// checked later.
const LONGEST: f64 = 366.0 * 86_400.0;

pub(in crate::grammar) struct TimeReader<'l, 'i> {
    pub(super) lexicon: &'l Lexicon,
    pub(in crate::grammar) words: &'l TimeWords,
    pub(in crate::grammar) input: &'i [&'i str],
}

impl<'l, 'i> TimeReader<'l, 'i> {
    /// Reads times in the words of a sentence.
    pub(in crate::grammar) fn new(lexicon: &'l Lexicon, input: &'i [&'i str]) -> Self {
        Self {
            lexicon,
            words: &lexicon.time,
            input,
        }
    }

    /// Returns the number of words of the first phrase of the list that stands at `at`.
    pub(in crate::grammar) fn phrase(&self, list: &[String], at: usize) -> Option<usize> {
        phrase(list, self.input.get(at..)?)
    }

    /// Returns the end of a phrase of the list at `at`, or `at` if there is none.
    pub(in crate::grammar) fn optional(&self, list: &[String], at: usize) -> usize {
        at + self.phrase(list, at).unwrap_or(0)
    }

    pub(super) fn number(&self, at: usize) -> Option<(f64, usize)> {
        let rest = self.input.get(at..)?;
        number(self.lexicon, rest).filter(|(value, _)| *value >= 0.0)
    }

    pub(super) fn whole(&self, at: usize, most: f64) -> Option<(u8, usize)> {
        let rest = self.input.get(at..)?;
        // "nueve y media" is an hour and its half, and no number.
        let (value, length) = self
            .number(at)
            .filter(|(value, _)| value.fract() == 0.0)
            .or_else(|| number(self.lexicon, rest.get(..1)?))?;
        let is_whole = value >= 0.0 && value.fract() == 0.0 && value <= most;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked"
        )]
        is_whole.then_some((value as u8, length))
    }

    /// Returns whether an expression may begin with the word at `at`: most words are none.
    pub(super) fn may_begin(&self, at: usize) -> bool {
        self.input
            .get(at)
            .is_some_and(|word| self.words.may_begin(word) || may_begin_number(self.lexicon, word))
    }

    pub(super) fn has_sense(&self, word: &str, is_it: impl Fn(Sense) -> bool) -> bool {
        let input = [word];
        self.lexicon.senses(&input).any(|(_, sense)| is_it(sense))
    }

    /// Returns whether a length of time of fixed form stands at `at`: "een uur".
    pub(in crate::grammar) fn is_fixed_length(&self, at: usize) -> bool {
        self.fixed_length(&self.words.durations, at).is_some()
    }

    /// Reads sunrise or sunset with a preposition or an offset of at most 720 minutes: "at sunset",
    /// "half an hour before sunset".
    pub(super) fn at_sun(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        if let Some(length) = self.phrase(&self.words.at_sunrise, at) {
            return Some((TimeOfDay::Sunrise(0), at + length));
        }
        if let Some(length) = self.phrase(&self.words.at_sunset, at) {
            return Some((TimeOfDay::Sunset(0), at + length));
        }
        let (span, end) = self.span(at)?;
        let minutes = i16::try_from(span.seconds / 60).ok()?;
        if span.days > 0 || span.seconds % 60 != 0 || minutes > 720 {
            return None;
        }
        let (sign, length) = match self.phrase(&self.words.before, end) {
            Some(length) => (-1, length),
            None => (1, self.phrase(&self.words.behind, end)?),
        };
        match self.sun(end + length)? {
            (TimeOfDay::Sunrise(_), end) => Some((TimeOfDay::Sunrise(sign * minutes), end)),
            (_, end) => Some((TimeOfDay::Sunset(sign * minutes), end)),
        }
    }

    pub(super) fn sun(&self, at: usize) -> Option<(TimeOfDay, usize)> {
        if let Some(length) = self.phrase(&self.words.sunrise, at) {
            return Some((TimeOfDay::Sunrise(0), at + length));
        }
        let length = self.phrase(&self.words.sunset, at)?;
        Some((TimeOfDay::Sunset(0), at + length))
    }

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

    fn is_unit(&self, at: usize) -> bool {
        let Some(rest) = self.input.get(at..) else {
            return false;
        };
        let mut senses = self.lexicon.senses(rest);
        let is_unit = senses.any(|(_, s)| matches!(s, Sense::Unit(_)));
        is_unit || rest.first() == Some(&"%") || self.unit(at).is_some()
    }

    /// Returns whether a unit of something else than time of the clock stands at `at`.
    fn is_unit_but_o_clock(&self, at: usize) -> bool {
        self.phrase(&self.words.o_clock, at).is_none() && self.is_unit(at)
    }

    /// Reads a length of time of whole seconds, from 1 to [`LONGEST`], and returns the index behind
    /// it: "ten minutes", "an hour and a half", "1 hour 30 minutes".
    pub(in crate::grammar) fn span(&self, at: usize) -> Option<(Span, usize)> {
        let (mut total, mut end, mut last) = self.span_part(at)?;
        loop {
            let next = self.optional(&self.words.and, end);
            let Some((more, its_end, unit)) = self.span_part(next).filter(|p| p.2 < last) else {
                break;
            };
            total += more;
            end = its_end;
            last = unit;
        }
        if !(1.0..=LONGEST).contains(&total) || total.fract() != 0.0 {
            return None;
        }
        let days = if last >= 86_400.0 {
            total / 86_400.0
        } else {
            0.0
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked"
        )]
        let span = if days > 0.0 && days.fract() == 0.0 {
            Span {
                days: days as u16,
                seconds: 0,
            }
        } else {
            Span {
                days: 0,
                seconds: total as u32,
            }
        };
        Some((span, end))
    }

    /// Reads a length of time like [`span`](Self::span), and accepts minutes without a unit behind
    /// the hours, as behind a preposition: "1h30", "une heure trente".
    pub(in crate::grammar) fn long_span(&self, at: usize) -> Option<(Span, usize)> {
        let (span, end) = self.span(at)?;
        let is_hours = span.seconds > 0
            && span.seconds.is_multiple_of(3600)
            && self.phrase(&self.words.hours, end - 1) == Some(1);
        let start = self.optional(&self.words.and, end);
        let minutes = self.whole(start, 59.0).filter(|(minutes, length)| {
            let is_written = self.input[start].len() == 2;
            (*minutes >= 10 || is_written) && !self.is_unit(start + length)
        });
        match minutes {
            Some((minutes, length)) if is_hours => Some((
                Span {
                    days: 0,
                    seconds: span.seconds + u32::from(minutes) * 60,
                },
                start + length,
            )),
            _ => Some((span, end)),
        }
    }

    /// Reads one number with its unit, and returns the length in seconds, the index behind it, and
    /// the seconds of the unit.
    fn span_part(&self, at: usize) -> Option<(f64, usize, f64)> {
        if let Some((seconds, length)) = self.fixed_length(&self.words.durations, at) {
            let seconds = f64::from(seconds);
            return Some((seconds, at + length, seconds.min(86_400.0)));
        }
        let (value, length) = self.number(at)?;
        let (unit, its_length) = self.unit(at + length)?;
        let end = at + length + its_length;
        if let Some(length) = self.phrase(&self.words.and_a_half, end) {
            return Some(((value + 0.5) * unit, end + length, unit));
        }
        let is_hours = (unit - 3600.0).abs() < 1.0;
        if is_hours && let Some(length) = self.phrase(&self.words.quarter_behind, end) {
            return Some(((value + 0.25) * unit, end + length, unit));
        }
        Some((value * unit, end, unit))
    }

    /// Returns the longest length of time of fixed form at `at`, in seconds, with its number of
    /// words.
    pub(super) fn fixed_length(
        &self,
        lengths: &BTreeMap<String, u32>,
        at: usize,
    ) -> Option<(u32, usize)> {
        let first = *self.input.get(at)?;
        // In order of the alphabet, so that those with the same beginning are side by side.
        let begun = lengths.range::<str, _>((Bound::Included(first), Bound::Unbounded));
        let begun = begun
            .take_while(|(phrase, _)| phrase.starts_with(first))
            .filter(|(phrase, _)| matches!(phrase.as_bytes().get(first.len()), None | Some(b' ')));
        let fits = begun.filter_map(|(phrase, seconds)| {
            let length = phrase.split(' ').count();
            let rest = self.input.get(at..at + length)?;
            let is_equal = rest.iter().copied().eq(phrase.split(' '));
            is_equal.then_some((*seconds, length))
        });
        fits.max_by_key(|(_, length)| *length)
    }

    fn unit(&self, at: usize) -> Option<(f64, usize)> {
        let words = self.words;
        let units = [
            (&words.seconds, 1.0),
            (&words.minutes, 60.0),
            (&words.hours, 3600.0),
            (&words.days, 86_400.0),
        ];
        units
            .into_iter()
            .find_map(|(list, seconds)| Some((seconds, self.phrase(list, at)?)))
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
