//! The time that reading state messages may take, so that templates never hold up commands. Pure:
//! time is an argument.

use std::time::{Duration, Instant};

/// The time in which any message may be read. Ordinary ones take far less, on small gateways too.
const FREE: Duration = Duration::from_millis(2);

/// The longest time for one message.
const LONGEST: Duration = Duration::from_millis(25);

/// The most time beyond [`FREE`] that can be saved up.
const MAX_CREDIT: Duration = Duration::from_millis(100);

/// Divisor of the share of time by which the credit grows.
const REFILL: u32 = 4;

/// The shortest time between two reports of an exhausted budget.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// A credit of time. Only messages that take long reduce it.
#[derive(Debug, Default)]
pub(super) struct StateBudget {
    used: Duration,
    updated_at: Option<Instant>,
    reported_at: Option<Instant>,
}

impl StateBudget {
    /// Returns how long reading the next message may take.
    pub(super) fn allowance(&mut self, now: Instant) -> Duration {
        if let Some(before) = self.updated_at.replace(now) {
            let refilled = now.saturating_duration_since(before) / REFILL;
            self.used = self.used.saturating_sub(refilled);
        }
        let credit = MAX_CREDIT.saturating_sub(self.used);
        LONGEST.min(FREE + credit)
    }

    /// Takes the time that reading a message took.
    pub(super) fn spend(&mut self, time: Duration) {
        self.used = MAX_CREDIT.min(self.used + time.saturating_sub(FREE));
    }

    /// Returns whether a message that was not read to its end should be reported now.
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

    #[test]
    fn quick_messages_are_always_read_and_slow_ones_for_a_share_of_the_time() {
        let (mut budget, mut now) = (StateBudget::default(), crate::clock::now());
        for _ in 0..10_000 {
            assert_eq!(budget.allowance(now), LONGEST);
            budget.spend(FREE);
        }
        let (begun, mut reading) = (now, Duration::ZERO);
        for _ in 0..1000 {
            let time = budget.allowance(now);
            budget.spend(time);
            reading += time;
            now += time + Duration::from_millis(10);
        }
        let share = reading.as_secs_f64() / (now - begun).as_secs_f64();
        assert!((0.1..0.5).contains(&share), "{share}");
        now += Duration::from_secs(1);
        assert_eq!(budget.allowance(now), LONGEST);
    }

    #[test]
    fn an_exhausted_budget_is_reported_once_a_minute() {
        let (mut budget, now) = (StateBudget::default(), crate::clock::now());
        assert!(budget.should_report(now) && !budget.should_report(now));
        assert!(budget.should_report(now + REPORT_EVERY));
    }
}
