//! A page of metrics in Prometheus's text form (version 0.0.4). Pure, but for what the kernel says of this process.

use std::fmt::{Display, Write as _};
use std::fs;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Comes and goes.
    Gauge,
    /// Classes of a size.
    Histogram,
}

/// The page, as far as it is written.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, MetricKind::Gauge, help);
        self.sample(name, &[], value);
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, MetricKind::Counter, help);
        self.sample(name, &[], value);
    }

    /// What the samples that follow are.
    pub fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a text cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(
                self.0,
                "{}{label}=\"{text}\"",
                if n == 0 { '{' } else { ',' }
            );
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// What the kernel says of this process, by the names all programs use.
    pub fn process(&mut self) {
        let page = rustix::param::page_size() as u64;
        if let Some(resident) = fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|all| all.split(' ').nth(1)?.parse::<u64>().ok())
        {
            self.gauge(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                resident * page,
            );
        }
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let nanos = format!("{}.{:09}", spent.tv_sec, spent.tv_nsec);
        self.counter(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            nanos,
        );
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the one that looks.
            self.gauge(
                "process_open_fds",
                "Number of open file descriptors.",
                open.count().saturating_sub(1),
            );
        }
    }

    /// The page as text.
    pub fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut page = Page::default();
        page.family("sayso_a_total", MetricKind::Counter, "One\nline.");
        page.sample("sayso_a_total", &[("provider", "a\"} 1\n\\")], 7);
        assert_eq!(
            page.text(),
            "# HELP sayso_a_total One\\nline.\n# TYPE sayso_a_total counter\nsayso_a_total{provider=\"a\\\"} 1\\n\\\\\"} 7\n"
        );
    }

    #[test]
    fn the_process_knows_itself() {
        let mut page = Page::default();
        page.process();
        let text = page.text();
        let value = |name: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .strip_prefix(' ')?
                        .parse::<f64>()
                        .ok()
                })
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_open_fds") >= 3.0);
    }
}
