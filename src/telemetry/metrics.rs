//! Metrics in the Prometheus text format (version 0.0.4). A metric with labels or a gauge is one
//! entry in the table below; event counters are entries in
//! [`counters`](crate::telemetry::counters).

use std::fmt::{Display, Write as _};
use std::fs;

/// Type of a metric, as Prometheus defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    /// A value that only grows, or starts again at zero.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
}

impl MetricType {
    /// Returns the name in the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Definition of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name, with unit and suffix as Prometheus recommends.
    pub name: &'static str,
    /// Type that the metrics page states.
    pub sample_type: MetricType,
    /// Help text: one sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $sample_type:ident $name:literal: $help:literal;)*) => {
        $(
            #[doc = concat!("The metric `", $name, "`.")]
            pub const $constant: Metric = Metric {
                name: $name,
                sample_type: MetricType::$sample_type,
                help: $help,
            };
        )*

        /// All metrics of the table.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "sayso_build_info": "Version of the running program, as a label; the value \
        is always 1.";
    BROKER_CONNECTED = Gauge "sayso_broker_connected": "1 while the broker is connected and all \
        subscriptions are confirmed.";
    OUTBOX_MESSAGES = Gauge "sayso_outbox_messages": "Messages waiting for the broker.";
    TASKS = Gauge "sayso_tasks": "Asynchronous tasks that have not ended; constant when idle.";
    HOME_DEVICES = Gauge "sayso_home_devices": "Devices known to sayso.";
    HOME_AREAS = Gauge "sayso_home_areas": "Areas known to sayso.";
    JOURNAL_DURABLE = Gauge "sayso_journal_durable": "1 while received commands survive a crash.";
    JOURNAL_UNANSWERED = Gauge "sayso_journal_unanswered_commands": "Commands received and not yet \
        answered.";
    CACHE_ENTRIES = Gauge "sayso_cache_entries": "Entries in each tier of the answer cache.";
    CACHE_BYTES = Gauge "sayso_cache_bytes": "Bytes used by each tier of the answer cache.";
    REDIS_UP = Gauge "sayso_redis_up": "1 while Redis is used; absent where none is configured.";
    REDIS_NODES = Gauge "sayso_redis_nodes": "Nodes that share limits in Redis, as last known.";
    NODE_INFO = Gauge "sayso_node_info": "Always 1, with the names of the site and the node; absent \
        for a gateway on its own.";
    PAIR_LEADER = Gauge "sayso_pair_leader": "1 while this node of a pair leads; absent without a \
        pair.";
    PAIR_EPOCH = Gauge "sayso_pair_epoch": "Number of the last takeover that this node has seen.";
    PAIR_OTHER_ONLINE = Gauge "sayso_pair_other_online": "1 while the other node of a pair is \
        connected.";
    PAIR_OTHER_BEHIND = Gauge "sayso_pair_other_behind_seconds": "Time in which the other node \
        last received a beat of this one and answered.";
    PAIR_DIFFERENCES = Gauge "sayso_pair_differences": "Parts of the configuration that differ \
        between the nodes of a pair.";
    COMMANDS_IN_FLIGHT = Gauge "sayso_commands_in_flight": "Commands being processed.";
    MODEL_REQUESTS_IN_FLIGHT = Gauge "sayso_model_requests_in_flight": "Model requests in flight.";
    COMMANDS = Counter "sayso_commands_total": "Commands answered, by outcome and by what \
        understood them (via).";
    COMMAND_DURATION = Histogram "sayso_command_duration_seconds": "Time from receiving a command \
        to its reply, by what understood it (via).";
    RETRY_BUDGET_USED = Gauge "sayso_retry_budget_used": "Retries, and attempts at a provider with \
        an open breaker, in the last minute.";
    RETRY_BUDGET_LIMIT = Gauge "sayso_retry_budget_limit": "Maximum of sayso_retry_budget_used: \
        30, and one for every five model requests of the minute.";
    SPEND = Counter "sayso_spend_dollars_total": "Dollars spent at all providers whose prices are \
        known; starts again at zero on the first of each month (UTC).";
    SPEND_TODAY = Gauge "sayso_spend_today_dollars": "Dollars spent at all providers since \
        midnight (UTC).";
    PROVIDER_SPEND = Counter "sayso_provider_spend_dollars_total": "Dollars spent at one provider; \
        starts again at zero on the first of each month (UTC).";
    PROVIDER_SPEND_TODAY = Gauge "sayso_provider_spend_today_dollars": "Dollars spent at one provider since midnight (UTC).";
    PROVIDER_UP = Gauge "sayso_provider_up": "1 while the provider accepts requests.";
    PROVIDER_IN_FLIGHT = Gauge "sayso_provider_requests_in_flight": "Requests in flight at one \
        provider.";
    PROVIDER_REQUESTS = Counter "sayso_provider_requests_total": "Requests sent to one provider.";
    PROVIDER_FAILURES = Counter "sayso_provider_failures_total": "Requests to one provider without \
        a usable answer.";
    PROVIDER_TOKENS = Counter "sayso_provider_tokens_total": "Tokens of prompts (input), of \
        prompts read from the provider's cache (cached) and of answers (output).";
    RESIDENT_MEMORY = Gauge "process_resident_memory_bytes": "Resident memory size in bytes.";
    CPU_SECONDS = Counter "process_cpu_seconds_total": "Total user and system CPU time spent in \
        seconds.";
    OPEN_FDS = Gauge "process_open_fds": "Number of open file descriptors.";
}

/// A metrics page under construction.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Writes a metric without labels.
    pub fn set(&mut self, metric: &Metric, value: impl Display) {
        self.family(metric);
        self.sample(metric.name, &[], value);
    }

    /// Writes one sample of a metric for each item, with one label.
    pub fn set_each<'a, V: Display>(
        &mut self,
        metric: &Metric,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, V)>,
    ) {
        self.family(metric);
        for (text, value) in samples {
            self.sample(metric.name, &[(label, text)], value);
        }
    }

    /// Writes the help and type of a metric, which precede its samples.
    pub fn family(&mut self, metric: &Metric) {
        let Metric {
            name,
            sample_type,
            help,
        } = metric;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a `String` cannot fail, here and below.
        let _ = writeln!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} {}",
            sample_type.name()
        );
    }

    /// Writes one sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let separator = if n == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{separator}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// Writes memory, processor time and open files of this process, under the names all Prometheus
    /// clients use.
    pub fn process(&mut self) {
        if let Some(pages) = resident_pages() {
            self.set(&RESIDENT_MEMORY, pages * rustix::param::page_size() as u64);
        }
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        self.set(&CPU_SECONDS, format!("{}.{:09}", cpu.tv_sec, cpu.tv_nsec));
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of the entries is the descriptor of this directory itself.
            self.set(&OPEN_FDS, open.count().saturating_sub(1));
        }
    }

    /// Returns the finished page.
    pub fn text(self) -> String {
        self.0
    }
}

/// Returns the second field of `/proc/self/statm`: the resident memory in pages.
fn resident_pages() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::telemetry::counters::Counters;

    use super::*;

    #[test]
    fn labels_and_help_are_escaped() {
        let mut page = Page::default();
        let metric = Metric {
            name: "sayso_a_total",
            sample_type: MetricType::Counter,
            help: "One\nline.",
        };
        page.family(&metric);
        page.sample(metric.name, &[("provider", "a\"} 1\n\\")], 7);
        assert_eq!(
            page.text(),
            "# HELP sayso_a_total One\\nline.\n# TYPE sayso_a_total \
             counter\nsayso_a_total{provider=\"a\\\"} 1\\n\\\\\"} 7\n"
        );
    }

    #[test]
    fn metric_names_are_unique_and_counters_end_in_total() {
        let mut names = BTreeSet::new();
        for metric in METRICS {
            assert!(
                names.insert(metric.name),
                "{} is defined twice",
                metric.name
            );
            assert_eq!(
                metric.sample_type == MetricType::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
        }
        for count in Counters::default().counts() {
            assert!(
                names.insert(count.metric),
                "{} is defined twice",
                count.metric
            );
        }
    }

    #[test]
    fn process_metrics_have_plausible_values() {
        let mut page = Page::default();
        page.process();
        let text = page.text();
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_open_fds") >= 3.0);
    }
}
