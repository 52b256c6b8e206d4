//! Translates a matched sentence to a draft: the slots' meaning as Home Assistant defines it, in
//! sayso's vocabulary.
//!
//! Certain or silent: a sentence whose target is not clear, or an intent that sayso has no word
//! for, gives no draft.

use std::collections::BTreeSet;

use crate::home::Home;
use crate::home::device::Device;
use crate::templates::compile::Block;
use crate::templates::matcher::{Captured, Match};
use crate::templates::names::HomeNames;
use crate::vocabulary::action::{Action, Draft, LeftOut, Op, StateQuery, TargetScope, Unfit};
use crate::vocabulary::{Domain, Property, Value};

/// The change or question for one device: a property, an operation, a value.
type DeviceStep = (Property, Op, Option<Value>);

/// A match in a home, on its way to a draft.
pub(super) struct SlotInterpreter<'a> {
    pub(super) home: &'a Home,
    pub(super) names: &'a HomeNames,
    /// Position of the area in which the command was spoken.
    pub(super) here: Option<usize>,
}

impl SlotInterpreter<'_> {
    /// Returns whether the conditions of the block hold for the match.
    pub(super) fn holds(&self, block: &Block, matched: &Match, text: &str) -> bool {
        if block.needs_area && matched.slot("area").is_none() && self.here.is_none() {
            return false;
        }
        if block.excludes_area && self.here.is_some() {
            return false;
        }
        let keywords = &block.required_keywords;
        if !keywords.is_empty() && !keywords.iter().any(|word| text.contains(word.as_str())) {
            return false;
        }
        match matched.slot("name") {
            Some(Captured::Name(name)) => !self.named(block, name).is_empty(),
            _ => true,
        }
    }

    /// Returns the draft, or `None` where the match means nothing certain.
    pub(super) fn draft(&self, block: &Block, matched: &Match) -> Option<Draft> {
        if matched.is_bare_name() {
            return None;
        }
        let targets = self.targets(block, matched)?;
        let single = matched.slot("name").is_some();
        let (mut actions, mut left_out) = (Vec::new(), Vec::new());
        for device in &targets {
            let meant = step(block, matched, device);
            match meant.clone().filter(|step| is_possible(device, step)) {
                Some((property, op, value)) => actions.push(Action {
                    device: (&device.id).into(),
                    property,
                    op,
                    value,
                }),
                // One device that cannot do it is a misunderstanding; of many, the others can.
                None if single => return None,
                None => left_out.extend(unable(device, meant)),
            }
        }
        if actions.is_empty() {
            return None;
        }
        let is_question = block.intent.as_ref() == "HassGetState";
        let state_query = if is_question {
            state_query(block, matched)
        } else {
            None
        };
        let scope = if single {
            TargetScope::Named
        } else {
            TargetScope::Group
        };
        Some(Draft {
            actions,
            state_query,
            scope,
            left_out,
            ..Draft::default()
        })
    }

    /// Returns the devices with this name that are of a domain the block allows.
    fn named(&self, block: &Block, name: &str) -> Vec<&Device> {
        let devices = self.names.devices.things(name).iter();
        let devices = devices.filter_map(|&at| self.home.devices().get(at));
        devices.filter(|device| is_allowed(block, device)).collect()
    }

    /// Returns the devices meant: the named one, or all of a domain and class in a place.
    fn targets(&self, block: &Block, matched: &Match) -> Option<Vec<&Device>> {
        let places = self.places(block, matched)?;
        let is_there = |device: &&Device| {
            let area = |at: &usize| self.home.areas().get(*at).map(|area| &area.id);
            places.as_ref().is_none_or(|places| {
                device.area.is_some() && places.iter().any(|at| area(at) == device.area.as_ref())
            })
        };
        if let Some(Captured::Name(name)) = matched.slot("name") {
            let mut devices = self.named(block, name);
            if matched.slot("area").is_some() || matched.slot("floor").is_some() {
                devices.retain(is_there);
            }
            return (devices.len() == 1).then_some(devices);
        }
        let domain = domain(block, matched)?;
        let class = text_slot(block, matched, "device_class");
        let classes = class.as_deref().map(words_of);
        let devices = self.home.devices().iter().filter(|device| {
            let class = device.class.as_deref();
            let of_class = classes
                .as_ref()
                .is_none_or(|classes| class.is_some_and(|c| classes.iter().any(|word| word == c)));
            device.kind.as_str() == domain && of_class
        });
        let devices: Vec<_> = devices.filter(is_there).collect();
        (!devices.is_empty()).then_some(devices)
    }

    /// Returns the areas that were named, or the speaker's where the block takes it; `Some(None)`
    /// is the whole home.
    #[expect(
        clippy::option_option,
        reason = "an unknown place is no match, the whole home is a place"
    )]
    fn places(&self, block: &Block, matched: &Match) -> Option<Option<Vec<usize>>> {
        match (matched.slot("area"), matched.slot("floor")) {
            (Some(Captured::Area(area)), _) => {
                let areas = self.names.areas.things(area);
                (areas.len() == 1).then(|| Some(areas.to_vec()))
            }
            (_, Some(Captured::Floor(floor))) => {
                Some(Some(self.names.floors.things(floor).to_vec()))
            }
            _ if block.needs_area => Some(Some(vec![self.here?])),
            _ => Some(None),
        }
    }
}

fn is_allowed(block: &Block, device: &Device) -> bool {
    let kind = device.kind.as_str();
    let is_one_of = |domains: &[String]| domains.iter().any(|domain| domain == kind);
    let is_input = |domains: &[String]| {
        let twin = match kind {
            "switch" => "input_boolean",
            "button" => "input_button",
            _ => return false,
        };
        domains.iter().any(|domain| domain == twin)
    };
    let allowed = block.domains.is_empty() || is_one_of(&block.domains) || is_input(&block.domains);
    allowed && !is_one_of(&block.excluded_domains)
}

/// Returns whether the device has the property, and the value is in its range.
fn is_possible(device: &Device, (property, op, value): &DeviceStep) -> bool {
    let Some(capability) = device.capability(property) else {
        return false;
    };
    match op {
        Op::Query => true,
        Op::Set => capability.settable && is_in(&capability.domain, value.as_ref()),
        _ => capability.settable,
    }
}

/// Returns a device of a group that cannot do it. A device that can only be read is not expected
/// to.
fn unable(device: &Device, meant: Option<DeviceStep>) -> Option<LeftOut> {
    let is_query = matches!(meant, Some((_, Op::Query, _)));
    if is_query || !device.capabilities.iter().any(|c| c.settable) {
        return None;
    }
    let capability = meant.and_then(|(property, ..)| device.capability(&property));
    let takes_number = capability.is_some_and(|c| matches!(c.domain, Domain::Number { .. }));
    Some(LeftOut {
        device: device.id.to_string(),
        why: if takes_number {
            Unfit::OutOfRange
        } else {
            Unfit::Incapable
        },
        unless: None,
    })
}

fn is_in(domain: &Domain, value: Option<&Value>) -> bool {
    match (domain, value) {
        (Domain::Number { min, max, .. }, Some(Value::Number(number))) => {
            (*min..=*max).contains(number)
        }
        (Domain::Choice(words), Some(Value::Text(word))) => words.iter().any(|w| *word == **w),
        (domain, value) => matches!(
            (domain, value),
            (Domain::Color, Some(Value::Text(_)))
                | (Domain::Boolean, Some(Value::Flag(_)))
                | (Domain::Trigger, None)
        ),
    }
}

/// Returns the domain of collective targets: the block's, or the one an intent is for.
fn domain(block: &Block, matched: &Match) -> Option<String> {
    if let Some(domain) = text_slot(block, matched, "domain") {
        return Some(domain);
    }
    let domain = match block.intent.as_ref() {
        "HassLightSet" => "light",
        "HassClimateSetTemperature" | "HassClimateGetTemperature" | "HassClimateSetFanMode" => {
            "climate"
        }
        "HassFanSetSpeed" => "fan",
        "HassVacuumStart" | "HassVacuumReturnToBase" => "vacuum",
        "HassLawnMowerStartMowing" | "HassLawnMowerDock" => "lawn_mower",
        intent if intent.starts_with("HassMedia") || intent.starts_with("HassSetVolume") => {
            "media_player"
        }
        _ => return None,
    };
    Some(domain.to_owned())
}

/// Returns the words of a value, which is one word or a JSON list of words.
fn words_of(value: &str) -> Vec<String> {
    serde_json::from_str(value).unwrap_or_else(|_| vec![value.to_owned()])
}

fn text_slot(block: &Block, matched: &Match, name: &str) -> Option<String> {
    match matched.slot(name) {
        Some(Captured::Value(value)) => Some(value.clone()),
        Some(_) => None,
        None => block.slots.get(name).cloned(),
    }
}

fn number_slot(block: &Block, matched: &Match, name: &str) -> Option<f64> {
    match matched.slot(name) {
        Some(Captured::Number(number)) => Some(*number),
        Some(Captured::Value(value)) => value.parse().ok(),
        Some(_) => None,
        None => block.slots.get(name)?.parse().ok(),
    }
}

/// Returns the meaning of the intent for one device.
fn step(block: &Block, matched: &Match, device: &Device) -> Option<DeviceStep> {
    use Property as P;
    let number = |name: &str| number_slot(block, matched, name);
    let set_number = |property, name| Some((property, Op::Set, Some(Value::Number(number(name)?))));
    let set = |property, word: &str| Some((property, Op::Set, Some(Value::text(word))));
    match block.intent.as_ref() {
        "HassTurnOn" => switched(device, true),
        "HassTurnOff" => switched(device, false),
        "HassToggle" => Some((toggled(device)?, Op::Toggle, None)),
        "HassHumidifierSetpoint" => set_number(P::Humidity, "humidity"),
        "HassHumidifierMode" => set(P::Preset, &text_slot(block, matched, "mode")?),
        "HassLightSet" => light(block, matched),
        "HassSetPosition" => set_number(P::Position, "position"),
        "HassFanSetSpeed" => set_number(P::Speed, "percentage"),
        "HassClimateSetTemperature" => set_number(P::Temperature, "temperature"),
        "HassClimateGetTemperature" => Some((temperature_reading(device), Op::Query, None)),
        "HassClimateSetFanMode" => set(P::FanMode, &text_slot(block, matched, "fan_mode")?),
        "HassSetVolume" => set_number(P::Volume, "volume_level"),
        "HassSetVolumeRelative" => relative_volume(block, matched),
        "HassMediaPause" => set(P::Playback, "paused"),
        "HassMediaUnpause" => set(P::Playback, "playing"),
        "HassMediaNext" => set(P::Playback, "next"),
        "HassMediaPrevious" => set(P::Playback, "previous"),
        "HassMediaPlayerMute" => set(P::Mute, "on"),
        "HassMediaPlayerUnmute" => set(P::Mute, "off"),
        "HassVacuumStart" => set(P::Vacuum, "cleaning"),
        "HassVacuumReturnToBase" => set(P::Vacuum, "docked"),
        "HassLawnMowerStartMowing" => set(P::Mower, "mowing"),
        "HassLawnMowerDock" => set(P::Mower, "docked"),
        "HassGetState" => query(block, matched, device),
        _ => None,
    }
}

/// Returns the meaning of "on" and "off" for a device: a cover opens, a lock locks, a scene is
/// activated.
fn switched(device: &Device, on: bool) -> Option<DeviceStep> {
    use Property as P;
    let word = |property, on_word: &str, off_word: &str| {
        let word = if on { on_word } else { off_word };
        Some((property, Op::Set, Some(Value::text(word))))
    };
    match device.kind.as_str() {
        "cover" | "valve" => {
            let position = if on { 100.0 } else { 0.0 };
            Some((P::Position, Op::Set, Some(Value::Number(position))))
        }
        "lock" => word(P::Lock, "locked", "unlocked"),
        "scene" if on => word(P::Scene, "activated", ""),
        "script" if on => word(P::Script, "run", ""),
        "button" if on => Some((P::Press, Op::Set, None)),
        "vacuum" => word(P::Vacuum, "cleaning", "docked"),
        "lawn_mower" => word(P::Mower, "mowing", "docked"),
        "scene" | "script" | "button" => None,
        _ if device.capability(&P::Power).is_some() => word(P::Power, "on", "off"),
        "climate" if !on => word(P::HvacMode, "", "off"),
        _ => None,
    }
}

/// Returns the property that a toggle changes.
fn toggled(device: &Device) -> Option<Property> {
    match device.kind.as_str() {
        "cover" | "valve" => Some(Property::Position),
        "lock" => Some(Property::Lock),
        _ => Some(Property::Power).filter(|power| device.capability(power).is_some()),
    }
}

fn light(block: &Block, matched: &Match) -> Option<DeviceStep> {
    if let Some(brightness) = number_slot(block, matched, "brightness") {
        return Some((
            Property::Brightness,
            Op::Set,
            Some(Value::Number(brightness)),
        ));
    }
    if let Some(kelvin) = number_slot(block, matched, "temperature") {
        return Some((Property::ColorTemp, Op::Set, Some(Value::Number(kelvin))));
    }
    let color = text_slot(block, matched, "color")?;
    Some((Property::Color, Op::Set, Some(Value::text(&color))))
}

fn relative_volume(block: &Block, matched: &Match) -> Option<DeviceStep> {
    match text_slot(block, matched, "volume_step").as_deref() {
        Some("up") => return Some((Property::Volume, Op::Increase, None)),
        Some("down") => return Some((Property::Volume, Op::Decrease, None)),
        _ => {}
    }
    let by = number_slot(block, matched, "volume_step")?;
    let op = if by < 0.0 { Op::Decrease } else { Op::Increase };
    Some((Property::Volume, op, Some(Value::Number(by.abs()))))
}

/// Returns the measured temperature where the device has one, otherwise its target.
fn temperature_reading(device: &Device) -> Property {
    let measured = Property::from("current_temperature");
    if device.capability(&measured).is_some() {
        measured
    } else {
        Property::Temperature
    }
}

/// Returns the property that answers a question about a state, with the value that is asked about.
fn query(block: &Block, matched: &Match, device: &Device) -> Option<DeviceStep> {
    use Property as P;
    let Some(state) = text_slot(block, matched, "state") else {
        let only = match device.kind.as_str() {
            "light" | "switch" | "fan" => P::Power,
            "lock" => P::Lock,
            "cover" | "valve" => P::Position,
            _ => match &device.capabilities[..] {
                [one] => one.property.clone(),
                _ => return None,
            },
        };
        return Some((only, Op::Query, None));
    };
    let (property, value) = match (device.kind.as_str(), state.as_str()) {
        ("cover" | "valve", "open") => (P::Position, Value::Number(100.0)),
        ("cover" | "valve", "closed") => (P::Position, Value::Number(0.0)),
        ("lock", "locked" | "unlocked") => (P::Lock, Value::text(&state)),
        ("light" | "switch" | "fan" | "media_player" | "humidifier", "on" | "off") => {
            (P::Power, Value::text(&state))
        }
        ("binary_sensor", "on" | "off") => sensed(device, state == "on")?,
        _ => return None,
    };
    Some((property, Op::Query, Some(value)))
}

/// Returns the only reading of a binary sensor and its word for "on" or "off", of which the first
/// stands for "on".
fn sensed(device: &Device, on: bool) -> Option<(Property, Value)> {
    let [reading] = &device.capabilities[..] else {
        return None;
    };
    let value = match &reading.domain {
        Domain::Boolean => Value::Flag(on),
        Domain::Choice(words) if words.len() == 2 => Value::text(&words[usize::from(!on)]),
        _ => return None,
    };
    Some((reading.property.clone(), value))
}

/// Returns how a question about several devices is put.
fn state_query(block: &Block, matched: &Match) -> Option<StateQuery> {
    let states = ["on", "off", "open", "closed", "locked", "unlocked"];
    let state = text_slot(block, matched, "state")?;
    let word = states.into_iter().find(|word| *word == state)?;
    Some(match block.response.as_str() {
        "any" => StateQuery::Any(word),
        "which" => StateQuery::Which(word),
        "how_many" => StateQuery::HowMany(word),
        _ => StateQuery::All(word),
    })
}

/// Returns whether two drafts result in the same messages and answers.
pub(super) fn agree(a: &Draft, b: &Draft) -> bool {
    let key = |draft: &Draft| -> BTreeSet<String> {
        let actions = draft.actions.iter();
        actions.map(|action| format!("{action:?}")).collect()
    };
    a.question == b.question && key(a) == key(b)
}
