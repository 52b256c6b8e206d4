//! Digests of the parts of a config that must be equal on both nodes of a pair.

use std::collections::BTreeMap;

use crate::config::validated::{Config, DaemonSettings};
use crate::redis::drafts::hash;
use crate::router::settings::RouterSettings;
use crate::{grammar, mqtt};

/// Digits of a digest that are compared.
const LENGTH: usize = 16;

impl Config {
    /// Returns a digest of each part of the config that must be equal on both nodes of a pair.
    /// Paths, secrets and the address of the broker may differ.
    pub fn sections(&self) -> BTreeMap<String, String> {
        // The compiler rejects a new field until it is compared here, or ignored on purpose.
        let Self {
            files: _,
            mqtt,
            // The nodes compare their homes with announced devices.
            home: _,
            location,
            discovery,
            local,
            store: _,
            recall: _,
            limits,
            ask,
            redis: _,
            pair: _,
            log: _,
            metrics: _,
            replies,
            daemon: DaemonSettings { grace: _, order },
        } = self;
        let sections = [
            ("mqtt", broker(mqtt)),
            ("providers", router(ask)),
            ("local", language(local)),
            ("discovery", format!("{discovery:?}")),
            ("location", format!("{location:?}")),
            ("limits", format!("{limits:?}")),
            ("daemon.order", format!("{order:?}")),
            ("replies", format!("{replies:?}")),
        ];
        sections
            .into_iter()
            .map(|(name, text)| (name.to_owned(), hash(&text)[..LENGTH].to_owned()))
            .collect()
    }
}

fn broker(settings: &mqtt::Settings) -> String {
    let mqtt::Settings {
        host: _,
        port: _,
        tls: _,
        login: _,
        client_id,
        prefix,
        keep_alive: _,
        ttl,
        queue: _,
        outbox: _,
        reply_prefixes,
    } = settings;
    format!("{:?}", (client_id, prefix, ttl, reply_prefixes))
}

fn router(settings: &RouterSettings) -> String {
    let RouterSettings {
        providers,
        deadline,
        attempts: _,
        longest_pause: _,
        patience: _,
        stream: _,
        order,
        hedge: _,
        spend: _,
    } = settings;
    let models = providers.iter().map(|one| (&one.name, &one.model));
    format!("{:?}", (models.collect::<Vec<_>>(), deadline, order))
}

fn language(settings: &grammar::Settings) -> String {
    let grammar::Settings {
        when,
        language,
        folder: _,
        templates: _,
    } = settings;
    format!("{:?}", (when, language))
}
