//! Event counters. A new counter is one entry in the table below; the health message and the
//! metrics page follow from it. Counters have no labels that could contain identifiers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::telemetry::metrics::{Metric, MetricType, Page};
use crate::telemetry::outcomes::OutcomeCounts;

/// Number of events since the process started.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one event.
    pub fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Returns the number of events so far.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Names and present value of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Key below `counts` in the health message.
    pub health_key: &'static str,
    /// Name of the metric.
    pub metric: &'static str,
    /// Help text of the metric.
    pub help: &'static str,
    /// Number of events since the process started.
    pub value: u64,
}

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident: $health_key:literal),* $(,)?) => {
        /// All event counters, shared by reference.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $doc] pub $name: Counter,)*
            /// Replies by source of understanding and outcome, with their latencies.
            pub outcomes: OutcomeCounts,
        }

        impl Counters {
            /// Returns every counter, in the order of the table.
            pub fn counts(&self) -> impl Iterator<Item = Count> {
                [$(Count {
                    health_key: $health_key,
                    metric: concat!("sayso_", stringify!($name), "_total"),
                    help: $doc.trim_ascii(),
                    value: self.$name.value(),
                }),*]
                .into_iter()
            }

            /// Writes every counter to a metrics page.
            pub fn write(&self, page: &mut Page) {
                for count in self.counts() {
                    page.set(
                        &Metric {
                            name: count.metric,
                            sample_type: MetricType::Counter,
                            help: count.help,
                        },
                        count.value,
                    );
                }
            }
        }
    };
}

counters! {
    /// Commands received.
    commands_received: "heard",
    /// Payloads on a command topic that are not a command.
    commands_malformed: "malformed",
    /// Retained messages on a command topic, which are dropped.
    commands_retained: "dropped_retained",
    /// Commands received a second time and answered with the first reply.
    commands_duplicate: "duplicate",
    /// Commands rejected because the queue was full.
    commands_rejected: "busy",
    /// Commands understood without a model.
    commands_understood_locally: "understood_locally",
    /// Commands answered from the cache.
    cache_hits: "recalled",
    /// Commands not found in the cache.
    cache_misses: "not_recalled",
    /// Commands answered from the cache in Redis, which are also counted as cache hits.
    redis_cache_hits: "redis_recalled",
    /// Commands answered by the model request of another node.
    redis_requests_joined: "redis_shared_a_question",
    /// Requests to Redis that failed or took too long.
    redis_errors: "redis_fault",
    /// Commands refused because their source exceeded its rate limit.
    commands_rate_limited: "over_quota",
    /// Requests to models, each with all of its attempts.
    model_requests: "asked",
    /// Commands that joined a model request already in flight.
    model_requests_shared: "shared_a_question",
    /// Attempts repeated at the same provider.
    provider_retries: "retried",
    /// Attempts moved to the next provider.
    provider_failovers: "failed_over",
    /// Reads or writes of the store that failed.
    store_errors: "store_fault",
    /// Answers of models that could not be used.
    invalid_answers: "misread",
    /// Actions refused by the permission check.
    actions_denied: "denied",
    /// Actions dropped because a newer command for the same device was already sent.
    actions_superseded: "superseded",
    /// Commands whose time to live ended before they were done.
    commands_expired: "late",
    /// Timers carried out when they were due.
    timers_fired: "timers_fired",
    /// Timers that could not be carried out when they were due.
    timers_missed: "timers_missed",
    /// Actions acknowledged by the broker.
    actions_delivered: "acted",
    /// Commands whose devices reported the commanded states in time.
    commands_confirmed: "confirmed",
    /// Commands of which a device did not report the commanded state in time.
    commands_unconfirmed: "unconfirmed",
    /// Replies handed to the broker.
    replies_sent: "replied",
    /// Replies dropped because the outbox was full.
    replies_dropped: "reply_lost",
    /// Losses of the broker connection.
    broker_disconnects: "disconnected",
    /// State messages received from devices.
    states_received: "state_heard",
    /// State messages dropped because the queue was full.
    states_dropped: "state_dropped",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_one_name_for_health_and_one_for_metrics() {
        let counters = Counters::default();
        counters.cache_hits.increment();
        counters.cache_hits.increment();
        let hits = counters
            .counts()
            .find(|count| count.metric == "sayso_cache_hits_total");
        assert_eq!(
            hits,
            Some(Count {
                health_key: "recalled",
                metric: "sayso_cache_hits_total",
                help: "Commands answered from the cache.",
                value: 2,
            })
        );
    }
}
