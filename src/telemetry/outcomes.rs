//! Replies counted by source of understanding and outcome, and their latencies.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::telemetry::metrics::{COMMAND_DURATION, COMMANDS, Page};

/// Upper bounds of the latency buckets in seconds. Local understanding takes less than a
/// millisecond, a model at most the deadline.
pub const BUCKETS: [f64; 16] = [
    0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// Maximum number of distinct `via` labels: `local`, `cache`, `none` and the providers of all
/// configs since start. Further ones are counted as `others`.
const MAX_LABELS: usize = 64;

/// Counts and latencies of replies, by `via`.
#[derive(Debug, Default)]
pub struct OutcomeCounts(Mutex<BTreeMap<String, Outcomes>>);

/// Counts and latencies of the replies with one `via`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcomes {
    /// Number of replies by outcome.
    pub by_outcome: BTreeMap<&'static str, u64>,
    /// Sum of the latencies in seconds.
    pub seconds: f64,
    /// Number of replies in each bucket; slower replies than the last bound are in none.
    buckets: [u64; BUCKETS.len()],
}

impl OutcomeCounts {
    /// Counts one reply.
    pub fn record(&self, via: &str, outcome: &'static str, latency: Duration) {
        let mut all = self.0.lock();
        let via = if all.len() < MAX_LABELS || all.contains_key(via) {
            via
        } else {
            "others"
        };
        // Looked up twice so that the usual case does not allocate a key.
        let outcomes = match all.get_mut(via) {
            Some(outcomes) => outcomes,
            None => all.entry(via.to_owned()).or_default(),
        };
        *outcomes.by_outcome.entry(outcome).or_default() += 1;
        let seconds = latency.as_secs_f64();
        outcomes.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            outcomes.buckets[bucket] += 1;
        }
    }

    /// Returns a copy of all counts, by `via`.
    pub fn by_via(&self) -> BTreeMap<String, Outcomes> {
        self.0.lock().clone()
    }

    /// Writes the counts and the latency histogram to a metrics page.
    pub fn write(&self, page: &mut Page) {
        let all = self.by_via();
        page.family(&COMMANDS);
        for (via, outcomes) in &all {
            for (outcome, n) in &outcomes.by_outcome {
                page.sample(COMMANDS.name, &[("via", via), ("outcome", outcome)], *n);
            }
        }
        page.family(&COMMAND_DURATION);
        for (via, outcomes) in &all {
            outcomes.write_histogram(via, page);
        }
    }
}

impl Outcomes {
    fn write_histogram(&self, via: &str, page: &mut Page) {
        let name = COMMAND_DURATION.name;
        let bucket = format!("{name}_bucket");
        // The buckets of a Prometheus histogram are cumulative.
        let mut at_most = 0;
        for (bound, n) in BUCKETS.iter().zip(self.buckets) {
            at_most += n;
            page.sample(
                &bucket,
                &[("via", via), ("le", &bound.to_string())],
                at_most,
            );
        }
        let total: u64 = self.by_outcome.values().sum();
        page.sample(&bucket, &[("via", via), ("le", "+Inf")], total);
        page.sample(&format!("{name}_sum"), &[("via", via)], self.seconds);
        page.sample(&format!("{name}_count"), &[("via", via)], total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_slowest_replies_are_only_in_the_last() {
        let counts = OutcomeCounts::default();
        counts.record("local", "done", Duration::from_micros(300));
        counts.record("local", "unclear", Duration::from_micros(900));
        counts.record("local", "done", Duration::from_mins(1));
        let mut page = Page::default();
        counts.write(&mut page);
        let text = page.text();
        for line in [
            "sayso_commands_total{via=\"local\",outcome=\"done\"} 2",
            "sayso_command_duration_seconds_bucket{via=\"local\",le=\"0.00025\"} 0",
            "sayso_command_duration_seconds_bucket{via=\"local\",le=\"0.0005\"} 1",
            "sayso_command_duration_seconds_bucket{via=\"local\",le=\"30\"} 2",
            "sayso_command_duration_seconds_bucket{via=\"local\",le=\"+Inf\"} 3",
            "sayso_command_duration_seconds_count{via=\"local\"} 3",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "`{line}` is not in\n{text}"
            );
        }
    }

    #[test]
    fn the_number_of_labels_is_bounded() {
        let counts = OutcomeCounts::default();
        for n in 0..1000 {
            counts.record(&format!("provider{n}"), "done", Duration::ZERO);
        }
        assert_eq!(counts.by_via().len(), MAX_LABELS + 1);
    }
}
