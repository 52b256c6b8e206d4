//! "Water the garden": the valves and pumps that water a place.
//!
//! In: a clause with a verb of watering. Out: the valves of the place and everything called a
//! sprinkler.

use crate::grammar::clause::Head;
use crate::grammar::lexicon::Noun;
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};

impl Resolver<'_> {
    /// Resolves "water the garden" to the valves and pumps that water the place.
    pub(super) fn watering(&self, request: &ClauseIntent<'_>) -> Option<Resolution> {
        let target = match request.clause.targets.as_slice() {
            [] => None,
            [target] if target.head == Head::Area => Some(target),
            _ => return None,
        };
        let is_placed = Self::place_is_named(request, target);
        let is_sprinkler = |noun: &Noun| noun.kinds.is_empty() && is_for_valves(noun);
        let nouns = self.names.nouns.iter().enumerate();
        let nouns = nouns.filter(|(_, noun)| is_sprinkler(noun));
        let sprinklers = nouns.fold(0, |bits: u128, (i, _)| bits | 1 << i);
        let waters = |&d: &u32| {
            let device = self.device(d);
            let is_valve =
                device.kind.as_str() == "valve" && device.class.as_deref() != Some("gas");
            let is_called = self.names.referents[d as usize].nouns & sprinklers != 0;
            (is_called || (is_placed && is_valve)) && self.inside(request, target, d)
        };
        let meant: Vec<u32> = self.device_indices().filter(waters).collect();
        let near = self.nearest(request, target, self.able(request, &meant, None));
        if near.len() > 1 && !is_placed {
            return Some(Resolution::AskWhich(near));
        }
        self.each_of(request, &near, None)
    }
}

/// Returns whether valves may be called by the noun: "sprinkler".
fn is_for_valves(noun: &Noun) -> bool {
    noun.named.iter().any(|kind| kind == "valve")
}
