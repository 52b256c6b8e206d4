//! What is different between two configs, in words, and which of it can be had without a restart. Pure.

use std::collections::BTreeMap;

use crate::home::Home;
use crate::provider;
use crate::router::settings::RouterSettings;
use crate::{mqtt, store};

use crate::config::Config;

/// The most names that are listed: the rest is counted.
const MOST_NAMES: usize = 8;

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What holds from now on, each in a few words.
    pub live: Vec<String>,
    /// The keys whose new values want a restart.
    pub restart: Vec<&'static str>,
}

impl Config {
    /// What is different in `new`. Of secrets only that they changed.
    pub fn changes(&self, new: &Self) -> Changes {
        let mut live = Vec::new();
        home(&self.home, &new.home, &mut live);
        providers(&self.ask, &new.ask, &mut live);
        let sections = [
            ("[local]", self.local != new.local),
            ("[recall]", self.recall != new.recall),
            ("[limits]", self.admit != new.admit),
            ("[log]", self.log.filter != new.log.filter),
            ("[daemon]", self.daemon != new.daemon),
        ];
        live.extend(
            sections
                .into_iter()
                .filter(|(_, changed)| *changed)
                .map(|(name, _)| name.to_owned()),
        );
        let mut restart = broker(&self.mqtt, &new.mqtt);
        restart.extend(kept(&self.store, &new.store));
        let others = [
            ("discovery", self.discovery != new.discovery),
            ("metrics.listen", self.metrics != new.metrics),
            ("log.journald", self.log.journald != new.log.journald),
        ];
        restart.extend(
            others
                .into_iter()
                .filter(|(_, changed)| *changed)
                .map(|(key, _)| key),
        );
        Changes { live, restart }
    }
}

fn home(old: &Home, new: &Home, live: &mut Vec<String>) {
    let ids = |home: &Home| {
        home.devices()
            .iter()
            .map(|device| device.id.to_string())
            .collect::<Vec<_>>()
    };
    let (before, after) = (ids(old), ids(new));
    let added: Vec<&str> = after
        .iter()
        .filter(|id| old.device(id).is_none())
        .map(String::as_str)
        .collect();
    let removed: Vec<&str> = before
        .iter()
        .filter(|id| new.device(id).is_none())
        .map(String::as_str)
        .collect();
    let changed: Vec<&str> = before
        .iter()
        .filter(|id| {
            new.device(id)
                .is_some_and(|there| Some(there) != old.device(id))
        })
        .map(String::as_str)
        .collect();
    for (what, which) in [("added", added), ("removed", removed), ("changed", changed)] {
        if !which.is_empty() {
            live.push(format!("devices {what}: {}", names(&which)));
        }
    }
    if old.areas() != new.areas() {
        live.push("areas".to_owned());
    }
    if old.rights() != new.rights() {
        live.push("rules for sources".to_owned());
    }
}

/// `a, b, c and 5 more`.
fn names(which: &[&str]) -> String {
    let shown = which
        .iter()
        .take(MOST_NAMES)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if which.len() > MOST_NAMES {
        format!("{shown} and {} more", which.len() - MOST_NAMES)
    } else {
        shown
    }
}

fn providers(old: &RouterSettings, new: &RouterSettings, live: &mut Vec<String>) {
    let by_name = |ask: &RouterSettings| {
        ask.providers
            .iter()
            .map(|p| (p.name.clone(), p.clone()))
            .collect::<BTreeMap<String, provider::Settings>>()
    };
    let (before, after) = (by_name(old), by_name(new));
    for (name, there) in &after {
        match before.get(name) {
            None => live.push(format!("provider {name} added")),
            Some(was) if was == there => {}
            Some(was)
                if (provider::Settings {
                    key: None,
                    ..was.clone()
                }) == (provider::Settings {
                    key: None,
                    ..there.clone()
                }) =>
            {
                live.push(format!("the key of provider {name}"));
            }
            Some(_) => live.push(format!("provider {name} changed")),
        }
    }
    live.extend(
        before
            .keys()
            .filter(|name| !after.contains_key(*name))
            .map(|name| format!("provider {name} removed")),
    );
    let order = |ask: &RouterSettings| {
        ask.providers
            .iter()
            .map(|p| p.name.clone())
            .collect::<Vec<_>>()
    };
    if before.keys().eq(after.keys()) && order(old) != order(new) {
        live.push("the order of providers".to_owned());
    }
    if (RouterSettings {
        providers: Vec::new(),
        ..old.clone()
    }) != (RouterSettings {
        providers: Vec::new(),
        ..new.clone()
    }) {
        live.push("[ask]".to_owned());
    }
}

/// The connection stands while the daemon runs: all of it wants a restart.
fn broker(old: &mqtt::Settings, new: &mqtt::Settings) -> Vec<&'static str> {
    let keys = [
        ("mqtt.host", old.host != new.host),
        ("mqtt.port", old.port != new.port),
        ("mqtt.tls", old.tls != new.tls),
        (
            "mqtt.username or mqtt.password_file",
            old.login != new.login,
        ),
        ("mqtt.client_id", old.client_id != new.client_id),
        ("mqtt.prefix", old.prefix != new.prefix),
        ("mqtt.keep_alive", old.keep_alive != new.keep_alive),
        ("mqtt.ttl", old.ttl != new.ttl),
        ("mqtt.queue", old.queue != new.queue),
        ("mqtt.outbox", old.outbox != new.outbox),
        (
            "mqtt.reply_prefixes",
            old.reply_prefixes != new.reply_prefixes,
        ),
    ];
    keys.into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| key)
        .collect()
}

fn kept(old: &store::Settings, new: &store::Settings) -> Vec<&'static str> {
    let keys = [
        ("store.path", old.path != new.path),
        ("store.cache", old.cache_bytes != new.cache_bytes),
    ];
    keys.into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| key)
        .collect()
}
