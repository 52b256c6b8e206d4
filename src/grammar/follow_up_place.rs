//! Sentences that are complete without the last command, but may be about its room: "louder" and
//! "turn the fan off too" after a command for the office.
//!
//! In: such a sentence, its draft without the last command, and the last command. Out: the draft
//! for the room, or none where another room would be changed.

use crate::grammar::antecedents::{Remembered, index_of};
use crate::grammar::clause::{Head, Target};
use crate::grammar::follow_up::{any_sense, continued, is_about_warmth, is_value_alone};
use crate::grammar::interpreter::Interpreter;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::names::Names;
use crate::grammar::said_places::SaidPlaces;
use crate::grammar::sense::{Place, Sense};
use crate::grammar::spans::Spans;
use crate::vocabulary::action::{Draft, Op};

/// Returns whether the meaning of a sentence may depend on the last command though it has no word
/// for it.
pub(super) fn may_be_about_last(
    lexicon: &Lexicon,
    names: &Names,
    (text, spans): (&str, &Spans),
) -> bool {
    is_value_alone(spans) || names_a_fan(names, spans) || is_one_more(lexicon, text)
}

/// Returns whether the sentence adds to the last command: "and the tv", "the fan too".
fn is_one_more(lexicon: &Lexicon, text: &str) -> bool {
    matches!(continued(lexicon, text), Some((false, _)))
}

fn names_a_fan(names: &Names, spans: &Spans) -> bool {
    any_sense(spans, |sense| match sense {
        Sense::Noun(noun, _) | Sense::Name(_, Some((noun, _))) => names.is_fan(*noun),
        _ => false,
    })
}

impl Interpreter<'_> {
    /// Returns the draft of a sentence that is complete alone, with regard to the last command.
    pub(super) fn beside_last(
        &self,
        text: &str,
        spans: &Spans,
        alone: Option<Draft>,
    ) -> Option<Draft> {
        if is_value_alone(spans) && !is_about_warmth(spans) && self.is_elsewhere(alone.as_ref()?) {
            return None;
        }
        let resolver = self.resolver();
        let mut devices = self.remembered.devices.iter();
        if names_a_fan(self.names, spans) && devices.any(|&d| resolver.has_fan_mode(d)) {
            return self.draft_of(spans);
        }
        let area = self
            .remembered
            .area
            .filter(|_| is_one_more(self.lexicon, text));
        let Some(area) = area else {
            return alone;
        };
        let there = self.with_memory(Remembered {
            said: SaidPlaces::area(area),
            ..Remembered::default()
        });
        there.draft_of(spans)
    }

    /// Returns the devices of a target in the room of the last command: "and the tv". There are none
    /// where it is uncertain.
    pub(super) fn near_last(&self, target: &Target, can: impl Fn(&u32) -> bool) -> Vec<u32> {
        let Some(area) = self.remembered.area else {
            return Vec::new();
        };
        let resolver = self.resolver();
        let is_near = |d: &u32| self.names.is_at(*d, Place::Area(area), None) && can(d);
        let of_noun = |noun: u16| {
            let all = resolver.device_indices();
            let near = all.filter(|d| is_near(d) && resolver.is_a(noun, *d));
            near.collect::<Vec<u32>>()
        };
        let (near, is_group): (Vec<u32>, bool) = match target.head {
            Head::Noun(noun, many) => (of_noun(noun), many && !target.all),
            Head::Name(id, noun) if self.names.entries[id as usize].place.is_none() => {
                let called = &self.names.entries[id as usize].devices;
                let mut near: Vec<u32> = called.iter().map(|(d, _)| *d).filter(is_near).collect();
                if near.is_empty()
                    && let Some((noun, _)) = noun
                {
                    near = of_noun(noun);
                }
                (near, false)
            }
            _ => (Vec::new(), false),
        };
        if target.all || (near.len() > 1 && !is_group) {
            return Vec::new();
        }
        near
    }

    /// Returns whether a draft changes only devices in other rooms than that of the last command
    /// and that of the speaker.
    fn is_elsewhere(&self, draft: &Draft) -> bool {
        let Some(area) = self.remembered.area else {
            return false;
        };
        let is_near = |id: &str| {
            index_of(self.home, id).is_none_or(|d| {
                self.remembered.devices.contains(&d)
                    || self.names.is_at(d, Place::Area(area), None)
                    || self.names.is_at(d, Place::Here, self.here)
            })
        };
        let changes = draft.actions.iter().filter(|a| a.op != Op::Query);
        !draft.actions.is_empty() && !changes.into_iter().any(|a| is_near(&a.device))
    }
}
