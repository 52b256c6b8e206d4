//! The retry budget: when everything fails, retries must not double the load. Pure: time is an argument.
//! As in Finagle: each question earns a share of a retry, and a few per minute are always free.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Retries earned by a question. Finagle's default.
pub(super) const RATIO: f64 = 0.2;

/// Free retries per second, for times with few questions. A home asks a few hundred times a day.
pub(super) const FREE_PER_SECOND: f64 = 0.5;

/// How long what was earned and spent is remembered.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// How the budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetryBudgetView {
    /// Calls made again, or made at a provider whose breaker was open, in the last minute.
    pub spent: u32,
    /// The most of them there may be.
    pub most: u32,
}

/// The budget of all providers together.
#[derive(Debug, Default)]
pub(super) struct RetryBudget {
    /// Each second's questions and retries: 61 entries at most.
    seconds: VecDeque<(Instant, u32, u32)>,
}

impl RetryBudget {
    /// A question was asked for the first time.
    pub(super) fn earn(&mut self, now: Instant) {
        self.this_second(now).1 += 1;
    }

    /// Takes one retry, where there is one.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let RetryBudgetView { spent, most } = self.stand(now);
        if spent < most {
            self.this_second(now).2 += 1;
        }
        spent < most
    }

    /// A retry taken was not made.
    pub(super) fn give_back(&mut self) {
        if let Some((.., spent)) = self.seconds.iter_mut().rev().find(|(.., spent)| *spent > 0) {
            *spent -= 1;
        }
    }

    /// How it stands.
    pub(super) fn stand(&mut self, now: Instant) -> RetryBudgetView {
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
        (0..1000).take_while(|_| budget.spend(now)).count()
    }

    #[test]
    fn thirty_a_minute_are_free_and_five_questions_earn_one_more() {
        let (mut budget, now) = (RetryBudget::default(), crate::clock::now());
        assert_eq!(spent(&mut budget, now), 30);
        for _ in 0..50 {
            budget.earn(now);
        }
        assert_eq!(spent(&mut budget, now), 10);
        budget.give_back();
        assert_eq!(
            budget.stand(now),
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
        assert!(!budget.spend(now));
        now += Duration::from_millis(1);
        assert_eq!(spent(&mut budget, now), 30);
    }

    #[test]
    fn a_flood_takes_no_more_memory() {
        let (mut budget, mut now) = (RetryBudget::default(), crate::clock::now());
        for _ in 0..10_000 {
            budget.earn(now);
            now += Duration::from_millis(50);
        }
        assert!(budget.seconds.len() <= 61, "{}", budget.seconds.len());
    }
}
