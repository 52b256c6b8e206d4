//! The retry budget: when everything fails, retries must not double the load. As in Finagle, each
//! request deposits a share of a retry, and a few per minute are always free. Pure: time is an
//! argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Retries deposited by one request. Finagle's default.
pub(super) const RATIO: f64 = 0.2;

/// Free retries per second, for times with few requests. A home makes a few hundred a day.
pub(super) const FREE_PER_SECOND: f64 = 0.5;

/// Time for which deposits and withdrawals count.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// The balance, as published in `sayso/health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetryBudgetView {
    /// Retries, and calls at a provider that was not available, in the last minute.
    pub spent: u32,
    /// The most there may be.
    pub most: u32,
}

/// The budget shared by all providers.
#[derive(Debug, Default)]
pub(super) struct RetryBudget {
    /// Requests and retries of each second: 61 entries at most.
    seconds: VecDeque<(Instant, u32, u32)>,
}

impl RetryBudget {
    /// Records a request.
    pub(super) fn deposit(&mut self, now: Instant) {
        self.this_second(now).1 += 1;
    }

    /// Takes one retry; false where there is none.
    pub(super) fn withdraw(&mut self, now: Instant) -> bool {
        let RetryBudgetView { spent, most } = self.balance(now);
        if spent < most {
            self.this_second(now).2 += 1;
        }
        spent < most
    }

    /// Returns a retry that was not made.
    pub(super) fn refund(&mut self) {
        if let Some((.., spent)) = self.seconds.iter_mut().rev().find(|(.., spent)| *spent > 0) {
            *spent -= 1;
        }
    }

    /// Returns the retries of the last minute, and the most there may be.
    pub(super) fn balance(&mut self, now: Instant) -> RetryBudgetView {
        self.forget(now);
        let (asked, spent) = self
            .seconds
            .iter()
            .fold((0, 0), |(a, r), &(_, asked, retried)| {
                (a + asked, r + retried)
            });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "neither is below zero; the cast saturates"
        )]
        let most = (FREE_PER_SECOND * WINDOW.as_secs_f64() + RATIO * f64::from(asked)) as u32;
        RetryBudgetView { spent, most }
    }

    fn forget(&mut self, now: Instant) {
        while self
            .seconds
            .front()
            .is_some_and(|(begun, ..)| now.saturating_duration_since(*begun) > WINDOW)
        {
            self.seconds.pop_front();
        }
    }

    fn this_second(&mut self, now: Instant) -> &mut (Instant, u32, u32) {
        self.forget(now);
        let current = self.seconds.back().is_some_and(|(begun, ..)| {
            now.saturating_duration_since(*begun) < Duration::from_secs(1)
        });
        if !current {
            self.seconds.push_back((now, 0, 0));
        }
        self.seconds.back_mut().expect("pushed where it was empty")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &mut RetryBudget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn thirty_a_minute_are_free_and_five_requests_add_one() {
        let (mut budget, now) = (RetryBudget::default(), crate::clock::now());
        assert_eq!(spent(&mut budget, now), 30);
        for _ in 0..50 {
            budget.deposit(now);
        }
        assert_eq!(spent(&mut budget, now), 10);
        budget.refund();
        assert_eq!(
            budget.balance(now),
            RetryBudgetView {
                spent: 39,
                most: 40
            }
        );
    }

    #[test]
    fn after_a_minute_it_is_whole_again() {
        let (mut budget, mut now) = (RetryBudget::default(), crate::clock::now());
        assert_eq!(spent(&mut budget, now), 30);
        now += WINDOW;
        assert!(!budget.withdraw(now));
        now += Duration::from_millis(1);
        assert_eq!(spent(&mut budget, now), 30);
    }

    #[test]
    fn a_flood_takes_no_more_memory() {
        let (mut budget, mut now) = (RetryBudget::default(), crate::clock::now());
        for _ in 0..10_000 {
            budget.deposit(now);
            now += Duration::from_millis(50);
        }
        assert!(budget.seconds.len() <= 61, "{}", budget.seconds.len());
    }
}
