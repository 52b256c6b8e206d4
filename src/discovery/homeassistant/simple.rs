//! Entities with one property: selects, numbers, buttons, scenes and sensors.

use std::sync::Arc;
use std::time::Duration;

use crate::binding::{Binding, Reversion};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{choice, setting};
use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::{names, readings};

/// Words of the vocabulary for playback.
const PLAYBACK: [&str; 5] = ["playing", "paused", "stopped", "next", "previous"];

/// Longest time after which a reading expires, in seconds. A longer one is no limit.
const MAX_EXPIRY: f64 = 366.0 * 24.0 * 3600.0;

pub(super) fn select(
    config: &EntityConfig,
    device: &str,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let options = config.list("options");
    let binding = config.word_binding(
        &options,
        ["command_topic", "command_template"],
        ["state_topic", "value_template"],
    )?;
    if options.is_empty() {
        return Err(InvalidAnnouncement::Missing("options"));
    }
    let name = config.own_name(device);
    let name = name.unwrap_or_else(|| "option".to_owned());
    let is_playback = |word: &String| PLAYBACK.contains(&word.as_str());
    let (property, options) = match name.to_lowercase().as_str() {
        "source" | "input" => (Property::Source, options),
        "playback" if options.iter().any(is_playback) => {
            let known = options.into_iter().filter(is_playback).collect();
            (Property::Playback, known)
        }
        _ => (readings::setting_name(&name), options),
    };
    Ok(vec![setting(property, Domain::Choice(options), binding)])
}

pub(super) fn numeric(
    config: &EntityConfig,
    device: &str,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let name = config.own_name(device);
    let name = name.unwrap_or_else(|| "number".to_owned());
    let min = config.number("min").unwrap_or(1.0);
    let max = config.number("max").unwrap_or(100.0);
    if min >= max {
        return Err(InvalidAnnouncement::Unusable {
            option: "min",
            reason: "is not below `max`",
        });
    }
    let unit = config.text("unit_of_measurement");
    let unit = unit.and_then(|unit| names::clean(&unit));
    let is_percentage = min.abs() < f64::EPSILON && (max - 100.0).abs() < f64::EPSILON;
    let (property, unit) = if name.eq_ignore_ascii_case("volume") && is_percentage {
        (Property::Volume, "%".to_owned())
    } else {
        (readings::setting_name(&name), unit.unwrap_or_default())
    };
    // Home Assistant counts in whole numbers unless a step is announced.
    let step = config.number("step").filter(|step| *step > 0.0);
    let domain = Domain::Number {
        min,
        max,
        step: step.or(Some(1.0)),
        unit,
    };
    let binding = Binding {
        command: config.command("command_topic", "command_template")?,
        state: config.state("state_topic", "value_template")?,
        ..Binding::default()
    };
    Ok(vec![setting(property, domain, binding)])
}

pub(super) fn button(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    // The permission gate encodes `PRESS` for a capability without values.
    let press = [(
        Value::text("PRESS"),
        config.payload("payload_press", "PRESS"),
    )];
    let binding = Binding {
        fixed: config.messages(["command_topic", "command_template"], &press)?,
        ..Binding::default()
    };
    Ok(vec![setting(Property::Press, Domain::Trigger, binding)])
}

pub(super) fn scene(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let on = [(Value::text("activated"), config.payload("payload_on", "ON"))];
    let binding = Binding {
        fixed: config.messages(["command_topic", ""], &on)?,
        ..Binding::default()
    };
    Ok(vec![setting(
        Property::Scene,
        choice(&["activated"]),
        binding,
    )])
}

pub(super) fn sensor(
    config: &EntityConfig,
    device: &str,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let state = config.state("state_topic", "value_template")?;
    if state.is_empty() {
        return Err(InvalidAnnouncement::Missing("state_topic"));
    }
    let class = config.text("device_class");
    let is_enum = class.as_deref() == Some("enum");
    let named_class = class.filter(|class| class != "enum");
    let Some(name) = named_class.or_else(|| config.own_name(device)) else {
        return Err(InvalidAnnouncement::Missing("name"));
    };
    let options = config.list("options");
    let unit = config.text("unit_of_measurement");
    let mut reading = if is_enum || !options.is_empty() {
        readings::one_of(&name, options, state)
    } else {
        readings::measurement(&name, unit.as_deref(), state)
    };
    reading.binding.expire_after = seconds(config, "expire_after");
    Ok(vec![reading])
}

pub(super) fn binary_sensor(
    config: &EntityConfig,
    device: &str,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let state = config.state("state_topic", "value_template")?;
    if state.is_empty() {
        return Err(InvalidAnnouncement::Missing("state_topic"));
    }
    // Without a name the sensor is the device itself.
    let own_name = || config.own_name(device).filter(|_| config.has("name"));
    let class = config.text("device_class").or_else(own_name);
    let name = class.unwrap_or_else(|| readings::STATE.to_owned());
    let payloads = [
        config.payload("payload_on", "ON"),
        config.payload("payload_off", "OFF"),
    ];
    let mut reading = readings::binary(&name, payloads, state);
    reading.binding.expire_after = seconds(config, "expire_after");
    // A sensor with `off_delay` only reports on: it is off when the delay has passed.
    if let (Some(after), Domain::Choice(words)) = (seconds(config, "off_delay"), &reading.domain)
        && let [on, off] = &words[..]
    {
        reading.binding.reverts = Some(Arc::new(Reversion {
            from: Value::text(on),
            to: Value::text(off),
            after,
        }));
    }
    Ok(vec![reading])
}

/// Returns a duration that is announced in seconds. 0 is none.
fn seconds(config: &EntityConfig, key: &str) -> Option<Duration> {
    let seconds = config.number(key)?;
    (seconds > 0.0 && seconds <= MAX_EXPIRY).then(|| Duration::from_secs_f64(seconds))
}
