//! Whole expressions of time at one word: a repetition, a delay, a duration, an end, or a moment.
//!
//! In: the index of a word. Out: the timing that begins there and its number of words. What a
//! moment or a length of time is made of is read in other files.

use crate::grammar::time::reader::TimeReader;
use crate::vocabulary::timing::Timing;

/// Most words of an expression that are looked at.
const MOST_WORDS: usize = 16;

impl TimeReader<'_, '_> {
    /// Returns the expression at `at`, and its number of words.
    pub(in crate::grammar) fn timing(&self, at: usize) -> Option<(Timing, usize)> {
        if !self.may_begin(at) {
            return None;
        }
        if let Some((rule, end)) = self.recurrence(at) {
            return (end - at <= MOST_WORDS).then_some((Timing::Every(rule), end - at));
        }
        let by_sun = self.at_sun(at).and_then(|_| self.moment(at));
        let found = by_sun
            .map(|(moment, end)| (Timing::At(moment), end))
            .or_else(|| self.delay(at))
            .or_else(|| self.duration_for(at))
            .or_else(|| self.until(at))
            .or_else(|| {
                self.moment(at)
                    .map(|(moment, end)| (Timing::At(moment), end))
            });
        let (timing, end) = found?;
        (end - at <= MOST_WORDS).then_some((timing, end - at))
    }

    /// Reads a delay, and returns the index behind it: "in ten minutes", "ten minutes from now".
    fn delay(&self, at: usize) -> Option<(Timing, usize)> {
        if let Some(length) = self.phrase(&self.words.after, at)
            && let Some((span, end)) = self.long_span(at + length)
        {
            // "na 22 uur" is no delay.
            if self.may_be_clock(at, end) && self.at_clock(at).is_some() {
                return None;
            }
            // "in ten minutes before sunset" is none of the forms.
            return Some((Timing::After(span), end));
        }
        let (span, end) = self.span(at)?;
        let behind = self.phrase(&self.words.after_behind, end)?;
        Some((Timing::After(span), end + behind))
    }

    /// Reads how long a change lasts, and returns the index behind it: "for ten minutes", "zehn
    /// minuten lang".
    fn duration_for(&self, at: usize) -> Option<(Timing, usize)> {
        if let Some(length) = self.phrase(&self.words.r#for, at)
            && let Some((span, end)) = self.long_span(at + length)
        {
            return Some((
                Timing::For(span),
                self.optional(&self.words.for_behind, end),
            ));
        }
        let (span, end) = self.span(at)?;
        let behind = self.phrase(&self.words.for_behind, end)?;
        Some((Timing::For(span), end + behind))
    }

    /// Returns whether the words are a delay or a duration, and a time of the clock with a
    /// preposition as well: "na tien uur", "voor tien uur".
    pub(super) fn may_be_clock(&self, at: usize, end: usize) -> bool {
        let lists = self.words.before_clock.iter();
        let mut lengths = lists.filter_map(|list| self.phrase(list, at));
        lengths.any(|length| self.is_clock_too(at + length, end))
    }

    /// Returns whether the length of time from `at` to `end` is a time of the clock, or the start
    /// of one: "tien uur", "huit heures". "Une heure" and "24 heures" are hardly times of the
    /// clock.
    pub(super) fn is_clock_too(&self, at: usize, end: usize) -> bool {
        if self.is_fixed_length(at) {
            return false;
        }
        let is_day = self.whole(at, 24.0).is_some_and(|(hour, _)| hour == 24);
        let clock = self.clock(at);
        !is_day && clock.is_some_and(|(_, its_end)| its_end >= end)
    }

    /// Reads the end of a change, and returns the index behind it: "until nine", "until tomorrow at
    /// nine", "until sunset".
    pub(in crate::grammar) fn until(&self, at: usize) -> Option<(Timing, usize)> {
        let start = at + self.phrase(&self.words.until, at)?;
        if let Some((moment, end)) = self.moment(start) {
            return Some((Timing::Until(moment), end));
        }
        let (moment, end) = self.point(start)?;
        Some((Timing::Until(moment), end))
    }
}
