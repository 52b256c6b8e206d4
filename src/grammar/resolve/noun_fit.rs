//! Whether a noun fits a device: by its kind, its class, and the nouns in its name.
//!
//! In: nouns and devices, as indexes. Out: a fact, or the devices it holds for. Nothing here
//! depends on places or on the area of the command.

use crate::grammar::clause::{Head, Target};
use crate::grammar::resolve::Resolver;
use crate::vocabulary::{Domain, Property};

/// Kinds excluded from "everything off": they protect the home, or have no off.
const NOT_EVERYTHING: [&str; 11] = [
    "alarm_control_panel",
    "siren",
    "lock",
    "scene",
    "script",
    "button",
    "vacuum",
    "lawn_mower",
    "climate",
    "valve",
    "sensor",
];

impl Resolver<'_> {
    pub(in crate::grammar) fn is_everything(&self, target: &Target) -> bool {
        matches!(target.head, Head::Noun(noun, _) if self.names.nouns[usize::from(noun)].everything)
    }

    /// Returns whether the singular may mean all devices of a place: "the light".
    pub(super) fn is_collective(&self, target: &Target) -> bool {
        matches!(target.head, Head::Noun(noun, _) if !self.names.nouns[usize::from(noun)].collective.is_empty())
    }

    /// Returns whether "is anything on" is about the device: what "everything" switches, and heating
    /// and air conditioners, but no window or motion that a sensor reports.
    pub(super) fn is_switched_or_heats(&self, noun: u16, device: u32) -> bool {
        match self.device(device).kind.as_str() {
            "climate" => true,
            "binary_sensor" => false,
            _ => self.is_a(noun, device),
        }
    }

    /// Returns whether the noun fits the device.
    pub(in crate::grammar) fn is_a(&self, noun: u16, device: u32) -> bool {
        let meant = &self.names.nouns[usize::from(noun)];
        let device_is = self.device(device);
        let kind = device_is.kind.as_str();
        if meant.everything {
            return !NOT_EVERYTHING.contains(&kind)
                && device_is
                    .class
                    .as_deref()
                    .is_none_or(|c| !matches!(c, "garage" | "gate" | "door"));
        }
        let so_named = self.has_noun(noun, device);
        if let Some(mode) = meant
            .mode
            .as_deref()
            .filter(|_| kind == "climate" && !so_named)
        {
            // A device that can only heat is not an air conditioner, unless its name contains the
            // noun.
            let has = |options: &[String]| {
                options
                    .iter()
                    .any(|option| option == mode || matches!(option.as_str(), "auto" | "heat_cool"))
            };
            let modes = device_is.capability(&Property::HvacMode).map(|c| matches!(&c.domain, Domain::Choice(options) if options.is_empty() || has(options)));
            if !modes.unwrap_or(mode != "cool") {
                return false;
            }
        }
        if !meant.kinds.iter().any(|k| k == kind) {
            return so_named && meant.named.iter().any(|k| k == kind);
        }
        match &device_is.class {
            _ if so_named => true,
            // A pool heater is not a boiler.
            _ if meant.classes.is_empty() => !meant.strict,
            Some(class) => meant.classes.contains(class),
            None => {
                let telling = self.names.telling[usize::from(noun)];
                !meant.strict && self.names.referents[device as usize].nouns & telling == 0
            }
        }
    }

    pub(super) fn has_noun(&self, noun: u16, device: u32) -> bool {
        self.names.referents[device as usize].nouns & (1 << noun) != 0
    }

    /// Returns whether the only device with the noun in its name is certainly the one that is meant:
    /// each other that the noun fits is in the same place, or is called something else of that kind.
    /// "The fan" may be the "bedroom fan" or the "Dyson" of another room.
    pub(super) fn is_set_apart(&self, noun: u16, named: u32, fits: &[u32]) -> bool {
        let place = |d: u32| self.names.referents[d as usize].area;
        let kind = |d: u32| self.device(d).kind.as_str();
        let is_other = |d: u32| {
            let nouns = self.names.nouns.iter().enumerate();
            let mut others = nouns.filter(|(other, _)| *other != usize::from(noun));
            others.any(|(other, words)| {
                let fits_kind = words.kinds.iter().chain(&words.named).any(|k| k == kind(d));
                fits_kind && self.names.referents[d as usize].nouns & (1 << other) != 0
            })
        };
        let mut others = fits.iter().filter(|d| **d != named);
        others.all(|&d| place(d) == place(named) || is_other(d))
    }

    pub(super) fn mode(&self, noun: u16) -> Option<&str> {
        self.names.nouns[usize::from(noun)].mode.as_deref()
    }

    /// Returns whether the name of the device says that it heats where the noun is about cooling,
    /// or the other way round.
    pub(super) fn has_other_mode(&self, noun: u16, device: u32) -> bool {
        let mode = self.mode(noun);
        let nouns = || self.names.referents[device as usize].noun_indexes();
        nouns().all(|named| self.mode(named) != mode)
            && nouns().any(|named| self.mode(named).is_some())
    }

    /// Narrows several players to those the noun suggests: "the music" to speakers, "the movie" to
    /// screens.
    pub(super) fn preferred(&self, noun: u16, devices: Vec<u32>) -> Vec<u32> {
        let classes = &self.names.nouns[usize::from(noun)].prefers;
        let has_class = |&&d: &&u32| {
            let class = self.device(d).class.as_ref();
            class.is_some_and(|class| classes.contains(class))
        };
        let preferred: Vec<u32> = devices.iter().filter(has_class).copied().collect();
        if classes.is_empty() {
            return devices;
        }
        if !preferred.is_empty() {
            return preferred;
        }
        // A player of unknown class may be a speaker, a television is none.
        let is_unknown = |d: &&u32| self.device(**d).class.is_none();
        let unknown: Vec<u32> = devices.iter().filter(is_unknown).copied().collect();
        if unknown.is_empty() { devices } else { unknown }
    }
}
