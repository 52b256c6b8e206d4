//! "Turn the telly up to 40", which sets its volume: "set the telly to 40" may be a channel.
//!
//! In: a clause that turns something up or down, and a device. Out: the intent for this device
//! where it differs.

use crate::grammar::clause::{Amount, Clause};
use crate::grammar::intent::Intent;
use crate::grammar::lexicon::standard;
use crate::grammar::sense::{StateWord, Verb};
use crate::home::device::Device;

/// Returns the intent to set the volume of a player that is turned up or down to a number.
pub(super) fn volume_level(clause: &Clause, intent: Intent, device: &Device) -> Option<Intent> {
    let Intent::SetValue(None, amount @ Amount::Number(_)) = intent else {
        return None;
    };
    let is_turned = matches!(clause.state, Some(StateWord::Up | StateWord::Down))
        || matches!(
            clause.verb,
            Some(Verb::Raise | Verb::Lower | Verb::Increase | Verb::Decrease)
        );
    let is_player = device.kind.as_str() == "media_player";
    (is_turned && is_player).then(|| Intent::SetValue(standard("volume"), amount))
}
