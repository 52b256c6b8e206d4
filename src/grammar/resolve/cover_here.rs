//! Covers in the area of the command: to somebody in the room, its blind, shade, shutter or curtain
//! may be "the blinds", whatever its class is.
//!
//! In: a target called by the noun of a cover, and the covers found for it. Out: a question where
//! all of them are elsewhere and the area of the command has others that can do it.

use crate::grammar::clause::{Head, Target};
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::Place;

/// Classes of covers that darken a room.
const SHADES: [&str; 5] = ["awning", "blind", "curtain", "shade", "shutter"];

impl Resolver<'_> {
    /// Returns the question which covers are meant, where those that were found may not be.
    pub(super) fn covers_of_the_room(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        found: &Resolution,
    ) -> Option<Resolution> {
        let (Head::Noun(noun, _) | Head::Name(_, Some((noun, _)))) = target.head else {
            return None;
        };
        let is_of_covers = self.names.nouns[usize::from(noun)].kinds == ["cover"];
        let is_placed = Self::place_is_named(request, Some(target));
        if !is_of_covers || is_placed || target.all || target.both || self.here.is_none() {
            return None;
        }
        let Resolution::Devices { able, .. } = found else {
            return None;
        };
        let is_here = |d: u32| self.names.is_at(d, Place::Here, self.here);
        let is_shade = |d: u32| {
            let device = self.device(d);
            let class = device.class.as_deref();
            device.kind.as_str() == "cover"
                && !device.is_entrance()
                && class.is_none_or(|class| SHADES.contains(&class))
        };
        let mut elsewhere: Vec<u32> = able.iter().map(|(d, _)| *d).collect();
        if elsewhere.iter().any(|&d| is_here(d) || !is_shade(d)) {
            return None;
        }
        let here: Vec<u32> = self
            .device_indices()
            .filter(|&d| is_here(d) && is_shade(d))
            .collect();
        let mut meant = self.able(request, &here, None);
        if meant.is_empty() {
            return None;
        }
        meant.append(&mut elsewhere);
        Some(Resolution::AskWhich(meant))
    }
}
