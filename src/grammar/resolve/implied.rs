//! Clauses without a noun: "lock up", "set the kitchen to 30", "what is the temperature".
//!
//! In: a clause whose target is an area, or nothing. Out: the devices that its verb or its property
//! is about, in the named place or the area of the command. Names and nouns are resolved elsewhere.

use std::ops::RangeInclusive;

use crate::grammar::clause::{Amount, Head, Preposition, Target};
use crate::grammar::intent::Intent;
use crate::grammar::lexicon::{Noun, index};
use crate::grammar::resolve::implied_target::ImpliedTarget;
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::{Place, Verb};
use crate::grammar::tokens::{has_phrase, words};
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property};

/// Temperatures at which people keep their rooms.
const ROOM_CELSIUS: RangeInclusive<f64> = 15.0..=25.0;
const ROOM_FAHRENHEIT: RangeInclusive<f64> = 59.0..=77.0;

impl Resolver<'_> {
    /// Resolves a clause without a noun by its property or verb.
    pub(super) fn implied(
        &self,
        request: &ClauseIntent<'_>,
        target: Option<&Target>,
    ) -> Option<Resolution> {
        let clause = request.clause;
        let meant = if self.switches_an_area(request) {
            ImpliedTarget::all(&["light"])
        } else {
            ImpliedTarget::by(request, self.names)?
        };
        let is_specific = target.is_some()
            || !clause.places.is_empty()
            || self.here.is_some()
            || clause.property.is_some()
            || clause.comparative.is_some();
        let verb = clause.verb.is_some() && !matches!(request.intent, Intent::Change(_));
        if !(is_specific || verb)
            && matches!(request.intent, Intent::Change(_) | Intent::SetValue(..))
        {
            return None;
        }
        let fits = |&d: &u32| meant.fits(self.device(d)) && self.inside(request, target, d);
        let fitting: Vec<u32> = self.device_indices().filter(fits).collect();
        if self.may_be_degrees(request, target) {
            return None;
        }
        if target.is_none() && is_color_of_nothing(request) {
            return self.one_in_color(request, &fitting);
        }
        // "is any window open" may be about a property of that name.
        if meant.group || (clause.any && matches!(request.intent, Intent::Query(..))) {
            return self.group(request, target, &fitting, None);
        }
        let able = self.able(request, &fitting, None);
        let mut near = self.nearest(request, target, able);
        if near
            .iter()
            .any(|&d| self.device(d).kind.as_str() != "water_heater")
        {
            // "the temperature" is that of the room rather than of the boiler.
            near.retain(|&d| self.device(d).kind.as_str() != "water_heater");
        }
        let of_a_place = Self::place_is_named(request, target)
            || near
                .iter()
                .all(|&d| self.names.is_at(d, Place::Here, self.here));
        if of_a_place
            && matches!(request.intent, Intent::Query(..))
            && near
                .iter()
                .any(|&d| self.device(d).kind.as_str() == "sensor")
        {
            near.retain(|&d| self.device(d).kind.as_str() == "sensor");
        }
        let only_players = near
            .iter()
            .all(|&d| self.device(d).kind.as_str() == "media_player");
        if near.len() > 1 && only_players && of_a_place {
            near = self.suitable_players(near);
        }
        // A pause does no harm to a player that does not play.
        let is_pause = only_players && of_a_place && request.intent == Intent::Pause;
        if near.len() > 1 && !is_pause {
            Some(Resolution::AskWhich(near))
        } else {
            self.each_of(request, &near, None)
        }
    }

    /// Returns whether the clause switches an area, in a language in which that means its lights:
    /// "apaga la cocina".
    fn switches_an_area(&self, request: &ClauseIntent<'_>) -> bool {
        let clause = request.clause;
        let is_area = |target: &Target| target.head == Head::Area;
        self.effects.lexicon.grammar.area_is_lights
            && matches!(request.intent, Intent::Switch(_))
            && matches!(clause.verb, Some(Verb::On | Verb::TurnUp | Verb::Off))
            && clause.state.is_none()
            && !clause.mode
            && (!clause.targets.is_empty() || !clause.places.is_empty())
            && clause.targets.iter().all(is_area)
    }

    /// Returns whether the number for an area may be a temperature: "set the bedroom to 20", or any
    /// number that a thermostat there accepts.
    fn may_be_degrees(&self, request: &ClauseIntent<'_>, target: Option<&Target>) -> bool {
        let Intent::SetValue(None, amount @ Amount::Number(degrees)) = request.intent else {
            return false;
        };
        // "kitchen 20", without a verb and "to", is said of lights.
        let clause = request.clause;
        let is_set = clause.verb.is_some() || clause.preposition != Preposition::Bare;
        if target.is_some() && is_set && self.is_of_a_room(degrees) {
            return true;
        }
        let is_heating = |d: u32| {
            let heating = self.device(d).capability(&Property::Temperature);
            heating.is_some_and(|c| c.settable && self.effects.accepts(c, amount))
        };
        let mut there = self
            .device_indices()
            .filter(|&d| self.inside(request, target, d));
        target.is_some() && there.any(is_heating)
    }

    /// Returns whether people keep rooms at so many degrees.
    pub(in crate::grammar) fn is_of_a_room(&self, degrees: f64) -> bool {
        let is_fahrenheit = |device: &Device| {
            let temperature = device.capability(&Property::Temperature);
            temperature
                .is_some_and(|c| matches!(&c.domain, Domain::Number { unit, .. } if unit == "°F"))
        };
        ROOM_CELSIUS.contains(&degrees)
            || (ROOM_FAHRENHEIT.contains(&degrees) && self.home.devices().iter().any(is_fahrenheit))
    }

    /// Resolves "set to red", which names no lamp, to the only one that can have the color.
    fn one_in_color(&self, request: &ClauseIntent<'_>, lamps: &[u32]) -> Option<Resolution> {
        let near = self.nearest(request, None, self.able(request, lamps, None));
        if near.len() > 1 {
            return Some(Resolution::AskWhich(near));
        }
        self.each_of(request, &near, None)
    }

    /// Narrows several players to those that play the named medium: "skip this song" is for
    /// speakers, "pause the movie" for screens.
    fn suitable_players(&self, players: Vec<u32>) -> Vec<u32> {
        let plain = self.effects.lexicon.spelling.plain(self.phrase);
        let input = words(&plain);
        let is_named =
            |noun: &Noun| has_phrase(&noun.one, &input) || has_phrase(&noun.many, &input);
        let nouns = self.names.nouns.iter().enumerate();
        let mut named = nouns.filter(|(_, noun)| !noun.prefers.is_empty() && is_named(noun));
        let (Some((noun, _)), None) = (named.next(), named.next()) else {
            return players;
        };
        self.preferred(index(noun), players)
    }
}

/// Returns whether a color is asked for without a lamp, a place or the word for it.
fn is_color_of_nothing(request: &ClauseIntent<'_>) -> bool {
    let is_color = match request.intent {
        Intent::SetValue(None, amount) | Intent::OnAt(None, amount) => amount.is_color(),
        _ => false,
    };
    is_color && request.clause.places.is_empty()
}
