//! Amounts → values of a capability: the property they belong to, the unit, and the range.
//!
//! In: an amount of a clause and a capability. Out: a value in its domain, or `None`.

use crate::grammar::clause::Amount;
use crate::grammar::effect::capabilities::{capability, is_same_option};
use crate::grammar::effect::effects::Effects;
use crate::grammar::names::is_fixed;
use crate::grammar::sense::{Level, Sense, StateWord};
use crate::grammar::tokens::words;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property, Value};

/// Largest relative change of a temperature, in degrees: "down 18 degrees" probably means "to 18".
const MOST_DEGREES: f64 = 10.0;

/// "Minimum" of brightness and position in percent: the lowest that is not off, as in Home
/// Assistant.
const LEAST: f64 = 1.0;

impl Effects<'_> {
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

    /// Returns whether the amount is in the domain of the capability.
    pub(in crate::grammar) fn accepts(&self, capability: &Capability, amount: Amount) -> bool {
        self.value(capability, amount).is_some()
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

    pub(super) fn amount_by(
        &self,
        amount: Amount,
        (of, unit): (&Property, &str),
        property_is_said: bool,
    ) -> Option<f64> {
        let degrees = unit.starts_with('°');
        let by = match amount {
            Amount::Number(n)
                if property_is_said || (degrees && n <= 5.0) || (unit == "%" && n >= 5.0) =>
            {
                n
            }
            // "a third further" is a part of the whole way; of other values it is not certain.
            Amount::Level(level) if *of == Property::Position && level.is_part() => {
                level.percent()?
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

    /// Returns the property an amount without a property name belongs to: the main one of the kind.
    pub(super) fn main_property(&self, device: &Device, amount: Amount) -> Option<Property> {
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

    /// Returns the numeric capability an amount would set: the named one, or the main one.
    pub(in crate::grammar) fn numeric<'d>(
        &self,
        device: &'d Device,
        property: Option<u16>,
        amount: Amount,
    ) -> Option<&'d Capability> {
        let property = match property {
            Some(property) => self.property(property).clone(),
            None if self.is_kelvin(amount) => Property::ColorTemp,
            None => self.main_property(device, amount)?,
        };
        capability(device, &property)
            .filter(|c| c.settable && matches!(c.domain, Domain::Number { .. }))
    }

    fn is_kelvin(&self, amount: Amount) -> bool {
        matches!(amount, Amount::Measured(_, unit) if self.names.units[usize::from(unit)] == "K")
    }

    /// Returns whether the option is a word for on or off, in this language or as devices write it.
    pub(super) fn switches(&self, option: u32) -> bool {
        let written = self.names.options[option as usize].to_lowercase();
        let plain = self.lexicon.spelling.plain(&written);
        let given = words(&plain);
        let is_state = |(length, sense)| {
            length == given.len() && matches!(sense, Sense::State(StateWord::On | StateWord::Off))
        };
        matches!(plain.as_ref(), "on" | "off") || self.lexicon.senses(&given).any(is_state)
    }
}
