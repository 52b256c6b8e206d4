//! The fan of an air conditioner that was named just before: "set the ac to 20 and the fan to high".
//!
//! In: a target called "the fan", and the devices of the clause before it. Out: the fan mode of the
//! air conditioner, or a question where its room has another fan.

use crate::grammar::clause::{Amount, Head, Target};
use crate::grammar::intent::Intent;
use crate::grammar::lexicon::standard;
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};

impl Resolver<'_> {
    /// Returns the climate device whose fan may be meant, and the noun for it.
    pub(super) fn may_be_its_fan(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
    ) -> Option<(u32, u16)> {
        let [climate] = request.before else {
            return None;
        };
        let (Head::Noun(noun, false) | Head::Name(_, Some((noun, false)))) = target.head else {
            return None;
        };
        let is_level = matches!(
            request.intent,
            Intent::SetValue(None, Amount::Choice(_) | Amount::Level(_))
        );
        let is_plain = !target.all && !target.both && target.extra_noun.is_none();
        let is_placed = Self::place_is_named(request, Some(target));
        let may_be = is_level
            && is_plain
            && !is_placed
            && self.names.is_fan(noun)
            && self.has_fan_mode(*climate);
        may_be.then_some((*climate, noun))
    }

    /// Returns whether the device is an air conditioner with a mode of its fan.
    pub(in crate::grammar) fn has_fan_mode(&self, device: u32) -> bool {
        let device = self.device(device);
        let fan_mode = standard("fan_mode").map(|id| &self.names.properties[usize::from(id)]);
        let capability = fan_mode.and_then(|property| device.capability(property));
        device.kind.as_str() == "climate" && capability.is_some_and(|c| c.settable)
    }

    /// Resolves "the fan" to the fan of the device. A level in words that is none of its modes may
    /// be for another fan, which is uncertain.
    pub(super) fn fan_of(
        &self,
        request: &ClauseIntent<'_>,
        climate: u32,
        noun: u16,
    ) -> Option<Resolution> {
        let Intent::SetValue(None, amount @ Amount::Choice(_)) = request.intent else {
            return None;
        };
        let its = ClauseIntent {
            intent: Intent::SetValue(standard("fan_mode"), amount),
            ..*request
        };
        let area = self.names.referents[climate as usize].area;
        let is_beside = |&d: &u32| {
            let is_there = area.is_some() && self.names.referents[d as usize].area == area;
            is_there && d != climate && self.is_a(noun, d)
        };
        let beside: Vec<u32> = self.device_indices().filter(is_beside).collect();
        if beside.is_empty() {
            return self.each_of(&its, &[climate], None);
        }
        Some(Resolution::AskWhich([vec![climate], beside].concat()))
    }
}
