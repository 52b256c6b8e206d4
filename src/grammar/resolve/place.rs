//! Places of a clause and its targets: which devices are in them, and which are near.
//!
//! In: the places of a clause and of one target, and the area of the command. Out: facts about
//! devices, or those of them that are there. It knows neither names nor nouns.

use crate::grammar::clause::Target;
use crate::grammar::resolve::{ClauseIntent, Resolver};
use crate::grammar::sense::Place;

impl Resolver<'_> {
    /// Returns the places of the clause and of the target.
    pub(super) fn places<'p>(
        request: &ClauseIntent<'p>,
        target: &'p Target,
    ) -> impl Iterator<Item = &'p Place> {
        request.clause.places.iter().chain(&target.places)
    }

    /// Returns whether the device is one of an owner, whose name is in its own name or in that of its
    /// area: "the lamp of Anna". The name of a device that can be set is no owner.
    pub(super) fn is_of(&self, owner: u32, device: u32) -> bool {
        let called = &self.names.entries[owner as usize].devices;
        let is_thing = |(d, whole): &(u32, bool)| *whole && self.is_settable(*d);
        let is_called_so = called.iter().any(|(d, _)| *d == device);
        !called.iter().any(is_thing) && (is_called_so || self.is_in_namesake(owner, device))
    }

    /// Returns whether the device is in an area that has the name of other devices in its own:
    /// "anna" of "Anna's room".
    pub(super) fn is_in_namesake(&self, name: u32, device: u32) -> bool {
        let area = self.names.referents[device as usize].area;
        area.is_some_and(|area| self.names.entries[name as usize].areas.contains(&area))
    }

    pub(super) fn is_settable(&self, device: u32) -> bool {
        let mut capabilities = self.device(device).capabilities.iter();
        capabilities.any(|capability| capability.settable)
    }

    pub(super) fn place_is_named(request: &ClauseIntent<'_>, target: Option<&Target>) -> bool {
        !request.clause.places.is_empty()
            || target.is_some_and(|target| !target.places.is_empty() || target.owner.is_some())
    }

    /// Returns whether the device is in one of the places of the clause and of the target.
    pub(in crate::grammar) fn inside(
        &self,
        request: &ClauseIntent<'_>,
        target: Option<&Target>,
        device: u32,
    ) -> bool {
        let at_one = |places: &[Place]| {
            places.is_empty()
                || places
                    .iter()
                    .any(|&place| self.names.is_at(device, place, self.here))
        };
        let is_owned = |target: &Target| target.owner.is_none_or(|owner| self.is_of(owner, device));
        at_one(&request.clause.places)
            && target.is_none_or(|target| at_one(&target.places) && is_owned(target))
    }

    /// Returns the devices in the area of the command, if there are any and no place was named.
    pub(super) fn nearest(
        &self,
        request: &ClauseIntent<'_>,
        target: Option<&Target>,
        devices: Vec<u32>,
    ) -> Vec<u32> {
        if self.here.is_none() || Self::place_is_named(request, target) {
            return devices;
        }
        let here: Vec<u32> = devices
            .iter()
            .copied()
            .filter(|&d| self.names.is_at(d, Place::Here, self.here))
            .collect();
        if here.is_empty() { devices } else { here }
    }
}
