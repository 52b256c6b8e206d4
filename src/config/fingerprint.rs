//! Digests of the parts of a config that must be equal on both nodes of a pair.

use std::collections::BTreeMap;

use crate::config::validated::Config;
use crate::redis::hash;

/// Digits of a digest that are compared.
const LENGTH: usize = 16;

impl Config {
    /// Returns a digest of each part of the config that must be equal on both nodes of a pair.
    /// Paths, secrets and the address of the broker may differ.
    pub fn sections(&self) -> BTreeMap<String, String> {
        let mqtt = &self.mqtt;
        let mqtt = format!(
            "{:?}",
            (
                &mqtt.client_id,
                &mqtt.prefix,
                mqtt.ttl,
                &mqtt.reply_prefixes
            )
        );
        let providers = self.ask.providers.iter();
        let providers: Vec<_> = providers.map(|one| (&one.name, &one.model)).collect();
        let ask = format!("{:?}", (providers, self.ask.deadline, self.ask.order));
        let sections = [
            ("mqtt", mqtt),
            ("providers", ask),
            (
                "local",
                format!("{:?}", (self.local.when, &self.local.language)),
            ),
            ("discovery", format!("{:?}", self.discovery)),
            ("location", format!("{:?}", self.location)),
            ("limits", format!("{:?}", self.admit)),
            ("daemon.order", format!("{:?}", self.daemon.order)),
            ("replies", format!("{:?}", self.replies)),
        ];
        sections
            .into_iter()
            .map(|(name, text)| (name.to_owned(), hash(&text)[..LENGTH].to_owned()))
            .collect()
    }
}
