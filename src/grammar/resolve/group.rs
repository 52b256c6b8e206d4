//! Groups: how far they reach, which is the named place, the area of the command, or the home.
//!
//! In: the devices a target may mean. Out: those of one place, or a question where. Which devices a
//! name or a noun fits is already decided.

use crate::grammar::clause::Target;
use crate::grammar::intent::Intent;
use crate::grammar::resolve::{Affected, ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::Place;

impl Resolver<'_> {
    /// Resolves a group: in the named place, in the area of the command, or everywhere with "all".
    /// Otherwise the speaker is asked where.
    pub(super) fn group(
        &self,
        request: &ClauseIntent<'_>,
        target: Option<&Target>,
        meant: &[u32],
        mode: Option<&str>,
    ) -> Option<Resolution> {
        let able = self.able(request, meant, mode);
        let (all, both) = target.map_or((false, false), |t| (t.all, t.both));
        let locks = matches!(request.intent, Intent::Lock(true));
        let count = able.len();
        let near = if locks || self.excepts_elsewhere(request) {
            able
        } else {
            self.nearest(request, target, able)
        };
        if both {
            return if near.len() == 2 {
                self.each_of(request, &near, mode)
            } else {
                None
            };
        }
        let mut left_out = self.unable(request, meant, mode);
        if near.len() < count {
            left_out.retain(|(d, ..)| self.names.is_at(*d, Place::Here, self.here));
        }
        let first = near.first().map(|&d| self.names.referents[d as usize].area);
        let one_place = near
            .iter()
            .all(|&d| Some(self.names.referents[d as usize].area) == first);
        let sure = all
            || locks
            || one_place
            || Self::place_is_named(request, target)
            || matches!(request.intent, Intent::Query(..))
            || !request.clause.except.is_empty();
        let sure = sure || target.is_some_and(|t| self.is_everything(t));
        let sure = sure && !self.may_mean_the_room(request, target, &near);
        if !sure && !near.is_empty() {
            let able = near;
            return Some(Resolution::AskWhere { able, left_out });
        }
        let able = self.each_of(request, &near, mode)?;
        Some(able.leaving_out(left_out))
    }

    /// Returns whether the room of the speaker may be meant, though the devices are elsewhere:
    /// "everything off" in a room without any, "everything except the tv" with a TV elsewhere only.
    fn may_mean_the_room(
        &self,
        request: &ClauseIntent<'_>,
        target: Option<&Target>,
        near: &[u32],
    ) -> bool {
        let is_question = matches!(request.intent, Intent::Query(..));
        if self.here.is_none() || is_question || Self::place_is_named(request, target) {
            return false;
        }
        if !request.clause.except.is_empty() {
            return self.excepts_some_elsewhere(request);
        }
        let is_here = |&d: &u32| self.names.is_at(d, Place::Here, self.here);
        let is_harmless = matches!(request.intent, Intent::Pause | Intent::Mute(_));
        let is_everything = target.is_some_and(|t| self.is_everything(t));
        is_everything && !is_harmless && !near.iter().any(is_here)
    }

    /// Returns all of the devices, or `None` if there is none or one of them cannot do it.
    pub(super) fn each_of(
        &self,
        request: &ClauseIntent<'_>,
        devices: &[u32],
        mode: Option<&str>,
    ) -> Option<Resolution> {
        let done: Option<Affected> = devices
            .iter()
            .map(|&d| Some((d, self.effects(request, d, mode)?)))
            .collect();
        done.filter(|done| !done.is_empty()).map(Resolution::of)
    }

    /// Returns the devices with the abilities the intent needs.
    pub(super) fn able(
        &self,
        request: &ClauseIntent<'_>,
        devices: &[u32],
        mode: Option<&str>,
    ) -> Vec<u32> {
        devices
            .iter()
            .copied()
            .filter(|&d| self.effects(request, d, mode).is_some())
            .collect()
    }
}
