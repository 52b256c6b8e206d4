//! "Turning up" as one does with a tap: it switches a lamp on, but makes a radiator warmer and a
//! radio louder.
//!
//! In: a clause with such a verb and a device. Out: the intent for this device where it differs.

use crate::grammar::clause::Clause;
use crate::grammar::intent::{Intent, RelativeChange};
use crate::grammar::sense::Verb;
use crate::home::device::Device;

/// Returns the intent of "dreh die Heizung auf" for a device with a degree, or `None` where the
/// verb switches on.
pub(super) fn turned_up(clause: &Clause, intent: Intent, device: &Device) -> Option<Intent> {
    let is_plain = clause.verb == Some(Verb::TurnUp);
    let has_degree = matches!(device.kind.as_str(), "climate" | "media_player");
    if !is_plain || !has_degree || intent != Intent::Switch(true) {
        return None;
    }
    Some(Intent::Change(RelativeChange {
        property: None,
        up: true,
        by: None,
        vertical: true,
        bare: false,
        warmth: false,
    }))
}
