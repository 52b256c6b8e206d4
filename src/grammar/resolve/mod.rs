//! Targets of a clause → devices: one, a group, or several candidates to ask about.
//!
//! This file has the entry, [`Resolver::all`], and chooses by the head of a target which part
//! resolves it: a name (`device_name`), a noun (`noun`), a pronoun (`pronoun`), or no noun at all
//! (`implied`). In: clauses with their intents, the home and its names. Out: devices with the
//! effects on each, or a question. It knows neither the words of a language nor how devices are
//! commanded.

mod any_device;
mod beside;
mod cover_here;
mod darkened;
mod device_name;
mod door_lock;
mod exception;
mod fan_of_climate;
mod group;
mod implied;
mod implied_target;
mod meant;
mod medium;
mod noun;
mod noun_fit;
mod place;
mod pronoun;
mod several_places;
mod stronger;
mod supposition;
mod turned_up;
mod volume_level;
mod watering;

use smallvec::{SmallVec, smallvec};

use crate::grammar::awning;
use crate::grammar::clause::{Amount, Clause, Head, QuestionType, Target};
use crate::grammar::effect::{DeviceEffects, Effects, is_robot};
use crate::grammar::intent::{Intent, QueryFocus};
use crate::grammar::lexicon::standard;
use crate::grammar::names::Names;
use crate::grammar::resolve::turned_up::turned_up;
use crate::grammar::resolve::volume_level::volume_level;
use crate::grammar::said_places::SaidPlaces;
use crate::grammar::sense::{Place, Verb};
use crate::grammar::unable::Unable;
use crate::home::Home;
use crate::home::device::Device;

/// Devices with the effects on each; most targets stand for one device.
type Affected = SmallVec<[(u32, DeviceEffects); 1]>;

/// The devices a target stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Resolution {
    /// Exactly these, with the effects on each.
    Devices {
        able: Affected,
        /// Members of the group that cannot do it.
        left_out: Vec<Unable>,
    },
    /// One of these; the speaker must choose.
    AskWhich(Vec<u32>),
    /// The devices of one area; the speaker must name it.
    AskWhere {
        able: Vec<u32>,
        /// Members of the group that cannot do it.
        left_out: Vec<Unable>,
    },
}

impl Resolution {
    /// Returns the devices that are meant, or that the question offers.
    pub(super) fn devices(&self) -> impl Iterator<Item = u32> {
        let (found, offered) = match self {
            Self::Devices { able, .. } => (able.as_slice(), &[][..]),
            Self::AskWhich(able) | Self::AskWhere { able, .. } => (&[][..], able.as_slice()),
        };
        let found = found.iter().map(|(device, _)| *device);
        found.chain(offered.iter().copied())
    }

    /// Adds members of the group that cannot do it.
    pub(super) fn leaving_out(mut self, more: Vec<Unable>) -> Self {
        if let Self::Devices { left_out, .. } | Self::AskWhere { left_out, .. } = &mut self {
            left_out.extend(more);
        }
        self
    }

    /// Adds the devices of another place; a question about one of them is asked.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Devices {
                    mut able,
                    mut left_out,
                },
                Self::Devices {
                    able: more,
                    left_out: more_out,
                },
            ) => {
                let is_new = |(d, _): &(u32, DeviceEffects)| !able.iter().any(|(a, _)| a == d);
                let more: Affected = more.into_iter().filter(is_new).collect();
                able.extend(more);
                left_out.extend(more_out);
                Self::Devices { able, left_out }
            }
            (Self::Devices { .. }, question) | (question, _) => question,
        }
    }

    fn of(able: Affected) -> Self {
        Self::Devices {
            able,
            left_out: Vec::new(),
        }
    }
}

/// Resolves targets in one home.
pub(super) struct Resolver<'a> {
    pub(super) home: &'a Home,
    pub(super) names: &'a Names,
    pub(super) effects: Effects<'a>,
    /// The area the command was given in.
    pub(super) here: Option<u16>,
    /// The words of the command.
    pub(super) phrase: &'a str,
}

/// A clause with its intent.
pub(super) struct ClauseIntent<'a> {
    pub(super) clause: &'a Clause,
    pub(super) intent: Intent,
    /// Devices of the previous clause.
    pub(super) before: &'a [u32],
    /// Whether they were named one by one, so that "it" is one of them.
    pub(super) are_listed: bool,
    /// The places said before this clause.
    pub(super) said: &'a SaidPlaces,
}

impl Resolver<'_> {
    /// Resolves all targets of the clause. Returns `None` if there is no device, or it is uncertain
    /// which one is meant or whether the clause is an order.
    pub(super) fn all(&self, request: &ClauseIntent<'_>) -> Option<SmallVec<[Resolution; 1]>> {
        let found = self.whole(request)?;
        let mut each = found.iter();
        let is_certain = |resolution: &Resolution| {
            self.is_an_order(request.clause, resolution)
                && !self.may_mean_shutters(request.clause, resolution)
        };
        each.all(is_certain).then_some(found)
    }

    fn whole(&self, request: &ClauseIntent<'_>) -> Option<SmallVec<[Resolution; 1]>> {
        let clause = request.clause;
        if clause
            .places
            .iter()
            .chain(clause.targets.iter().flat_map(|t| &t.places))
            .any(|p| *p == Place::Here)
            && self.here.is_none()
        {
            return None;
        }
        if matches!(clause.verb, Some(Verb::Water | Verb::StopWater)) {
            return Some(smallvec![self.watering(request)?]);
        }
        if clause.targets.is_empty() {
            if let Some(lights) = self.stronger_light(request) {
                return Some(smallvec![lights]);
            }
            let same = self
                .repeat_previous(request)
                .filter(|_| clause.places.is_empty() && clause.verb != Some(Verb::LockUp));
            let implied = || self.implied_beside(request);
            return Some(smallvec![same.or_else(implied)?]);
        }
        let [target] = clause.targets.as_slice() else {
            return self.list(request);
        };
        let found = self.target_beside(request, target, (request.said, &[]))?;
        Some(smallvec![found])
    }

    /// Resolves several targets of the clause, of which each may be where one before it is.
    fn list(&self, request: &ClauseIntent<'_>) -> Option<SmallVec<[Resolution; 1]>> {
        let mut said = request.said.clone();
        let mut named: SmallVec<[u32; 4]> = SmallVec::new();
        let mut all = SmallVec::new();
        for target in &request.clause.targets {
            let found = self.target_beside(request, target, (&said, &named))?;
            self.note_target(&mut said, target);
            if let Resolution::Devices { able, .. } = &found {
                named.extend(able.iter().map(|(d, _)| *d));
            }
            all.push(found);
        }
        Some(all)
    }

    /// Resolves one target of the clause.
    fn target(&self, request: &ClauseIntent<'_>, target: &Target) -> Option<Resolution> {
        let resolution = if Self::names_several_places(request, target) {
            self.in_each_place(request, target)?
        } else {
            self.target_anywhere(request, target)?
        };
        (!self.ignores_place(request, target, &resolution)).then_some(resolution)
    }

    /// Returns whether a robot is started in a place: it would clean everything, which "start the
    /// robot in the kitchen" does not mean.
    fn ignores_place(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        resolution: &Resolution,
    ) -> bool {
        let starts = matches!(
            request.intent,
            Intent::Clean | Intent::Mow | Intent::Start | Intent::Play | Intent::Switch(true)
        );
        let is_area = |place: &Place| *place != Place::House;
        let has_place = request.clause.places.iter().any(is_area)
            || (target.trailing_place && target.places.iter().any(is_area));
        let has_robot = || resolution.devices().any(|d| is_robot(self.device(d)));
        starts && has_place && has_robot()
    }

    fn target_anywhere(&self, request: &ClauseIntent<'_>, target: &Target) -> Option<Resolution> {
        if let Some(found) = self.its_fan(request, target) {
            return Some(found);
        }
        if let Some((climate, noun)) = self.may_be_its_fan(request, target) {
            return self.fan_of(request, climate, noun);
        }
        let is_asked = |noun: u16| self.names.nouns[usize::from(noun)].asked;
        if target.extra_noun.is_some_and(is_asked) {
            return None;
        }
        if !target.shared_places.is_empty() {
            let near = Target {
                places: target.shared_places.clone(),
                shared_places: Vec::new(),
                ..target.clone()
            };
            if let Some(found) = self.target(request, &near) {
                return Some(found);
            }
        }
        let is_group = target.all
            || matches!(target.head, Head::Noun(_, true))
            || self.is_everything(target)
            || self.is_collective(target);
        if !(is_group || request.clause.except.is_empty()) {
            return None;
        }
        if let Some(question) = self.named_elsewhere(request, target) {
            return Some(question);
        }
        let found = self.by_head(request, target)?;
        let question = self.covers_of_the_room(request, target, &found);
        Some(question.unwrap_or(found))
    }

    /// Resolves a target by what it is called.
    fn by_head(&self, request: &ClauseIntent<'_>, target: &Target) -> Option<Resolution> {
        if let Some((noun, class)) = self.class_by_name(target) {
            return self.noun(request, &class, (noun, true));
        }
        match target.head {
            Head::It if request.before.is_empty() && self.is_of_a_place(request, target) => {
                self.implied(request, Some(target))
            }
            Head::It | Head::Them if request.before.is_empty() => None,
            Head::It if request.before.len() > 1 && request.clause.targets.len() > 1 => None,
            Head::It if request.are_listed => self.one_of_previous(request),
            Head::It | Head::Them => self.repeat_previous(request),
            Head::Area => self.implied(request, Some(target)),
            Head::Noun(noun, many) => self.noun(request, target, (noun, many)),
            Head::Name(_, Some((noun, _))) if target.all || is_any_of_a_noun(request) => {
                self.noun(request, target, (noun, true))
            }
            Head::Name(id, noun) => self.called(request, target, id).or_else(|| {
                self.noun(request, target, noun?)
                    .filter(|_| self.none_called(request, target, id))
            }),
        }
    }

    /// Resolves "set the ac fan to high" to the fan mode of the air conditioner.
    fn its_fan(&self, request: &ClauseIntent<'_>, target: &Target) -> Option<Resolution> {
        target.extra_noun.filter(|&noun| self.names.is_fan(noun))?;
        let Intent::SetValue(None, amount @ Amount::Choice(_)) = request.intent else {
            return None;
        };
        let its = ClauseIntent {
            intent: Intent::SetValue(standard("fan_mode"), amount),
            ..*request
        };
        self.target(
            &its,
            &Target {
                extra_noun: None,
                ..target.clone()
            },
        )
    }

    /// Returns the effects on one device. With "mode", only scenes and scripts match.
    pub(super) fn effects(
        &self,
        request: &ClauseIntent<'_>,
        device: u32,
        mode: Option<&str>,
    ) -> Option<DeviceEffects> {
        let intent = self.intent_for_lock(request, device);
        let device = self.device(device);
        let as_mode = request.clause.mode
            && request.clause.amount.is_none()
            && request.clause.question.is_none();
        let is_name_alone = request.intent == Intent::Query(None, Some(QueryFocus::Named))
            && request.clause.question.is_none();
        // "what is dusty doing" is a question, "dusty" is not.
        if is_name_alone && is_robot(device) {
            return None;
        }
        let intent = turned_up(request.clause, intent, device).unwrap_or(intent);
        let intent = volume_level(request.clause, intent, device).unwrap_or(intent);
        let mut effects = self.effects.of(intent, device, mode)?;
        if awning::is_by_height(request.clause, device) {
            let mut targets = request.clause.targets.iter();
            if targets.any(|target| self.is_everything(target)) {
                return None;
            }
            effects = awning::lowered_is_extended(request.clause, effects)?;
        }
        (!as_mode || matches!(device.kind.as_str(), "scene" | "script")).then_some(effects)
    }

    pub(super) fn device(&self, device: u32) -> &Device {
        &self.home.devices()[device as usize]
    }

    pub(super) fn device_indices(&self) -> impl Iterator<Item = u32> {
        (0..self.home.devices().len()).filter_map(|i| u32::try_from(i).ok())
    }
}

/// Returns whether the clause asks which devices are in a state: "which window is open" is about
/// all windows, also where one is called "window".
fn is_any_of_a_noun(request: &ClauseIntent<'_>) -> bool {
    let clause = request.clause;
    clause.question == Some(QuestionType::Open)
        && clause.state.is_some()
        && clause.property.is_none()
}
