//! The `[source.<name>]` tables: who may command what.

use crate::home::Home;
use crate::home::rights::{Rights, Rules, Selector};

use crate::config::fault::hint;
use crate::config::file::Table;

/// Kinds that may be named although the home has none: a rule should stand before the lock is bought.
const KINDS: [&str; 21] = [
    "alarm_control_panel",
    "binary_sensor",
    "button",
    "climate",
    "cover",
    "fan",
    "humidifier",
    "lawn_mower",
    "light",
    "lock",
    "media_player",
    "number",
    "scene",
    "script",
    "select",
    "sensor",
    "siren",
    "switch",
    "vacuum",
    "valve",
    "water_heater",
];

/// The sources as they were written; kept until the home is known, for a rule about nothing is a hole.
pub(super) struct Sources<'f>(Vec<(String, Table<'f>, Rules)>);

impl<'f> Sources<'f> {
    /// Reads every source.
    pub(super) fn read(root: &Table<'f>) -> Self {
        let read = root.tables("source").into_iter().map(|(name, table)| {
            if name.is_empty() || (name != "*" && name.contains(['/', '+', '#', '\0'])) {
                table.say_here("a source is one level of a topic, without `/`, `+` and `#`; or \"*\" for all not named");
            }
            let select = |text: &str| Selector::parse(text).map_err(|_| "`*`, `area:<id>`, `kind:<kind>`, `device:<id>` or `property:<name>`");
            let (allow, deny) = (table.texts_as("allow", select), table.texts_as("deny", select));
            if allow.as_ref().is_some_and(Vec::is_empty) && deny.is_none() {
                table.say("allow", "an empty list allows everything; to allow nothing write deny = [\"*\"]");
            }
            (name.to_owned(), table, Rules { allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default() })
        });
        Self(read.collect())
    }

    /// The rules.
    pub(super) fn rights(&self) -> Rights {
        Rights {
            by_source: self
                .0
                .iter()
                .map(|(name, _, rules)| (name.clone(), rules.clone()))
                .collect(),
        }
    }

    /// Notes every rule about something that cannot be: what the home does not have, unless more may be `found` by discovery.
    pub(super) fn check(&self, home: &Home, found: bool) {
        for (_, table, rules) in &self.0 {
            for (key, selectors) in [("allow", &rules.allow), ("deny", &rules.deny)] {
                for absent in selectors
                    .iter()
                    .filter(|s| !found || matches!(s, Selector::Kind(_)))
                    .filter_map(|s| absent(s, home))
                {
                    table.say(key, absent);
                }
            }
        }
    }
}

fn absent(selector: &Selector, home: &Home) -> Option<String> {
    let areas = || home.areas().iter().map(|a| a.id.as_str());
    let devices = || home.devices().iter().map(|d| d.id.as_str());
    let kinds = || home.devices().iter().map(|d| d.kind.as_str()).chain(KINDS);
    let properties = || {
        home.devices()
            .iter()
            .flat_map(|d| d.capabilities.iter().map(|c| c.property.name()))
    };
    match selector {
        Selector::Area(id) if !areas().any(|a| a == id.as_str()) => Some(format!(
            "the home has no area `{id}`{}",
            hint(id.as_str(), areas())
        )),
        Selector::Device(id) if !devices().any(|d| d == id.as_str()) => Some(format!(
            "the home has no device `{id}`{}",
            hint(id.as_str(), devices())
        )),
        Selector::Kind(kind) if !kinds().any(|k| k == kind.as_str()) => Some(format!(
            "there is no kind `{kind}`{}",
            hint(kind.as_str(), kinds())
        )),
        Selector::Property(p) if !p.is_standard() && !properties().any(|name| name == p.name()) => {
            Some(format!(
                "no device has a property `{p}`{}",
                hint(p.name(), properties())
            ))
        }
        _ => None,
    }
}
