//! What operators see of the way of a command: a line in the log for each, the counts in `<prefix>/health`, and the same as metrics.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tracing::info;

use crate::command::Command;
use crate::command::reply::Reply;
use crate::pipeline::services::{MOST_QUESTIONS, Pipeline};
use crate::store::journal::Health;
use crate::telemetry::metrics::{MetricKind, Page};

impl Pipeline {
    /// A command has its reply: one line in the log, without what was said, and one count.
    pub(super) fn book(&self, command: &Command, reply: &Reply) {
        let took = Duration::try_from_secs_f64(reply.ms / 1000.0).unwrap_or_default();
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (outcome, via, why) = (
            reply.outcome.name(),
            reply.via.as_str(),
            reply.why.as_deref(),
        );
        let (source, actions, dry_run) = (
            &command.source,
            reply.actions.len(),
            command.dry_run.then_some(true),
        );
        info!(command_id = command.id, %source, outcome, via, why, actions, latency_us, dry_run, "command");
        self.rooms().tally.answers.count(via, outcome, took);
    }

    /// How things are, for `<prefix>/health`.
    pub fn health(&self) -> Json {
        let (rooms, home) = (self.rooms(), self.home());
        let (remembered, unanswered) = rooms.journal.counts();
        let counts: Map<String, Json> = rooms
            .tally
            .counts()
            .map(|(name, _, n)| (name.to_owned(), n.into()))
            .collect();
        let answers = rooms
            .tally
            .answers
            .by_via()
            .into_iter()
            .map(|(via, answered)| {
                let outcomes: Map<String, Json> = answered
                    .outcomes
                    .iter()
                    .map(|(outcome, n)| ((*outcome).to_owned(), (*n).into()))
                    .collect();
                (
                    via,
                    json!({"outcomes": outcomes, "seconds": answered.seconds}),
                )
            });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "home": {"revision": format!("{:016x}", home.revision()), "devices": home.devices().len(), "areas": home.areas().len()},
            "providers": rooms.ask.health(),
            "retries": rooms.ask.retries(),
            "spent": {"today": rooms.ask.spent().0, "this_month": rooms.ask.spent().1},
            "cache": self.cache_figures(),
            "journal": {"safe": rooms.journal.is_safe(), "slow": *rooms.journal.health().borrow() == Health::Slow, "remembered": remembered, "unanswered": unanswered},
            "questions_waiting": MOST_QUESTIONS - self.questions.available_permits(),
            "answers": answers.collect::<Map<String, Json>>(),
            "counts": counts,
        })
    }

    /// The same for Prometheus.
    pub fn metrics(&self, page: &mut Page) {
        let (rooms, home) = (self.rooms(), self.home());
        let (_, unanswered) = rooms.journal.counts();
        page.family(
            "sayso_build_info",
            MetricKind::Gauge,
            "The version that runs.",
        );
        page.sample(
            "sayso_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1,
        );
        page.gauge(
            "sayso_home_devices",
            "Devices that can be spoken to.",
            home.devices().len(),
        );
        page.gauge(
            "sayso_home_areas",
            "Areas they stand in.",
            home.areas().len(),
        );
        page.gauge(
            "sayso_journal_safe",
            "1 while what is received survives a crash.",
            u8::from(rooms.journal.is_safe()),
        );
        page.gauge(
            "sayso_journal_unanswered_commands",
            "Commands received and not yet answered.",
            unanswered,
        );
        let (memory, disk) = rooms.recall.tiers();
        page.family(
            "sayso_cache_entries",
            MetricKind::Gauge,
            "What models made of phrases, kept.",
        );
        page.sample("sayso_cache_entries", &[("tier", "memory")], memory.entries);
        page.sample("sayso_cache_entries", &[("tier", "disk")], disk.entries);
        page.family(
            "sayso_cache_bytes",
            MetricKind::Gauge,
            "How many bytes that takes.",
        );
        page.sample("sayso_cache_bytes", &[("tier", "memory")], memory.bytes);
        page.sample("sayso_cache_bytes", &[("tier", "disk")], disk.bytes);
        let waiting = MOST_QUESTIONS - self.questions.available_permits();
        page.gauge(
            "sayso_questions_waiting",
            "Commands that wait for a model.",
            waiting,
        );
        let retries = rooms.ask.retries();
        page.gauge(
            "sayso_retry_budget_spent",
            "Calls made again, or at a provider whose breaker was open, in the last minute.",
            retries.spent,
        );
        page.gauge(
            "sayso_retry_budget_limit",
            "The most of these there may be: 30, and one for every five questions of the minute.",
            retries.most,
        );
        rooms.tally.answers.write(page);
        for (name, help, n) in rooms.tally.counts() {
            page.counter(&format!("sayso_{name}_total"), help, n);
        }
        self.provider_metrics(page);
    }

    fn provider_metrics(&self, page: &mut Page) {
        let providers = self.rooms().ask.health();
        let (today, this_month) = self.rooms().ask.spent();
        page.family("sayso_spent_dollars", MetricKind::Gauge, "Dollars spent since midnight, or the first of the month, in UTC, as far as prices are known.");
        page.sample("sayso_spent_dollars", &[("since", "day")], today);
        page.sample("sayso_spent_dollars", &[("since", "month")], this_month);
        page.family(
            "sayso_provider_spent_dollars",
            MetricKind::Gauge,
            "The same at one provider.",
        );
        for provider in &providers {
            for (since, spent) in [
                ("day", provider.spent_today),
                ("month", provider.spent_this_month),
            ] {
                if let Some(spent) = spent {
                    page.sample(
                        "sayso_provider_spent_dollars",
                        &[("provider", &provider.name), ("since", since)],
                        spent,
                    );
                }
            }
        }
        page.family(
            "sayso_provider_up",
            MetricKind::Gauge,
            "1 while the provider may be asked.",
        );
        for provider in &providers {
            page.sample(
                "sayso_provider_up",
                &[("provider", &provider.name)],
                u8::from(provider.state == "up"),
            );
        }
        page.family(
            "sayso_provider_in_flight_calls",
            MetricKind::Gauge,
            "Calls on their way.",
        );
        for provider in &providers {
            page.sample(
                "sayso_provider_in_flight_calls",
                &[("provider", &provider.name)],
                provider.in_flight,
            );
        }
        page.family(
            "sayso_provider_calls_total",
            MetricKind::Counter,
            "Calls made.",
        );
        for provider in &providers {
            page.sample(
                "sayso_provider_calls_total",
                &[("provider", &provider.name)],
                provider.calls,
            );
        }
        page.family(
            "sayso_provider_failures_total",
            MetricKind::Counter,
            "Calls without a usable answer.",
        );
        for provider in &providers {
            page.sample(
                "sayso_provider_failures_total",
                &[("provider", &provider.name)],
                provider.failures,
            );
        }
        page.family(
            "sayso_provider_tokens_total",
            MetricKind::Counter,
            "Tokens: of prompts (input), of these from the provider's cache (cached), of answers (output).",
        );
        for provider in &providers {
            for (kind, n) in [
                ("input", provider.input_tokens),
                ("cached", provider.cached_tokens),
                ("output", provider.output_tokens),
            ] {
                page.sample(
                    "sayso_provider_tokens_total",
                    &[("provider", &provider.name), ("kind", kind)],
                    n,
                );
            }
        }
    }
}
