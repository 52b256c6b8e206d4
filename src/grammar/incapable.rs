//! Devices that cannot do what a clause asks for, as the reason why nothing is done.
//!
//! In: a clause and its intent. Out: the devices that it means, if each of them lacks the ability.

use crate::command::misunderstanding::Misunderstanding;
use crate::grammar::clause::{Amount, Clause, Head, Target};
use crate::grammar::effect::is_number_of_step;
use crate::grammar::intent::Intent;
use crate::grammar::interpreter::Interpreter;
use crate::grammar::resolve::ClauseIntent;
use crate::grammar::said_places::SaidPlaces;
use crate::grammar::sense::Level;
use crate::home::device::Device;
use crate::vocabulary::Property;

impl Interpreter<'_> {
    /// Returns the devices the clause means if none of them can do it: "set all lights to red"
    /// where no lamp has colors.
    pub(super) fn incapable(&self, clause: &Clause, intent: Intent) -> Option<Misunderstanding> {
        // "set the fan to 2": not that the fan cannot, but that the meaning of 2 is not certain.
        if matches!(intent, Intent::SetValue(_, amount) if is_number_of_step(amount)) {
            return None;
        }
        let before: &[u32] = &[];
        let request = ClauseIntent {
            clause,
            intent,
            before,
            are_listed: false,
            said: &SaidPlaces::default(),
        };
        let devices = (0_u32..).zip(self.home.devices());
        let meant = devices.filter(|(index, device)| {
            let is_settable = device.capabilities.iter().any(|c| c.settable);
            is_settable && self.is_meant_there(clause, *index)
        });
        let (group, meant): (Vec<u32>, Vec<&Device>) = meant.unzip();
        // A device that has the property is not at fault: the cause is the wording.
        if meant.iter().any(|device| self.has_ability(intent, device)) {
            return None;
        }
        let unable = self.resolver().unable(&request, &group, None);
        let names: Vec<String> = meant.iter().map(|device| device.name.clone()).collect();
        (!group.is_empty() && unable.len() == group.len()).then(|| Misunderstanding::Incapable {
            devices: self.lexicon.say.list(&names).into_owned(),
        })
    }

    /// Returns whether the device has what the intent would change.
    fn has_ability(&self, intent: Intent, device: &Device) -> bool {
        let effects = self.effects();
        let is_settable = |property: &Property| {
            let capability = device.capability(property);
            capability.is_some_and(|capability| capability.settable)
        };
        match intent {
            Intent::SetValue(property, amount) | Intent::OnAt(property, amount) => {
                effects.numeric(device, property, amount).is_some()
            }
            Intent::Change(change) => {
                let some = Amount::Level(Level::Half);
                effects.numeric(device, change.property, some).is_some()
                    || (change.property.is_none() && is_settable(&Property::Temperature))
            }
            Intent::Switch(_) | Intent::Start | Intent::Stop => {
                is_settable(&Property::Power) || is_settable(&Property::HvacMode)
            }
            _ => false,
        }
    }

    /// Returns whether the clause may be about the device, and its place.
    pub(super) fn is_meant_there(&self, clause: &Clause, device: u32) -> bool {
        if clause.targets.is_empty() {
            return clause.property.is_some();
        }
        let before: &[u32] = &[];
        let request = ClauseIntent {
            clause,
            intent: Intent::Perform,
            before,
            are_listed: false,
            said: &SaidPlaces::default(),
        };
        let resolver = self.resolver();
        let mut targets = clause.targets.iter();
        targets.any(|target| {
            self.is_meant(target, device) && resolver.inside(&request, Some(target), device)
        })
    }

    fn is_meant(&self, target: &Target, device: u32) -> bool {
        let resolver = self.resolver();
        let fits = target
            .extra_noun
            .is_none_or(|noun| resolver.is_a(noun, device));
        fits && match target.head {
            Head::Name(id, _) => {
                let entry = &self.names.entries[id as usize];
                entry.devices.iter().any(|(d, _)| *d == device)
            }
            Head::Noun(noun, _) => resolver.is_a(noun, device),
            Head::Area | Head::It | Head::Them => false,
        }
    }
}
