//! How commands were answered: by whom, with what outcome, how fast.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::telemetry::metrics::{MetricKind, Page};

/// Upper ends of the classes of latency, in seconds: what is understood here takes under a millisecond, a model up to its deadline.
pub const CLASSES: [f64; 16] = [
    0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// The most ways that are told apart: `local`, `cache`, `none` and the providers of all configs since start.
const MOST: usize = 64;

/// The answers counted, by the way they came.
#[derive(Debug, Default)]
pub struct OutcomeCounts(Mutex<BTreeMap<String, Answered>>);

/// The answers of one way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answered {
    /// How many had which outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The sum of their latencies, in seconds.
    pub seconds: f64,
    /// How many are in each class of latency; those slower than all are in none.
    classes: [u64; CLASSES.len()],
}

impl OutcomeCounts {
    /// Counts one.
    pub fn count(&self, via: &str, outcome: &'static str, took: Duration) {
        let mut ways = self.0.lock();
        let via = if ways.len() < MOST || ways.contains_key(via) {
            via
        } else {
            "others"
        };
        let answered = match ways.get_mut(via) {
            Some(answered) => answered,
            None => ways.entry(via.to_owned()).or_default(),
        };
        *answered.outcomes.entry(outcome).or_default() += 1;
        let seconds = took.as_secs_f64();
        answered.seconds += seconds;
        if let Some(class) = CLASSES.iter().position(|end| seconds <= *end) {
            answered.classes[class] += 1;
        }
    }

    /// All of them, by the way they came.
    pub fn by_via(&self) -> BTreeMap<String, Answered> {
        self.0.lock().clone()
    }

    /// Writes them as metrics.
    pub fn write(&self, page: &mut Page) {
        let ways = self.by_via();
        page.family(
            "sayso_commands_total",
            MetricKind::Counter,
            "Commands answered, by outcome and by who understood them.",
        );
        for (via, answered) in &ways {
            for (outcome, n) in &answered.outcomes {
                page.sample(
                    "sayso_commands_total",
                    &[("via", via), ("outcome", outcome)],
                    *n,
                );
            }
        }
        page.family(
            "sayso_command_duration_seconds",
            MetricKind::Histogram,
            "From hearing a command to its reply, by who understood it.",
        );
        for (via, answered) in &ways {
            let mut below = 0;
            for (end, n) in CLASSES.iter().zip(answered.classes) {
                below += n;
                page.sample(
                    "sayso_command_duration_seconds_bucket",
                    &[("via", via), ("le", &end.to_string())],
                    below,
                );
            }
            let all: u64 = answered.outcomes.values().sum();
            page.sample(
                "sayso_command_duration_seconds_bucket",
                &[("via", via), ("le", "+Inf")],
                all,
            );
            page.sample(
                "sayso_command_duration_seconds_sum",
                &[("via", via)],
                answered.seconds,
            );
            page.sample("sayso_command_duration_seconds_count", &[("via", via)], all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_add_up_and_slow_ones_are_only_in_the_last() {
        let answers = OutcomeCounts::default();
        answers.count("local", "done", Duration::from_micros(300));
        answers.count("local", "unclear", Duration::from_micros(900));
        answers.count("local", "done", Duration::from_mins(1));
        let mut page = Page::default();
        answers.write(&mut page);
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
    fn names_without_end_are_not_counted_without_end() {
        let answers = OutcomeCounts::default();
        for n in 0..1000 {
            answers.count(&format!("provider{n}"), "done", Duration::ZERO);
        }
        assert_eq!(answers.by_via().len(), MOST + 1);
    }
}
