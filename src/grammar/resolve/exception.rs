//! Exceptions of a group: "all lights except the one in the hall".
//!
//! In: the exceptions of a clause and the members of a group. Out: the other members, or nothing
//! where an exception matches none.

use crate::grammar::clause::{Head, Target};
use crate::grammar::resolve::{ClauseIntent, Resolver};
use crate::grammar::sense::Place;

impl Resolver<'_> {
    /// Removes the exceptions. Returns `None` if one of them matches no device.
    pub(super) fn without_exceptions(
        &self,
        request: &ClauseIntent<'_>,
        mut devices: Vec<u32>,
    ) -> Option<Vec<u32>> {
        for except in &request.clause.except {
            let excepted = |d: &&u32| self.is_excepted(except, **d);
            let excepted: Vec<u32> = devices.iter().filter(excepted).copied().collect();
            let has_one = |place: &Place| {
                let mut excepted = excepted.iter();
                excepted.any(|&d| self.names.is_at(d, *place, self.here))
            };
            // "except the lamp in the hall and in the kitchen": each place has one.
            if excepted.is_empty() || !except.places.iter().all(has_one) {
                return None;
            }
            devices.retain(|d| !excepted.contains(d));
        }
        Some(devices)
    }

    /// Returns whether one of the exceptions means the device.
    pub(in crate::grammar) fn is_exception(&self, request: &ClauseIntent<'_>, device: u32) -> bool {
        let mut exceptions = request.clause.except.iter();
        exceptions.any(|except| self.is_excepted(except, device))
    }

    /// Returns whether the exception means the device; a pronoun means none.
    fn is_excepted(&self, except: &Target, device: u32) -> bool {
        let at = |d: u32| {
            let mut places = except.places.iter();
            except.places.is_empty() || places.any(|&place| self.names.is_at(d, place, self.here))
        };
        let is_meant = match except.head {
            Head::Area => true,
            Head::Noun(noun, _) => self.is_a(noun, device),
            Head::Name(id, noun) => {
                let called = &self.names.entries[id as usize].devices;
                if let Some(is_it) = self.is_excepted_here(except, (id, noun), device) {
                    return is_it;
                }
                let is_whole_name = |(d, whole): &(u32, bool)| *whole && self.is_settable(*d);
                let whole = called
                    .iter()
                    .any(|found| is_whole_name(found) && at(found.0));
                let mut called = called.iter();
                called.any(|(c, is_whole)| *c == device && (*is_whole || !whole))
                    || (!whole && noun.is_some_and(|(n, _)| self.is_a(n, device)))
                    || (!whole && self.is_in_namesake(id, device))
            }
            Head::It | Head::Them => false,
        };
        is_meant && at(device) && except.owner.is_none_or(|owner| self.is_of(owner, device))
    }

    /// Returns whether an exception called by a name without a place is a device, where one called
    /// so is in the area of the command: "everything but the tv" in the bedroom is about the TV
    /// there.
    fn is_excepted_here(
        &self,
        except: &Target,
        (id, noun): (u32, Option<(u16, bool)>),
        device: u32,
    ) -> Option<bool> {
        let is_here = |d: u32| self.names.is_at(d, Place::Here, self.here);
        if self.here.is_none() || !except.places.is_empty() || except.owner.is_some() {
            return None;
        }
        let called = &self.names.entries[id as usize].devices;
        let mut here = called.iter().filter(|(d, _)| is_here(*d)).peekable();
        if here.peek().is_some() {
            return Some(here.any(|(d, _)| *d == device));
        }
        let (noun, _) = noun?;
        let mut devices = self.device_indices();
        devices
            .any(|d| is_here(d) && self.is_a(noun, d))
            .then(|| is_here(device) && self.is_a(noun, device))
    }

    /// Returns whether an exception is outside the area of the command and is called by a noun
    /// alone, so that it does not show how far the group reaches: "everything except the tv".
    pub(super) fn excepts_some_elsewhere(&self, request: &ClauseIntent<'_>) -> bool {
        let is_noun = |except: &Target| {
            except.places.is_empty()
                && matches!(except.head, Head::Noun(..) | Head::Name(_, Some(_)))
        };
        self.excepts_elsewhere(request) && request.clause.except.iter().any(is_noun)
    }

    /// Returns whether the extent is unclear: "everything off except the tv in the living room",
    /// with only one TV, may mean the home or the room.
    pub(super) fn excepts_where_unsure(&self, request: &ClauseIntent<'_>, target: &Target) -> bool {
        let placed = request
            .clause
            .except
            .iter()
            .filter(|except| !except.places.is_empty());
        let only_one = |except: &Target| matches!(except.head, Head::Name(id, _) if self.names.entries[id as usize].devices.len() == 1);
        !Self::place_is_named(request, Some(target)) && placed.into_iter().any(only_one)
    }

    /// Returns whether an exception is outside the area of the command, so that the group is that
    /// of the home: "all the blinds except the bedroom".
    pub(super) fn excepts_elsewhere(&self, request: &ClauseIntent<'_>) -> bool {
        let is_here = |d: u32| self.names.is_at(d, Place::Here, self.here);
        let has_one_here = |except: &Target| {
            let mut devices = self.device_indices();
            devices.any(|d| is_here(d) && self.is_excepted(except, d))
        };
        let mut exceptions = request.clause.except.iter();
        self.here.is_some() && exceptions.any(|except| !has_one_here(except))
    }
}
