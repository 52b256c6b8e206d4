//! Differences between two configs: which take effect on a reload and which need a restart. Pure.
//!
//! All structs are destructured completely, so the compiler rejects a new field until it is
//! compared here.

use std::collections::BTreeMap;

use crate::home::Home;
use crate::provider;
use crate::router::settings::RouterSettings;
use crate::telemetry::log;
use crate::{mqtt, store};

use crate::config::validated::Config;

/// Maximum number of device names listed; further ones are counted.
const MAX_NAMES: usize = 8;

/// Differences between two configs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Changes that take effect at once, each in a few words.
    pub live: Vec<String>,
    /// Keys whose new values take effect after a restart.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Notes a section that takes effect at once, if it changed.
    fn live(&mut self, section: &str, changed: bool) {
        if changed {
            self.live.push(section.to_owned());
        }
    }

    /// Notes a key that needs a restart, if it changed.
    fn restart(&mut self, key: &'static str, changed: bool) {
        if changed {
            self.restart.push(key);
        }
    }
}

impl Config {
    /// Returns the differences between this config and `new`. A changed secret is mentioned without
    /// its value.
    pub fn changes(&self, new: &Self) -> Changes {
        // The paths of the files are not settings.
        let Self {
            files: _,
            mqtt,
            home,
            location,
            discovery,
            local,
            store,
            recall,
            limits,
            ask,
            redis,
            pair,
            log,
            metrics,
            replies,
            daemon,
        } = self;
        let mut changes = Changes::default();
        compare_homes(home, &new.home, &mut changes);
        changes.live("[home]", *location != new.location);
        compare_routers(ask, &new.ask, &mut changes);
        changes.live("[local]", *local != new.local);
        changes.live("[recall]", *recall != new.recall);
        changes.live("[limits]", *limits != new.limits);
        changes.live("[replies]", *replies != new.replies);
        changes.live("[daemon]", *daemon != new.daemon);
        compare_logs(log, &new.log, &mut changes);
        compare_brokers(mqtt, &new.mqtt, &mut changes);
        compare_stores(store, &new.store, &mut changes);
        changes.restart("redis", *redis != new.redis);
        changes.restart("pair", *pair != new.pair);
        changes.restart("discovery", *discovery != new.discovery);
        changes.restart("metrics.listen", *metrics != new.metrics);
        changes
    }
}

fn compare_homes(old: &Home, new: &Home, changes: &mut Changes) {
    let mut added = Vec::new();
    let mut modified = Vec::new();
    for device in new.devices() {
        match old.device(device.id.as_str()) {
            None => added.push(device.id.as_str()),
            Some(before) if before != device => modified.push(device.id.as_str()),
            Some(_) => {}
        }
    }
    let gone = old
        .devices()
        .iter()
        .filter(|device| new.device(device.id.as_str()).is_none());
    let removed: Vec<&str> = gone.map(|device| device.id.as_str()).collect();
    for (what, ids) in [
        ("added", added),
        ("removed", removed),
        ("changed", modified),
    ] {
        if !ids.is_empty() {
            changes
                .live
                .push(format!("devices {what}: {}", names(&ids)));
        }
    }
    changes.live("areas", old.areas() != new.areas());
    changes.live("rules for sources", old.rights() != new.rights());
}

/// Returns `a, b, c and 5 more`.
fn names(ids: &[&str]) -> String {
    let shown = ids
        .iter()
        .take(MAX_NAMES)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if ids.len() > MAX_NAMES {
        format!("{shown} and {} more", ids.len() - MAX_NAMES)
    } else {
        shown
    }
}

fn compare_routers(old: &RouterSettings, new: &RouterSettings, changes: &mut Changes) {
    let before = by_name(old);
    let after = by_name(new);
    for (name, provider) in &after {
        match before.get(name) {
            None => changes.live.push(format!("provider {name} added")),
            Some(old) if old == provider => {}
            Some(old) if differs_only_in_key(old, provider) => {
                changes.live.push(format!("the key of provider {name}"));
            }
            Some(_) => changes.live.push(format!("provider {name} changed")),
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        changes.live.push(format!("provider {name} removed"));
    }
    let order = |router: &RouterSettings| -> Vec<String> {
        router
            .providers
            .iter()
            .map(|provider| provider.name.clone())
            .collect()
    };
    let same_providers = before.keys().eq(after.keys());
    changes.live(
        "the order of providers",
        same_providers && order(old) != order(new),
    );
    changes.live("[ask]", without_providers(old) != without_providers(new));
}

fn by_name(router: &RouterSettings) -> BTreeMap<&str, &provider::Settings> {
    router
        .providers
        .iter()
        .map(|provider| (provider.name.as_str(), provider))
        .collect()
}

fn differs_only_in_key(old: &provider::Settings, new: &provider::Settings) -> bool {
    let with_new_key = provider::Settings {
        key: new.key.clone(),
        ..old.clone()
    };
    with_new_key == *new
}

fn without_providers(router: &RouterSettings) -> RouterSettings {
    RouterSettings {
        providers: Vec::new(),
        ..router.clone()
    }
}

fn compare_logs(old: &log::Settings, new: &log::Settings, changes: &mut Changes) {
    // The tables of the names report their changes.
    let log::Settings {
        filter,
        journald,
        names: _,
    } = old;
    changes.live("[log]", *filter != new.filter);
    changes.restart("log.journald", *journald != new.journald);
}

/// Compares the settings of the broker. The connection is kept while the daemon runs, so a change
/// of any of these keys needs a restart.
fn compare_brokers(old: &mqtt::Settings, new: &mqtt::Settings, changes: &mut Changes) {
    let mqtt::Settings {
        host,
        port,
        tls,
        login,
        client_id,
        prefix,
        keep_alive,
        ttl,
        queue,
        outbox,
        reply_prefixes,
    } = old;
    changes.restart("mqtt.host", *host != new.host);
    changes.restart("mqtt.port", *port != new.port);
    changes.restart("mqtt.tls", *tls != new.tls);
    changes.restart("mqtt.username or mqtt.password_file", *login != new.login);
    changes.restart("mqtt.client_id", *client_id != new.client_id);
    changes.restart("mqtt.prefix", *prefix != new.prefix);
    changes.restart("mqtt.keep_alive", *keep_alive != new.keep_alive);
    changes.restart("mqtt.ttl", *ttl != new.ttl);
    changes.restart("mqtt.queue", *queue != new.queue);
    changes.restart("mqtt.outbox", *outbox != new.outbox);
    changes.restart("mqtt.reply_prefixes", *reply_prefixes != new.reply_prefixes);
}

fn compare_stores(old: &store::Settings, new: &store::Settings, changes: &mut Changes) {
    // The boot id comes from the kernel, not from the config.
    let store::Settings {
        path,
        cache_bytes,
        boot: _,
    } = old;
    changes.restart("store.path", *path != new.path);
    changes.restart("store.cache", *cache_bytes != new.cache_bytes);
}
