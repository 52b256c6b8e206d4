//! The devices a clause without a noun is about, by its verb or its property: "lock up", "set the
//! temperature to 20".
//!
//! In: the intent of a clause and the names of the home. Out: a description that a device fits or
//! not. It knows neither places nor the area of the command.

use crate::grammar::clause::{Amount, Head};
use crate::grammar::effect::{PRESENCE, measured};
use crate::grammar::intent::{Intent, QueryFocus};
use crate::grammar::names::Names;
use crate::grammar::resolve::ClauseIntent;
use crate::grammar::sense::{Place, StateWord, Verb};
use crate::home::device::Device;
use crate::vocabulary::Property;
use crate::vocabulary::properties::ImpliedDevices;

/// The devices a clause without a noun is about.
pub(super) struct ImpliedTarget {
    kinds: &'static [&'static str],
    /// Any device with this property.
    declared: Option<Property>,
    /// Whether the property is that of the air: what a boiler or an aquarium is set to is none.
    of_the_air: bool,
    /// Whether all devices of a place are meant, or one.
    pub(super) group: bool,
}

impl ImpliedTarget {
    /// Returns the devices the clause is about, or `None` if its words do not show that.
    pub(super) fn by(request: &ClauseIntent<'_>, names: &Names) -> Option<Self> {
        let by_words = Self::persons(request).or_else(|| Self::by_verb(request, names));
        by_words.or_else(|| Self::by_property(request, names))
    }

    pub(super) fn one(kinds: &'static [&'static str]) -> Self {
        Self {
            kinds,
            declared: None,
            of_the_air: false,
            group: false,
        }
    }

    pub(super) fn all(kinds: &'static [&'static str]) -> Self {
        Self {
            group: true,
            ..Self::one(kinds)
        }
    }

    fn with(property: &Property) -> Self {
        Self {
            declared: Some(property.clone()),
            ..Self::one(&[])
        }
    }

    /// Returns the persons that a question is about: "who is home".
    fn persons(request: &ClauseIntent<'_>) -> Option<Self> {
        let is_asked = matches!(
            request.intent,
            Intent::Query(
                None,
                Some(QueryFocus::Is(StateWord::Home) | QueryFocus::Of(StateWord::Home))
            )
        );
        let names_nothing = request.clause.targets.is_empty() && request.clause.places.is_empty();
        (is_asked && names_nothing).then(|| Self {
            group: true,
            ..Self::with(&PRESENCE.into())
        })
    }

    /// Returns the devices a verb applies to: "lock up", "start cleaning".
    fn by_verb(request: &ClauseIntent<'_>, names: &Names) -> Option<Self> {
        let clause = request.clause;
        let is_area = !clause.mode
            && !clause.targets.is_empty()
            && clause
                .targets
                .iter()
                .all(|target| target.head == Head::Area);
        let only_house =
            clause.targets.is_empty() && clause.places.iter().all(|p| *p == Place::House);
        match request.intent {
            Intent::Switch(true)
                if matches!(clause.verb, Some(Verb::Illuminate | Verb::Enlighten)) =>
            {
                Some(Self::all(&["light"]))
            }
            Intent::Lock(true)
                if only_house
                    && (clause.verb == Some(Verb::LockUp) || !clause.places.is_empty()) =>
            {
                Some(Self::all(&["lock"]))
            }
            Intent::Stop | Intent::Pause
                if only_house && clause.state == Some(StateWord::Cleaning) =>
            {
                Some(Self::one(&["vacuum"]))
            }
            Intent::Stop | Intent::Pause
                if only_house && clause.state == Some(StateWord::Mowing) =>
            {
                Some(Self::one(&["lawn_mower"]))
            }
            // "silence the whole house" means each player, and not only the one that plays.
            Intent::Mute(_) if only_house && !clause.places.is_empty() => {
                Some(Self::all(&["media_player"]))
            }
            Intent::Skip(_) | Intent::Mute(_) | Intent::Pause | Intent::Play
                if clause.targets.is_empty() =>
            {
                Some(Self::one(&["media_player"]))
            }
            // "set the kitchen to 30"
            Intent::SetValue(None, Amount::Number(_) | Amount::Level(_)) if is_area => {
                Some(Self::all(&["light"]))
            }
            Intent::SetValue(None, Amount::Measured(_, unit))
                if is_area && names.units[usize::from(unit)] == "%" =>
            {
                Some(Self::all(&["light"]))
            }
            // "is the cellar dry"
            Intent::Query(None, Some(QueryFocus::At(Amount::Choice(_)))) if is_area => {
                Some(Self::all(&["binary_sensor", "sensor"]))
            }
            // "is there light in the cellar"
            Intent::Query(None, Some(QueryFocus::Is(StateWord::On)))
                if clause.targets.is_empty() && !clause.places.is_empty() =>
            {
                Some(Self::all(&["light"]))
            }
            Intent::Clean if only_house => Some(Self::one(&["vacuum"])),
            Intent::Mow if only_house => Some(Self::one(&["lawn_mower"])),
            _ => None,
        }
    }

    /// Returns the devices that have the property of the clause.
    fn by_property(request: &ClauseIntent<'_>, names: &Names) -> Option<Self> {
        let property = Self::property(request.intent, names)?;
        if matches!(request.intent, Intent::Query(..)) {
            // "what is the date" asks for today's, not for the reading of a sensor.
            let is_calendar = matches!(property.name(), "date" | "time" | "timestamp" | "day");
            let is_specific =
                !request.clause.targets.is_empty() || !request.clause.places.is_empty();
            let is_target = matches!(request.intent, Intent::Query(_, Some(QueryFocus::Target)));
            let is_of_air = matches!(property, Property::Temperature | Property::Humidity);
            return (is_specific || !is_calendar).then(|| Self {
                of_the_air: is_of_air && !is_target,
                ..Self::with(property)
            });
        }
        let Some(spec) = property.spec() else {
            return Some(Self::with(property));
        };
        let is_house = |place: &Place| *place == Place::House;
        match spec.implied {
            ImpliedDevices::One(kinds)
                if *property == Property::Volume && request.clause.places.iter().any(is_house) =>
            {
                Some(Self::all(kinds))
            }
            ImpliedDevices::All(kinds) => Some(Self::all(kinds)),
            ImpliedDevices::One(kinds) => Some(Self::one(kinds)),
            ImpliedDevices::None => None,
        }
    }

    /// Returns the property an intent is about: the named one, or that of the amount.
    pub(super) fn property(intent: Intent, names: &Names) -> Option<&Property> {
        let of_index = |property: u16| names.properties.get(usize::from(property));
        let of_unit = |unit: u16| match names.units[usize::from(unit)].as_str() {
            "K" => Some(&Property::ColorTemp),
            unit if unit.starts_with('°') => Some(&Property::Temperature),
            _ => None,
        };
        match intent {
            Intent::SetValue(Some(property), _)
            | Intent::OnAt(Some(property), _)
            | Intent::SetFlag(property, _)
            | Intent::Query(Some(property), _) => of_index(property),
            Intent::SetValue(None, Amount::Measured(_, unit)) => of_unit(unit),
            Intent::SetValue(None, amount) if amount.is_color() => Some(&Property::Color),
            Intent::Change(change) => match (change.property, change.by) {
                (Some(property), _) => of_index(property),
                (None, Some(Amount::Measured(_, unit))) => {
                    of_unit(unit).filter(|property| **property == Property::Temperature)
                }
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn fits(&self, device: &Device) -> bool {
        match &self.declared {
            Some(property) if self.of_the_air => measures_air(device, property),
            Some(property) => {
                device.capability(property).is_some() || measured(device, property).is_some()
            }
            None => self.kinds.contains(&device.kind.as_str()),
        }
    }
}

/// Returns whether the device measures or controls the air of its room. What else can be set to a
/// temperature, as a boiler, a fridge or an aquarium, measures something of its own.
fn measures_air(device: &Device, property: &Property) -> bool {
    let is_measured = measured(device, property).is_some();
    let own = device.capability(property);
    match device.kind.as_str() {
        "climate" | "sensor" | "binary_sensor" => own.is_some() || is_measured,
        "humidifier" => is_measured,
        "water_heater" => false,
        _ => match own {
            Some(own) => !own.settable,
            None => is_measured,
        },
    }
}
