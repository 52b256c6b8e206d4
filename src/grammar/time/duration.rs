//! Lengths of time: "ten minutes", "an hour and a half", "1h30".
//!
//! In: the index of a word. Out: the length and the index behind it. Whether it is a delay or a
//! duration depends on the words around it, in `expression`.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::grammar::time::reader::TimeReader;
use crate::vocabulary::timing::Span;

/// Longest delay, in seconds, that an expression can name: a year. The limits of requests are
/// checked later.
const LONGEST: f64 = 366.0 * 86_400.0;

impl TimeReader<'_, '_> {
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

    /// Returns whether a length of time of fixed form stands at `at`: "een uur".
    pub(in crate::grammar) fn is_fixed_length(&self, at: usize) -> bool {
        self.fixed_length(&self.words.durations, at).is_some()
    }

    pub(super) fn unit(&self, at: usize) -> Option<(f64, usize)> {
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
