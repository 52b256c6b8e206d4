//! The effects of an intent on a device, and those that set, switch or change a property that the
//! intent names.
//!
//! In: an intent, and a device with its capabilities. Out: effects. Intents without a property are
//! in `device_effects`, questions in `query`, and the values of amounts in `amount`.

use smallvec::smallvec;

use crate::grammar::clause::Amount;
use crate::grammar::effect::capabilities::{capability, exactly_one, may_be_a_step};
use crate::grammar::effect::device_effects::{
    DeviceEffects, Effect, set, simple_effect, switch, word,
};
use crate::grammar::intent::{Intent, RelativeChange};
use crate::grammar::lexicon::{Lexicon, standard};
use crate::grammar::names::Names;
use crate::grammar::sense::Level;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::action::Op;
use crate::vocabulary::{Domain, Property, Value};

/// Lowest colour temperature, in kelvin: a light's "temperature" from here on is its white.
const LEAST_KELVIN: f64 = 1000.0;

/// Rules that turn an intent into effects on a device.
pub(in crate::grammar) struct Effects<'a> {
    pub(in crate::grammar) lexicon: &'a Lexicon,
    pub(in crate::grammar) names: &'a Names,
}

impl Effects<'_> {
    /// Returns the effects of `intent` on `device`.
    ///
    /// `mode` is the HVAC mode "on" stands for, where the device was called heating or cooling.
    pub(in crate::grammar) fn of(
        &self,
        intent: Intent,
        device: &Device,
        mode: Option<&str>,
    ) -> Option<DeviceEffects> {
        let one = |effect: Option<Effect>| effect.map(|effect| smallvec![effect]);
        match intent {
            Intent::OnAt(property, amount) => {
                let on = match device.kind.as_str() {
                    "climate" => switch(device, true, mode)?,
                    _ => set(device, &Property::Power, "on")?,
                };
                let mut effects = smallvec![on];
                effects.push(self.set_value(device, property, amount)?);
                Some(effects)
            }
            Intent::SetValue(property, amount) => one(self.set_value(device, property, amount)),
            Intent::SetFlag(property, on) => one(self.flag(device, property, on)),
            Intent::Change(step) => one(self.step(device, step)),
            Intent::Query(property, asked) => one(self.query(device, property, asked)),
            Intent::Switch(on) => one(switch(device, on, mode)),
            Intent::ExtendTo(amount) if device.class.as_deref() == Some("awning") => {
                one(self.set_value(device, standard("position"), amount))
            }
            other => one(simple_effect(device, other)),
        }
    }

    pub(super) fn property(&self, property: u16) -> &Property {
        &self.names.properties[usize::from(property)]
    }

    pub(super) fn set_value(
        &self,
        device: &Device,
        property: Option<u16>,
        amount: Amount,
    ) -> Option<Effect> {
        let fits = |capability: &&Capability| {
            capability.settable
                && !may_be_a_step(capability, amount)
                && self.value(capability, amount).is_some()
        };
        let capability = if let Some(property) = property.map(|p| self.property(p)) {
            let white = match amount {
                Amount::White(_) => *property == Property::Color,
                Amount::Number(n) | Amount::Measured(n, _) => {
                    device.kind.as_str() == "light"
                        && *property == Property::Temperature
                        && n >= LEAST_KELVIN
                }
                _ => false,
            };
            capability(
                device,
                if white {
                    &Property::ColorTemp
                } else {
                    property
                },
            )
            .filter(fits)?
        } else if matches!(amount, Amount::Number(_)) && device.kind.as_str() == "media_player" {
            // "set the tv to 20" may be a channel.
            return None;
        } else if let Some(main) = self.main_property(device, amount) {
            device.capability(&main).filter(fits)?
        } else if let Some(mode) = device.capability(&Property::HvacMode).filter(fits) {
            // "auto" may also be a speed of its fan; the mode wins.
            mode
        } else if matches!(amount, Amount::Choice(option) if self.switches(option)) {
            // Some device has an option of this name. Without a property the power is meant, never
            // another property that can be on, such as a child lock.
            return None;
        } else {
            exactly_one(device.capabilities.iter().filter(fits))?
        };
        let value = self.value(capability, amount)?;
        let dark = capability.property == Property::Brightness
            && matches!(value, Value::Number(n) if n < 0.0);
        (!dark).then(|| (capability.property.clone(), Op::Set, Some(value)))
    }

    /// Returns the effect that switches a property on or off.
    fn flag(&self, device: &Device, property: u16, on: bool) -> Option<Effect> {
        let property = self.property(property);
        let capability = device.capability(property).filter(|c| c.settable)?;
        match &capability.domain {
            Domain::Boolean => Some((property.clone(), Op::Set, Some(Value::Flag(on)))),
            Domain::Choice(_) if !property.is_standard() => set(device, property, word(on)),
            _ if *property == Property::Volume => set(device, &Property::Mute, word(!on)),
            _ => None,
        }
    }

    fn step(&self, device: &Device, step: RelativeChange) -> Option<Effect> {
        let given = step.property.map(|p| self.property(p).clone());
        let warmth = step.warmth && device.capability(&Property::Temperature).is_none();
        let property = match given {
            // A warmer light has a lower colour temperature.
            Some(Property::Temperature) if warmth => Property::ColorTemp,
            Some(property) => property,
            None => self
                .main_property(device, Amount::Level(Level::Half))
                .or_else(|| {
                    device
                        .capability(&Property::Temperature)
                        .map(|c| c.property.clone())
                })?,
        };
        let capability = capability(device, &property).filter(|c| c.settable)?;
        let property = capability.property.clone();
        let Domain::Number { unit, min, max, .. } = &capability.domain else {
            return None;
        };
        let opens = property == Property::Position;
        // "lights up" may mean on; only covers and temperatures go up and down without a verb.
        if step.bare
            && step.vertical
            && step.property.is_none()
            && step.by.is_none()
            && !opens
            && property != Property::Temperature
        {
            return None;
        }
        if opens && step.vertical && step.by.is_none() {
            return Some((
                property,
                Op::Set,
                Some(Value::Number(if step.up { 100.0 } else { 0.0 })),
            ));
        }
        let by = match step.by {
            None => None,
            Some(amount) => Some(
                self.amount_by(
                    amount,
                    (&property, unit),
                    step.property.is_some() || property == Property::Volume,
                )
                .filter(|by| *by <= max - min)?,
            ),
        };
        let up = step.up != (property == Property::ColorTemp && warmth);
        Some((
            property,
            if up { Op::Increase } else { Op::Decrease },
            by.map(Value::Number),
        ))
    }
}
