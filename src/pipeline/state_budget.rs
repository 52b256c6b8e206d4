//! The time that reading state messages may take, so that templates never hold up commands. Pure:
//! time is an argument.
//!
//! All readings share a credit of time. While it is used up, each reading may take a thousandth of
//! the time only: an ordinary one is hardly ever omitted, and one with a slow template often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many properties of one state message are read however long the message takes. No ordinary
/// device has more on one topic.
const ALWAYS_READ: usize = 32;

/// The time in which the other properties of any message may be read. Ordinary ones take far less,
/// on small gateways too.
const FREE: Duration = Duration::from_millis(2);

/// The longest time for the other properties of one message.
const LONGEST: Duration = Duration::from_millis(25);

/// The most time that can be saved up.
const MAX_CREDIT: Duration = Duration::from_millis(200);

/// The time beyond the credit past which no other properties are read any more.
const TOLERATED_DEBT: Duration = Duration::from_millis(300);

/// The most time that messages can have taken beyond the credit.
const MAX_DEBT: Duration = Duration::from_secs(2);

/// Divisor of the share of time by which the credit grows.
const REFILL: u32 = 4;

/// Divisor of the share of time that one reading may take while the credit is used up.
const READING_SHARE: u32 = 1000;

/// A reading that takes less has no template, or a short one, and is never omitted.
const NEGLIGIBLE: Duration = Duration::from_micros(20);

/// The most readings remembered: twice as many as announced devices may have.
const MAX_READINGS: usize = 16_000;

/// So many readings without a template are made from one look at the clock to the next.
const READINGS_PER_CLOCK: usize = 16;

/// The shortest time between two reports of omitted readings.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// A credit of time, and the readings that take a part of it.
#[derive(Debug, Default)]
pub(super) struct StateBudget {
    used: Duration,
    updated_at: Option<Instant>,
    reported_at: Option<Instant>,
    /// The last time each reading with a template was made, by the reading's number.
    readings: HashMap<u64, LastReading>,
}

#[derive(Debug, Clone, Copy)]
struct LastReading {
    at: Instant,
    took: Duration,
}

/// The part of the budget for one message.
#[derive(Debug)]
pub(super) struct MessageBudget {
    deadline: Instant,
    is_exhausted: bool,
    read: usize,
}

impl MessageBudget {
    /// Returns whether the clock is to be read before the next reading without a template. It is
    /// not read for each: that takes as long as the reading.
    pub(super) fn is_clock_due(&self) -> bool {
        self.read > 0 && self.read.is_multiple_of(READINGS_PER_CLOCK)
    }
}

impl StateBudget {
    /// Begins a message.
    pub(super) fn begin(&mut self, now: Instant) -> MessageBudget {
        if let Some(before) = self.updated_at.replace(now) {
            let refilled = now.saturating_duration_since(before) / REFILL;
            self.used = self.used.saturating_sub(refilled);
        }
        let credit = MAX_CREDIT.saturating_sub(self.used);
        let is_deep = self.used > MAX_CREDIT + TOLERATED_DEBT;
        let free = if is_deep { Duration::ZERO } else { FREE };
        MessageBudget {
            deadline: now + LONGEST.min(free + credit),
            is_exhausted: credit.is_zero(),
            read: 0,
        }
    }

    /// Returns whether the next reading of a message may be made. `reading` is its number, if it
    /// has a template.
    pub(super) fn may_read(
        &self,
        message: &mut MessageBudget,
        reading: Option<impl FnOnce() -> u64>,
        now: Instant,
    ) -> bool {
        message.read += 1;
        if message.read > ALWAYS_READ && now >= message.deadline {
            return false;
        }
        if !message.is_exhausted {
            return true;
        }
        let last = reading.and_then(|reading| self.readings.get(&reading()));
        let Some(last) = last else {
            return true;
        };
        now.saturating_duration_since(last.at) >= last.took * READING_SHARE
    }

    /// Takes time that passed, for readings without a template.
    pub(super) fn take(&mut self, took: Duration) {
        self.used = (MAX_CREDIT + MAX_DEBT).min(self.used + took);
    }

    /// Takes the time that a reading with a template took.
    pub(super) fn spend(&mut self, reading: impl FnOnce() -> u64, took: Duration, now: Instant) {
        self.take(took);
        if took < NEGLIGIBLE {
            return;
        }
        let reading = reading();
        if self.readings.len() >= MAX_READINGS && !self.readings.contains_key(&reading) {
            self.readings.clear();
        }
        self.readings.insert(reading, LastReading { at: now, took });
    }

    /// Returns the time a reading took last, if it is not negligible.
    pub(super) fn took(&self, reading: u64) -> Option<Duration> {
        self.readings.get(&reading).map(|last| last.took)
    }

    /// Returns whether omitted readings should be reported now.
    pub(super) fn should_report(&mut self, now: Instant) -> bool {
        let is_due = self
            .reported_at
            .is_none_or(|at| now.saturating_duration_since(at) >= REPORT_EVERY);
        if is_due {
            self.reported_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads messages with `properties` readings that take `took` each, every `pause`, for ten
    /// seconds. Returns the share of the time it takes and the share of readings made.
    fn flood(properties: u64, took: Duration, pause: Duration) -> (f64, f64) {
        let (mut budget, begun) = (StateBudget::default(), crate::clock::now());
        let (mut now, mut reading, mut made, mut all) = (begun, Duration::ZERO, 0.0, 0.0);
        while now < begun + Duration::from_secs(10) {
            let mut message = budget.begin(now);
            for number in 0..properties {
                all += 1.0;
                if budget.may_read(&mut message, Some(|| number), now) {
                    now += took;
                    reading += took;
                    made += 1.0;
                    budget.spend(|| number, took, now);
                }
            }
            now += pause;
        }
        (
            reading.as_secs_f64() / (now - begun).as_secs_f64(),
            made / all,
        )
    }

    #[test]
    fn ordinary_messages_are_always_read() {
        let (share, made) = flood(20, Duration::from_micros(15), Duration::from_millis(1));
        assert!(share > 0.2 && made > 0.99, "{share} {made}");
        let (share, made) = flood(3, Duration::from_millis(1), Duration::from_millis(20));
        assert!(share > 0.1 && made > 0.99, "{share} {made}");
    }

    #[test]
    fn slow_templates_take_a_share_of_the_time() {
        for (properties, took) in [(32, 1), (8, 10), (600, 1), (1, 50), (9000, 80)] {
            let pause = Duration::from_millis(1);
            let (share, made) = flood(properties, Duration::from_millis(took), pause);
            assert!(share < 0.45 && made > 0.0, "{properties} {took}: {share}");
        }
    }

    #[test]
    fn a_slow_template_does_not_keep_others_from_being_read() {
        let (mut budget, mut now) = (StateBudget::default(), crate::clock::now());
        let (slow, quick) = (Duration::from_millis(50), Duration::from_micros(200));
        for n in 0..200_u32 {
            now += Duration::from_millis(200);
            for (number, took) in [(1, slow), (1, slow), (2, quick)] {
                let mut message = budget.begin(now);
                let is_read = budget.may_read(&mut message, Some(|| number), now);
                assert!(is_read || number == 1, "{n}");
                if is_read {
                    now += took;
                    budget.spend(|| number, took, now);
                }
            }
        }
    }

    #[test]
    fn omitted_readings_are_reported_once_a_minute() {
        let (mut budget, now) = (StateBudget::default(), crate::clock::now());
        assert!(budget.should_report(now) && !budget.should_report(now));
        assert!(budget.should_report(now + REPORT_EVERY));
    }
}
