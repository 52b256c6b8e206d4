//! The view of operators: a log line for each command, the figures in `<prefix>/health`, and the
//! same figures as metrics.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use crate::command::Command;
use crate::command::reply::{RefusalCode, Reply};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::shared::MAX_MODEL_REQUESTS;
use crate::router::{ProviderHealth, ProviderState};
use crate::store::journal::Health;
use crate::telemetry::command_entry::CommandEntry;
use crate::telemetry::metrics;
use crate::telemetry::metrics::Page;

impl Pipeline {
    /// Logs the end of a command, without its text, and counts it.
    pub(super) fn record(&self, command: &Command, reply: &Reply) {
        let took = Duration::try_from_secs_f64(reply.ms / 1000.0).unwrap_or_default();
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let outcome = reply.outcome.name();
        let via = reply.via.as_str();
        let entry = CommandEntry {
            command_id: command.id.as_str(),
            source: command.source.as_str(),
            outcome,
            via: Some(via),
            why: reply.why.map(RefusalCode::as_str),
            actions: Some(reply.actions.len()),
            latency_us: Some(latency_us),
            dry_run: command.dry_run.then_some(true),
            ..CommandEntry::default()
        };
        entry.log();
        self.services().counters.outcomes.record(via, outcome, took);
    }

    /// Returns the content of `<prefix>/health`.
    pub fn health(&self) -> Json {
        let services = self.services();
        let home = self.home();
        let (remembered, unanswered) = services.journal.counts();
        let counts: Map<String, Json> = services
            .counters
            .counts()
            .map(|count| (count.health_key.to_owned(), count.value.into()))
            .collect();
        let answers = services
            .counters
            .outcomes
            .by_via()
            .into_iter()
            .map(|(via, answered)| {
                let outcomes: Map<String, Json> = answered
                    .by_outcome
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
            "providers": self.provider_health(),
            "retries": services.router.retries(),
            "spent": {"today": services.router.spent().0, "this_month": services.router.spent().1},
            "cache": self.cache_figures(),
            "redis": services.router.redis().map(|redis| redis.health()),
            "journal": {"safe": services.journal.is_safe(), "slow": *services.journal.health().borrow() == Health::Slow, "remembered": remembered, "unanswered": unanswered},
            "questions_waiting": MAX_MODEL_REQUESTS - self.shared.model_requests.available_permits(),
            "answers": answers.collect::<Map<String, Json>>(),
            "counts": counts,
        })
    }

    /// Returns the state of each provider, with the aptitude of its model.
    pub fn provider_health(&self) -> Vec<ProviderHealth> {
        let router = &self.services().router;
        let mut health = router.health();
        for (health, settings) in health.iter_mut().zip(&router.settings().providers) {
            health.aptitude = self.shared.aptitude.state(settings);
        }
        health
    }

    /// Writes the same figures to a metrics page.
    pub fn metrics(&self, page: &mut Page) {
        let services = self.services();
        let home = self.home();
        let (_, unanswered) = services.journal.counts();
        let tiers = services.cache.tiers().named();
        let retries = services.router.retries();
        page.set_each(
            &metrics::BUILD_INFO,
            "version",
            [(env!("CARGO_PKG_VERSION"), 1)],
        );
        page.set(&metrics::HOME_DEVICES, home.devices().len());
        page.set(&metrics::HOME_AREAS, home.areas().len());
        page.set(
            &metrics::JOURNAL_DURABLE,
            u8::from(services.journal.is_safe()),
        );
        page.set(&metrics::JOURNAL_UNANSWERED, unanswered);
        let entries = tiers.map(|(name, tier)| (name, tier.entries));
        page.set_each(&metrics::CACHE_ENTRIES, "tier", entries);
        let bytes = tiers.map(|(name, tier)| (name, tier.bytes));
        page.set_each(&metrics::CACHE_BYTES, "tier", bytes);
        page.set(
            &metrics::MODEL_REQUESTS_IN_FLIGHT,
            MAX_MODEL_REQUESTS - self.shared.model_requests.available_permits(),
        );
        page.set(&metrics::RETRY_BUDGET_USED, retries.spent);
        page.set(&metrics::RETRY_BUDGET_LIMIT, retries.most);
        if let Some(redis) = services.router.redis() {
            let health = redis.health();
            page.set(&metrics::REDIS_UP, u8::from(health.online));
            page.set(&metrics::REDIS_NODES, health.nodes);
        }
        services.counters.outcomes.write(page);
        services.counters.write(page);
        self.provider_metrics(page);
    }

    fn provider_metrics(&self, page: &mut Page) {
        let providers = self.services().router.health();
        let (today, this_month) = self.services().router.spent();
        page.set(&metrics::SPEND, this_month);
        page.set(&metrics::SPEND_TODAY, today);
        let each = |number: fn(&ProviderHealth) -> Option<f64>| {
            providers
                .iter()
                .filter_map(move |provider| Some((provider.name.as_str(), number(provider)?)))
        };
        page.set_each(
            &metrics::PROVIDER_SPEND,
            "provider",
            each(|p| p.spent_this_month),
        );
        page.set_each(
            &metrics::PROVIDER_SPEND_TODAY,
            "provider",
            each(|p| p.spent_today),
        );
        let each = |number: fn(&ProviderHealth) -> u64| {
            providers
                .iter()
                .map(move |provider| (provider.name.as_str(), number(provider)))
        };
        page.set_each(
            &metrics::PROVIDER_UP,
            "provider",
            each(|p| u64::from(p.state == ProviderState::Up)),
        );
        page.set_each(
            &metrics::PROVIDER_IN_FLIGHT,
            "provider",
            each(|p| p.in_flight as u64),
        );
        page.set_each(&metrics::PROVIDER_REQUESTS, "provider", each(|p| p.calls));
        page.set_each(
            &metrics::PROVIDER_FAILURES,
            "provider",
            each(|p| p.failures),
        );
        page.family(&metrics::PROVIDER_TOKENS);
        for provider in &providers {
            for (token_type, n) in [
                ("input", provider.input_tokens),
                ("cached", provider.cached_tokens),
                ("output", provider.output_tokens),
            ] {
                let labels = [("provider", provider.name.as_str()), ("type", token_type)];
                page.sample(metrics::PROVIDER_TOKENS.name, &labels, n);
            }
        }
    }
}
