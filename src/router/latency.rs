//! Latency estimates of one provider: to recognise a silence that is longer than usual, and to call
//! the fastest provider first. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Answers remembered. At a few commands an hour they cover a day.
const REMEMBERED: usize = 32;

/// Multiple of the 95th percentile from which a silence is unusual.
const TIMES: f64 = 1.5;

/// The fewest answers that a hedge can be based on.
const FEWEST: usize = 20;

/// The fewest answers that a typical latency can be told from.
const FEWEST_FOR_TYPICAL: usize = 3;

/// The quantile that counts as the usual longest latency.
const QUANTILE: f64 = 0.95;

/// Time constant with which a peak decays while newer answers come. Source: Finagle's peak EWMA; 30
/// s suits few calls.
const DECAY: Duration = Duration::from_secs(30);

/// Idle time after which the estimate halves, so that a slow provider is tried again eventually.
const IDLE_HALF_LIFE: Duration = Duration::from_mins(1);

/// Latencies of one provider.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    recent: VecDeque<Duration>,
    /// Peak EWMA in seconds: rises at once with a slow answer and falls slowly.
    peak: f64,
    last: Option<Instant>,
}

impl Latencies {
    /// Records a call without a usable answer, as a sample of the peak only.
    pub(super) fn fail(&mut self, took: Duration, now: Instant) {
        let dt = self
            .last
            .map_or(Duration::MAX, |last| now.saturating_duration_since(last));
        let sample = took.as_secs_f64();
        let weight = (-dt.as_secs_f64() / DECAY.as_secs_f64()).exp();
        self.peak = if sample > self.peak {
            sample
        } else {
            self.peak * weight + sample * (1.0 - weight)
        };
        self.last = Some(now);
    }

    /// Returns the expected latency in seconds with this number of calls in flight; zero if the
    /// provider was never called, so that it is called.
    pub(super) fn cost(&self, in_flight: usize, now: Instant) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        let idle = now.saturating_duration_since(last).as_secs_f64() / IDLE_HALF_LIFE.as_secs_f64();
        let waiting = f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX)) + 1.0;
        self.peak * 0.5_f64.powf(idle) * waiting
    }

    /// Returns the 95th percentile, once there are enough answers to hedge by.
    pub(super) fn hedge_after(&self) -> Option<Duration> {
        self.usual_longest().filter(|_| self.recent.len() >= FEWEST)
    }

    /// Records an answer.
    pub(super) fn add(&mut self, took: Duration, now: Instant) {
        self.fail(took, now);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
    }

    /// Returns the 95th percentile; `None` before the first answer.
    pub(super) fn usual_longest(&self) -> Option<Duration> {
        self.quantile(QUANTILE)
    }

    /// Returns the median, once it is known from more than a few answers.
    pub(super) fn typical(&self) -> Option<Duration> {
        self.quantile(0.5)
            .filter(|_| self.recent.len() >= FEWEST_FOR_TYPICAL)
    }

    fn quantile(&self, quantile: f64) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "32 at most"
        )]
        let rank = (quantile * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.checked_sub(1)?).copied()
    }

    /// Returns how long to wait before the next provider is called in parallel: at least `least`,
    /// and longer for a provider that is usually slow.
    pub(super) fn patience(&self, least: Duration) -> Duration {
        self.usual_longest()
            .map_or(least, |usual| usual.mul_f64(TIMES).max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(2);

    fn of(seconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        let now = crate::clock::now();
        seconds
            .into_iter()
            .for_each(|s| latencies.add(Duration::from_secs(s), now));
        latencies
    }

    #[test]
    fn a_quick_or_unknown_provider_is_given_the_least() {
        assert_eq!(of([]).patience(LEAST), LEAST);
        assert_eq!(of([0, 1, 1]).patience(LEAST), LEAST);
    }

    #[test]
    fn a_slow_provider_is_given_half_as_much_again_as_it_needs() {
        assert_eq!(of([8]).patience(LEAST), Duration::from_secs(12));
        assert_eq!(of([8, 6, 7]).patience(LEAST), Duration::from_secs(12));
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let now = crate::clock::now();
        let mut latencies = Latencies::default();
        assert!(latencies.cost(5, now) < f64::EPSILON, "never asked");
        latencies.add(Duration::from_secs(1), now);
        latencies.fail(Duration::from_secs(8), now);
        assert!((latencies.cost(0, now) - 8.0).abs() < 1e-9);
        assert!(
            (latencies.cost(2, now) - 24.0).abs() < 1e-9,
            "three under way"
        );
        assert!(
            (latencies.cost(0, now + IDLE_HALF_LIFE) - 4.0).abs() < 1e-9,
            "not asked for a minute"
        );
        latencies.add(Duration::from_secs(1), now + DECAY);
        assert!((latencies.cost(0, now + DECAY) - (1.0 + 7.0 / std::f64::consts::E)).abs() < 1e-6);
        assert_eq!(latencies.hedge_after(), None, "too few");
        assert_eq!(of([1; 20]).hedge_after(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn one_answer_in_twenty_does_not_count_and_old_ones_are_forgotten() {
        let mut latencies = of((0..31).map(|n| if n == 3 { 9 } else { 1 }));
        assert_eq!(latencies.usual_longest(), Some(Duration::from_secs(1)));
        let now = crate::clock::now();
        (0..100).for_each(|_| latencies.add(Duration::from_secs(4), now));
        assert_eq!(
            (latencies.usual_longest(), latencies.recent.len()),
            (Some(Duration::from_secs(4)), REMEMBERED)
        );
    }
}
