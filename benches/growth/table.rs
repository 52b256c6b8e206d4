//! The figures of each case, and the table.

use std::fmt::Write;
use std::time::Duration;

use crate::case::{Case, Dimension};
use crate::figures::{ms, per_thousand, quantile};

/// The measures: the columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Median,
    P99,
    Cpu,
    Memory,
}

impl Measure {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 4] = [Self::Median, Self::P99, Self::Cpu, Self::Memory];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::P99 => "99th percentile",
            Self::Cpu => "CPU per 1,000",
            Self::Memory => "memory",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Median | Self::P99 | Self::Cpu => "ms",
            Self::Memory => "MiB",
        }
    }

    /// A value with the digits that can be measured.
    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Self::Median | Self::P99 => format!("{value:.2}"),
            Self::Cpu => format!("{value:.0}"),
            Self::Memory => format!("{value:.1}"),
        }
    }
}

/// The figures of one case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) case: Case,
    values: [f64; 4],
}

impl Figures {
    pub(crate) fn new(
        case: Case,
        mut latencies: Vec<Duration>,
        cpu: Duration,
        resident_kib: u32,
    ) -> Self {
        latencies.sort_unstable();
        let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX);
        let values = Measure::ALL.map(|measure| match measure {
            Measure::Median => ms(quantile(&latencies, 0.5)),
            Measure::P99 => ms(quantile(&latencies, 0.99)),
            Measure::Cpu => per_thousand(cpu, count),
            Measure::Memory => f64::from(resident_kib) / 1024.0,
        });
        Self { case, values }
    }

    pub(crate) fn value(&self, measure: Measure) -> f64 {
        self.values[measure as usize]
    }

    /// The value this case would have if the value of `first` had grown with the logarithm of the
    /// size.
    pub(crate) fn logarithmic(&self, measure: Measure, first: &Self) -> f64 {
        let digits = |figures: &Self| 1.0 + f64::from(figures.case.size).log2();
        first.value(measure) * digits(self) / digits(first)
    }

    /// The measures that grew faster than the logarithm of the size.
    fn faster(&self, first: &Self) -> Vec<&'static str> {
        let is_faster =
            |measure: &Measure| self.value(*measure) > self.logarithmic(*measure, first);
        let faster = Measure::ALL.into_iter().filter(is_faster);
        faster.map(Measure::name).collect()
    }
}

/// The figures of one dimension, from the smallest size on.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) dimension: Dimension,
    pub(crate) figures: Vec<Figures>,
}

/// The table of all groups, in Markdown: each value with its ratio to the first of its group.
pub(crate) fn table(groups: &[Group]) -> String {
    let mut text = String::from("| |");
    for measure in Measure::ALL {
        // Writing to a `String` does not fail.
        let _ = write!(text, " {}, {} |", measure.name(), measure.unit());
    }
    text.push_str(" faster than the logarithm |\n|---|---|---|---|---|---|\n");
    for Group { figures, .. } in groups {
        let Some(first) = figures.first() else {
            continue;
        };
        for row in figures {
            let _ = write!(text, "| {} |", row.case);
            for measure in Measure::ALL {
                let value = row.value(measure);
                let ratio = value / first.value(measure);
                let _ = write!(text, " {} ({ratio:.2}) |", measure.format(value));
            }
            let faster = row.faster(first);
            let verdict = match faster.as_slice() {
                _ if row.case.size == first.case.size => String::new(),
                [] => "no".to_owned(),
                measures => measures.join(", "),
            };
            let _ = writeln!(text, " {verdict} |");
        }
    }
    text
}
