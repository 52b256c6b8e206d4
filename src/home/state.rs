//! The last known state of the devices: the basis of toggles, relative changes and answers.
//!
//! A property is reported by the device, commanded but not confirmed, or unknown. A payload that
//! stands for no value makes a property unknown; it never leaves the old value in place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;

use crate::binding::{Decoded, Reversion};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::device::Device;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

/// The last known state of each property of each device.
#[derive(Debug, Clone, Default)]
pub struct State {
    values: HashMap<Slug, Vec<(Property, Observation)>>,
}

/// The state of one property, and since when it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The state.
    pub known: Known,
    /// The time at which it was reported or commanded.
    pub at: Instant,
    /// The time at which it is no longer known, for devices that announce one.
    pub expires_at: Option<Instant>,
    /// The change that takes place by itself, and when. It holds until the expiry.
    pub reverted: Option<Box<Observation>>,
}

/// Knowledge about a property, by its source.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// The device reported this value.
    Reported(Value),
    /// The device was commanded to this value and has not confirmed it. A second "brighter" starts
    /// from here.
    Commanded(Value),
    /// The device reported a payload that stands for no value: `JAMMED`, `opening`, `unavailable`.
    Unrecognized(String),
}

impl Observation {
    /// Returns the value, reported or commanded, or `None` if it is unknown.
    pub fn value(&self) -> Option<&Value> {
        match &self.known {
            Known::Reported(value) | Known::Commanded(value) => Some(value),
            Known::Unrecognized(_) => None,
        }
    }

    /// Returns the value that the device itself reported, or `None` if it reported none.
    pub fn reported(&self) -> Option<&Value> {
        match &self.known {
            Known::Reported(value) => Some(value),
            Known::Commanded(_) | Known::Unrecognized(_) => None,
        }
    }
}

/// A reading of a state message.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Identifier of the device that reports.
    pub device: Slug,
    /// Property whose value is reported.
    pub property: Property,
    /// The value, or the payload that stands for none.
    pub decoded: Decoded,
    /// The time after which the value is no longer known.
    pub expire_after: Option<Duration>,
    /// The change of the value that will not be reported.
    pub reverts: Option<Arc<Reversion>>,
}

impl State {
    /// Returns the last observation of `property`, which may have expired.
    pub fn get(&self, device: &Slug, property: &Property) -> Option<&Observation> {
        self.values
            .get(device)?
            .iter()
            .find(|(p, _)| p == property)
            .map(|(_, seen)| seen)
    }

    /// Returns the last observation of `property` unless it has expired.
    pub fn current(
        &self,
        device: &Slug,
        property: &Property,
        now: Instant,
    ) -> Option<&Observation> {
        let seen = self.get(device, property)?;
        let reverted = seen.reverted.as_deref();
        let seen = reverted.filter(|after| after.at <= now).unwrap_or(seen);
        seen.expires_at.is_none_or(|end| now < end).then_some(seen)
    }

    /// Records a report of a device.
    pub fn report(&mut self, report: Report, at: Instant) {
        let known = match report.decoded {
            Decoded::Value(value) => Known::Reported(value),
            Decoded::Implied(value) => {
                let earlier = self.current(&report.device, &report.property, at);
                if earlier.is_some_and(|earlier| earlier.value().is_some()) {
                    return;
                }
                Known::Reported(value)
            }
            Decoded::Unrecognized(payload) => Known::Unrecognized(payload),
        };
        let expires_at = report.expire_after.and_then(|after| at.checked_add(after));
        let reverts = report.reverts.filter(
            |reversion| matches!(&known, Known::Reported(value) if *value == reversion.from),
        );
        let reverted = reverts.and_then(|reversion| {
            Some(Box::new(Observation {
                at: at.checked_add(reversion.after)?,
                known: Known::Reported(reversion.to.clone()),
                expires_at,
                reverted: None,
            }))
        });
        let seen = Observation {
            known,
            at,
            expires_at,
            reverted,
        };
        self.put(&report.device, &report.property, seen);
    }

    /// Records that `device` was commanded to `value`. Power and level are kept consistent: a lamp
    /// at 50 % is on, and a fan at 0 % is off.
    pub fn assume(&mut self, device: &Device, property: &Property, value: Value, at: Instant) {
        let level = value.number();
        let is_level = matches!(property, Property::Brightness | Property::Speed);
        if let Some(level) = level.filter(|_| is_level) {
            let power = if level > 0.0 { "on" } else { "off" };
            self.assume_known(device, &Property::Power, Value::text(power), at);
        }
        let turned_on = *property == Property::Power && value.is_word("on");
        if turned_on {
            // A level of 0 % from before contradicts "on"; which level it returns to is not known.
            for level in [Property::Brightness, Property::Speed] {
                self.forget_zero(&device.id, &level);
            }
        }
        self.assume_known(device, property, value, at);
    }

    /// Discards everything that was commanded but not confirmed, because the command did not reach
    /// the device.
    pub fn discard_assumed(&mut self, device: &Slug) {
        if let Some(known) = self.values.get_mut(device) {
            known.retain(|(_, seen)| !matches!(seen.known, Known::Commanded(_)));
        }
    }

    /// Returns whether the device is known to be offline.
    pub fn is_offline(&self, device: &Device) -> bool {
        let Availability { sources, mode } = &device.availability;
        let known: Vec<&Observation> = sources
            .iter()
            .filter_map(|source| self.get(&device.id, &source.property))
            .collect();
        let offline = |seen: &&Observation| seen.value() == Some(&Value::Flag(false));
        match mode {
            AvailabilityMode::All => known.iter().any(offline),
            AvailabilityMode::Any => {
                let all_reported = !known.is_empty() && known.len() == sources.len();
                all_reported && known.iter().all(offline)
            }
            AvailabilityMode::Latest => {
                known.iter().max_by_key(|seen| seen.at).is_some_and(offline)
            }
        }
    }

    /// Returns whether the device is known to be off, or at a level of 0 %.
    pub fn is_off(&self, device: &Device, now: Instant) -> bool {
        let value = |property| {
            self.current(&device.id, property, now)
                .and_then(Observation::value)
        };
        if let Some(power) = value(&Property::Power) {
            return power.is_word("off");
        }
        [Property::Brightness, Property::Speed]
            .iter()
            .any(|level| value(level) == Some(&Value::Number(0.0)))
    }

    /// Records an observation as it is.
    pub(super) fn put(&mut self, device: &Slug, property: &Property, seen: Observation) {
        let known = self.values.entry(device.clone()).or_default();
        match known.iter_mut().find(|(p, _)| p == property) {
            Some((_, old)) => *old = seen,
            None => known.push((property.clone(), seen)),
        }
    }

    /// Returns whether any property of the device has an observation.
    pub(super) fn knows(&self, device: &Slug) -> bool {
        self.values.contains_key(device)
    }

    fn assume_known(&mut self, device: &Device, property: &Property, value: Value, at: Instant) {
        if device.capability(property).is_none() {
            return;
        }
        // A command to the state that the device reported last changes nothing, and may not be
        // answered.
        let last = self.get(&device.id, property);
        if last.is_some_and(|seen| seen.reported() == Some(&value)) {
            return;
        }
        let seen = Observation {
            known: Known::Commanded(value),
            at,
            expires_at: None,
            reverted: None,
        };
        self.put(&device.id, property, seen);
    }

    fn forget_zero(&mut self, device: &Slug, level: &Property) {
        if let Some(known) = self.values.get_mut(device) {
            known.retain(|(p, seen)| p != level || seen.value() != Some(&Value::Number(0.0)));
        }
    }
}
