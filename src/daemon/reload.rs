//! Reading the configuration again while serving. Everything new is built before anything old is
//! released: where something is wrong, everything stays as it was, and every fault is logged.

use std::sync::Arc;

use tracing::{error, info, warn};

use crate::cache::DraftCache;
use crate::clock::now;
use crate::config::{Changes, Config, ConfigLocation};
use crate::daemon::assembly::pipeline_settings;
use crate::daemon::error::DaemonError;
use crate::daemon::event_loop::EventLoop;
use crate::daemon::storage::{ErrorChain, open_drafts, open_spending};
use crate::grammar::LocalGrammar;
use crate::pipeline::Services;
use crate::pipeline::admission::Admission;
use crate::systemd::Notify;

impl EventLoop {
    /// Applies the files of `location`, or keeps the configuration in use.
    pub(super) fn reload(&mut self, location: &ConfigLocation, notify: &Notify) {
        if self.status.is_ready {
            notify.reloading();
        }
        match self.config.reload(location) {
            Ok(config) => self.apply(config),
            Err(faults) => {
                for fault in faults.iter() {
                    error!(%fault, "the config is wrong");
                }
                self.keep_old(faults.iter().len());
            }
        }
        if self.status.is_ready {
            notify.ready(&self.status_line());
        }
    }

    fn apply(&mut self, new: Config) {
        let changes = self.config.changes(&new);
        let services = match self.services_for(&new) {
            Ok(services) => services,
            Err(fault) => {
                error!(fault = %ErrorChain(&fault), "the config is wrong");
                return self.keep_old(1);
            }
        };
        if !self.declare(&new) {
            return;
        }
        services.router.apply_settings();
        let store = self.task.journal.store();
        let spending = store.and_then(|store| open_spending(&store));
        services.router.keep_spending(spending.as_ref());
        services.cache.only_of(new.ask.models());
        let pipeline = self
            .task
            .pipeline
            .with_services(services, pipeline_settings(&new));
        self.replace_pipeline(pipeline);
        if let Some(finder) = self.homes.finder() {
            let built = finder.build().map(|built| Arc::new(built.home));
            self.adopt_home(built);
        }
        if let Err(fault) = self.log.refilter(&new.log) {
            warn!(fault = %ErrorChain(&fault), "the log stays as it is");
        }
        self.status.config_faults = 0;
        log_changes(&changes);
        let old = self.config.clone();
        // What needs a restart keeps its old value, so that the next reload reports it again.
        self.config = Config {
            mqtt: old.mqtt,
            store: old.store,
            discovery: old.discovery,
            metrics: old.metrics,
            redis: old.redis,
            pair: old.pair,
            ..new
        };
        drop(self.publish_report());
    }

    /// Declares the devices of the new configuration. Returns false, and keeps the old ones, where
    /// they conflict with the announced devices.
    fn declare(&mut self, new: &Config) -> bool {
        let Some(finder) = self.homes.finder() else {
            return false;
        };
        let before = finder.set_declared(Arc::clone(&new.home));
        let Err(conflicts) = finder.build() else {
            return true;
        };
        for conflict in &conflicts {
            error!(fault = %conflict, "the home file does not fit the devices announced");
        }
        finder.set_declared(before);
        finder.schedule_build(now());
        self.keep_old(conflicts.len());
        false
    }

    fn keep_old(&mut self, faults: usize) {
        self.status.config_faults = faults;
        error!(
            faults,
            "not reloaded, the earlier config stays in force: correct the faults (`sayso check` \
             lists them), then reload again"
        );
    }

    /// Builds the services for `new`. Those whose settings did not change are kept with their
    /// state; the language files are read again.
    fn services_for(&self, new: &Config) -> Result<Services, DaemonError> {
        let old = &self.config;
        let current = self.task.pipeline.services();
        let mut services = Services {
            grammar: Arc::new(LocalGrammar::new(&new.local)?),
            router: Arc::new(current.router.renewed(new.ask.clone())?),
            location: Arc::clone(&new.location),
            ..current.clone()
        };
        if old.limits != new.limits {
            services.admission = Arc::new(Admission::new(new.limits));
        }
        if old.recall != new.recall {
            let store = self.task.journal.store();
            let drafts = store.and_then(|store| open_drafts(&store, &new.recall));
            let cache = DraftCache::new(
                &new.recall,
                new.ask.models(),
                drafts,
                Arc::clone(&self.task.counters),
            );
            services.cache = Arc::new(cache.with_redis(services.router.redis()));
        }
        Ok(services)
    }
}

fn log_changes(changes: &Changes) {
    let live = if changes.live.is_empty() {
        "nothing".to_owned()
    } else {
        changes.live.join("; ")
    };
    info!(changed = live, "config reloaded");
    if !changes.restart.is_empty() {
        warn!(
            keys = changes.restart.join(", "),
            "changed keys need a restart, until then the old values apply: \
             `systemctl restart sayso` loses no command"
        );
    }
}
