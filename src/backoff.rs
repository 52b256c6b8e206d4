//! Exponential backoff with jitter, the same for every retry of the program. Pure but for the
//! random numbers of [`Backoff::next_jittered`].

use std::time::Duration;

use tokio_retry::strategy::ExponentialBackoff;

/// Delays that double from the first to the longest.
#[derive(Debug, Clone)]
pub struct Backoff {
    delays: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Creates the sequence of delays that begins with `first`, which is at least 2 ms; no delay is
    /// longer than `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let first = u64::try_from(first.as_millis()).unwrap_or(u64::MAX);
        Self {
            // The strategy raises its base to the power of the attempt: 2, 4, 8 ..
            delays: ExponentialBackoff::from_millis(2)
                .factor(first / 2)
                .max_delay(longest),
            longest,
        }
    }

    /// Returns the next delay: twice the one before.
    pub fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.longest)
    }

    /// Returns a delay drawn evenly from zero to the next one ("full jitter").
    /// Source: M. Brooker, "Exponential Backoff And Jitter", AWS 2015.
    pub fn next_jittered(&mut self) -> Duration {
        self.next_delay().mul_f64(rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_mins(1), Duration::from_hours(1));
        let delays: Vec<u64> = (0..8).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(delays, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn jitter_only_shortens() {
        let mut plain = Backoff::new(Duration::from_millis(200), Duration::from_secs(4));
        let mut jittered = plain.clone();
        for _ in 0..100 {
            assert!(jittered.next_jittered() <= plain.next_delay());
        }
    }
}
