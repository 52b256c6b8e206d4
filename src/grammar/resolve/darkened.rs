//! Darkening a room: by its lights, or by its shutters where it has some.
//!
//! In: a clause with such a verb and the devices found for it. Out: whether shutters may be meant.

use crate::grammar::clause::{Clause, Head};
use crate::grammar::resolve::{Resolution, Resolver};
use crate::grammar::sense::Verb;

impl Resolver<'_> {
    /// Returns whether a room is darkened that has shutters beside the lights that were found.
    pub(super) fn may_mean_shutters(&self, clause: &Clause, resolution: &Resolution) -> bool {
        let names_a_thing = clause
            .targets
            .iter()
            .any(|target| target.head != Head::Area);
        if clause.verb != Some(Verb::Darken) || names_a_thing {
            return false;
        }
        let has_shutters = |d: u32| {
            let area = self.names.referents[d as usize].area;
            self.device_indices().any(|other| {
                let device = self.device(other);
                self.names.referents[other as usize].area == area
                    && device.kind.as_str() == "cover"
                    && !device.is_entrance()
            })
        };
        resolution.devices().any(has_shutters)
    }
}
