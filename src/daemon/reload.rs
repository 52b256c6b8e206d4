//! Reading the config anew while serving. All of the new is built before any of the old is let go: where something is wrong,
//! everything stays as it was, and every fault is told.

use std::sync::Arc;

use tracing::{error, info, warn};

use crate::cache::DraftCache;
use crate::config::{Changes, Config, ConfigLocation};
use crate::grammar::LocalGrammar;
use crate::pipeline::Services;
use crate::pipeline::admission::Admission;
use crate::systemd::Notify;

use crate::daemon::{
    DaemonError, ErrorChain, EventLoop, open_drafts, open_spending, pipeline_settings,
};

impl EventLoop {
    /// Takes up what the files of `place` say now, or keeps what they said before.
    pub(super) fn reload(&mut self, place: &ConfigLocation, notify: &Notify) {
        if self.standing.ready {
            notify.reloading();
        }
        match Config::load(place) {
            Ok(config) => self.adopt(config),
            Err(faults) => {
                for fault in faults.iter() {
                    error!(%fault, "the config is wrong");
                }
                self.keep_the_old(faults.iter().len());
            }
        }
        if self.standing.ready {
            notify.ready(&self.status());
        }
    }

    fn adopt(&mut self, new: Config) {
        let changes = self.config.changes(&new);
        let services = match self.services_for(&new) {
            Ok(services) => services,
            Err(fault) => {
                error!(fault = %ErrorChain(&fault), "the config is wrong");
                return self.keep_the_old(1);
            }
        };
        // With another prefix the devices of the home would be told on other topics than those we have a right to.
        let moves = new.mqtt.prefix != self.config.mqtt.prefix;
        if !moves && !self.declare(&new) {
            return;
        }
        services.router.take_over();
        services.router.keep_spending(
            self.way
                .journal
                .store()
                .and_then(|store| open_spending(&store))
                .as_ref(),
        );
        services.cache.only_of(new.ask.models());
        self.renew(
            self.way
                .pipeline
                .with_services(services, pipeline_settings(&new)),
        );
        self.refurnish();
        if let Err(fault) = self.log.refilter(&new.log) {
            warn!(fault = %ErrorChain(&fault), "the log stays as it is");
        }
        self.standing.faults = 0;
        tell(&changes);
        let (old, home) = (
            self.config.clone(),
            if moves {
                Arc::clone(&self.config.home)
            } else {
                Arc::clone(&new.home)
            },
        );
        // What wants a restart is still as it was: it will be told again at the next reload.
        self.config = Config {
            mqtt: old.mqtt,
            store: old.store,
            discovery: old.discovery,
            metrics: old.metrics,
            home,
            ..new
        };
    }

    /// The home the operator declares is another; false where what devices announce does not fit it, and all stays as it was.
    fn declare(&mut self, new: &Config) -> bool {
        let before = self.finder.set_declared(Arc::clone(&new.home));
        let Err(clashes) = self.finder.build() else {
            return true;
        };
        for clash in &clashes {
            error!(fault = %clash, "the home file does not fit the devices announced");
        }
        self.finder.set_declared(before);
        self.finder.schedule_build(crate::clock::now());
        self.keep_the_old(clashes.len());
        false
    }

    fn keep_the_old(&mut self, faults: usize) {
        self.standing.faults = faults;
        error!(
            faults,
            "not reloaded, what was read before holds: mend it (`sayso check` tells the same), then reload again"
        );
    }

    /// The rooms for `new`. What did not change is kept with all it knows; the languages are read anew, for their files may have changed.
    fn services_for(&self, new: &Config) -> Result<Services, DaemonError> {
        let (old, kept) = (&self.config, self.way.pipeline.services());
        let mut services = Services {
            grammar: Arc::new(LocalGrammar::new(&new.local)?),
            ..kept.clone()
        };
        services.router = Arc::new(kept.router.renewed(new.ask.clone())?);
        if old.admit != new.admit {
            services.admission = Arc::new(Admission::new(new.admit));
        }
        if old.recall != new.recall {
            let drafts = self
                .way
                .journal
                .store()
                .and_then(|store| open_drafts(&store, &new.recall));
            services.cache = Arc::new(DraftCache::new(
                &new.recall,
                new.ask.models(),
                drafts,
                Arc::clone(&self.way.counters),
            ));
        }
        Ok(services)
    }
}

fn tell(changes: &Changes) {
    let live = if changes.live.is_empty() {
        "nothing".to_owned()
    } else {
        changes.live.join("; ")
    };
    info!(changed = live, "config reloaded");
    if !changes.restart.is_empty() {
        warn!(
            keys = changes.restart.join(", "),
            "changed, and wants a restart: until then the old values hold (systemctl restart sayso loses no command)"
        );
    }
}
