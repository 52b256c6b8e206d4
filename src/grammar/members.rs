//! Members of a group that cannot do what a collective phrase asks for, with the reason: the lamps
//! without colour in "set all lights to red".

use crate::grammar::clause::{Amount, Target};
use crate::grammar::effect::asked_state;
use crate::grammar::intent::Intent;
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::{Place, StateWord};
use crate::grammar::unable::Unable;
use crate::home::device::Device;
use crate::vocabulary::action::{LeftOut, Unfit};

/// Kinds that "everything" names if they cannot be switched: others are not expected to be.
const SWITCHED: [&str; 6] = [
    "light",
    "switch",
    "fan",
    "media_player",
    "humidifier",
    "water_heater",
];

/// Returns the devices as a draft names them.
pub(super) fn left_out(unable: Vec<Unable>, resolver: &Resolver<'_>) -> Vec<LeftOut> {
    let one = |(device, why, unless): Unable| LeftOut {
        device: resolver.device(device).id.as_str().to_owned(),
        why,
        unless,
    };
    unable.into_iter().map(one).collect()
}

impl Resolver<'_> {
    /// Returns the members of a group that cannot do it. Devices that can only be read are members
    /// where something is to be closed, unless they report that it is.
    pub(super) fn unable(
        &self,
        request: &ClauseIntent<'_>,
        group: &[u32],
        mode: Option<&str>,
    ) -> Vec<Unable> {
        if matches!(request.intent, Intent::Query(..)) {
            return Vec::new();
        }
        let without_effect = |&&d: &&u32| self.effects(request, d, mode).is_none();
        let unable = group.iter().filter(without_effect);
        unable
            .filter_map(|&d| self.unfit(request, d, self.device(d)))
            .collect()
    }

    fn unfit(&self, request: &ClauseIntent<'_>, index: u32, device: &Device) -> Option<Unable> {
        if !device.capabilities.iter().any(|c| c.settable) {
            return open_reading(request.intent, index, device);
        }
        let targets = &request.clause.targets;
        let is_everything = targets.iter().any(|target| self.is_everything(target));
        let is_switch = matches!(request.intent, Intent::Switch(_) | Intent::Shut);
        if is_everything && is_switch && !SWITCHED.contains(&device.kind.as_str()) {
            return None;
        }
        let why = match request.intent {
            Intent::SetValue(property, amount) | Intent::OnAt(property, amount)
                if self.is_out_of_range(device, property, amount) =>
            {
                Unfit::OutOfRange
            }
            _ => Unfit::Incapable,
        };
        Some((index, why, None))
    }

    fn is_out_of_range(&self, device: &Device, property: Option<u16>, amount: Amount) -> bool {
        let is_number = matches!(amount, Amount::Number(_) | Amount::Measured(..));
        let capability = self.effects.numeric(device, property, amount);
        is_number && capability.is_some_and(|c| !self.effects.accepts(c, amount))
    }

    /// Adds to "close everything" the windows that cannot be closed, and the valves, which are not
    /// included, unless they report that they are closed; and to "everything off" the heating and
    /// the air conditioners, unless they are off.
    pub(super) fn with_what_stays(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        group: Resolution,
    ) -> Resolution {
        let is_here = |d: u32| self.names.is_at(d, Place::Here, self.here);
        let is_of_room = group.devices().all(is_here);
        let is_reached =
            |&d: &u32| self.inside(request, Some(target), d) && (!is_of_room || is_here(d));
        let others = self.device_indices().filter(is_reached);
        let staying = others.filter_map(|d| {
            let device = self.device(d);
            let state = match (request.intent, device.kind.as_str()) {
                (Intent::Open(false), "binary_sensor" | "sensor") => {
                    return open_reading(request.intent, d, device);
                }
                (Intent::Open(false), "valve") => StateWord::Closed,
                (Intent::Switch(false), "climate") if !self.is_exception(request, d) => {
                    StateWord::Off
                }
                _ => return None,
            };
            let (property, value) = asked_state(device, state)?;
            Some((d, Unfit::NotIncluded, Some((property, value?))))
        });
        group.leaving_out(staying.collect())
    }
}

/// Returns a sensor of a window or door, to be named unless it reports closed.
fn open_reading(intent: Intent, index: u32, device: &Device) -> Option<Unable> {
    if intent != Intent::Open(false) {
        return None;
    }
    let (property, value) = asked_state(device, StateWord::Closed)?;
    Some((index, Unfit::Incapable, Some((property, value?))))
}
