//! Suppositions: "the washing machine should be on" may be what the speaker thinks of it now.
//!
//! In: a clause with "should be" and its devices. Out: whether it is an order. It is one where
//! people say it as a wish, of lights, warmth, air, sound and shade, and where the effect is mild.

use crate::grammar::clause::Clause;
use crate::grammar::resolve::{Resolution, Resolver};
use crate::home::device::Device;

/// Kinds of devices that "should be off" is an order for.
const MILD: [&str; 5] = ["light", "fan", "media_player", "climate", "cover"];

impl Resolver<'_> {
    /// Returns whether the clause orders what it says about these devices.
    pub(super) fn is_an_order(&self, clause: &Clause, resolution: &Resolution) -> bool {
        !clause.supposed || resolution.devices().all(|d| is_mild(self.device(d)))
    }
}

fn is_mild(device: &Device) -> bool {
    MILD.contains(&device.kind.as_str()) && !device.is_entrance()
}
