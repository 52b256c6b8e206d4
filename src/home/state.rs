//! What the devices last said of themselves, and what they were last told: the ground of toggles, of "brighter" and of questions.

use std::collections::HashMap;
use std::time::Instant;

use crate::home::Home;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

/// The last known value of each property of each device.
#[derive(Debug, Clone, Default)]
pub struct State {
    values: HashMap<Slug, Vec<(Property, Observation)>>,
}

/// A value, and when it was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The value.
    pub value: Value,
    /// When it was heard or told.
    pub at: Instant,
    /// True while it is only what the device was told: a second "brighter" goes on from there,
    /// without waiting for the device's own word.
    pub assumed: bool,
}

impl State {
    /// What is known of `property`.
    pub fn of(&self, device: &Slug, property: &Property) -> Option<&Observation> {
        self.values
            .get(device)?
            .iter()
            .find(|(p, _)| p == property)
            .map(|(_, seen)| seen)
    }

    /// The device said so.
    pub fn heard(&mut self, device: &Slug, property: &Property, value: Value, at: Instant) {
        self.put(
            device,
            property,
            Observation {
                value,
                at,
                assumed: false,
            },
        );
    }

    /// The device was told so.
    pub fn told(&mut self, device: &Slug, property: &Property, value: Value, at: Instant) {
        self.put(
            device,
            property,
            Observation {
                value,
                at,
                assumed: true,
            },
        );
    }

    /// What the device was told did not reach it: nothing is known until it speaks.
    pub fn forget_told(&mut self, device: &Slug) {
        if let Some(known) = self.values.get_mut(device) {
            known.retain(|(_, seen)| !seen.assumed);
        }
    }

    /// What is known in the home `new` of what was known in `old`. A device may have another identifier there, and its old one may
    /// be another's: what it is known by is the way to it.
    #[must_use]
    pub fn moved(&self, old: &Home, new: &Home) -> Self {
        let place = |capability: &Capability| {
            capability
                .link
                .state
                .first()
                .or(capability.link.command.as_ref())
                .map(|port| port.topic.clone())
        };
        let mut there: HashMap<String, Vec<(&Device, &Capability)>> = HashMap::new();
        for device in old
            .devices()
            .iter()
            .filter(|device| self.values.contains_key(&device.id))
        {
            for capability in device.heard() {
                there
                    .entry(place(capability).unwrap_or_default())
                    .or_default()
                    .push((device, capability));
            }
        }
        let mut moved = Self::default();
        for device in new.devices() {
            for capability in device.heard() {
                let here = place(capability);
                let same = |(was, could): &&(&Device, &Capability)| {
                    // Without a topic there is nothing but the identifier to know it by.
                    could.property == capability.property
                        && could.link == capability.link
                        && (here.is_some() || was.id == device.id)
                };
                let before = there
                    .get(here.as_deref().unwrap_or_default())
                    .and_then(|could| could.iter().find(same));
                if let Some(seen) =
                    before.and_then(|(was, _)| self.of(&was.id, &capability.property))
                {
                    moved.put(&device.id, &capability.property, seen.clone());
                }
            }
        }
        moved
    }

    fn put(&mut self, device: &Slug, property: &Property, seen: Observation) {
        if !self.values.contains_key(device) {
            self.values.insert(device.clone(), Vec::new());
        }
        let Some(known) = self.values.get_mut(device) else {
            return;
        };
        match known.iter_mut().find(|(p, _)| p == property) {
            Some((_, old)) => *old = seen,
            None => known.push((property.clone(), seen)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::{Binding, tasmota};
    use crate::home::device::Kind;
    use crate::home::rights::Rights;

    fn plug(id: &str, link: Binding) -> Device {
        let mut device = Device::new(
            Slug::new(id).unwrap(),
            Kind::new(Slug::new("switch").unwrap()),
        );
        device.capabilities[0].link = link;
        device
    }

    fn home(devices: Vec<Device>) -> Home {
        Home::new(Vec::new(), devices, Rights::default(), "sayso").unwrap()
    }

    #[test]
    fn what_is_known_moves_with_the_device_not_with_its_identifier() {
        let at = |topic: &str| tasmota(topic, &Property::Power, None);
        let old = home(vec![
            plug("plug", at("a")),
            plug("plug_2", at("b")),
            plug("own", Binding::default()),
            plug("gone", at("c")),
        ]);
        let new = home(vec![
            plug("plug", at("b")),
            plug("heater", at("a")),
            plug("own", Binding::default()),
            plug("new", at("d")),
        ]);
        let (mut state, now) = (State::default(), crate::clock::now());
        for (device, value) in [
            ("plug", "on"),
            ("plug_2", "off"),
            ("own", "on"),
            ("gone", "on"),
        ] {
            state.heard(
                &Slug::new(device).unwrap(),
                &Property::Power,
                Value::text(value),
                now,
            );
        }
        let moved = state.moved(&old, &new);
        let of = |id: &str| {
            moved
                .of(&Slug::new(id).unwrap(), &Property::Power)
                .map(|seen| seen.value.clone())
        };
        assert_eq!(
            (of("plug"), of("heater")),
            (Some(Value::text("off")), Some(Value::text("on")))
        );
        assert_eq!((of("own"), of("new")), (Some(Value::text("on")), None));
        assert_eq!((of("plug_2"), of("gone")), (None, None));
    }
}
