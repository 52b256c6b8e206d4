//! Sunrise and sunset, with an offset where one is stated: "at sunset", "half an hour before
//! sunset".
//!
//! In: the index of a word. Out: the time and the index behind it.

use crate::grammar::time::reader::TimeReader;
use crate::vocabulary::timing::TimeOfDay;

impl TimeReader<'_, '_> {
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
}
