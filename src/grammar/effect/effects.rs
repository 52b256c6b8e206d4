//! The effects of an intent on a device, and those that set, switch or change a property that the
//! intent names.
//!
//! In: an intent, and a device with its capabilities. Out: effects. Intents without a property are
//! in `device_effects`, questions in `query`, and the values of amounts in `amount`.

use smallvec::smallvec;

use crate::grammar::clause::Amount;
use crate::grammar::effect::capabilities::{
    capability, exactly_one, is_same_option, may_be_a_step,
};
use crate::grammar::effect::device_effects::{
    DeviceEffects, Effect, set, simple_effect, switch, word,
};
use crate::grammar::intent::{Intent, RelativeChange};
use crate::grammar::lexicon::Lexicon;
use crate::grammar::names::{Names, is_fixed};
use crate::grammar::sense::{Level, Sense, StateWord};
use crate::grammar::tokens::words;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::action::Op;
use crate::vocabulary::{Domain, Property, Value};

/// Largest relative change of a temperature, in degrees: "down 18 degrees" probably means "to 18".
const MOST_DEGREES: f64 = 10.0;

/// Lowest colour temperature, in kelvin: a light's "temperature" from here on is its white.
const LEAST_KELVIN: f64 = 1000.0;

/// "Minimum" of brightness and position in percent: the lowest that is not off, as in Home
/// Assistant.
const LEAST: f64 = 1.0;

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
                let mut effects = smallvec![set(device, &Property::Power, "on")?];
                effects.push(self.set_value(device, property, amount)?);
                Some(effects)
            }
            Intent::SetValue(property, amount) => one(self.set_value(device, property, amount)),
            Intent::SetFlag(property, on) => one(self.flag(device, property, on)),
            Intent::Change(step) => one(self.step(device, step)),
            Intent::Query(property, asked) => one(self.query(device, property, asked)),
            Intent::Switch(on) => one(switch(device, on, mode)),
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

    /// Returns the numeric capability an amount would set: the named one, or the main one.
    pub(in crate::grammar) fn numeric<'d>(
        &self,
        device: &'d Device,
        property: Option<u16>,
        amount: Amount,
    ) -> Option<&'d Capability> {
        let property = match property {
            Some(property) => self.property(property).clone(),
            None => self.main_property(device, amount)?,
        };
        capability(device, &property)
            .filter(|c| c.settable && matches!(c.domain, Domain::Number { .. }))
    }

    /// Returns whether the amount is in the domain of the capability.
    pub(in crate::grammar) fn accepts(&self, capability: &Capability, amount: Amount) -> bool {
        self.value(capability, amount).is_some()
    }

    /// Returns whether the option is a word for on or off, in this language or as devices write it.
    fn switches(&self, option: u32) -> bool {
        let written = self.names.options[option as usize].to_lowercase();
        let plain = self.lexicon.spelling.plain(&written);
        let given = words(&plain);
        let is_state = |(length, sense)| {
            length == given.len() && matches!(sense, Sense::State(StateWord::On | StateWord::Off))
        };
        matches!(plain.as_ref(), "on" | "off") || self.lexicon.senses(&given).any(is_state)
    }

    /// Returns the property an amount without a property name belongs to: the main one of the kind.
    fn main_property(&self, device: &Device, amount: Amount) -> Option<Property> {
        let of_kind = match device.kind.as_str() {
            "light" => Property::Brightness,
            "cover" | "valve" => Property::Position,
            "media_player" => Property::Volume,
            "fan" => Property::Speed,
            "humidifier" => Property::Humidity,
            "climate" | "water_heater" => Property::Temperature,
            _ => return None,
        };
        match amount {
            Amount::Level(_) if of_kind == Property::Temperature => None,
            Amount::Number(_) | Amount::Level(_) => Some(of_kind),
            Amount::Measured(_, unit) => Some(of_kind).filter(|p| {
                (self.names.units[usize::from(unit)] == "%") != (*p == Property::Temperature)
            }),
            Amount::Color(_) | Amount::Hex(_) => Some(Property::Color),
            Amount::White(_) => Some(Property::ColorTemp),
            Amount::Choice(_) => None,
        }
    }

    /// Returns the amount as a value of the capability, if it is in its domain.
    pub(super) fn value(&self, capability: &Capability, amount: Amount) -> Option<Value> {
        match (&capability.domain, amount) {
            (Domain::Number { min, max, unit, .. }, amount) => {
                let number = match amount {
                    Amount::Number(n) => n,
                    Amount::Measured(n, given) => self.in_unit(n, given, unit)?,
                    // A named white is approximate, so the nearest one of the lamp is right.
                    Amount::White(kelvin) if capability.property == Property::ColorTemp => {
                        kelvin.clamp(*min, *max)
                    }
                    Amount::Level(Level::Low) => match capability.property {
                        Property::Brightness | Property::Position => LEAST,
                        _ => return None,
                    },
                    Amount::Level(level)
                        if level.is_speed() && capability.property != Property::Speed =>
                    {
                        return None;
                    }
                    Amount::Level(level) if unit == "%" => {
                        min + (max - min) * level.percent()? / 100.0
                    }
                    _ => return None,
                };
                (number >= *min && number <= *max).then_some(Value::Number(number))
            }
            (Domain::Color, Amount::Color(color)) => {
                Some(Value::text(&self.lexicon.colors[usize::from(color)]))
            }
            (Domain::Color, Amount::Hex([r, g, b])) => {
                Some(Value::text(&format!("#{r:02x}{g:02x}{b:02x}")))
            }
            (Domain::Choice(options), Amount::Choice(given)) if !is_fixed(&capability.property) => {
                let given = &self.names.options[given as usize];
                options
                    .iter()
                    .find(|option| is_same_option(option, given))
                    .map(|option| Value::text(option))
            }
            _ => None,
        }
    }

    /// Converts a number with the unit of the command to the unit of the capability.
    fn in_unit(&self, n: f64, given: u16, unit: &str) -> Option<f64> {
        match (self.names.units[usize::from(given)].as_str(), unit) {
            (given, own) if given == own => Some(n),
            ("°" | "°C", "°C" | "°F" | "°")
                if !(unit == "°F" && self.names.units[usize::from(given)] == "°C") =>
            {
                Some(n)
            }
            ("°F", "°C") => Some((((n - 32.0) / 1.8) * 10.0).round() / 10.0),
            ("°C", "°F") => Some(n * 1.8 + 32.0),
            _ => None,
        }
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
                    unit,
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

    fn amount_by(&self, amount: Amount, unit: &str, property_is_said: bool) -> Option<f64> {
        let degrees = unit.starts_with('°');
        let by = match amount {
            Amount::Number(n)
                if property_is_said || (degrees && n <= 5.0) || (unit == "%" && n >= 5.0) =>
            {
                n
            }
            Amount::Measured(n, given) => {
                match (self.names.units[usize::from(given)].as_str(), unit) {
                    ("°F", "°C") => (n / 1.8 * 10.0).round() / 10.0,
                    ("°C", "°F") => n * 1.8,
                    _ => self.in_unit(n, given, unit)?,
                }
            }
            _ => return None,
        };
        (by > 0.0 && by <= if degrees { MOST_DEGREES } else { f64::INFINITY }).then_some(by)
    }
}
