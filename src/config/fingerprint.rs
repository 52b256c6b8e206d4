//! Digests of the parts of a config that must be equal on both nodes of a pair.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use crate::config::validated::Config;

/// Bytes of a digest that are compared.
const LENGTH: usize = 8;

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
            .map(|(name, text)| (name.to_owned(), short_digest(&text)))
            .collect()
    }
}

fn short_digest(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let mut hex = String::with_capacity(2 * LENGTH);
    for byte in digest.as_ref().iter().take(LENGTH) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
