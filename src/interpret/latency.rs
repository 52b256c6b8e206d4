//! How long a provider takes to answer, as far as it has shown: so that its silence can be told from its slowness. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// So many answers are remembered. At some commands an hour that is a day.
const REMEMBERED: usize = 32;

/// A silence of so many times its usual longest is out of the ordinary.
const TIMES: f64 = 1.5;

/// "Its usual longest": one answer in twenty takes longer.
const USUAL: f64 = 0.95;

/// The answers of one provider, by how long they took.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    recent: VecDeque<Duration>,
}

impl Latencies {
    /// An answer came after so long.
    pub(super) fn add(&mut self, took: Duration) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
    }

    /// The time within which 19 of 20 answers came; `None` before there was one.
    pub(super) fn usual_longest(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "32 at most")]
        let rank = (USUAL * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.checked_sub(1)?).copied()
    }

    /// How long its silence is waited out before somebody else is asked as well: at least `least`, and longer for one that
    /// has shown to be slow and honest.
    pub(super) fn patience(&self, least: Duration) -> Duration {
        self.usual_longest().map_or(least, |usual| usual.mul_f64(TIMES).max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(2);

    fn of(seconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        seconds.into_iter().for_each(|s| latencies.add(Duration::from_secs(s)));
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
    fn one_answer_in_twenty_does_not_count_and_old_ones_are_forgotten() {
        let mut latencies = of((0..31).map(|n| if n == 3 { 9 } else { 1 }));
        assert_eq!(latencies.usual_longest(), Some(Duration::from_secs(1)));
        (0..100).for_each(|_| latencies.add(Duration::from_secs(4)));
        assert_eq!((latencies.usual_longest(), latencies.recent.len()), (Some(Duration::from_secs(4)), REMEMBERED));
    }
}
