//! The `[source.<name>]` tables: permissions of each source.

use crate::home::Home;
use crate::home::rights::{Rights, Rules, Selector};
use crate::vocabulary::properties::PROPERTIES;

use crate::config::fault::{distance, hint, nearest};
use crate::config::table::Table;

/// Device kinds that a rule may name although the home has no such device yet.
pub(super) const KINDS: [&str; 21] = [
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

/// Rules of all sources, with their tables. The tables are kept until the home is known, so that
/// rules about things that do not exist can be reported.
pub(super) struct Sources<'f> {
    sources: Vec<(String, Table<'f>, Rules)>,
    whole_home_at_once: bool,
}

impl<'f> Sources<'f> {
    /// Reads the tables of all sources.
    pub(super) fn read(root: &Table<'f>) -> Self {
        let read = root.tables("source").into_iter().map(|(name, table)| {
            if name.is_empty() || (name != "*" && name.contains(['/', '+', '#', '\0'])) {
                table.report_table(
                    "a source is one level of a topic, without `/`, `+` and `#`; \
                    or \"*\" for all sources without a table",
                );
            }
            let select = |text: &str| {
                Selector::parse(text).map_err(
                    |_| "`*`, `area:<id>`, `kind:<kind>`, `device:<id>` or `property:<name>`",
                )
            };
            let allow = table.texts_as("allow", select);
            let deny = table.texts_as("deny", select);
            if allow.as_ref().is_some_and(Vec::is_empty) && deny.is_none() {
                table.report(
                    "allow",
                    "an empty list allows everything; to allow nothing write \
                    deny = [\"*\"]",
                );
            }
            (
                name.to_owned(),
                table,
                Rules {
                    allow: allow.unwrap_or_default(),
                    deny: deny.unwrap_or_default(),
                },
            )
        });
        let confirm = root.table("confirm").flag("whole_home").unwrap_or(true);
        Self {
            sources: read.collect(),
            whole_home_at_once: !confirm,
        }
    }

    /// Returns the rules.
    pub(super) fn rights(&self) -> Rights {
        Rights {
            whole_home_at_once: self.whole_home_at_once,
            by_source: self
                .sources
                .iter()
                .map(|(name, _, rules)| (name.clone(), rules.clone()))
                .collect(),
        }
    }

    /// Reports rules about things the home does not have. With `discovery`, unknown devices, areas
    /// and properties may still appear, but not a property that is nearly a standard one, nor a
    /// name that is a declared one with a slip.
    pub(super) fn check(&self, home: &Home, discovery: bool) {
        for (_, table, rules) in &self.sources {
            for (key, selectors) in [("allow", &rules.allow), ("deny", &rules.deny)] {
                for absent in selectors.iter().filter_map(|s| absent(s, home, discovery)) {
                    table.report(key, absent);
                }
            }
        }
    }
}

fn absent(selector: &Selector, home: &Home, discovery: bool) -> Option<String> {
    let areas = || home.areas().iter().map(|a| a.id.as_str());
    let devices = || home.devices().iter().map(|d| d.id.as_str());
    let may_appear = match selector {
        Selector::Kind(_) => false,
        Selector::Property(property) => !is_misspelt(property.name()),
        Selector::Area(id) => !areas().any(|known| is_slip(id.as_str(), known)),
        Selector::Device(id) => !devices().any(|known| is_slip(id.as_str(), known)),
        Selector::Everything => true,
    };
    if discovery && may_appear {
        return None;
    }
    let kinds = || home.devices().iter().map(|d| d.kind.as_str()).chain(KINDS);
    let properties = || {
        home.devices()
            .iter()
            .flat_map(|d| d.capabilities.iter().map(|c| c.property.name()))
            .chain(PROPERTIES.iter().map(|spec| spec.property.name()))
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

/// Returns whether a name is probably a misspelt standard property, such as `lokc`. A name such as
/// `temperature_2` is not.
fn is_misspelt(name: &str) -> bool {
    let standard = || PROPERTIES.iter().map(|spec| spec.property.name());
    let is_longer = |known: &str| {
        name.strip_prefix(known)
            .is_some_and(|rest| rest.starts_with('_'))
    };
    nearest(name, standard()).is_some() && !standard().any(is_longer)
}

/// Shortest word of a name in which a wrong letter is a slip: `tv_a` and `tv_b` are two devices.
const SHORTEST_MISSPELT: usize = 4;

/// Returns whether a name is a known one with one wrong letter in one word, or other underscores.
/// Names that differ in a number, or in whole words, are those of different things: `lamp_2`,
/// `left_lamp`.
fn is_slip(name: &str, known: &str) -> bool {
    if name == known {
        return false;
    }
    let letters = |text: &str| text.replace('_', "");
    if letters(name) == letters(known) {
        return true;
    }
    let words = |text: &'_ str| text.split('_').map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (words(name), words(known));
    let different: Vec<_> = ours.iter().zip(&theirs).filter(|(a, b)| a != b).collect();
    let [(ours_word, theirs_word)] = different[..] else {
        return false;
    };
    let has_digits = [ours_word, theirs_word]
        .iter()
        .any(|word| word.chars().any(|c| c.is_ascii_digit()));
    ours.len() == theirs.len()
        && !has_digits
        && theirs_word.len() >= SHORTEST_MISSPELT
        && distance(ours_word, theirs_word) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        for (name, known) in [
            ("kitchn_light", "kitchen_light"),
            ("kitchne", "kitchen"),
            ("frontdoor", "front_door"),
            ("front_doors", "front_door"),
        ] {
            assert!(is_slip(name, known), "{name}");
        }
        for (name, known) in [
            ("kitchen_light", "kitchen_light"),
            ("lamp_2", "lamp_1"),
            ("lamp2", "lamp1"),
            ("tv_a", "tv_b"),
            ("kitchen_lamp", "kitchen_light"),
            ("left_lamp", "lamp"),
            ("bed", "red"),
        ] {
            assert!(!is_slip(name, known), "{name}");
        }
    }
}
