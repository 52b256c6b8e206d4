//! Targets called by a noun: "the lights", "the lamp in the kitchen".
//!
//! In: a target whose head is a noun. Out: one device, a group, or a question. Which devices a noun
//! fits is decided in `noun_fit`, and how far a group reaches in `group`.

use crate::grammar::clause::{Amount, Determiner, QuestionType, Target};
use crate::grammar::intent::{Intent, QueryFocus};
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::{Place, StateWord, Verb};
use crate::grammar::unable::everything_means;
use crate::vocabulary::Property;

impl Resolver<'_> {
    /// Resolves a noun: "the lights", "the lamp in the kitchen".
    pub(super) fn noun(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        (noun, plural): (u16, bool),
    ) -> Option<Resolution> {
        let entry = &self.names.nouns[usize::from(noun)];
        let clause = request.clause;
        let shuts_down = request.intent == Intent::Shut
            || (clause.verb == Some(Verb::Close) && clause.state == Some(StateWord::Down));
        if entry.everything && shuts_down && request.intent != Intent::Switch(false) {
            // "shut everything down" does not move covers.
            let off = ClauseIntent {
                intent: Intent::Switch(false),
                ..*request
            };
            return self.noun(&off, target, (noun, plural));
        }
        let is_question = matches!(request.intent, Intent::Query(..));
        if (entry.asked && !is_question)
            || (entry.everything && everything_means(request.intent).is_none())
        {
            return None;
        }
        let is_lock = entry.kinds == ["lock"] && entry.named.is_empty();
        if is_lock && let Intent::Open(open) = request.intent {
            // "open the lock" unlocks it.
            let lock = ClauseIntent {
                intent: Intent::Lock(!open),
                ..*request
            };
            return self.noun(&lock, target, (noun, plural));
        }
        if entry.medium
            && let Some(found) = self.medium(request, target, noun)
        {
            return Some(found);
        }
        // "set the scene", "press the button": scenes and buttons need a name.
        let needs_name = |kind: &String| matches!(kind.as_str(), "scene" | "script" | "button");
        if entry.kinds.iter().any(needs_name) && !target.all {
            return None;
        }
        let candidates = self.with_noun(request, target, noun);
        let is_open = match target.determiner {
            Determiner::Pointing => !plural,
            other => other == Determiner::Indefinite(!plural),
        };
        let is_one_of_several = is_open && !target.all && !target.both;
        if is_one_of_several && !is_question {
            let able = self.able(request, &candidates, self.mode(noun));
            let near = self.nearest(request, Some(target), able);
            if near.len() > 1 {
                return Some(Resolution::AskWhich(near));
            }
        }
        let asks_which =
            request.clause.question == Some(QuestionType::Open) && request.clause.state.is_some();
        let is_all = target.all || target.both || !clause.except.is_empty();
        if plural || is_all || entry.everything || asks_which {
            return self.noun_group(request, target, noun, candidates);
        }
        self.single_noun(request, target, noun, candidates)
    }

    /// Returns the devices the noun fits, in the named places.
    pub(super) fn with_noun(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        noun: u16,
    ) -> Vec<u32> {
        let entry = &self.names.nouns[usize::from(noun)];
        let is_question = matches!(request.intent, Intent::Query(..));
        let has_extra_noun = |d: u32| match target.extra_noun {
            Some(extra) => extra == noun || self.is_a(extra, d),
            None => true,
        };
        let mut fits: Vec<u32> = self
            .device_indices()
            .filter(|&d| self.inside(request, Some(target), d) && has_extra_noun(d))
            .filter(|&d| {
                let kinds = everything_means(request.intent).filter(|_| entry.everything);
                match kinds {
                    Some(kinds) if !kinds.is_empty() => {
                        kinds.contains(&self.device(d).kind.as_str())
                    }
                    Some(_) if is_question => self.is_switched_or_heats(noun, d),
                    _ => self.is_a(noun, d),
                }
            })
            .collect();
        // "all the radiators" leaves out the air conditioner, though it can heat.
        if entry.mode.is_some() && fits.iter().any(|&d| !self.has_other_mode(noun, d)) {
            fits.retain(|&d| !self.has_other_mode(noun, d));
        }
        // A cover of unknown class is a blind only where there is no certain one.
        let is_certain = |d: u32| {
            let class = self.device(d).class.as_ref();
            self.has_noun(noun, d) || class.is_some_and(|class| entry.classes.contains(class))
        };
        let prefers_certain = entry.narrow || !entry.classes.is_empty();
        if prefers_certain && fits.iter().any(|&d| is_certain(d)) {
            fits.retain(|&d| is_certain(d));
        }
        fits
    }

    /// Resolves a noun that means several devices.
    fn noun_group(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        noun: u16,
        candidates: Vec<u32>,
    ) -> Option<Resolution> {
        if self.excepts_where_unsure(request, target) {
            return None;
        }
        let is_here = |d: &u32| self.names.is_at(*d, Place::Here, self.here);
        let had_some_here = candidates.iter().any(is_here);
        let meant = self.without_exceptions(request, candidates)?;
        let meant = self.playing_medium(request, noun, meant);
        if had_some_here && !meant.iter().any(is_here) && !self.excepts_elsewhere(request) {
            // "the lights except the lamp" in a room with nothing but the lamp.
            let is_placed = Self::place_is_named(request, Some(target));
            if !request.clause.except.is_empty() && !is_placed {
                return None;
            }
        }
        let mode = self.mode(noun);
        // If only some of "the doors" can be opened, those are not what was meant.
        let opens = request.intent == Intent::Open(true);
        if opens && self.able(request, &meant, mode).len() < meant.len() {
            return None;
        }
        let group = self.group(request, Some(target), &meant, mode)?;
        if self.is_everything(target) {
            return Some(self.with_what_stays(request, target, group));
        }
        Some(group)
    }

    /// Resolves a noun in the singular.
    fn single_noun(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        noun: u16,
        candidates: Vec<u32>,
    ) -> Option<Resolution> {
        let entry = &self.names.nouns[usize::from(noun)];
        let mode = self.mode(noun);
        let able = self.able(request, &candidates, mode);
        if self.has_one_out_of_range(request, noun, &candidates, &able) {
            return None;
        }
        let opens = matches!(request.intent, Intent::Open(_));
        let fits = if opens && !able.is_empty() {
            candidates
        } else {
            able
        };
        let fits = self.nearest(request, Some(target), fits);
        if fits.len() < 2 {
            return self.each_of(request, &fits, mode);
        }
        if Self::places(request, target).any(|place| *place == Place::House) {
            return self.each_of(request, &fits, mode);
        }
        let is_here = |&d: &u32| self.names.is_at(d, Place::Here, self.here);
        let of_a_place = Self::place_is_named(request, Some(target)) || fits.iter().all(is_here);
        let fits = if of_a_place {
            self.preferred(noun, fits)
        } else {
            fits
        };
        let asks = matches!(request.intent, Intent::Query(None, Some(QueryFocus::Is(_))));
        if fits.len() == 1 || ((asks || !entry.collective.is_empty()) && of_a_place) {
            return self.each_of(request, &fits, mode);
        }
        let named: Vec<u32> = fits
            .iter()
            .copied()
            .filter(|&d| self.has_noun(noun, d))
            .collect();
        match named.as_slice() {
            // In a named place, the device with the noun in its name may not be the one meant.
            [single]
                if entry.collective.is_empty()
                    && !entry.vague
                    && self.is_set_apart(noun, *single, &fits)
                    && !target.trailing_place
                    && request.clause.places.is_empty() =>
            {
                self.each_of(request, &[*single], mode)
            }
            _ => Some(Resolution::AskWhich(fits)),
        }
    }

    /// Returns whether a device that is meant cannot have the value: "set the thermostat to 100" is
    /// out of range, not a command for the sauna.
    fn has_one_out_of_range(
        &self,
        request: &ClauseIntent<'_>,
        noun: u16,
        candidates: &[u32],
        able: &[u32],
    ) -> bool {
        let Intent::SetValue(_, amount) = request.intent else {
            return false;
        };
        let named = candidates.iter().copied();
        let named: Vec<u32> = named.filter(|&d| self.has_noun(noun, d)).collect();
        let is_meant = |d: u32| match (named.as_slice(), amount) {
            // "the thermostat to eco": the one called so has such a setting.
            ([single], Amount::Choice(_)) => d == *single,
            (_, Amount::Number(_) | Amount::Measured(..) | Amount::Choice(_)) => true,
            _ => false,
        };
        let has_temperature = |d: u32| {
            let device = self.device(d);
            device.capability(&Property::Temperature).is_some()
        };
        let mut candidates = candidates.iter();
        candidates.any(|d| !able.contains(d) && is_meant(*d) && has_temperature(*d))
    }
}
